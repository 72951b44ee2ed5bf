/**
 * Plays an example: the session of its page, command by command, with its edge function in workerd. `Q` is the address of the store: a
 * server with empty data, started for this, or what `QUORATE_URL` says; `EDGE` is that of the edge function.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { startQuorate } from "../../test/helpers/start-quorate.ts";
import { startWorker } from "../../test/helpers/start-worker.ts";
import { playSession } from "./session.ts";

const FOLDER = import.meta.dirname;
const names = readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, "edge.ts")));

/** @throws Error when something is not as the page says */
async function play(name: string): Promise<void> {
  const given = process.env["QUORATE_URL"]?.replace(/\/$/, "");
  await using started = new AsyncDisposableStack();
  const store = given ?? started.adopt(await startQuorate(), (server) => server.stop()).url;
  const worker = started.adopt(await startWorker(join(FOLDER, name, "edge.ts"), { QUORATE_URL: store }), (edge) => edge.stop());
  show(`# ${name}: Q=${store} EDGE=${worker.url}\n\n`);
  try {
    await playSession(readFileSync(join(FOLDER, name, "README.md"), "utf8"), { Q: store, EDGE: worker.url }, show);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${worker.output()}`, { cause: error });
  }
  show(`# ${name}: all as the page says\n`);
}

function show(text: string): void {
  process.stdout.write(text);
}

const [name] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  if (name !== undefined) process.stderr.write(`there is no example ${name}\n`);
  process.stderr.write(`npm run example -- NAME, where NAME is one of: ${names.join(", ")}\n`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  try {
    await play(name);
  } catch (error) {
    process.stderr.write(`# ${name}: not as the page says: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
