/** A module worker as a platform of edge functions runs it: bundled, and served by workerd on a local port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { workerdBinary } from "../../runtime-worker/local/workerd.ts";
import { atEnd } from "./at-end.ts";
import { freePort } from "./free-port.ts";
import { removeTempDir, tempDir } from "./temp-dir.ts";
import { untilTrue } from "./until-ready.ts";

export interface WorkerProcess {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** What workerd and the worker have printed. */
  output(): string;
  stop(): Promise<void>;
}

/**
 * @param entry path of the module
 * @param bindings texts that the worker finds in its `env`
 * @throws Error with workerd's output when it does not answer within 15 s, or is not there for this machine
 */
export async function startWorker(entry: string, bindings: Readonly<Record<string, string>>): Promise<WorkerProcess> {
  const program = workerdBinary();
  if (program === undefined) throw new Error(`workerd is not there for ${process.platform} on ${process.arch}`);
  const dir = tempDir("worker");
  await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    conditions: ["quorate-source"],
    outfile: join(dir, "worker.js"),
  });
  const port = await freePort();
  const texts = Object.entries(bindings).map(([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`);
  writeFileSync(
    join(dir, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2025-06-01",
      bindings = [${texts.join(", ")}],
    )),
    (name = "internet", network = (allow = ["private", "public"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`,
  );
  const child = spawn(program, ["serve", join(dir, "config.capnp")], { stdio: ["ignore", "pipe", "pipe"] });
  const forget = atEnd(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit").finally(forget);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
  const url = `http://127.0.0.1:${port}`;
  // Whatever the worker says to it, it is there.
  const answers = (): Promise<boolean> =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await untilTrue(answers, { what: () => `workerd answers: ${output}` });
  return {
    url,
    output: () => output,
    stop: async () => {
      child.kill("SIGKILL");
      await exited;
      removeTempDir(dir);
    },
  };
}
