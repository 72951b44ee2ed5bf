/**
 * Queues: first in, first out within a priority; a message is handed to one consumer at a time, and is gone when that one says that it is
 * done with it. A consumer that does not say so in time loses its receipt, and the message is handed out again, in its old place.
 *
 * A message moves from place to place (queue-keys.ts) by transactions that compare what was seen, so that whoever comes second moves
 * nothing: anybody may promote what is due, and doing it twice is impossible. There is no lease a message: three small writes in its life.
 */
import { type Bytes, EMPTY, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errQueueFull, errReceiptExpired } from "../errors.ts";
import type { Compare, KeyValue, Operation } from "../store/command.ts";
import type { AsOf, CallOptions, Host, ReadOptions, RecipeContext } from "./client-port.ts";
import { once } from "./dedup.ts";
import { segmentOf } from "./names.ts";
import { isOpenNow, gateIn } from "./queue-gate.ts";
import {
  type Held,
  type Item,
  PRIORITY_DEFAULT,
  heldIn,
  heldValue,
  itemIn,
  itemText,
  queueKey,
  segmentBefore,
  suffixOf,
  timeDigits,
} from "./queue-keys.ts";
import { isCompacted, repeat } from "./repeat.ts";
import { appendOp, createdAt, deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

const VISIBILITY_MS = 30_000;
const VISIBILITY_MS_MAX = 12 * 3_600_000;
const DELAY_MS_MAX = 366 * 24 * 3_600_000;
const DELIVERIES_MAX = 10;
const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 300_000;
/** Messages that are due and are promoted by one take. */
const PROMOTE_MAX = 16;
/** Visible keys that a take looks at. */
const LOOK_MAX = 256;
const TAKE_MAX = 100;
const BATCH_MAX = 50;

export interface QueueSettings {
  /** Messages that are not acknowledged; more are refused. null: no bound. */
  readonly maxLength: number | null;
  /** Handed out so often and not acknowledged, a message is dead. */
  readonly maxDeliveries: number;
  /** `strict`: what has a lower priority waits for all that has a higher one. `weighted`: it gets 1 in 2, 1 in 4 … */
  readonly fair: "strict" | "weighted";
}

const SETTINGS: QueueSettings = { maxLength: null, maxDeliveries: DELIVERIES_MAX, fair: "strict" };

export interface EnqueueOptions extends CallOptions {
  /** Not handed out before. */
  readonly delayMs?: number | undefined;
  /** 0 first, 9 last; default 5. */
  readonly priority?: number | undefined;
  /** Of messages of one group one is handed out at a time, in their order. */
  readonly group?: string | undefined;
  /** For a condition of the kind `has`. */
  readonly itemName?: string | undefined;
  /** Putting again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
}

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

interface Settings {
  readonly settings: QueueSettings;
  /** Part of each transaction that depends on them. */
  readonly modRevision: number;
}

const lastSeen = new WeakMap<Host, Map<string, Settings>>();
const SEEN_MAX = 1_000;

// ---- putting

/**
 * Puts messages, all of them or none.
 * @returns their ids, in the order of the bodies
 * @throws QuorateError badField; queueFull
 */
export async function enqueue(
  context: RecipeContext,
  name: string,
  bodies: readonly Bytes[],
  options: EnqueueOptions = {},
): Promise<string[]> {
  const { idempotencyKey, signal, itemName } = options;
  if (bodies.length < 1 || bodies.length > BATCH_MAX) throw errBadField("body", `body: must be 1 to ${BATCH_MAX} messages`);
  const priority = checkPriority(options.priority);
  const delay = checkSpan(options.delayMs ?? 0, DELAY_MS_MAX, "delay");
  const now = context.host.clockMs();
  const suffix = ascii(suffixOf({ putAt: Math.floor(now), deliveries: 0, group: options.group ?? null }));
  const place = delay === 0 ? `i/${priority}/` : `d/${timeDigits(now + delay)}/${priority}/`;
  const puts = bodies.map((body) => appendOp(queueKey(name, place), suffix, body));
  const named = itemName === undefined ? [] : [putOp(queueKey(name, `n/${segmentOf(itemName, "name")}`), EMPTY)];
  return once(context, { kind: "queues", name, key: idempotencyKey }, async (parts) => {
    for (;;) {
      const known = await settingsOf(context, name, options);
      const length =
        known.settings.maxLength === null ? null : await lengthOf(context, name, known.settings.maxLength, bodies.length, options);
      const compare = [modifiedAt(queueKey(name, "cfg"), known.modRevision), ...(length?.compare ?? []), ...parts.compare];
      const request = txnOf(compare, [...puts, ...named, ...(length?.count ?? []), ...parts.note], parts.look);
      const act = () => context.store.txn(request, { signal });
      const result = await (idempotencyKey === undefined ? act() : repeat(context, act, { signal }));
      if (result.succeeded) {
        await openGate(context, name, options);
        return result.responses.slice(0, puts.length).map((one) => (one.op === "append" ? itemIn(one.key)!.id : ""));
      }
      const [noted] = foundAt(result, 0);
      if (noted !== undefined) return idsAt(noted.createRevision, bodies.length);
      lastSeen.get(context.host)?.delete(name);
    }
  });
}

/** What `append` made of keys in one transaction. */
function idsAt(revision: number, count: number): string[] {
  const first = revision.toString().padStart(20, "0");
  return Array.from({ length: count }, (_, n) => (n === 0 ? first : `${first}.${n.toString().padStart(4, "0")}`));
}

/** Of a queue with a bound: that there is room, and that nobody else has filled it meanwhile. @throws QuorateError queueFull */
async function lengthOf(
  context: RecipeContext,
  name: string,
  maxLength: number,
  more: number,
  options: CallOptions,
): Promise<{ compare: Compare[]; count: Operation[] }> {
  const counter = queueKey(name, "len");
  const counts = ["i/", "d/", "f/"].map((place) => rangeOp(keysUnder(queueKey(name, place)), { countOnly: true }));
  const result = await repeat(context, () => context.store.txn(txnOf([], [rangeOp(oneKey(counter)), ...counts]), options), options);
  const length = result.responses.slice(1).reduce((sum, one) => sum + (one.op === "range" ? one.count : 0), 0);
  if (length + more > maxLength) throw errQueueFull({ length, maxLength, retryAfterMs: 1_000 });
  return { compare: [modifiedAt(counter, foundAt(result, 0)[0]?.modRevision ?? 0)], count: [putOp(counter, EMPTY)] };
}

// ---- taking

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
  await promote(context, name, { signal });
  const seen = await look(context, name, { signal });
  const { settings, condition, busy, revision } = seen;
  // Members of a group come and go elsewhere.
  const isElsewhere = condition !== null && gateIn(condition.value).kind === "members";
  const nextAtMs = isElsewhere ? Math.min(seen.nextAtMs ?? Infinity, context.host.clockMs() + 1_000) : seen.nextAtMs;
  const messages: Message[] = [];
  if (condition !== null && !(await isOpenNow(context, name, condition, { signal }))) return { messages, nextAtMs, revision };
  const taken = new Set(busy);
  for (const kv of inTurn(seen.visible, settings, context.host)) {
    if (messages.length === max) break;
    const item = itemIn(kv.key);
    if (item === undefined || (item.group !== null && taken.has(item.group))) continue;
    let message: Message | null;
    try {
      const now = await freshCondition(context, name, condition);
      message = await claim(context, name, kv, item, { condition: now, visibility, consumer, pop, signal });
    } catch (error) {
      if (messages.length === 0) throw error;
      break; // what was claimed is worth telling; the error will come again
    }
    // Of a group the next one waits for this one, whoever has it.
    if (item.group !== null) taken.add(item.group);
    if (message !== null) messages.push(message);
  }
  return { messages, nextAtMs, revision };
}

