/**
 * Semaphores: at most so many permits at once, in the order of arrival. Whoever comes is granted when the permits of all places up to and
 * including its own fit into the limit; places before it only disappear, so that a grant is final. A large request at the head is not
 * overtaken by small ones behind it.
 *
 * Keys: `/quorate/sem/<name>/limit`, `/quorate/sem/<name>/h/<number>`. A guard shows that one's own permits are still held; the numbers of
 * holders at the same time do not order each other, so that a resource outside cannot go by the highest it has seen.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errBadField, errConflict, errHeld } from "../errors.ts";
import type { Compare, KeyRange, KeyValue, LeaseId } from "../store/command.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { Hold, type Place } from "./hold.ts";
import { prefixOf, revisionAt } from "./names.ts";
import {
  type Numbered,
  type NumberedLine,
  findNumbered,
  joinNumbered,
  leaveNumbered,
  placeValue,
  positionOf,
  saidIn,
} from "./numbered-line.ts";
import { isCompacted, repeat } from "./repeat.ts";
import { createdAt, foundAt, isAt, keysUnder, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";
import { openScope } from "./scope.ts";
import type { Session } from "./session.ts";
import {
  type Entered,
  type TurnOptions,
  type WaitOptions,
  giveUpSession,
  placeGone,
  queueTurn,
  resumeTurn,
  takeTurn,
  withSession,
} from "./turns.ts";

const KIND = "sem";
const LIMIT_MAX = 1_000_000;

export interface SemaphoreOptions extends TurnOptions {
  /** How many at once; default 1. */
  readonly permits?: number | undefined;
  /** Of the semaphore: the first one to say it sets it, another number is a conflict. Not needed once it is set. */
  readonly limit?: number | undefined;
  /** Who it is, for people who look. */
  readonly owner?: string | undefined;
}

export interface SemaphoreEntry {
  readonly permits: number;
  readonly lease: LeaseId;
  readonly key: string;
  readonly fence: bigint;
  readonly owner: string | null;
}

export interface SemaphoreState {
  /** null: nobody has set it. */
  readonly limit: number | null;
  /** What one who comes now could have at once. */
  readonly available: number;
  readonly holders: readonly SemaphoreEntry[];
  readonly line: readonly SemaphoreEntry[];
  readonly revision: number;
}

/** A place in the line, kept for as long as its session is renewed. */
export interface SemaphoreTicket {
  readonly lease: LeaseId;
  readonly key: string;
  /** How many are before it, those who hold among them. */
  readonly position: number;
  readonly permits: number;
}

/**
 * Waits for permits and takes them. Again with the same `id`, or the same session: the same hold.
 * @throws QuorateError held when the time to wait is over; conflict when the limit is another one or less than the permits asked for, or
 *   nobody has set it; sessionLost, badField
 */
export async function acquirePermits(context: RecipeContext, name: string, options: SemaphoreOptions = {}): Promise<Hold> {
  const wanted = wantedOf(name, options);
  const place = await takeTurn(context, options, (session, ownSession) => enter(context, wanted, session, ownSession));
  if (place === null) throw errHeld(`the semaphore ${JSON.stringify(name)}`);
  return holdOf(context, wanted, place);
}

/** The permits at once, if they are there and nobody waits; null otherwise. */
export async function tryPermits(context: RecipeContext, name: string, options: SemaphoreOptions = {}): Promise<Hold | null> {
  const wanted = wantedOf(name, options);
  return withSession(context, options, async (session, ownSession) => {
    for (;;) {
      const seen = await look(context, wanted, session.signal);
      const mine = seen.kvs.find(({ lease }) => lease === session.id);
      const free = seen.limit === null ? (wanted.limit ?? 0) : seen.limit - sum(seen.kvs);
      if (mine === undefined && free < wanted.permits && seen.limit !== null) {
        checkLimit(wanted, seen.limit);
        await giveUpSession(session, options);
        return null;
      }
      // Nobody may have come since.
      const unchanged: Compare = { ...keysUnder(wanted.line), target: "create", operator: "less", value: seen.revision + 1 };
      const joined = await join(context, wanted, session, ownSession, [unchanged]);
      if (joined === null) continue;
      if (fits(joined.limit, joined.numbered.place, joined.numbered.kvs)) return holdOf(context, wanted, joined.numbered.place);
      await giveUpSession(session, options);
      return null;
    }
  });
}

/** As `acquirePermits`, but when the time to wait is over, the place is kept for as long as the session is renewed. */
export async function queueForPermits(
  context: RecipeContext,
  name: string,
  options: SemaphoreOptions = {},
): Promise<Hold | SemaphoreTicket> {
  const wanted = wantedOf(name, options);
  const { place, granted } = await queueTurn(context, options, (session, ownSession) => enter(context, wanted, session, ownSession));
  return holdOrTicket(context, wanted, place, granted, wanted.permits);
}

