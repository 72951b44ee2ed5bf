/**
 * `quorate txn`: a transaction in etcdctl's notation, from standard input: what must hold, what is done then, what is done otherwise; an
 * empty line ends each of the three.
 */
import { createInterface } from "node:readline";
import { type Command, CommanderError } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { type DelFlags, delMessage, delShown, delSyntax } from "./del.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { type GetFlags, getMessage, getShown, getSyntax } from "./get.ts";
import { goUnquote } from "./go-quote.ts";
import { type TxnReply, headerFields } from "./messages.ts";
import type { Printer, Shown } from "./printer.ts";
import { type PutFlags, putMessage, putShown, putSyntax } from "./put.ts";

const NOTATION = `
Each of the three parts ends with an empty line:
  mod("a") > "0"          what must hold: version, create, mod, value or lease of a key; =, !=, < or >
  value("b") = "1"

  put a 2                 what is done then: put, get and del, with their flags
  get b

  get a                   what is done otherwise`;

export function command(): Command {
  const command = newCommand("txn", "several acts at once, if what is said of the keys holds", ["txn < transaction.txt", "txn -i"]);
  command.option("-i, --interactive", "ask for each part");
  command.withNotes(NOTATION);
  return onCluster<{ readonly interactive?: boolean }>(command, async ({ cluster, print }, _, { interactive = false }) => {
    const prompt = (text: string): void => {
      if (interactive) print.write(text);
    };
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    prompt("compares:\n");
    const compare = (await linesOf(lines)).map(compareOf);
    prompt("success requests (get, put, del):\n");
    const success = (await linesOf(lines)).map(operationOf);
    prompt("failure requests (get, put, del):\n");
    const failure = (await linesOf(lines)).map(operationOf);
    print.show(txnShown(print, await cluster.call<TxnReply>("kv/txn", { compare, success, failure })));
  });
}

/** Up to the next empty line. @throws CommandError when there is none */
async function linesOf(input: AsyncIterator<string>): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const { done, value } = (await input.next()) as IteratorResult<string, undefined>;
    if (done) throw new CommandError("EOF: each of the three parts ends with an empty line", EXIT.input);
    if (value.trim() === "") return lines;
    lines.push(value.trim());
  }
}

const TARGETS: Readonly<Record<string, readonly [target: string, field: string]>> = {
  ver: ["VERSION", "version"],
  version: ["VERSION", "version"],
  c: ["CREATE", "create_revision"],
  create: ["CREATE", "create_revision"],
  m: ["MOD", "mod_revision"],
  mod: ["MOD", "mod_revision"],
  val: ["VALUE", "value"],
  value: ["VALUE", "value"],
  lease: ["LEASE", "lease"],
};
const RESULTS: Readonly<Record<string, string>> = { "=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER" };

/** `mod("key") > "0"` @throws CommandError */
function compareOf(line: string): object {
  const found = /^(\w+)\(\s*("(?:[^"\\]|\\.)*")\s*\)\s*(=|!=|<|>)\s*("(?:[^"\\]|\\.)*")$/.exec(line);
  const target = TARGETS[found?.[1] ?? ""];
  const key = goUnquote(found?.[2] ?? "");
  const value = goUnquote(found?.[4] ?? "");
  if (found === null || target === undefined || key === undefined || value === undefined) throw malformed(line);
  const base64 = (bytes: string): string => Buffer.from(bytes, "latin1").toString("base64");
  const wanted = target[0] === "VALUE" ? base64(value) : /^-?[0-9]+$/.test(value) ? value : undefined;
  // etcdctl takes leases in hexadecimal digits everywhere but here, as Go reads numbers: 0x first.
  if (wanted === undefined) throw malformed(line);
  return { key: base64(key), target: target[0], result: RESULTS[found[3]!], [target[1]]: wanted };
}

const malformed = (line: string): CommandError => new CommandError(`malformed comparison: ${line}`, EXIT.input);

/** A line such as `put a 1 --prev-kv`. @throws CommandError */
function operationOf(line: string): object {
  const [name, ...words] = wordsOf(line);
  try {
    switch (name) {
      case "put": {
        const { args, flags } = parse<PutFlags>(putSyntax(), words);
        if (args.length < 2 && flags.ignoreValue !== true) throw new CommandError("put needs a key and a value here", EXIT.usage);
        return { request_put: putMessage(args[0]!, args[1], flags) };
      }
      case "get": {
        const { args, flags } = parse<GetFlags>(getSyntax(), words);
        return { request_range: getMessage(args[0]!, args[1], flags) };
      }
      case "del": {
        const { args, flags } = parse<DelFlags>(delSyntax(), words);
        return { request_delete_range: delMessage(args[0]!, args[1], flags) };
      }
      default:
        throw new CommandError(`invalid txn request: ${line}`, EXIT.input);
    }
  } catch (error) {
    if (error instanceof CommanderError) throw new CommandError(`${line}: ${error.message}`, EXIT.input);
    throw error;
  }
}

function parse<Flags extends object>(syntax: Command, words: readonly string[]): { args: readonly string[]; flags: Flags } {
  syntax.configureOutput({ writeErr: () => {} }).action(() => {});
  syntax.parse(words, { from: "user" });
  return { args: syntax.args, flags: syntax.opts<Flags>() };
}

/** Words separated by spaces; in double quotes as Go reads them, in single quotes as they are. @throws CommandError */
export function wordsOf(line: string): string[] {
  return (line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\s]\S*/g) ?? []).map((word) => {
    if (word.startsWith("'")) return word.slice(1, -1);
    if (!word.startsWith('"')) return word;
    const read = goUnquote(word);
    if (read === undefined) throw new CommandError(`${word} cannot be read`, EXIT.input);
    return Buffer.from(read, "latin1").toString("utf8");
  });
}

function txnShown(print: Printer, reply: TxnReply): Shown {
  const { succeeded = false, responses = [] } = reply;
  const each = responses.map(({ response_range: range, response_put: put, response_delete_range: del }) => {
    if (range !== undefined) return getShown(print, range);
    return del === undefined ? putShown(print, put ?? {}) : delShown(print, del);
  });
  return {
    simple: () => `${succeeded ? "SUCCESS" : "FAILURE"}\n${each.map(({ simple }) => `\n${simple()}`).join("")}`,
    json: () => reply,
    fields: () => [...headerFields(reply.header), ["Succeeded", String(succeeded)], ...each.flatMap(({ fields }) => fields?.() ?? [])],
  };
}
