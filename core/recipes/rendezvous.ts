/**
 * Double barriers: so many parties meet, go on together, and leave together; round after round.
 *
 * Keys under `/quorate/rendezvous/<name>/`: `gen` = the round that gathers and the number of parties; `<round>/m/<lease>` for each party;
 * `<round>/ready` once all were there at one revision, which a later crash does not undo. Every entry touches `gen`, so that entries are in
 * one order and a round never has too many; the last one makes it ready and begins the next round in the same transaction, so that no crash
 * can fall in between.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errBadField, errConflict, errHeld } from "../errors.ts";
import type { KeyValue, LeaseId, Operation, RangeResult } from "../store/command.ts";
import type { AsOf, RecipeContext } from "./client-port.ts";
import { milliseconds } from "./durations.ts";
import { prefixOf } from "./names.ts";
import { type RepeatOptions, isCompacted, repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { openScope } from "./scope.ts";
import { type Session, checkLease } from "./session.ts";
import { type TurnOptions, type WaitOptions, giveUpSession, placeGone, putForSession, withSession } from "./turns.ts";

const KIND = "rendezvous";
/** The last one compares each of the others. */
const PARTIES_MAX = 100;

/** A place in a round, kept for as long as its session is renewed. */
export interface RendezvousTicket {
  readonly generation: number;
  readonly lease: LeaseId;
}

/** One party of a round that all have entered. */
export class Rendezvous implements RendezvousTicket {
  readonly generation: number;
  readonly session: Session;
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #ownSession: boolean;

  constructor(context: RecipeContext, name: string, generation: number, session: Session, ownSession: boolean) {
    this.generation = generation;
    this.session = session;
    this.#context = context;
    this.#name = name;
    this.#ownSession = ownSession;
  }

  get lease(): LeaseId {
    return this.session.id;
  }

  /** Fires when the session is lost: the others go on as if this party had left. */
  get signal(): AbortSignal {
    return this.session.signal;
  }

  /** Leaves, and waits until all have. Again is fine. @throws QuorateError held when the time to wait is over; the signal's reason */
  async leave(options: WaitOptions = {}): Promise<void> {
    await leaveRendezvous(this.#context, this.#name, this, options);
    if (this.#ownSession) await this.session.end();
  }
}

/**
 * Enters the round that gathers, and waits until all parties have. Again with the same `id`: the same entry.
 * @throws QuorateError held when the time to wait is over; conflict for another number of parties than the first one said; sessionLost, badField
 */
export async function enterRendezvous(
  context: RecipeContext,
  name: string,
  parties: number,
  options: TurnOptions = {},
): Promise<Rendezvous> {
  const round = checkParties(name, parties);
  const met = await withSession(context, options, async (session, ownSession) => {
    const { generation, isReady } = await join(context, round, session);
    const ready = isReady || (await untilReady(context, round, session, ownSession, generation, options));
    // When the time is over the round may have become ready meanwhile: then this party is in it.
    if (ready || !(await stepOut(context, round, generation, session.id))) {
      return new Rendezvous(context, name, generation, session, ownSession);
    }
    await giveUpSession(session, options);
    return null;
  });
  if (met === null) throw errHeld(`the rendezvous ${JSON.stringify(name)}`);
  return met;
}

/** As `enterRendezvous`, but when the time to wait is over, the place is kept; entering again with the ticket's lease goes on from it. */
export async function queueForRendezvous(
  context: RecipeContext,
  name: string,
  parties: number,
  options: TurnOptions = {},
): Promise<Rendezvous | RendezvousTicket> {
  const round = checkParties(name, parties);
  return withSession(context, options, async (session, ownSession) => {
    const { generation, isReady } = await join(context, round, session);
    if (isReady || (await untilReady(context, round, session, ownSession, generation, options))) {
      return new Rendezvous(context, name, generation, session, ownSession);
    }
    if (ownSession) session.detach();
    return { generation, lease: session.id };
  });
}

/**
 * Leaves a round by the ticket alone; from one that all have entered, waits until all have left.
 * @throws QuorateError held when the time to wait is over; the signal's reason
 */
export async function leaveRendezvous(
  context: RecipeContext,
  name: string,
  { generation, lease }: RendezvousTicket,
  { wait, signal }: WaitOptions = {},
): Promise<void> {
  const round = { name, prefix: prefixOf(KIND, name) };
  if (await stepOut(context, round, generation, checkLease(lease))) return;
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(memberKey(round, generation, lease)))])), { signal });
  let inside = await stillInside(context, round, generation, { signal });
  const scope = openScope(context.host, [signal], wait === undefined ? undefined : milliseconds(wait, "wait"));
  try {
    while (inside.kvs.length > 0) {
      await untilGone(context, round, generation, inside, scope.signal);
      inside = await stillInside(context, round, generation, { signal: scope.signal, until: Infinity });
    }
  } catch (error) {
    if (scope.timedOut()) throw errHeld(`round ${generation} of the rendezvous ${JSON.stringify(name)}`);
    throw error;
  } finally {
    scope.close();
  }
  // Whoever sees that all have left clears up.
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(readyKey(round, generation)))])));
}