/** The gate may have just been opened by this very take. */
async function freshCondition(context: RecipeContext, name: string, condition: KeyValue | null): Promise<number> {
  if (condition === null) return 0;
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(condition.key))));
  return gateIn(kvs[0]?.value ?? condition.value).open ? (kvs[0]?.modRevision ?? 0) : -1;
}

interface ClaimOptions extends CallOptions {
  /** Revision of the condition; 0: there is none. */
  readonly condition: number;
  readonly visibility: number;
  readonly consumer: string | undefined;
  readonly pop: boolean;
}

/** @returns null when another was faster */
async function claim(context: RecipeContext, name: string, kv: KeyValue, item: Item, options: ClaimOptions): Promise<Message | null> {
  const { condition, visibility, consumer, pop, signal } = options;
  const priority = Number(segmentBefore(kv.key));
  const handed: Item = { ...item, deliveries: item.deliveries + 1 };
  const flight = queueKey(name, `f/${timeDigits(context.host.clockMs() + visibility)}/${itemText(handed)}`);
  const group = item.group === null ? null : groupKey(name, item.group);
  const compare = [modifiedAt(kv.key, kv.modRevision), modifiedAt(queueKey(name, "condition"), condition), createdAt(flight, 0)];
  if (group !== null) compare.push(createdAt(group, 0));
  const held: Held = { priority, consumer };
  const kept = pop ? [] : [putOp(flight, heldValue(held, kv.value)), ...(group === null ? [] : [putOp(group, ascii(item.id))])];
  const request = txnOf(compare, [deleteOp(oneKey(kv.key)), ...kept]);
  // A claim whose answer is lost must not be tried again: it would find itself to be another.
  const result = await context.store.txn(request, { signal });
  if (!result.succeeded) return null;
  const receipt = pop ? null : receiptOf(flight, result.revision);
  return { id: item.id, body: kv.value, deliveries: handed.deliveries, priority, group: item.group, receipt };
}

