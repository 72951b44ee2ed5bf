/**
 * `quorate import`: keys and values from `quorate export`, `etcdctl get --prefix '' -w json` or `consul kv export`. They are put, so that
 * doing it again after it was interrupted is fine.
 */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { Progress } from "./progress.ts";
import { readStandardInput } from "./standard-input.ts";

/** Below the bounds of a transaction and of a request: 128 operations, 1.5 MiB. */
const PUTS_MAX = 100;
const CHARACTERS_MAX = 512 * 1024;

/** Both base64. */
interface Pair {
  readonly key: string;
  readonly value: string;
}

export function command(): Command {
  const command = newCommand("import", "put keys and values from a file or standard input", [
    "import keys.jsonl",
    "consul kv export | quorate import --prefix consul/",
    "etcdctl get --prefix '' -w json | quorate import",
  ]);
  command.argument("[file]", "left out: standard input").option("--prefix <TEXT>", "put before each key", "");
  command.option("--dry-run", "count them, and put nothing");
  return onCluster<{ prefix: string; dryRun?: boolean }>(command, async ({ cluster, print }, [file], { prefix, dryRun = false }) => {
    const pairs = pairsIn(file === undefined ? await readStandardInput() : readFileSync(file)).map(({ key, value }) => ({
      key: Buffer.concat([Buffer.from(prefix), Buffer.from(key, "base64")]).toString("base64"),
      value,
    }));
    if (dryRun) return print.write(`${pairs.length} keys would be put\n`);
    const progress = new Progress(`of ${pairs.length} keys put`);
    for (const batch of batchesOf(pairs)) {
      // Twice is the same as once: nobody else's change can be told from the first time.
      await cluster.call("kv/txn", { success: batch.map((pair) => ({ request_put: pair })) }, { repeatable: true });
      progress.add(batch.length);
    }
    print.write(`${progress.end()} keys put\n`);
  });
}

/** @throws CommandError that names the line or the entry */
export function pairsIn(input: Buffer): Pair[] {
  const text = input.toString("utf8").trim();
  if (text === "") return [];
  const whole = text.startsWith("[") || !text.includes("\n") ? parse(text, "the input") : undefined;
  // Consul's keys are text, and a value that is null is empty.
  if (Array.isArray(whole))
    return whole.map((one: { key?: unknown; value?: unknown }, at) => ({
      ...checked({ ...one, value: one.value ?? "" }, `entry ${at + 1}`),
      key: Buffer.from(String(one.key)).toString("base64"),
    }));
  const kvs = (whole as { kvs?: unknown } | undefined)?.kvs;
  if (Array.isArray(kvs)) return kvs.map((one: { value?: unknown }, at) => checked({ ...one, value: one.value ?? "" }, `entry ${at + 1}`));
  return text.split("\n").map((line, at) => checked(parse(line, `line ${at + 1}`), `line ${at + 1}`));
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new CommandError(`${where} is no JSON: ${(error as Error).message}`, EXIT.input);
  }
}

function checked(one: unknown, where: string): Pair {
  const { key, value } = (one ?? {}) as { key?: unknown; value?: unknown };
  if (typeof key !== "string" || key === "") throw new CommandError(`${where} has no key`, EXIT.input);
  if (typeof value !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    throw new CommandError(`${where}: its value is no base64`, EXIT.input);
  return { key, value };
}

/** A transaction may put a key once. */
function batchesOf(pairs: readonly Pair[]): Pair[][] {
  const batches: Pair[][] = [];
  let [keys, characters] = [new Set<string>(), Infinity];
  for (const pair of pairs) {
    const size = pair.key.length + pair.value.length;
    if (keys.size >= PUTS_MAX || characters + size > CHARACTERS_MAX || keys.has(pair.key)) {
      batches.push([]);
      [keys, characters] = [new Set(), 0];
    }
    batches.at(-1)!.push(pair);
    keys.add(pair.key);
    characters += size;
  }
  return batches;
}