/** The leases of those who are in a round. */
export async function rendezvousMembers(context: RecipeContext, name: string, generation: number): Promise<readonly LeaseId[]> {
  const round = { name, prefix: prefixOf(KIND, name) };
  const { kvs } = await repeat(context, () => context.store.range(readOf(keysUnder(memberKey(round, generation, "")))));
  return kvs.map(({ lease }) => lease);
}

interface Round {
  readonly name: string;
  readonly prefix: Bytes;
}

interface Gathering extends Round {
  readonly parties: number;
}

interface Joined {
  readonly generation: number;
  readonly isReady: boolean;
}

/** Puts the session into the round that gathers, unless it is in one. */
async function join(context: RecipeContext, round: Gathering, session: Session): Promise<Joined> {
  const { prefix, parties, name } = round;
  const gen = genKey(round);
  for (;;) {
    const { signal } = session;
    const { kvs } = await repeat(context, () => context.store.range(readOf(keysUnder(prefix)), { signal }), { signal });
    const kv = kvs.find(({ key }) => key === gen);
    const { generation, parties: said } = kv === undefined ? { generation: 1, parties } : gatheringIn(kv);
    const own = kvs.find(({ key }) => key.endsWith(`/m/${session.id}`));
    if (own !== undefined) {
      const entered = Number.parseInt(own.key.slice(prefix.length), 10);
      return { generation: entered, isReady: kvs.some(({ key }) => key === readyKey(round, entered)) };
    }
    if (said !== parties) throw errConflict(`the rendezvous ${JSON.stringify(name)} is for ${said} parties`, { parties: said });
    const others = kvs.filter(({ key }) => key.startsWith(memberKey(round, generation, "")));
    const isLast = others.length === parties - 1;
    const compare = [modifiedAt(gen, kv?.modRevision ?? 0)];
    const puts: Operation[] = [putOp(memberKey(round, generation, session.id), ascii(""), session.id)];
    if (isLast) {
      // Each is still there as it was seen: all parties are there at this one revision.
      compare.push(...others.map(({ key, createRevision }) => createdAt(key, createRevision)));
      puts.push(putOp(readyKey(round, generation), ascii("")), ...forgotten(round, kvs, generation));
    }
    puts.push(putOp(gen, ascii(JSON.stringify({ generation: generation + (isLast ? 1 : 0), parties }))));
    const { succeeded } = await putForSession(context, session, txnOf(compare, puts));
    if (succeeded) return { generation, isReady: isLast };
    session.check();
  }

  /** Rounds that nobody is in any more, left behind by parties that died. */
  function forgotten(of: Round, kvs: readonly KeyValue[], generation: number): Operation[] {
    const isOf = (at: number) => kvs.some(({ key }) => key.startsWith(memberKey(of, at, "")));
    const left = kvs.map(({ key }) => Number(/^(\d+)\/ready$/.exec(key.slice(of.prefix.length))?.[1] ?? generation));
    return left.filter((at) => at < generation && !isOf(at)).map((at) => deleteOp(oneKey(readyKey(of, at))));
  }
}

