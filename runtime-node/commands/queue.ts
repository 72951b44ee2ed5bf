/** `quorate queue`: messages put, taken and looked at, from scripts. */
import { spawn } from "node:child_process";
import type { Command } from "commander";
import { type Bytes, fromUint8Array, toUint8Array } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { enqueue } from "../../core/recipes/queue.ts";
import { acknowledge, rejectMessage } from "../../core/recipes/queue-flight.ts";
import { queueState } from "../../core/recipes/queue-state.ts";
import { type Message, takeMessages, untilWorthIt } from "../../core/recipes/queue-take.ts";
import { parseDuration } from "../duration.ts";
import { newCommand, onCluster, type Run, wholeOf } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { untilTold } from "./hold-command.ts";
import { readStandardInput } from "./standard-input.ts";

export function command(): Command {
  const group = newCommand("queue", "put, take and count messages", [
    'queue put mails \'{"to": "ann"}\' --priority 2',
    "queue take mails -- ./send.sh           the message on standard input; done when it ends with 0",
    "queue take mails --follow -- ./send.sh  until ctrl-C",
    "queue state mails",
  ]);
  for (const part of [put(), take(), state()]) group.addCommand(part);
  return group;
}

/** @returns milliseconds; undefined when it was not given @throws CommandError */
function spanOf(text: string | undefined, flag: string): number | undefined {
  const ms = text === undefined ? undefined : parseDuration(text);
  if (text !== undefined && ms === undefined)
    throw new CommandError(`${flag} is ${JSON.stringify(text)}; wanted: a duration such as 30s`, EXIT.usage);
  return ms;
}

interface PutFlags {
  readonly delay?: string;
  readonly priority?: string;
  readonly group?: string;
  readonly idempotencyKey?: string;
}

function put(): Command {
  const command = newCommand("put", "put a message; prints its id")
    .argument("<queue>")
    .argument("[body]", "left out: it is read from standard input");
  command.option("--delay <DURATION>", "not handed out before").option("--priority <N>", "0 first, 9 last; 5 where it is left out");
  command.option("--group <NAME>", "of one group one is handed out at a time, in their order");
  command.option("--idempotency-key <TEXT>", "putting again with the same one is the same act, for a day");
  return onCluster<PutFlags>(command, async ({ cluster, print }, [queue, body], { delay, priority, group, idempotencyKey }) => {
    const bytes = body === undefined ? fromUint8Array(await readStandardInput()) : utf8Encode(body);
    const options = { delayMs: spanOf(delay, "--delay"), priority: priority === undefined ? undefined : wholeOf(priority, "--priority") };
    const [id = ""] = await enqueue(cluster.client(), queue!, [bytes], { ...options, group, idempotencyKey });
    print.show({ simple: () => `${id}\n`, json: () => ({ message: id }) });
  });
}

interface TakeFlags {
  readonly follow?: boolean;
  readonly visibility?: string;
}

function take(): Command {
  const command = newCommand("take", "take a message, and be done with it when the command ends with 0");
  command
    .argument("<queue>")
    .argument("[command...]", "after --: gets the message on standard input; left out: it is printed, and is done");
  command
    .option("--follow", "one after the other, until it is told to end")
    .option("--visibility <DURATION>", "how long the command may take", "30s");
  command.withNotes(
    "Ends with 1 when there was no message, and with the code of the command when that failed: the message is handed out again then.",
  );
  return onCluster<TakeFlags>(command, async (run, [queue, ...words], { follow = false, visibility }) => {
    const told = untilTold();
    const options = { visibilityMs: spanOf(visibility, "--visibility") };
    const context = run.cluster.client();
    while (!told.aborted) {
      const taken = await takeMessages(context, queue!, options);
      const [message] = taken.messages;
      if (message !== undefined) await handle(run, context, queue!, message, words);
      if (!follow && message === undefined) throw new CommandError(`there is no message in ${queue}`);
      if (!follow) return;
      if (message === undefined) await untilWorthIt(context, queue!, taken, told);
    }
  });
}

async function handle(
  { print }: Run,
  context: ReturnType<Run["cluster"]["client"]>,
  queue: string,
  message: Message,
  words: readonly string[],
) {
  const code = words.length === 0 ? 0 : await runWith(words, message);
  if (code === 0) await acknowledge(context, queue, message.receipt!);
  else await rejectMessage(context, queue, message.receipt!, { reason: `exit code ${code}` });
  if (words.length === 0) print.write(`${message.body}\n` as Bytes);
  process.exitCode = code;
}

function runWith(words: readonly string[], { id, deliveries, body }: Message): Promise<number> {
  const env = { ...process.env, QUORATE_MESSAGE_ID: id, QUORATE_DELIVERIES: String(deliveries) };
  const child = spawn(words[0]!, words.slice(1), { stdio: ["pipe", "inherit", "inherit"], env });
  child.stdin.on("error", () => {}); // a command need not read its message
  child.stdin.end(toUint8Array(body));
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new CommandError(`${words[0]} cannot be started: ${error.message}`)));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function state(): Command {
  return onCluster(newCommand("state", "count the messages").argument("<queue>"), async ({ cluster, print }, [queue]) => {
    const { visible, delayed, inFlight, dead, oldestAtMs, revision } = await queueState(cluster.client(), queue!);
    const counts = { visible, delayed, inFlight, dead };
    print.show({
      simple: () =>
        `${Object.entries(counts)
          .map(([name, count]) => `${name}: ${count}\n`)
          .join("")}`,
      json: () => ({ ...counts, oldestAt: oldestAtMs, revision }),
      table: () => ({ heads: ["VISIBLE", "DELAYED", "IN FLIGHT", "DEAD"], rows: [Object.values(counts).map(String)] }),
    });
  });
}
