/**
 * Topics: what is published reaches every subscriber in the order of commits. An event's number is the revision at which it was published,
 * and a cursor is such a number: everything up to it has been seen. Delivery is at least once; exactly once for who keeps the cursor in the
 * same transaction as the effect.
 *
 *     /quorate/topics/<name>/e/<rev20>        events
 *     /quorate/topics/<name>/c/<consumer>     cursors: in decimal, and after a blank a word that says which move it was
 *     /quorate/topics/<name>/retention        how long and how many are kept
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errConflict, isQuorateError } from "../errors.ts";
import type { KeyValue, Operation } from "../store/command.ts";
import type { AsOf, CallOptions, Host, ReadOptions, RecipeContext } from "./client-port.ts";
import { once } from "./dedup.ts";
import { prefixOf, rev20, revisionAt, segmentOf } from "./names.ts";
import { putOwnAt } from "./put-at.ts";
import { repeat } from "./repeat.ts";
import { appendOp, deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { type SharedLease, withSharedLease } from "./shared-lease.ts";

const KIND = "topics";
const MINUTE_MS = 60_000;
const AGE_DEFAULT_MS = 24 * 60 * MINUTE_MS;
const AGE_MS_MAX = 366 * 24 * 60 * MINUTE_MS;
/** Of leases that events of topics live on: one for each power of two of minutes. */
const FAMILY = 0x100;
/** Events that one publication removes at most, so that it stays small. */
const TRIM_MAX = 100;
const EVENTS_DEFAULT = 1_000;

export interface Retention {
  /** Events live so long at least, and a little more than twice as long at most. */
  readonly maxAgeMs: number;
  /** More than these are removed, oldest first, as new ones are published; null: no bound. */
  readonly maxCount: number | null;
}

export interface TopicEvent {
  /** Its number. */
  readonly revision: number;
  readonly value: Bytes;
}

/** What a subscriber is told. */
export type TopicStep =
  | ({ readonly kind: "event" } & TopicEvent)
  /** Events after the cursor may have been removed before they were told; those that are left follow. */
  | { readonly kind: "reset"; readonly revision: number };

