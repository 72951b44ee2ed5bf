/**
 * Plays an example: a server with empty data, the edge function in workerd, and the session of the page, line by line. `Q` and `EDGE` are
 * the addresses of both. Ends with the exit code of the session.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { startQuorate } from "../../test/helpers/start-quorate.ts";
import { startWorker } from "../../test/helpers/start-worker.ts";

const FOLDER = import.meta.dirname;
const names = readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, "edge.ts")));

/** The lines that a page tells its reader to type. */
function sessionOf(page: string): string {
  return [...page.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, lines]) => lines!).join("\n");
}

async function play(name: string): Promise<number> {
  const [server, page] = [await startQuorate(), readFileSync(join(FOLDER, name, "README.md"), "utf8")];
  const worker = await startWorker(join(FOLDER, name, "edge.ts"), { QUORATE_URL: server.url });
  process.stdout.write(`# ${name}: Q=${server.url} EDGE=${worker.url}\n`);
  // The shell shows each line as it reads it.
  const shell = spawn("bash", ["-v", "-euo", "pipefail", "-s"], {
    env: { ...process.env, Q: server.url, EDGE: worker.url },
    stdio: ["pipe", "inherit", "inherit"],
  });
  shell.stdin.on("error", () => {}); // a shell that has ended at a failed line reads no further
  shell.stdin.end(sessionOf(page));
  const [code] = (await once(shell, "exit")) as [number | null];
  await Promise.all([worker.stop(), server.stop()]);
  process.stdout.write(code === 0 ? `\n# ${name}: all as the page says\n` : `\n# ${name}: failed with ${code}\n${worker.output()}\n`);
  return code ?? 1;
}

const [name] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  if (name !== undefined) process.stderr.write(`there is no example ${name}\n`);
  process.stderr.write(`npm run example -- NAME, where NAME is one of: ${names.join(", ")}\n`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  process.exitCode = await play(name);
}
