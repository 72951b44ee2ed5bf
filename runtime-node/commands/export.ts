/** `quorate export`: keys and values as they were at one revision, a JSON object a line; `quorate import` takes them. */
import { once } from "node:events";
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { rangeOf } from "./key-range.ts";
import type { RangeReply } from "./messages.ts";
import { Progress } from "./progress.ts";

const PAGE = 1_000;

export function command(): Command {
  const command = newCommand("export", "print all keys and values as of one revision, for import", [
    "export > keys.jsonl",
    "export --prefix config/ | quorate import --endpoints other:2379",
    "export --endpoints etcd:2379 | quorate import        from etcd",
  ]);
  command.option("--prefix <TEXT>", "only keys that begin so", "");
  command.withNotes('Lines are {"key":"…","value":"…"}, both base64. Leases are left out: their keys stay.');
  return onCluster<{ prefix: string }>(command, async ({ cluster }, _, { prefix }) => {
    const progress = new Progress("keys");
    const { key: first, range_end } = rangeOf(prefix, undefined, { prefix: true });
    let [key, revision, more] = [first, "0", true];
    while (more) {
      const page = { key, range_end, limit: PAGE, revision, sort_order: "ASCEND", sort_target: "KEY" };
      const reply = await cluster.call<RangeReply>("kv/range", page, { repeatable: true });
      if (revision === "0") revision = reply.header?.revision ?? "0";
      const kvs = reply.kvs ?? [];
      const lines = kvs.map((kv) => `${JSON.stringify({ key: kv.key, value: kv.value ?? "" })}\n`).join("");
      if (lines !== "" && !process.stdout.write(lines)) await once(process.stdout, "drain");
      progress.add(kvs.length);
      more = reply.more === true;
      const last = kvs.at(-1);
      if (last !== undefined) key = Buffer.concat([Buffer.from(last.key!, "base64"), Buffer.of(0)]).toString("base64");
    }
    console.error(`${progress.end()} keys as of revision ${revision}`);
  });
}