export interface PublishOptions extends CallOptions {
  /** Publishing again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
}

/** What was seen of a topic when somebody here published last. A guess: what is removed by it is older than what is kept, whatever it is. */
interface Seen {
  readonly retention: Retention;
  /** Of the retention's key: it is part of the transaction. */
  readonly modRevision: number;
  /** Oldest first; only with a bound to their count. */
  readonly oldest: readonly Bytes[];
  readonly count: number;
}

const lastSeen = new WeakMap<Host, Map<string, Seen>>();
const SEEN_MAX = 1_000;

/** @returns its number @throws QuorateError badField; what a transaction may throw */
export async function publish(context: RecipeContext, name: string, value: Bytes, options: PublishOptions = {}): Promise<number> {
  const { idempotencyKey, signal } = options;
  return once(context, { kind: KIND, name, key: idempotencyKey, request: [value] }, async (parts) => {
    for (;;) {
      const seen = remembered(context.host, name) ?? (await look(context, name, options));
      const { modRevision, retention } = seen;
      const compare = [modifiedAt(keyOf(name, "retention"), modRevision), ...parts.compare];
      const after = [rangeOp(keysUnder(eventsOf(name)), { keysOnly: true, limit: TRIM_MAX, countOnly: retention.maxCount === null })];
      const write = async (lease: string) => {
        const writes = [...trimming(seen), appendOp(eventsOf(name), ascii(""), value, lease), ...parts.note(), ...after];
        const act = () => context.store.txn(txnOf(compare, writes, parts.look), { signal });
        // Without a note, an outcome that is not known must not be tried again.
        return idempotencyKey === undefined ? act() : repeat(context, act, { signal });
      };
      const result = await withSharedLease(context, leasesFor(retention), write);
      if (result.succeeded) {
        const last = result.responses.at(-1)!;
        const [oldest, count] = last.op === "range" ? [last.kvs.map(({ key }) => key), last.count] : [[], 0];
        remember(context.host, name, { retention, modRevision, oldest, count });
        return result.revision;
      }
      const noted = parts.noted(foundAt(result, 0));
      if (noted !== undefined) return noted.revision;
      lastSeen.get(context.host)?.delete(name); // the retention has been changed
    }
  });
}

function trimming({ retention, oldest, count }: Seen): Operation[] {
  const surplus = retention.maxCount === null ? 0 : Math.min(count + 1 - retention.maxCount, oldest.length);
  if (surplus <= 0) return [];
  return [deleteOp({ key: oldest[0]!, end: `${oldest[surplus - 1]!}\0` as Bytes })];
}

/** Of a power of two of minutes, so that topics share leases; events live as long as is asked for at least. */
function leasesFor({ maxAgeMs }: Retention): SharedLease {
  const exponent = Math.max(0, Math.ceil(Math.log2(maxAgeMs / MINUTE_MS)));
  const keepMs = MINUTE_MS * 2 ** exponent;
  return { family: FAMILY + exponent, sliceMs: keepMs / 8, keepMs };
}

async function look(context: RecipeContext, name: string, options: CallOptions): Promise<Seen> {
  const { retention, modRevision } = await readRetention(context, name, options);
  return { retention, modRevision, oldest: [], count: 0 };
}

/** How long and how many events of the topic are kept: a day and without a bound, unless somebody has said otherwise. */
export async function readRetention(
  context: RecipeContext,
  name: string,
  options: ReadOptions = {},
): Promise<AsOf & { readonly retention: Retention; readonly modRevision: number }> {
  const request = readOf(oneKey(keyOf(name, "retention")));
  const { kvs, revision } = await repeat(context, () => context.store.range(request, options), options);
  const retention =
    kvs[0] === undefined ? { maxAgeMs: AGE_DEFAULT_MS, maxCount: null } : (JSON.parse(utf8Decode(kvs[0].value)) as Retention);
  return { retention, modRevision: kvs[0]?.modRevision ?? 0, revision };
}

/** For what is published from now on. @throws QuorateError badField */
export async function setRetention(context: RecipeContext, name: string, { maxAgeMs, maxCount }: Retention): Promise<AsOf> {
  if (!(maxAgeMs >= MINUTE_MS && maxAgeMs <= AGE_MS_MAX)) throw errBadField("maxAge", "maxAge: must be 1m to 366d");
  if (maxCount !== null && !(Number.isSafeInteger(maxCount) && maxCount >= 1)) {
    throw errBadField("maxCount", "maxCount: must be a whole number above 0");
  }
  const value = utf8Encode(JSON.stringify({ maxAgeMs: Math.round(maxAgeMs), maxCount }));
  return repeat(context, () => context.store.txn(txnOf([], [putOp(keyOf(name, "retention"), value)])));
}

export interface Page extends AsOf {
  readonly events: readonly TopicEvent[];
  /** There are more, after the last of these. */
  readonly more: boolean;
}

/** Events after a cursor that are still kept, in their order. */
export async function readEvents(
  context: RecipeContext,
  name: string,
  { after = 0, limit = EVENTS_DEFAULT, ...options }: ReadOptions & { readonly after?: number; readonly limit?: number } = {},
): Promise<Page> {
  const request = readOf(eventsAfter(name, after), { limit });
  const { kvs, more, revision } = await repeat(context, () => context.store.range(request, options), options);
  return { events: kvs.map((kv) => eventIn(kv, name)), more, revision };
}

/**
 * Every event after a cursor, those to come included. Without a cursor: those to come. Ends with the signal, without throwing.
 * @throws QuorateError badField
 */
export async function* subscribe(
  context: RecipeContext,
  name: string,
  options: CallOptions & { readonly after?: number } = {},
): AsyncGenerator<TopicStep, void, void> {
  try {
    yield* eventsFrom(context, name, options);
  } catch (error) {
    if (!options.signal?.aborted) throw error;
  }
}

async function* eventsFrom(
  context: RecipeContext,
  name: string,
  { after, signal }: CallOptions & { readonly after?: number },
): AsyncGenerator<TopicStep, void, void> {
  let cursor = after ?? (await readEvents(context, name, { limit: 1, signal })).revision;
  let isSure = after !== 0; // from the beginning, whatever is left is all there is
  while (signal?.aborted !== true) {
    if (isSure) {
      try {
        const watching = { ...keysUnder(eventsOf(name)), startRevision: cursor + 1, noDelete: true, signal };
        for await (const { events, revision } of context.store.watch(watching)) {
          for (const { kv } of events) yield { kind: "event", ...eventIn(kv, name) };
          cursor = revision;
        }
        return;
      } catch (error) {
        if (!isQuorateError(error) || error.reason !== "compacted") throw error;
      }
      yield { kind: "reset", revision: cursor };
    }
    for (let page: Page | undefined; page?.more !== false;) {
      page = await readEvents(context, name, { after: cursor, signal });
      for (const event of page.events) yield { kind: "event", ...event };
      cursor = page.more ? page.events.at(-1)!.revision : page.revision;
    }
    isSure = true;
  }
}

export interface Cursor {
  /** Everything up to this event has been seen; 0: nothing. */
  readonly after: number;
  /** To move it only if nobody else has. */
  readonly modRevision: number;
}

/** Where a consumer is. */
export async function readCursor(context: RecipeContext, name: string, consumer: string, options: ReadOptions = {}): Promise<Cursor> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(cursorKey(name, consumer))), options), options);
  return { after: placeIn(kvs[0]), modRevision: kvs[0]?.modRevision ?? 0 };
}