interface Seen extends AsOf {
  readonly settings: QueueSettings;
  readonly condition: KeyValue | null;
  readonly visible: readonly KeyValue[];
  readonly busy: readonly string[];
  readonly nextAtMs: number | null;
}

async function look(context: RecipeContext, name: string, options: CallOptions): Promise<Seen> {
  const { settings } = await settingsOf(context, name, options);
  const places = settings.fair === "strict" ? ["i/"] : Array.from({ length: 10 }, (_, priority) => `i/${priority}/`);
  const limit = settings.fair === "strict" ? LOOK_MAX : 32;
  const request = txnOf(
    [],
    [
      rangeOp(oneKey(queueKey(name, "condition"))),
      rangeOp(keysUnder(queueKey(name, "g/")), { keysOnly: true }),
      rangeOp(keysUnder(queueKey(name, "d/")), { limit: 1, keysOnly: true }),
      rangeOp(keysUnder(queueKey(name, "f/")), { limit: 1, keysOnly: true }),
      ...places.map((place) => rangeOp(keysUnder(queueKey(name, place)), { limit })),
    ],
  );
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const times = [2, 3].flatMap((at) => foundAt(result, at).map(({ key }) => Number(key.slice(queueKey(name, "d/").length).slice(0, 15))));
  return {
    settings,
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

/** Makes visible what is due. Whoever does it: it happens once. */
export async function promote(context: RecipeContext, name: string, options: CallOptions = {}): Promise<void> {
  const now = timeDigits(context.host.clockMs() + 1);
  const due = (place: string): Operation =>
    rangeOp({ key: queueKey(name, place), end: queueKey(name, `${place}${now}`) }, { limit: PROMOTE_MAX });
  const result = await repeat(context, () => context.store.txn(txnOf([], [due("f/"), due("d/")]), options), options);
  const [expired, delayed] = [foundAt(result, 0), foundAt(result, 1)];
  if (expired.length + delayed.length === 0) return;
  const { settings } = await settingsOf(context, name, options);
  const moves = [...expired.map((kv) => returning(name, kv, settings)), ...delayed.map((kv) => visibleAgain(name, kv))];
  // Moved by another meanwhile, or by a try whose answer was lost: either way it is done.
  await Promise.all(moves.map((request) => repeat(context, () => context.store.txn(request, options), options)));
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

// ---- what becomes of a message that was taken

/**
 * Operations that end a flight, to be done together with the compare `mod_revision(key) = revision`: a transaction with them acknowledges
 * the message and takes effect at once, or neither.
 * @param key of the flight, as in a receipt
 */
export function acknowledging(key: Bytes): Operation[] {
  const [, , , segment] = key.split("/");
  return freed(decodeURIComponent(segment ?? ""), key);
}

/** The flight is over, and its group may go on. */
function freed(name: string, key: Bytes): Operation[] {
  const group = itemIn(key)?.group ?? null;
  return [deleteOp(oneKey(key)), ...(group === null ? [] : [deleteOp(oneKey(groupKey(name, group)))])];
}

/**
 * It is done. Saying so again with the same receipt is the same act, for as long as history tells.
 * @throws QuorateError receiptExpired when its time was over before; badField
 */
export async function acknowledge(context: RecipeContext, name: string, receipt: string, { signal }: CallOptions = {}): Promise<AsOf> {
  const { key, revision } = receiptIn(name, receipt);
  const request = txnOf([modifiedAt(key, revision)], freed(name, key));
  const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
  if (!result.succeeded && !(await wasEnded(context, name, key, revision, { signal }))) throw errReceiptExpired();
  return { revision: result.revision };
}

/**
 * Whether this receipt has ended its flight by an acknowledgement. Otherwise, given back, extended or promoted, the message is in another
 * place from that very revision on.
 */
async function wasEnded(context: RecipeContext, name: string, key: Bytes, since: number, options: CallOptions): Promise<boolean> {
  const { id } = itemIn(key)!;
  try {
    const { store } = context;
    for await (const { events } of store.watch({ ...oneKey(key), startRevision: since + 1, noPut: true, signal: options.signal })) {
      const revision = events[0]?.kv.modRevision;
      if (revision === undefined) continue;
      const places = [...Array.from({ length: 10 }, (_, priority) => `i/${priority}/${id}`), `x/${id}`];
      const spread = ["d/", "f/"]; // where times come before the number
      const looks = [...places, ...spread].map((place) => rangeOp(keysUnder(queueKey(name, place)), { keysOnly: true, revision }));
      const result = await repeat(context, () => store.txn(txnOf([], looks), options), options);
      return looks.every((_, at) => foundAt(result, at).every((kv) => itemIn(kv.key)?.id !== id));
    }
  } catch (error) {
    if (!isCompacted(error)) throw error;
  }
  return false; // history does not tell any more
}

/** More time for it, from now on. @returns the receipt that is good from now on @throws QuorateError receiptExpired; badField */
export async function extendMessage(
  context: RecipeContext,
  name: string,
  receipt: string,
  visibilityMs: number,
  options: CallOptions = {},
): Promise<string> {
  const visibility = checkSpan(visibilityMs, VISIBILITY_MS_MAX, "visibility");
  const kv = await flightOf(context, name, receipt, options);
  const next = queueKey(name, `f/${timeDigits(context.host.clockMs() + visibility)}/${itemText(itemIn(kv.key)!)}`);
  const to = next === kv.key ? [] : [deleteOp(oneKey(kv.key))];
  const result = await moved(context, kv, [...to, putOp(next, kv.value)], next, options);
  return receiptOf(next, result);
}

export interface RejectOptions extends CallOptions {
  /** Handed out again after so long. Default: 1 s, twice as long with each delivery, at most 5 min. */
  readonly delayMs?: number | undefined;
  /** It is dead: for people to look at. */
  readonly dead?: boolean | undefined;
  readonly reason?: string | undefined;
}

/** It could not be done: it is handed out again later, or is dead. @throws QuorateError receiptExpired; badField */
export async function rejectMessage(context: RecipeContext, name: string, receipt: string, options: RejectOptions = {}): Promise<void> {
  const kv = await flightOf(context, name, receipt, options);
  const item = itemIn(kv.key)!;
  const { held, body } = heldIn(kv.value);
  const { settings } = await settingsOf(context, name, options);
  const backoff = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (item.deliveries - 1));
  const delay = checkSpan(options.delayMs ?? backoff, DELAY_MS_MAX, "delay");
  const isDead = options.dead === true || item.deliveries >= settings.maxDeliveries;
  const due = timeDigits(context.host.clockMs() + delay);
  const place = isDead
    ? `x/${itemText(item)}`
    : delay === 0
      ? `i/${held.priority}/${itemText(item)}`
      : `d/${due}/${held.priority}/${itemText(item)}`;
  const reason = options.reason ?? (options.dead === true ? "rejected" : "maxDeliveries");
  const to = queueKey(name, place);
  await moved(context, kv, [...freed(name, kv.key), putOp(to, isDead ? heldValue({ ...held, reason }, body) : body)], to, options);
}

/** @returns the revision of the move @throws QuorateError receiptExpired */
async function moved(
  context: RecipeContext,
  kv: KeyValue,
  operations: readonly Operation[],
  to: Bytes,
  { signal }: CallOptions,
): Promise<number> {
  let tries = 0;
  const request = txnOf([modifiedAt(kv.key, kv.modRevision)], operations, [rangeOp(oneKey(to))]);
  const result = await repeat(context, () => (tries++, context.store.txn(request, { signal })), { signal });
  if (result.succeeded) return result.revision;
  const [there] = foundAt(result, 0);
  // A try before may have moved it, unheard.
  if (tries > 1 && there !== undefined && there.modRevision > kv.modRevision) return there.modRevision;
  throw errReceiptExpired();
}

async function flightOf(context: RecipeContext, name: string, receipt: string, options: CallOptions): Promise<KeyValue> {
  const { key, revision } = receiptIn(name, receipt);
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(key)), options), options);
  if (kvs[0]?.modRevision !== revision) throw errReceiptExpired();
  return kvs[0];
}

