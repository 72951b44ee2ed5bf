/** `node test/scenario/run.ts [--rewrite] [NAME...]`: plays scenarios; with `--rewrite`, writes down what happens now. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { replay } from "./interpreter.ts";

const { values, positionals } = parseArgs({ options: { rewrite: { type: "boolean", default: false } }, allowPositionals: true });
const folder = new URL("./cases/", import.meta.url);
let differing = 0;
for (const name of readdirSync(folder).toSorted()) {
  if (positionals.length > 0 && !positionals.some((wanted) => name.includes(wanted))) continue;
  const file = new URL(name, folder);
  const text = readFileSync(file, "utf8");
  const now = replay(text);
  if (now === text) continue;
  differing++;
  console.log(`${name} ${values.rewrite ? "rewritten" : "differs"}`);
  if (values.rewrite) writeFileSync(file, now);
}
process.exitCode = differing > 0 && !values.rewrite ? 1 : 0;