/** @param kv of a cursor; undefined: there is none */
function placeIn(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : Number.parseInt(kv.value, 10);
}

/**
 * Moves a consumer's cursor, if it has not been moved since; so two processes of one consumer cannot both advance it.
 * @param from as it was read or moved last
 * @throws QuorateError conflict when somebody else has moved it; badField
 */
export async function moveCursor(
  context: RecipeContext,
  name: string,
  consumer: string,
  after: number,
  from: Pick<Cursor, "modRevision">,
  { signal }: CallOptions = {},
): Promise<Cursor> {
  if (!Number.isSafeInteger(after) || after < 0) throw errBadField("after", "after: must be the number of an event");
  const key = cursorKey(name, consumer);
  // Who asks again finds his own move by the word, and does not take for it that of another to the same place.
  const move = [...context.host.randomBytes(8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const put = await putOwnAt(context, key, ascii(`${after} ${move}`), from.modRevision, { signal });
  if (!put.done) throw errConflict("somebody else has moved the cursor", { after: placeIn(put.now) });
  return { after, modRevision: put.revision };
}

/** The consumer begins anew. */
export async function deleteCursor(context: RecipeContext, name: string, consumer: string): Promise<void> {
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(cursorKey(name, consumer)))])));
}

function eventsOf(name: string): Bytes {
  return keyOf(name, "e/");
}

function eventsAfter(name: string, after: number): { readonly key: Bytes; readonly end: Bytes } {
  return { ...keysUnder(eventsOf(name)), key: (eventsOf(name) + rev20(after + 1)) as Bytes };
}

function cursorKey(name: string, consumer: string): Bytes {
  return (keyOf(name, "c/") + segmentOf(consumer, "consumer")) as Bytes;
}

function keyOf(name: string, rest: string): Bytes {
  return (prefixOf(KIND, name) + rest) as Bytes;
}

function eventIn({ key, value }: KeyValue, name: string): TopicEvent {
  return { revision: revisionAt(key, eventsOf(name).length), value };
}

function remembered(host: Host, name: string): Seen | undefined {
  return lastSeen.get(host)?.get(name);
}

function remember(host: Host, name: string, seen: Seen): void {
  let known = lastSeen.get(host);
  if (known === undefined) lastSeen.set(host, (known = new Map()));
  known.delete(name);
  known.set(name, seen);
  if (known.size > SEEN_MAX) known.delete(known.keys().next().value!);
}