// ---- looking

export interface QueueState extends AsOf {
  readonly visible: number;
  readonly delayed: number;
  readonly inFlight: number;
  readonly dead: number;
  /** When the oldest visible message was put, in milliseconds since 1970; null: there is none, or it does not say. */
  readonly oldestAtMs: number | null;
  readonly settings: QueueSettings;
}

export async function queueState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<QueueState> {
  const counts = ["i/", "d/", "f/", "x/"].map((place) => rangeOp(keysUnder(queueKey(name, place)), { countOnly: true }));
  const first = rangeOp(keysUnder(queueKey(name, "i/")), { limit: 1, sortTarget: "create", sortOrder: "ascend", keysOnly: true });
  const request = txnOf([], [...counts, first, rangeOp(oneKey(queueKey(name, "cfg")))]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const [visible = 0, delayed = 0, inFlight = 0, dead = 0] = result.responses.map((one) => (one.op === "range" ? one.count : 0));
  const [oldest] = foundAt(result, 4);
  const oldestAtMs = oldest === undefined ? null : (itemIn(oldest.key)?.putAt ?? null);
  return { visible, delayed, inFlight, dead, oldestAtMs, settings: settingsIn(foundAt(result, 5)[0]).settings, revision: result.revision };
}

export interface Peeked {
  readonly id: string;
  readonly body: Bytes;
  readonly deliveries: number;
  readonly priority: number;
  readonly reason?: string | undefined;
}

/** The next visible messages, or the dead ones, without taking them. */
export async function peekMessages(
  context: RecipeContext,
  name: string,
  { dead = false, limit = 10, ...options }: ReadOptions & { readonly dead?: boolean; readonly limit?: number } = {},
): Promise<Peeked[]> {
  const request = readOf(keysUnder(queueKey(name, dead ? "x/" : "i/")), { limit });
  const { kvs } = await repeat(context, () => context.store.range(request, options), options);
  return kvs.flatMap((kv) => {
    const item = itemIn(kv.key);
    if (item === undefined) return [];
    const { id, deliveries } = item;
    if (!dead) return [{ id, deliveries, body: kv.value, priority: Number(segmentBefore(kv.key)) }];
    const { held, body } = heldIn(kv.value);
    return [{ id, deliveries, body, priority: held.priority, reason: held.reason }];
  });
}

/** Makes dead messages visible again, in their old places and as if they had never been handed out. @returns how many */
export async function redriveDead(context: RecipeContext, name: string, options: CallOptions = {}): Promise<number> {
  let count = 0;
  for (;;) {
    const request = readOf(keysUnder(queueKey(name, "x/")), { limit: PROMOTE_MAX });
    const { kvs } = await repeat(context, () => context.store.range(request, options), options);
    if (kvs.length === 0) return count;
    for (const kv of kvs) {
      const item: Item = { ...itemIn(kv.key)!, deliveries: 0 };
      const { held, body } = heldIn(kv.value);
      const to = queueKey(name, `i/${held.priority}/${itemText(item)}`);
      const move = txnOf([modifiedAt(kv.key, kv.modRevision)], [deleteOp(oneKey(kv.key)), putOp(to, body)]);
      const { succeeded } = await repeat(context, () => context.store.txn(move, options), options);
      if (succeeded) count++;
    }
  }
}

/** Removes the dead messages. @returns how many */
export async function purgeDead(context: RecipeContext, name: string): Promise<number> {
  const result = await repeat(context, () => context.store.txn(txnOf([], [deleteOp(keysUnder(queueKey(name, "x/")))])));
  const [first] = result.responses;
  return first?.op === "delete" ? first.deleted : 0;
}

/** @throws QuorateError badField */
export async function setQueue(context: RecipeContext, name: string, settings: Partial<QueueSettings>): Promise<QueueSettings> {
  const whole = { ...SETTINGS, ...settings };
  const { maxLength, maxDeliveries } = whole;
  if (maxLength !== null && !(Number.isSafeInteger(maxLength) && maxLength >= 1))
    throw errBadField("maxLength", "maxLength: must be above 0");
  if (!(Number.isSafeInteger(maxDeliveries) && maxDeliveries >= 1)) throw errBadField("maxDeliveries", "maxDeliveries: must be above 0");
  const value = utf8Encode(JSON.stringify(whole));
  await repeat(context, () => context.store.txn(txnOf([], [putOp(queueKey(name, "cfg"), value)])));
  return whole;
}

async function settingsOf(context: RecipeContext, name: string, { signal }: CallOptions): Promise<Settings> {
  const known = lastSeen.get(context.host)?.get(name);
  if (known !== undefined) return known;
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(queueKey(name, "cfg"))), { signal }), { signal });
  const found = settingsIn(kvs[0]);
  let all = lastSeen.get(context.host);
  if (all === undefined) lastSeen.set(context.host, (all = new Map()));
  all.set(name, found);
  if (all.size > SEEN_MAX) all.delete(all.keys().next().value!);
  return found;
}

