/**
 * Counters: one number that many add to. An add is a compare-and-swap of the value that was seen last; whoever loses the race has the fresh
 * value with the answer. So the result of each add is a total that the counter really had, in the order of commits.
 *
 *     /quorate/counters/<name>            the number, in decimal
 *     /quorate/counters/<name>/<shard>    with shards: their sum is the number
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errBadField, errConflict, isQuorateError } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { AsOf, Host, ReadOptions, RecipeContext } from "./client-port.ts";
import { type Once, once } from "./dedup.ts";
import { prefixOf } from "./names.ts";
import { putAt } from "./put-at.ts";
import { repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

const KIND = "counters";
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const SHARDS_MAX = 256;

export interface AddOptions {
  /** Crossing one of them is refused, and the counter stays as it is. */
  readonly min?: bigint | undefined;
  readonly max?: bigint | undefined;
  /** Adding again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
  /** Spreads a counter that is hot over so many keys: then the result is the total of one of them only. At most 256. */
  readonly shards?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Count extends AsOf {
  readonly value: bigint;
}

/** What a counter had when it was seen last. */
interface Seen {
  readonly value: bigint;
  /** 0: it was not there. */
  readonly modRevision: number;
}

/** So that an add whose counter nobody else has touched takes one round trip. A guess: the compare is what counts. */
const lastSeen = new WeakMap<Host, Map<Bytes, Seen>>();
const SEEN_MAX = 1_000;

/**
 * Adds, and gives the total. Without an `idempotencyKey` an outcome that is not known is thrown as such: adding again could add twice.
 * @throws QuorateError conflict when a bound would be crossed, or the key holds no number; badField
 */
export async function addToCounter(context: RecipeContext, name: string, n: bigint, options: AddOptions = {}): Promise<Count> {
  const { idempotencyKey, shards = 1, signal } = options;
  if (!Number.isInteger(shards) || shards < 1 || shards > SHARDS_MAX) throw errBadField("shards", `shards: must be 1 to ${SHARDS_MAX}`);
  if (shards > 1 && (options.min ?? options.max) !== undefined) throw errBadField("shards", "shards: a counter with bounds has none");
  const key = shards === 1 ? keyOf(name) : ((prefixOf(KIND, name) + (context.host.randomBytes(1)[0]! % shards).toString()) as Bytes);
  const request = [n, options.min, options.max, shards].map(String);
  return once(context, { kind: KIND, name, key: idempotencyKey, request }, async (parts) => {
    // Each try that is made again finds what one before it did, by the note; without one it must not be made again.
    const act = (): Promise<Count> => add(context, key, n, options, parts);
    return idempotencyKey === undefined ? act() : repeat(context, act, { signal });
  });
}

async function add(context: RecipeContext, key: Bytes, n: bigint, { min, max, signal }: AddOptions, parts: Once): Promise<Count> {
  let seen = recall(context.host, key);
  for (;;) {
    const value = (seen?.value ?? 0n) + n;
    const refusal = seen === undefined ? null : refusalOf(value, min, max);
    const isTry = seen !== undefined && refusal === null;
    const compare = isTry ? [modifiedAt(key, seen!.modRevision), ...parts.compare] : [];
    const total = ascii(value.toString());
    const write = isTry ? [putOp(key, total), ...parts.note(total)] : [];
    const look = [rangeOp(oneKey(key)), ...parts.look];
    const request = isTry ? txnOf(compare, write, look) : txnOf([], look);
    const result = await asked(context, () => context.store.txn(request, { signal }), signal);
    if (isTry && result.succeeded) {
      remember(context.host, key, { value, modRevision: result.revision });
      return { value, revision: result.revision };
    }
    const noted = parts.noted(foundAt(result, 1));
    if (noted !== undefined) return { value: BigInt(noted.result), revision: noted.revision };
    const fresh = seenIn(foundAt(result, 0)[0]);
    if (refusal !== null && fresh.modRevision === seen!.modRevision) throw refusal;
    seen = fresh;
  }
}

/** Nothing was done when there is no leader: then it may be asked again. */
function asked<T>(context: RecipeContext, act: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return repeat(context, act, { signal, isPassing: (error) => isQuorateError(error) && NOT_DONE.has(error.reason) });
}

const NOT_DONE: ReadonlySet<string> = new Set(["noLeader", "tooManyRequests"]);

