/** This project's server as a real process, on its own port and data directory. */
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { defaultRuntime, type Runtime } from "./runtimes.ts";
import { startServer, type ServerProcess } from "./start-server.ts";
import { tempDir } from "./temp-dir.ts";

export const PROJECT_ROOT = join(import.meta.dirname, "..", "..");

/** The command `quorate`, for every runtime. */
export const QUORATE_SCRIPT = join(PROJECT_ROOT, "runtime-node", "quorate.js");

export interface QuorateOptions {
  /** Default: a fresh temporary directory. */
  readonly dataDir?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Further flags of `quorate serve`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: Node, or what `QUORATE_TEST_RUNTIME` says. */
  readonly runtime?: Runtime;
  /** false: return at once after the start. Default true. */
  readonly waitReady?: boolean;
}

/** @throws Error with the server's output when it did not become ready */
export async function startQuorate(options: QuorateOptions = {}): Promise<ServerProcess> {
  const port = options.port ?? (await freePort());
  const dataDir = options.dataDir ?? tempDir("data");
  const url = `http://127.0.0.1:${port}`;
  const { command, args } = options.runtime ?? defaultRuntime();
  const flags = ["--listen-client-urls", url, "--advertise-client-urls", url, "--data-dir", dataDir, ...(options.flags ?? [])];
  return startServer({
    name: "quorate",
    command,
    args: [...args, QUORATE_SCRIPT, "serve", ...flags],
    port,
    dataDir,
    ...(options.env === undefined ? {} : { env: options.env }),
    waitReady: options.waitReady ?? true,
  });
}
