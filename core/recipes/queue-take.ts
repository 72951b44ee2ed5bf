/** Hands messages out: what is due becomes visible, and what is visible is claimed by a compare with what was seen. */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errBadField } from "../errors.ts";
import type { KeyValue, Operation, RangeRequest } from "../store/command.ts";
import type { AsOf, CallOptions, Host, RecipeContext } from "./client-port.ts";
import { VISIBILITY_MS_MAX, freed, groupKey, receiptOf } from "./queue-flight.ts";
import { gateIn, isOpenNow } from "./queue-gate.ts";
import { type Held, type Item, heldIn, heldValue, itemIn, itemText, queueKey, segmentBefore, timeDigits } from "./queue-keys.ts";
import { type QueueSettings, checkSpan, settingsIn, settingsOp } from "./queue-settings.ts";
import { isCompacted, repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

export const VISIBILITY_MS = 30_000;
/** Messages that are due and are promoted by one take. */
const PROMOTE_MAX = 16;
/** Visible keys that a take looks at; of each priority, where all of them have a turn. */
const LOOK_MAX = 256;
const LOOK_WEIGHTED_MAX = 32;
const TAKE_MAX = 100;
/** Looks of one take, each because something came to stand before what the last one had seen. */
const LOOKS_MAX = 8;

export interface Message {
  readonly id: string;
  readonly body: Bytes;
  /** This one included. */
  readonly deliveries: number;
  readonly priority: number;
  readonly group: string | null;
  /** To acknowledge it with; null of one that was popped. */
  readonly receipt: string | null;
}

export interface TakeMessagesOptions extends CallOptions {
  /** At most 100; default 1. */
  readonly max?: number | undefined;
  /** How long the consumer has, before the message is handed out again. Default 30 s, at most 12 h. */
  readonly visibilityMs?: number | undefined;
  /** Who it is, for people who look. */
  readonly consumer?: string | undefined;
  /** They are gone at once: at most once, instead of at least once. */
  readonly pop?: boolean | undefined;
}

/** What a take found, and when it is worth looking again. */
export interface TakenMessages extends AsOf {
  readonly messages: readonly Message[];
  /** By the store's clock: something becomes visible then; null: not by itself. */
  readonly nextAtMs: number | null;
}

/** Takes what is there. Not being heard, a message that was claimed comes back when its time is over. @throws QuorateError badField */
export async function takeMessages(context: RecipeContext, name: string, options: TakeMessagesOptions = {}): Promise<TakenMessages> {
  const { max = 1, signal, consumer, pop = false } = options;
  if (!Number.isInteger(max) || max < 1 || max > TAKE_MAX) throw errBadField("max", `max: must be 1 to ${TAKE_MAX}`);
  const visibility = checkSpan(options.visibilityMs ?? VISIBILITY_MS, VISIBILITY_MS_MAX, "visibility");
  const settings = await promote(context, name, { signal });
  const messages: Message[] = [];
  for (let looks = 1; ; looks++) {
    const seen = await look(context, name, settings.fair === "weighted", { signal });
    const { condition, revision } = seen;
    // Members of a group come and go elsewhere.
    const isElsewhere = condition !== null && gateIn(condition.value).kind === "members";
    const nextAtMs = isElsewhere ? Math.min(seen.nextAtMs ?? Infinity, context.host.clockMs() + 1_000) : seen.nextAtMs;
    if (condition !== null && !(await isOpenNow(context, name, condition, { signal }))) return { messages, nextAtMs, revision };
    let isOvertaken = false;
    const taken = new Set(seen.busy);
    for (const kv of inTurn(seen.visible, settings, context.host)) {
      if (messages.length === max || isOvertaken) break;
      const item = itemIn(kv.key);
      if (item === undefined || (item.group !== null && taken.has(item.group))) continue;
      try {
        const now = await freshCondition(context, name, condition);
        const claimed = await claim(context, name, kv, item, {
          as: settings,
          of: revision,
          condition: now,
          visibility,
          consumer,
          pop,
          signal,
        });
        if (claimed === "overtaken") isOvertaken = true;
        else if (claimed !== "gone") messages.push(claimed);
      } catch (error) {
        if (messages.length === 0) throw error;
        return { messages, nextAtMs, revision }; // what was claimed is worth telling; the error will come again
      }
      // Of a group the next one waits for this one, whoever has it.
      if (item.group !== null) taken.add(item.group);
    }
    if (!isOvertaken) return { messages, nextAtMs, revision };
    // Among many who put before each other it is better to come back than to go on for ever.
    if (looks === LOOKS_MAX) return { messages, nextAtMs: context.host.clockMs(), revision };
  }
}

/** The gate may have just been opened by this very take. */
async function freshCondition(context: RecipeContext, name: string, condition: KeyValue | null): Promise<number> {
  if (condition === null) return 0;
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(condition.key))));
  return gateIn(kvs[0]?.value ?? condition.value).open ? (kvs[0]?.modRevision ?? 0) : -1;
}

