/** The Worker of this project as a real workerd process, on its own port, with its objects in a folder of its own. */
import { prepareWorkerd, workerdBinary, workerdVersion, type WorkerdOptions } from "../../runtime-worker/local/workerd.ts";
import { freePort } from "./free-port.ts";
import { type ServerProcess, startServer } from "./start-server.ts";
import { tempDir } from "./temp-dir.ts";

export type WorkerOptions = Partial<Omit<WorkerdOptions, "port">> & {
  readonly port?: number;
  /** false: return at once after the start. Default true. */
  readonly waitReady?: boolean;
};

/** undefined: the package has no program for this machine. */
export const workerd = workerdBinary() === undefined ? undefined : { title: "workerd", version: workerdVersion() };

/** @throws Error with its output when it did not become ready */
export async function startQuorateWorker({ waitReady, ...options }: WorkerOptions = {}): Promise<ServerProcess> {
  const port = options.port ?? (await freePort());
  const directory = options.directory ?? tempDir("worker");
  const args = await prepareWorkerd({ vars: {}, ...options, port, directory });
  return startServer({ name: "workerd", command: workerdBinary()!, args, port, dataDir: directory, waitReady: waitReady ?? true });
}