/** Goes on waiting with a ticket, or holding with the lease of a hold; renews it. @throws QuorateError sessionLost when the place is gone */
export async function resumePermits(
  context: RecipeContext,
  name: string,
  lease: LeaseId,
  options: WaitOptions = {},
): Promise<Hold | SemaphoreTicket> {
  const line = lineOf(name);
  let permits = 1;
  const { place, granted } = await resumeTurn(context, lease, options, async (session) => {
    const { place: found, kvs } = await findNumbered(context, line, session, options.signal);
    permits = permitsIn(kvs.find(({ key }) => key === found.key)!);
    const { limit } = await look(context, line, options.signal);
    return { place: found, granted: fits(limit ?? 0, found, kvs), untilGranted: (signal) => untilFits(context, line, found, signal) };
  });
  return holdOrTicket(context, line, place, granted, permits);
}

/** Gives permits or a place in the line up, by the lease alone, and ends the lease. What is gone already is fine. */
export function releasePermits(context: RecipeContext, name: string, lease: LeaseId): Promise<void> {
  return leaveNumbered(context, lineOf(name), lease);
}

/** Changes the limit. A higher one wakes who waits; under a lower one, holders finish. @throws QuorateError badField */
export async function setSemaphoreLimit(context: RecipeContext, name: string, limit: number): Promise<void> {
  const line = lineOf(name);
  const value = numberText(limit, "limit");
  await repeat(context, () => context.store.txn(txnOf([], [putOp(limitKey(line), value)])));
}

/** Who holds permits, and who waits for them. */
export async function semaphoreState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<SemaphoreState> {
  const line = lineOf(name);
  const { kvs, limit, revision } = await look(context, line, options.signal);
  let taken = 0;
  const holding = kvs.filter((kv) => (taken += permitsIn(kv)) <= (limit ?? 0)).length;
  const entries = kvs.map((kv) => entryIn(line, kv));
  const available = Math.max(0, (limit ?? 0) - sum(kvs));
  return { limit, available, holders: entries.slice(0, holding), line: entries.slice(holding), revision };
}

interface Wanted extends NumberedLine {
  readonly name: string;
  readonly permits: number;
  readonly limit: number | undefined;
  readonly owner: string | undefined;
}

interface JoinedSemaphore {
  readonly numbered: Numbered;
  readonly limit: number;
}

async function enter(context: RecipeContext, wanted: Wanted, session: Session, ownSession: boolean): Promise<Entered> {
  for (;;) {
    const joined = await join(context, wanted, session, ownSession, []);
    if (joined === null) continue;
    const { place, kvs } = joined.numbered;
    const granted = fits(joined.limit, place, kvs);
    return { place, granted, untilGranted: (signal) => untilFits(context, wanted, place, signal) };
  }
}

/** @returns null when something has changed meanwhile: to be tried again @throws QuorateError conflict */
async function join(
  context: RecipeContext,
  wanted: Wanted,
  session: Session,
  ownSession: boolean,
  compare: readonly Compare[],
): Promise<JoinedSemaphore | null> {
  const { limit } = await look(context, wanted, session.signal);
  if (limit === null) {
    await setFirstLimit(context, wanted, session.signal);
    return null;
  }
  checkLimit(wanted, limit);
  const joined = await joinNumbered(context, {
    ...wanted,
    session,
    ownSession,
    suffix: ascii(""),
    value: placeValue(context, { permits: wanted.permits, owner: wanted.owner }),
    want: ascii(wanted.permits.toString()),
    compare: [isAt("value", oneKey(limitKey(wanted)), ascii(limit.toString())), ...compare],
  });
  return "place" in joined ? { numbered: joined, limit } : null;
}

async function setFirstLimit(context: RecipeContext, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const { limit, name } = wanted;
  if (limit === undefined) throw errConflict(`the semaphore ${JSON.stringify(name)} has no limit yet: say one`);
  if (wanted.permits > limit) throw errConflict(`${wanted.permits} permits will never fit into a limit of ${limit}`, { limit });
  const key = limitKey(wanted);
  await repeat(context, () => context.store.txn(txnOf([createdAt(key, 0)], [putOp(key, ascii(limit.toString()))])), { signal });
}

function checkLimit({ name, permits, limit: said }: Wanted, limit: number): void {
  if (said !== undefined && said !== limit) throw errConflict(`the semaphore ${JSON.stringify(name)} has a limit of ${limit}`, { limit });
  if (permits > limit) throw errConflict(`${permits} permits will never fit into a limit of ${limit}`, { limit });
}