function settingsIn(kv: KeyValue | undefined): Settings {
  if (kv === undefined) return { settings: SETTINGS, modRevision: 0 };
  return { settings: { ...SETTINGS, ...(JSON.parse(utf8Decode(kv.value)) as Partial<QueueSettings>) }, modRevision: kv.modRevision };
}

/** Whoever changes what a gate waits for looks whether it opens now: so no single crash leaves it shut. */
async function openGate(context: RecipeContext, name: string, options: CallOptions): Promise<void> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(queueKey(name, "condition"))), options), options);
  if (kvs[0] !== undefined) await isOpenNow(context, name, kvs[0], options);
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
    for await (const { events } of context.store.watch(watching)) {
      if (events.some(({ type, kv }) => isNews(type, kv.key.slice(queueKey(name, "").length), nextAtMs))) return;
    }
  };
  const due = async (): Promise<void> => {
    if (nextAtMs === null) return new Promise(() => {});
    await context.host.sleep(Math.max(1, nextAtMs - context.host.clockMs()), over.signal).catch(() => {});
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

function groupKey(name: string, group: string): Bytes {
  return queueKey(name, `g/${segmentOf(group, "group")}`);
}

/** `<key>@<revision>`, the key percent-encoded: it goes into headers and URLs as it is. */
function receiptOf(key: Bytes, revision: number): string {
  return `${key.replace(/[^A-Za-z0-9/._~-]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`)}@${revision}`;
}

/** @throws QuorateError badField */
function receiptIn(name: string, receipt: string): { readonly key: Bytes; readonly revision: number } {
  const at = receipt.lastIndexOf("@");
  const key = receipt
    .slice(0, Math.max(0, at))
    .replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) as Bytes;
  const revision = Number(receipt.slice(at + 1));
  const isFlight = key.startsWith(queueKey(name, "f/")) && itemIn(key) !== undefined;
  if (!isFlight || !Number.isSafeInteger(revision) || revision < 1) throw errBadField("receipt", "receipt: is none of this queue");
  return { key, revision };
}

function checkPriority(priority = PRIORITY_DEFAULT): number {
  if (!Number.isInteger(priority) || priority < 0 || priority > 9) throw errBadField("priority", "priority: must be 0 to 9");
  return priority;
}

function checkSpan(ms: number, max: number, field: string): number {
  if (!(ms >= 0 && ms <= max)) throw errBadField(field, `${field}: must be 0 to ${max} ms`);
  return ms;
}