function refusalOf(value: bigint, min = INT64_MIN, max = INT64_MAX): Error | null {
  if (value > max) return errConflict(`the counter would be ${value}, above ${max}`, { bound: "max" });
  if (value < min) return errConflict(`the counter would be ${value}, below ${min}`, { bound: "min" });
  return null;
}

/** Its number; of a counter that is not there 0. @throws QuorateError conflict */
export async function readCounter(
  context: RecipeContext,
  name: string,
  options: ReadOptions = {},
): Promise<Count & { readonly modRevision: number }> {
  const request = txnOf([], [rangeOp(oneKey(keyOf(name))), rangeOp(keysUnder(prefixOf(KIND, name)))]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const own = seenIn(foundAt(result, 0)[0]);
  const shards = foundAt(result, 1).map(seenIn);
  const value = shards.reduce((sum, shard) => sum + shard.value, own.value);
  return { value, modRevision: Math.max(own.modRevision, ...shards.map(({ modRevision }) => modRevision)), revision: result.revision };
}

/**
 * Sets a counter, which has no shards then.
 * @param ifRevision only if it was changed last at this revision; 0: only if it is not there
 * @throws QuorateError conflict when it has been changed
 */
export async function setCounter(context: RecipeContext, name: string, value: bigint, ifRevision?: number): Promise<Count> {
  const key = keyOf(name);
  if (value < INT64_MIN || value > INT64_MAX) throw errBadField("value", "value: must be a signed 64-bit number");
  const before = [deleteOp(keysUnder(prefixOf(KIND, name)))];
  const put = await putAt(context, { kind: KIND, name }, key, ascii(value.toString()), { ifRevision, before });
  if (!put.done) throw errConflict("the counter has been changed");
  return { value, revision: put.revision };
}

/** It is 0 afterwards. */
export async function deleteCounter(context: RecipeContext, name: string): Promise<void> {
  const all = [deleteOp(oneKey(keyOf(name))), deleteOp(keysUnder(prefixOf(KIND, name)))];
  await repeat(context, () => context.store.txn(txnOf([], all)));
}

/** Numbers that nobody else gets, rising for whoever takes them; after a crash some are left out. */
export interface Block {
  readonly first: bigint;
  readonly last: bigint;
}

/** Takes `count` numbers of a sequence, the first of which is 1. @throws QuorateError as `addToCounter` */
export async function reserve(context: RecipeContext, name: string, count: number, options: AddOptions = {}): Promise<Block> {
  if (!Number.isSafeInteger(count) || count < 1) throw errBadField("count", "count: must be a whole number above 0");
  const { value } = await addToCounter(context, name, BigInt(count), options);
  return { first: value - BigInt(count) + 1n, last: value };
}

/** Numbers one by one, taken in blocks so that most cost no round trip. */
export class Sequence {
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #block: number;
  #next = 1n;
  #last = 0n;
  #reserving: Promise<void> | null = null;

  constructor(context: RecipeContext, name: string, { block = 100 }: { readonly block?: number } = {}) {
    this.#context = context;
    this.#name = name;
    this.#block = block;
  }

  /** @throws QuorateError as `addToCounter`; numbers that a failed call may have taken are left out */
  async next(): Promise<bigint> {
    while (this.#next > this.#last) {
      this.#reserving ??= this.#reserve().finally(() => (this.#reserving = null));
      await this.#reserving;
    }
    return this.#next++;
  }

  async #reserve(): Promise<void> {
    const { first, last } = await repeat(this.#context, () => reserve(this.#context, this.#name, this.#block));
    this.#next = first;
    this.#last = last;
  }
}

function keyOf(name: string): Bytes {
  return prefixOf(KIND, name).slice(0, -1) as Bytes;
}

/** @throws QuorateError conflict when the key holds something else */
function seenIn(kv: KeyValue | undefined): Seen {
  if (kv === undefined) return { value: 0n, modRevision: 0 };
  if (!/^-?\d{1,19}$/.test(kv.value)) throw errConflict("the key of the counter holds no number");
  return { value: BigInt(kv.value), modRevision: kv.modRevision };
}

function recall(host: Host, key: Bytes): Seen | undefined {
  return lastSeen.get(host)?.get(key);
}

function remember(host: Host, key: Bytes, seen: Seen): void {
  let known = lastSeen.get(host);
  if (known === undefined) lastSeen.set(host, (known = new Map()));
  known.delete(key);
  known.set(key, seen);
  if (known.size > SEEN_MAX) known.delete(known.keys().next().value!);
}