interface ClaimOptions extends CallOptions {
  readonly as: QueueSettings;
  /** Of the look that has seen it. */
  readonly of: number;
  /** Revision of the condition; 0: there is none. */
  readonly condition: number;
  readonly visibility: number;
  readonly consumer: string | undefined;
  readonly pop: boolean;
}

/**
 * Claims a message as the first of those that are visible: what came to stand before it since it was seen, having been given back, promoted
 * or put with a higher priority, goes first, however long the one who claims has stood still in between.
 * @returns `gone` when another was faster; `overtaken` when another message goes first, or may not be claimed now
 */
async function claim(
  context: RecipeContext,
  name: string,
  kv: KeyValue,
  item: Item,
  options: ClaimOptions,
): Promise<Message | "gone" | "overtaken"> {
  const { as, of, condition, visibility, consumer, pop, signal } = options;
  const priority = Number(segmentBefore(kv.key));
  const handed: Item = { ...item, deliveries: item.deliveries + 1 };
  const flight = queueKey(name, `f/${timeDigits(context.host.clockMs() + visibility)}/${itemText(handed)}`);
  const group = item.group === null ? null : groupKey(name, item.group);
  const compare = [modifiedAt(kv.key, kv.modRevision), modifiedAt(queueKey(name, "condition"), condition), createdAt(flight, 0)];
  if (group !== null) compare.push(createdAt(group, 0));
  const first = queueKey(name, as.fair === "weighted" ? `i/${priority}/` : "i/");
  compare.push({ key: first, end: kv.key, target: "mod", operator: "less", value: of + 1 });
  const held: Held = { priority, consumer };
  const kept = pop ? [] : [putOp(flight, heldValue(held, kv.value)), ...(group === null ? [] : [putOp(group, ascii(item.id))])];
  const request = txnOf(compare, [deleteOp(oneKey(kv.key)), ...kept], [rangeOp(oneKey(kv.key), { keysOnly: true })]);
  // A claim whose answer is lost must not be tried again: it would find itself to be another.
  const result = await context.store.txn(request, { signal });
  if (!result.succeeded) return foundAt(result, 0)[0]?.modRevision === kv.modRevision ? "overtaken" : "gone";
  const receipt = pop ? null : receiptOf(flight, result.revision);
  return { id: item.id, body: kv.value, deliveries: handed.deliveries, priority, group: item.group, receipt };
}

interface Seen extends AsOf {
  readonly condition: KeyValue | null;
  readonly visible: readonly KeyValue[];
  readonly busy: readonly string[];
  readonly nextAtMs: number | null;
}

async function look(context: RecipeContext, name: string, isWeighted: boolean, options: CallOptions): Promise<Seen> {
  const places = isWeighted ? Array.from({ length: 10 }, (_, priority) => `i/${priority}/`) : ["i/"];
  const limit = isWeighted ? LOOK_WEIGHTED_MAX : LOOK_MAX;
  const under = (place: string, more: Partial<RangeRequest>): Operation => rangeOp(keysUnder(queueKey(name, place)), more);
  const next = { limit: PROMOTE_MAX, keysOnly: true };
  const request = txnOf(
    [],
    [
      rangeOp(oneKey(queueKey(name, "condition"))),
      under("g/", { keysOnly: true }),
      under("d/", next),
      under("f/", next),
      ...places.map((place) => under(place, { limit })),
    ],
  );
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const times = [2, 3]
    .flatMap((at) => foundAt(result, at).filter(isItem))
    .map(({ key }) => Number(key.slice(queueKey(name, "d/").length).slice(0, 15)));
  return {
    condition: foundAt(result, 0)[0] ?? null,
    busy: foundAt(result, 1).map(({ key }) => decodeURIComponent(key.slice(queueKey(name, "g/").length))),
    visible: places.flatMap((_, at) => foundAt(result, 4 + at)),
    nextAtMs: times.length === 0 ? null : Math.min(...times),
    revision: result.revision,
  };
}

