/**
 * `npm run dev:worker`: the Worker on this machine, in workerd, until Ctrl-C. `--port N`, `--data DIR`, and variables as `NAME=VALUE`:
 *
 *     npm run dev:worker -- --port 8787 ADMIN_TOKEN=secret
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { prepareWorkerd, workerdBinary } from "./workerd.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { port: { type: "string", default: "8787" }, data: { type: "string", default: "quorate.dev/worker" } },
});
const binary = workerdBinary();
const port = Number(values.port);
const strange = positionals.find((one) => !/^[A-Z][A-Z0-9_]*=/.test(one));
if (strange !== undefined) stop(`${JSON.stringify(strange)} is no variable; wanted: NAME=VALUE`);
if (!Number.isInteger(port) || port < 1 || port > 65_535) stop(`--port is ${JSON.stringify(values.port)}; wanted: 1 to 65535`);
if (binary === undefined) stop(`the package workerd has no program for ${process.platform} on ${process.arch}`);
const vars = Object.fromEntries(positionals.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]));
const args = await prepareWorkerd({ directory: resolve(values.data), port, vars });
const child = spawn(binary!, args, { stdio: "inherit" });
// What was answered is on the disk; a gentler end would wait for every stream that is open.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void child.kill("SIGKILL"));
child.once("exit", (code) => process.exit(code ?? 0)); // killed: by us
console.log(`http://127.0.0.1:${port} serves the namespace "default", http://127.0.0.1:${port}/ns/NAME any other; data in ${values.data}`);

function stop(message: string): void {
  console.error(message);
  process.exit(2);
}
