/** `quorate put`: one key. The value may come in on standard input. */
import type { Command } from "commander";
import { newCommand, idOf, onCluster } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { type PutReply, headerFields, kvFields, kvLines } from "./messages.ts";
import { type Printer, type Shown, base64Of } from "./printer.ts";
import { readStandardInput } from "./standard-input.ts";

export interface PutFlags {
  readonly lease?: string;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

/** What it takes, without what it does: lines of a transaction take the same. */
export function putSyntax(): Command {
  const command = newCommand("put", "put a key", [
    "put greeting hello",
    "put config < config.json",
    "put session open --lease 32695410dcc0ca06",
    "put -- greeting -1",
  ]);
  command.argument("<key>").argument("[value]", "left out: it is read from standard input");
  command.option("--lease <ID>", "lease, in hexadecimal digits, with which the key ends");
  command.option("--prev-kv", "print the key and value that were there before");
  command.option("--ignore-value", "leave the value as it is");
  command.option("--ignore-lease", "leave the lease as it is");
  return command;
}

export function command(): Command {
  return onCluster<PutFlags>(putSyntax(), async ({ cluster, print }, [key, value], flags) => {
    const stdin = value === undefined && flags.ignoreValue !== true;
    const message = putMessage(key!, stdin ? await readStandardInput() : value, flags);
    print.show(putShown(print, await cluster.call<PutReply>("kv/put", message)));
  });
}

/** @throws CommandError */
export function putMessage(key: string, value: string | Buffer | undefined, flags: PutFlags): object {
  if (flags.ignoreValue === true && value !== undefined) {
    throw new CommandError("put command needs only 1 argument when 'ignore-value' is set", EXIT.usage);
  }
  return {
    key: base64Of(key),
    ...(value === undefined ? {} : { value: typeof value === "string" ? base64Of(value) : value.toString("base64") }),
    ...(flags.lease === undefined ? {} : { lease: idOf(flags.lease, "lease ID") }),
    prev_kv: flags.prevKv === true,
    ignore_value: flags.ignoreValue === true,
    ignore_lease: flags.ignoreLease === true,
  };
}

export function putShown(print: Printer, reply: PutReply): Shown {
  const { prev_kv: before } = reply;
  return {
    simple: () => `OK\n${before === undefined ? "" : kvLines(print, before)}`,
    json: () => reply,
    fields: () => [...headerFields(reply.header), ...(before === undefined ? [] : kvFields("Prev", before))],
  };
}
