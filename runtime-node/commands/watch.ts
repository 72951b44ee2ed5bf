/**
 * `quorate watch`: prints changes as they come, or runs a command for each. It outlives the loss of a member: it goes on at another one,
 * without gap or repeat.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Command, CommanderError } from "commander";
import { encodeBase64 } from "../../core/bytes/base64.ts";
import { type Bytes, EMPTY } from "../../core/bytes/bytes.ts";
import { isQuorateError } from "../../core/errors.ts";
import type { WatchBatch } from "../../core/recipes/client-port.ts";
import type { KeyValue as StoredKeyValue } from "../../core/store/command.ts";
import { newCommand, onCluster, type Run, wholeOf } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { goQuote } from "./go-quote.ts";
import { rangeOf } from "./key-range.ts";
import { type KeyValue, headerFields, kvFields, kvLines } from "./messages.ts";
import { type FieldLine, type Printer, bytesOf } from "./printer.ts";
import { wordsOf } from "./txn.ts";

interface WatchFlags {
  readonly prefix?: boolean;
  readonly rev?: string;
  readonly prevKv?: boolean;
  readonly interactive?: boolean;
}

interface Watched {
  readonly key: string;
  readonly end: string | undefined;
  /** To be run for each event; empty: none. */
  readonly command: readonly string[];
  readonly flags: WatchFlags;
}

function watchSyntax(): Command {
  const command = newCommand("watch", "print changes as they come, or run a command for each", [
    "watch greeting",
    "watch --prefix config/ -- ./reload.sh",
    "watch greeting --rev 42        all changes since then, and those to come",
    "watch -i                       reads lines such as: watch greeting",
  ]);
  command.argument("[key]").argument("[end]", "of the range, without it").argument("[command...]", "after --: what to run for each change");
  command.option("--prefix", "all keys that begin with the key");
  command.option("--rev <N>", "from this revision on");
  command.option("--prev-kv", "print what was there before, too");
  command.option("-i, --interactive", "read lines of watches from standard input");
  command.withNotes("The command finds the change in ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE.");
  return command;
}

export function command(): Command {
  const syntax = watchSyntax();
  return onCluster<WatchFlags>(syntax, async (run, _, flags) => {
    if (flags.interactive === true) return interactive(run);
    // commander drops the `--`, which tells the end of a range from a command.
    return follow(run, watchedOf(argumentsOf(process.argv, syntax.args), flags));
  });
}

/** What stands before and behind the separator. */
function argumentsOf(
  given: readonly string[],
  args: readonly string[],
): { keys: readonly string[]; command: readonly string[] | undefined } {
  const at = given.indexOf("--");
  if (at < 0) return { keys: args, command: undefined };
  const command = given.slice(at + 1);
  return { keys: args.slice(0, args.length - command.length), command };
}

/** @throws CommandError */
function watchedOf({ keys, command }: ReturnType<typeof argumentsOf>, flags: WatchFlags): Watched {
  if (command !== undefined && command.length === 0) {
    throw new CommandError("bad number of arguments (found separator --, but no commands)", EXIT.usage);
  }
  if (keys.length === 0 || keys.length > 2) throw new CommandError("bad number of arguments", EXIT.usage);
  return { key: keys[0]!, end: keys[1], command: command ?? [], flags };
}

/** Lines such as `watch greeting --prefix`, each a watch that goes on beside the others. @throws CommandError when the lines end */
async function interactive(run: Run): Promise<void> {
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  const read = async (): Promise<never> => {
    for await (const line of createInterface({ input: process.stdin, signal: run.signal })) {
      try {
        const watched = lineOf(line);
        if (watched !== undefined) void follow(run, watched).catch(fail);
      } catch (error) {
        if (!(error instanceof CommandError || error instanceof CommanderError)) throw error;
        console.error(error.message);
      }
    }
    throw new CommandError("Error reading watch request line: EOF", EXIT.input);
  };
  // A watch that fails ends the command as it would have ended alone.
  return Promise.race([read(), failed]);
}