/** @returns false when the time to wait is over @throws QuorateError sessionLost when the place is gone; the signal's reason */
async function untilReady(
  context: RecipeContext,
  round: Round,
  session: Session,
  ownSession: boolean,
  generation: number,
  { wait, signal: given }: WaitOptions,
): Promise<boolean> {
  const scope = openScope(context.host, [session.signal, given], wait === undefined ? undefined : milliseconds(wait, "wait"));
  const { signal } = scope;
  const own = memberKey(round, generation, session.id);
  const ready = readyKey(round, generation);
  const request = txnOf([], [rangeOp(oneKey(ready)), rangeOp(oneKey(own))]);
  try {
    for (;;) {
      const seen = await repeat(context, () => context.store.txn(request, { signal }), { signal, until: Infinity });
      if (foundAt(seen, 1).length === 0) throw placeGone(session, ownSession);
      if (foundAt(seen, 0).length > 0) return true;
      await untilPutOrGone(context, ready, own, seen, signal);
    }
  } catch (error) {
    if (scope.timedOut()) return false;
    throw error;
  } finally {
    scope.close();
  }
}

async function untilPutOrGone(context: RecipeContext, put: Bytes, gone: Bytes, { revision }: AsOf, signal: AbortSignal): Promise<void> {
  const scope = openScope(context.host, [signal]);
  const first = async (key: Bytes, only: { readonly noPut?: boolean; readonly noDelete?: boolean }): Promise<void> => {
    for await (const _ of context.store.watch({ ...oneKey(key), ...only, startRevision: revision + 1, signal: scope.signal })) return;
  };
  try {
    await Promise.race([first(put, { noDelete: true }), first(gone, { noPut: true })]);
  } catch (error) {
    if (!isCompacted(error)) throw error;
  } finally {
    scope.close();
  }
  signal.throwIfAborted();
}

/** Leaves a round that is not ready. @returns false when it is, and nothing was done */
async function stepOut(context: RecipeContext, round: Round, generation: number, lease: LeaseId): Promise<boolean> {
  const own = memberKey(round, generation, lease);
  const gen = genKey(round);
  const seen = rangeOp(oneKey(gen));
  const request = txnOf([createdAt(readyKey(round, generation), 0)], [deleteOp(oneKey(own)), seen], [seen]);
  const result = await repeat(context, () => context.store.txn(request));
  const [kv] = foundAt(result, result.succeeded ? 1 : 0);
  // A round before the one that gathers was ready once: its mark goes when all have left.
  return result.succeeded && (kv === undefined || gatheringIn(kv).generation <= generation);
}

function stillInside(context: RecipeContext, round: Round, generation: number, options: RepeatOptions): Promise<RangeResult & AsOf> {
  const members = readOf(keysUnder(memberKey(round, generation, "")), { keysOnly: true });
  return repeat(context, () => context.store.range(members, { signal: options.signal }), options);
}

/** Counts those who leave, without reading. */
async function untilGone(
  context: RecipeContext,
  round: Round,
  generation: number,
  { kvs, revision }: RangeResult & AsOf,
  signal: AbortSignal,
): Promise<void> {
  const inside = new Set(kvs.map(({ key }) => key));
  const members = keysUnder(memberKey(round, generation, ""));
  try {
    for await (const { events } of context.store.watch({ ...members, startRevision: revision + 1, noPut: true, signal })) {
      for (const { kv } of events) inside.delete(kv.key);
      if (inside.size === 0) break;
    }
  } catch (error) {
    if (!isCompacted(error)) throw error;
  }
  signal.throwIfAborted();
}

function checkParties(name: string, parties: number): Gathering {
  if (!Number.isInteger(parties) || parties < 1 || parties > PARTIES_MAX) {
    throw errBadField("parties", `parties must be a whole number from 1 to ${PARTIES_MAX}; it is ${parties}`);
  }
  return { name, prefix: prefixOf(KIND, name), parties };
}

function gatheringIn({ value }: KeyValue): { readonly generation: number; readonly parties: number } {
  return JSON.parse(value) as { generation: number; parties: number };
}

function genKey({ prefix }: Round): Bytes {
  return ascii(`${prefix}gen`);
}

function memberKey({ prefix }: Round, generation: number, lease: LeaseId): Bytes {
  return ascii(`${prefix}${generation}/m/${lease}`);
}

function readyKey({ prefix }: Round, generation: number): Bytes {
  return ascii(`${prefix}${generation}/ready`);
}
