/** `quorate get`: a key or a range of keys. */
import { type Command, Option } from "commander";
import { newCommand, onCluster, wholeOf } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { goQuote } from "./go-quote.ts";
import { type RangeFlags, rangeOf } from "./key-range.ts";
import { type RangeReply, headerFields, kvFields, kvLines } from "./messages.ts";
import { type Printer, type Shown, bytesOf } from "./printer.ts";

export interface GetFlags extends RangeFlags {
  readonly limit?: string;
  readonly order?: string;
  readonly sortBy?: string;
  readonly rev?: string;
  readonly consistency: string;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly printValueOnly?: boolean;
}

/** What it takes, without what it does. */
export function getSyntax(): Command {
  const command = newCommand("get", "get a key, or a range of keys", [
    "get greeting",
    "get --prefix services/ --keys-only",
    "get a c                        from a up to c, without c",
    "get greeting --rev 42          as it was then",
    "get greeting -w json",
  ]);
  command.argument("<key>").argument("[end]", "of the range, without it");
  command.option("--prefix", "all keys that begin with the key");
  command.option("--from-key", "all keys from the key on");
  command.option("--limit <N>", "so many at most; 0: all");
  command.option("--order <ORDER>", "ASCEND or DESCEND");
  command.option("--sort-by <WHAT>", "CREATE, KEY, MODIFY, VALUE or VERSION");
  command.option("--rev <N>", "as of this revision");
  command.addOption(new Option("--consistency <HOW>", "l: the newest; s: what any member knows, at once").default("l"));
  command.option("--keys-only", "keys without values");
  command.option("--count-only", "how many, with -w fields or json; not in etcdctl 3.4");
  command.option("--print-value-only", "values without keys");
  return command;
}

export function command(): Command {
  return onCluster<GetFlags>(getSyntax(), async ({ cluster, print }, [key, end], flags) => {
    const reply = await cluster.call<RangeReply>("kv/range", getMessage(key!, end, flags), { repeatable: true });
    print.show(getShown(print, reply, flags));
  });
}

const SORT_TARGETS: Readonly<Record<string, string>> = { CREATE: "CREATE", KEY: "KEY", MODIFY: "MOD", VALUE: "VALUE", VERSION: "VERSION" };

/** @throws CommandError */
export function getMessage(key: string, end: string | undefined, flags: GetFlags): object {
  const order = (flags.order ?? "").toUpperCase();
  const by = (flags.sortBy ?? "").toUpperCase();
  if (!["", "ASCEND", "DESCEND"].includes(order)) throw new CommandError(`bad sort order ${flags.order}`, EXIT.unsupported);
  if (by !== "" && SORT_TARGETS[by] === undefined) throw new CommandError(`bad sort target ${flags.sortBy}`, EXIT.unsupported);
  if (flags.consistency !== "l" && flags.consistency !== "s") {
    throw new CommandError(`unknown consistency flag ${JSON.stringify(flags.consistency)}`, EXIT.unsupported);
  }
  return {
    ...rangeOf(key, end, flags),
    limit: wholeOf(flags.limit ?? "0", "--limit"),
    revision: wholeOf(flags.rev ?? "0", "--rev"),
    // Whoever sorts by something and names no order means the usual one.
    sort_order: order === "" ? (by === "" ? "NONE" : "ASCEND") : order,
    sort_target: SORT_TARGETS[by] ?? "KEY",
    serializable: flags.consistency === "s",
    keys_only: flags.keysOnly === true,
    count_only: flags.countOnly === true,
  };
}

export function getShown(print: Printer, reply: RangeReply, { printValueOnly }: Pick<GetFlags, "printValueOnly"> = {}): Shown {
  const { kvs = [], more = false, count = "0" } = reply;
  return {
    simple: () => kvs.map((kv) => (printValueOnly === true ? `${print.bytes(kv.value)}\n` : kvLines(print, kv))).join(""),
    json: () => reply,
    fields: () => [...headerFields(reply.header), ...kvs.flatMap((kv) => kvFields("", kv)), ["More", String(more)], ["Count", count]],
    table: () => ({
      heads: ["KEY", "VALUE", "CREATED", "MODIFIED", "VERSION", "LEASE"],
      rows: kvs.map((kv) => [
        goQuote(bytesOf(kv.key)),
        goQuote(bytesOf(kv.value)),
        kv.create_revision ?? "0",
        kv.mod_revision ?? "0",
        kv.version ?? "0",
        BigInt(kv.lease ?? 0).toString(16),
      ]),
    }),
  };
}