/** @returns undefined for a line that asks for nothing @throws CommandError or commander's for one that cannot be taken */
function lineOf(line: string): Watched | undefined {
  const words = wordsOf(line);
  if (words.length === 0 || words[0] === "progress") return undefined; // how far a watch is, its events tell
  if (words[0] !== "watch") throw new CommandError(`Invalid command ${line} (only support watch)`);
  const syntax = watchSyntax()
    .configureOutput({ writeErr: () => {} })
    .action(() => {});
  syntax.parse(words.slice(1), { from: "user" });
  return watchedOf(argumentsOf(words, syntax.args), syntax.opts<WatchFlags>());
}

async function follow({ cluster, print, signal }: Run, { key, end, command, flags }: Watched): Promise<void> {
  const range = rangeOf(key, end, { prefix: flags.prefix === true });
  const rev = wholeOf(flags.rev ?? "0", "--rev");
  // Without a revision a watch begins now: behind what is there when it is asked for.
  const { header = {} } = await cluster.call<{ header?: Header }>("maintenance/status", {}, { repeatable: true });
  const startRevision = rev > 0 ? rev : Number(header.revision ?? 0) + 1;
  const request = {
    key: bytesOf(range.key),
    end: range.range_end === undefined ? EMPTY : bytesOf(range.range_end),
    startRevision,
    prevKv: flags.prevKv === true,
    signal,
  };
  try {
    for await (const batch of cluster.store.watch(request)) {
      show(print, header, batch);
      if (command.length > 0) for (const event of batch.events) await runFor(command, batch.revision, event);
    }
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "compacted") throw error;
    console.error(`watch was canceled (${error.message})`);
    throw new CommandError("watch is canceled by the server", EXIT.interrupted);
  }
}

type Event = WatchBatch["events"][number];

const typeOf = ({ type }: Event): string => (type === "delete" ? "DELETE" : "PUT");

function messageOf({ key, value, createRevision, modRevision, version, lease }: StoredKeyValue): KeyValue {
  return {
    key: encodeBase64(key),
    ...(createRevision === 0 ? {} : { create_revision: String(createRevision) }),
    mod_revision: String(modRevision),
    ...(version === 0 ? {} : { version: String(version) }),
    ...(value === "" ? {} : { value: encodeBase64(value) }),
    ...(lease === "0" ? {} : { lease }),
  };
}

/** @param begun the header of the member's status when the watch began; the revision rises since */
function show(print: Printer, begun: Header, { events, revision }: WatchBatch): void {
  const shown = events.map((event) => ({
    type: typeOf(event),
    kv: messageOf(event.kv),
    prev: event.prev === null ? undefined : messageOf(event.prev),
  }));
  const header = { ...begun, revision: String(Math.max(revision, Number(begun.revision ?? 0))) };
  print.show({
    simple: () =>
      shown
        .map(({ type, kv, prev }) => `${type}\n${prev === undefined ? "" : kvLines(print, prev)}${kvLines(print, kv)}`)
        .join("") as Bytes,
    json: () => ({
      Header: header,
      Events: shown.map(({ type, kv, prev }) => ({ type, kv, ...(prev === undefined ? {} : { prev_kv: prev }) })),
      CompactRevision: 0,
      Canceled: false,
      Created: false,
    }),
    fields: () => [
      ...headerFields(header),
      ...shown.flatMap(({ type, kv, prev }): FieldLine[] => [
        ["Type", type],
        ...(prev === undefined ? [] : kvFields("Prev", prev)),
        ...kvFields("", kv),
      ]),
    ],
  });
}

/** Runs to its end before the next event. @throws CommandError when it fails */
async function runFor(command: readonly string[], revision: number, event: Event): Promise<void> {
  const env = {
    ...process.env,
    ETCD_WATCH_REVISION: String(revision),
    ETCD_WATCH_EVENT_TYPE: JSON.stringify(typeOf(event)),
    ETCD_WATCH_KEY: goQuote(event.kv.key),
    ETCD_WATCH_VALUE: goQuote(event.kv.value),
  };
  const child = spawn(command[0]!, command.slice(1), { stdio: "inherit", env });
  const why = await new Promise<string | undefined>((resolve) => {
    child.once("error", ({ message }) => resolve(message));
    child.once("exit", (code, signal) => resolve(code === 0 ? undefined : signal === null ? `exit status ${code}` : `signal: ${signal}`));
  });
  if (why === undefined) return;
  console.error(`command ${JSON.stringify(command)} error (${why})`);
  throw new CommandError("", EXIT.failed);
}