/** Waits for enough permits to come back: counts the events, and reads only when they fit. */
async function untilFits(context: RecipeContext, line: NumberedLine, place: Place, signal: AbortSignal): Promise<void> {
  for (;;) {
    const seen = await look(context, line, signal);
    const own = seen.kvs.find(({ key, createRevision }) => key === place.key && createRevision === place.created);
    if (own === undefined) throw placeGone(place.session, place.ownSession);
    if (fits(seen.limit ?? 0, place, seen.kvs)) return;
    await untilChanged(context, line, place, seen, signal);
  }
}

/** Until the permits of those before the place, as far as they are seen to go, leave room for it; the limit changes; or the place goes. */
async function untilChanged(context: RecipeContext, line: NumberedLine, { key }: Place, seen: Seen, signal: AbortSignal): Promise<void> {
  const scope = openScope(context.host, [signal]);
  const ahead = new Map(seen.kvs.filter((kv) => kv.key <= key).map((kv) => [kv.key, permitsIn(kv)]));
  const room = (): boolean => !ahead.has(key) || [...ahead.values()].reduce((a, b) => a + b, 0) <= (seen.limit ?? 0);
  const startRevision = seen.revision + 1;
  const places: KeyRange = { key: line.line, end: (key + "\0") as Bytes };
  const untilRoom = async (): Promise<void> => {
    for await (const { events } of context.store.watch({ ...places, startRevision, noPut: true, signal: scope.signal })) {
      for (const { kv } of events) ahead.delete(kv.key);
      if (room()) return;
    }
  };
  const untilLimit = async (): Promise<void> => {
    for await (const _ of context.store.watch({ ...oneKey(limitKey(line)), startRevision, signal: scope.signal })) return;
  };
  try {
    await Promise.race([untilRoom(), untilLimit()]);
  } catch (error) {
    if (!isCompacted(error)) throw error;
  } finally {
    scope.close();
  }
  signal.throwIfAborted();
}

interface Seen {
  readonly kvs: readonly KeyValue[];
  readonly limit: number | null;
  readonly revision: number;
}

async function look(context: RecipeContext, line: NumberedLine, signal: AbortSignal | undefined): Promise<Seen> {
  const request = txnOf([], [rangeOp(keysUnder(line.line)), rangeOp(oneKey(limitKey(line)))]);
  const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
  const [limit] = foundAt(result, 1);
  return { kvs: foundAt(result, 0), limit: limit === undefined ? null : Number(limit.value), revision: result.revision };
}

function fits(limit: number, { key }: Place, kvs: readonly KeyValue[]): boolean {
  return sum(kvs.filter((kv) => kv.key <= key)) <= limit;
}

function sum(kvs: readonly KeyValue[]): number {
  return kvs.reduce((total, kv) => total + permitsIn(kv), 0);
}

/** A place that does not say counts as one. */
function permitsIn(kv: KeyValue): number {
  const { permits } = saidIn(kv);
  return typeof permits === "number" && permits >= 1 ? permits : 1;
}

function holdOf(context: RecipeContext, { line }: NumberedLine, place: Place): Hold {
  return new Hold(context, place, revisionAt(place.key, line.length));
}

async function holdOrTicket(
  context: RecipeContext,
  line: NumberedLine,
  place: Place,
  granted: boolean,
  permits: number,
): Promise<Hold | SemaphoreTicket> {
  if (granted) return holdOf(context, line, place);
  const position = await positionOf(context, line, place);
  if (place.ownSession) place.session.detach();
  return { lease: place.session.id, key: place.key, position, permits };
}

function entryIn({ line }: NumberedLine, kv: KeyValue): SemaphoreEntry {
  const { owner } = saidIn(kv);
  const fence = BigInt(revisionAt(kv.key, line.length));
  return { permits: permitsIn(kv), lease: kv.lease, key: kv.key, fence, owner: typeof owner === "string" ? owner : null };
}

function wantedOf(name: string, { permits = 1, limit, owner }: SemaphoreOptions): Wanted {
  numberText(permits, "permits");
  if (limit !== undefined) numberText(limit, "limit");
  return { ...lineOf(name), name, permits, limit, owner };
}

function numberText(value: number, field: string): Bytes {
  if (Number.isInteger(value) && value >= 1 && value <= LIMIT_MAX) return ascii(value.toString());
  throw errBadField(field, `${field} must be a whole number from 1 to ${LIMIT_MAX}; it is ${value}`);
}

function limitKey({ prefix }: NumberedLine): Bytes {
  return ascii(`${prefix}limit`);
}

function lineOf(name: string): NumberedLine {
  const prefix = prefixOf(KIND, name);
  return { prefix, line: ascii(`${prefix}h/`) };
}