/** Strictly by priority; or the priority that has its turn first. */
function inTurn(visible: readonly KeyValue[], { fair }: QueueSettings, host: Host): readonly KeyValue[] {
  if (fair === "strict") return visible;
  const priorities = [...new Set(visible.map(({ key }) => segmentBefore(key)))];
  const byte = host.randomBytes(1)[0]!;
  let turn = 0;
  while (turn < priorities.length - 1 && (byte >> turn) % 2 === 1) turn++;
  const first = priorities[turn];
  return [...visible.filter(({ key }) => segmentBefore(key) === first), ...visible.filter(({ key }) => segmentBefore(key) !== first)];
}

/** Makes visible what is due. Whoever does it: it happens once. @returns the settings, which say what is dead */
async function promote(context: RecipeContext, name: string, options: CallOptions): Promise<QueueSettings> {
  const now = timeDigits(context.host.clockMs() + 1);
  const due = (place: string): Operation =>
    rangeOp({ key: queueKey(name, place), end: queueKey(name, `${place}${now}`) }, { limit: PROMOTE_MAX });
  const result = await repeat(context, () => context.store.txn(txnOf([], [settingsOp(name), due("f/"), due("d/")]), options), options);
  const settings = settingsIn(foundAt(result, 0)[0]);
  const [expired, delayed] = [1, 2].map((at) => foundAt(result, at).filter(isItem)) as [KeyValue[], KeyValue[]];
  const moves = [...expired.map((kv) => returning(name, kv, settings)), ...delayed.map((kv) => visibleAgain(name, kv))];
  // Moved by another meanwhile, or by a try whose answer was lost: either way it is done.
  await Promise.all(moves.map((request) => repeat(context, () => context.store.txn(request, options), options)));
  return settings;
}

/** What other programs put there is left alone. */
function isItem({ key }: KeyValue): boolean {
  return itemIn(key) !== undefined;
}

/** A message whose consumer did not answer in time goes back to its old place, or is dead. */
function returning(name: string, kv: KeyValue, { maxDeliveries }: QueueSettings): ReturnType<typeof txnOf> {
  const item = itemIn(kv.key)!;
  const { held, body } = heldIn(kv.value);
  const to =
    item.deliveries >= maxDeliveries
      ? putOp(queueKey(name, `x/${itemText(item)}`), heldValue({ ...held, reason: "maxDeliveries" }, body))
      : putOp(queueKey(name, `i/${held.priority}/${itemText(item)}`), body);
  return txnOf([modifiedAt(kv.key, kv.modRevision)], [...freed(name, kv.key), to]);
}

function visibleAgain(name: string, kv: KeyValue): ReturnType<typeof txnOf> {
  const to = queueKey(name, `i/${segmentBefore(kv.key)}/${itemText(itemIn(kv.key)!)}`);
  return txnOf([modifiedAt(kv.key, kv.modRevision)], [deleteOp(oneKey(kv.key)), putOp(to, kv.value)]);
}

/**
 * Resolves when it is worth taking again: something has become visible, a gate has changed, or something is due.
 * @param taken what the last take found @throws the signal's reason
 */
export async function untilWorthIt(
  context: RecipeContext,
  name: string,
  { revision, nextAtMs }: TakenMessages,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener("abort", stop);
  const changed = async (): Promise<void> => {
    const watching = { ...keysUnder(queueKey(name, "")), startRevision: revision + 1, signal: over.signal };
    try {
      for await (const { events } of context.store.watch(watching)) {
        if (events.some(({ type, kv }) => isNews(type, kv.key.slice(queueKey(name, "").length), nextAtMs))) return;
      }
    } catch (error) {
      if (!isCompacted(error)) throw error; // what has happened meanwhile is seen by looking
    }
  };
  const due = async (): Promise<void> => {
    if (nextAtMs === null) return new Promise(() => {});
    await context.host.sleep(Math.max(1, nextAtMs - context.host.clockMs()), over.signal).catch(() => {}); // it is over
  };
  try {
    await Promise.race([changed(), due()]);
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", stop);
    over.abort();
  }
}

/** Something became visible, or will at a time that is not known yet; a group is free; a gate has changed. */
function isNews(type: "put" | "delete", rest: string, nextAtMs: number | null): boolean {
  // Whoever lost the race for a message has to know when it may come back.
  if (type === "put" && rest.startsWith("f/")) return Number(rest.split("/")[1]) < (nextAtMs ?? Infinity);
  return type === "put" ? /^(?:i|d|n)\/|^condition$/.test(rest) : rest.startsWith("g/") || rest === "condition";
}
