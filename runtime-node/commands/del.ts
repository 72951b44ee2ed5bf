/** `quorate del`: deletes a key or a range of keys. */
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { type RangeFlags, rangeOf } from "./key-range.ts";
import { type DeleteReply, headerFields, kvFields, kvLines } from "./messages.ts";
import type { Printer, Shown } from "./printer.ts";

export interface DelFlags extends RangeFlags {
  readonly prevKv?: boolean;
}

/** What it takes, without what it does. */
export function delSyntax(): Command {
  const command = newCommand("del", "delete a key, or a range of keys; prints how many there were", [
    "del greeting",
    "del --prefix sessions/ --prev-kv",
  ]);
  command.argument("<key>").argument("[end]", "of the range, without it");
  command.option("--prefix", "all keys that begin with the key");
  command.option("--from-key", "all keys from the key on");
  command.option("--prev-kv", "print what was deleted");
  return command;
}

export function command(): Command {
  return onCluster<DelFlags>(delSyntax(), async ({ cluster, print }, [key, end], flags) => {
    print.show(delShown(print, await cluster.call<DeleteReply>("kv/deleterange", delMessage(key!, end, flags))));
  });
}

/** @throws CommandError */
export function delMessage(key: string, end: string | undefined, flags: DelFlags): object {
  return { ...rangeOf(key, end, flags), prev_kv: flags.prevKv === true };
}

export function delShown(print: Printer, reply: DeleteReply): Shown {
  const { deleted = "0", prev_kvs: before = [] } = reply;
  return {
    simple: () => `${deleted}\n${before.map((kv) => kvLines(print, kv)).join("")}`,
    json: () => reply,
    fields: () => [...headerFields(reply.header), ["Deleted", deleted], ...before.flatMap((kv) => kvFields("Prev", kv))],
  };
}
