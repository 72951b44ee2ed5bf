/**
 * What all recipes share in which one waits for a turn: a session for the one who waits, the wait for keys to go, and how a wait ends.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { type QuorateError, errSessionLost, isQuorateError } from "../errors.ts";
import type { KeyValue, LeaseId, Operation, TxnRequest, TxnResult } from "../store/command.ts";
import type { AsOf, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { type Place, removePlace } from "./hold.ts";
import { isCompacted, repeat } from "./repeat.ts";
import { foundAt, oneKey, rangeOp, txnOf } from "./requests.ts";
import { openScope } from "./scope.ts";
import { Session, type SessionOptions } from "./session.ts";

export interface WaitOptions {
  /** How long to wait for the turn. Default: as long as the signal allows. */
  readonly wait?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TurnOptions extends SessionOptions, WaitOptions {
  /**
   * An open session, which others may share; `ttl` and `id` say nothing then. Without one, a session is opened for this hold alone, and
   * ends with it: its `id` is good for one hold.
   */
  readonly session?: Session | undefined;
}

/**
 * Opens a session for `use`, or takes the given one. When `use` fails, a session of which nobody else knows the id ends behind the error;
 * one whose id the caller chose goes on for its TTL, because the caller may repeat the call and find what was made.
 */
export async function withSession<T>(
  context: RecipeContext,
  options: TurnOptions,
  use: (session: Session, ownSession: boolean) => Promise<T>,
): Promise<T> {
  if (options.session !== undefined) return use(options.session, false);
  const session = await Session.open(context, options);
  try {
    return await use(session, true);
  } catch (error) {
    if (options.id === undefined) context.host.background(endQuietly(session));
    else session.detach();
    throw error;
  }
}

/** What cannot be ended now ends with its TTL. */
async function endQuietly(session: Session): Promise<void> {
  try {
    await session.end();
  } catch {
    // Whoever asked hears of what went wrong before.
  }
}

/** A transaction that puts keys of the session, made until it is answered. @throws QuorateError sessionLost when its lease is gone */
export async function putForSession(context: RecipeContext, session: Session, request: TxnRequest): Promise<TxnResult & AsOf> {
  const { signal } = session;
  try {
    return await repeat(context, () => context.store.txn(request, { signal }), { signal });
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
    session.lose("its lease is gone");
    throw errSessionLost("its lease is gone", { lease: session.id });
  }
}

/**
 * Calls `wait` with a signal that fires when the session is lost, the caller gives up, or the time to wait is over.
 * @returns false when the time was over first; the place is kept
 */
async function waitTurn(
  { host }: RecipeContext,
  session: Session,
  { wait, signal }: WaitOptions,
  until: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const scope = openScope(host, [session.signal, signal], wait === undefined ? undefined : milliseconds(wait, "wait"));
  try {
    await until(scope.signal);
    session.check();
    return true;
  } catch (error) {
    if (scope.timedOut()) return false;
    throw error;
  } finally {
    scope.close();
  }
}

/** A place in a line, as one finds it on entering. */
export interface Entered {
  readonly place: Place;
  /** As it was seen on entering: who does not wait hears of this. */
  readonly granted: boolean;
  /** Waits until it is. */
  readonly untilGranted: (signal: AbortSignal) => Promise<void>;
}

/**
 * Enters a line, waits for the turn, and leaves when the time to wait is over.
 * @returns null when it is over
 */
export function takeTurn(
  context: RecipeContext,
  options: TurnOptions,
  enter: (session: Session, ownSession: boolean) => Promise<Entered>,
): Promise<Place | null> {
  return withSession(context, options, async (session, ownSession) => {
    const { place, granted, untilGranted } = await enter(session, ownSession);
    if (granted || (await waitTurn(context, session, options, untilGranted))) return place;
    await giveUpTurn(context, place, options);
    return null;
  });
}

/** As `takeTurn`, but the place is kept when the time is over, for as long as somebody renews its session. */
export function queueTurn(
  context: RecipeContext,
  options: TurnOptions,
  enter: (session: Session, ownSession: boolean) => Promise<Entered>,
): Promise<Queued> {
  return withSession(context, options, async (session, ownSession) => {
    const { place, granted, untilGranted } = await enter(session, ownSession);
    return { place, granted: granted || (await waitTurn(context, session, options, untilGranted)) };
  });
}

/**
 * Goes on with a place that another process took, by its lease, and renews it.
 * @param find the place in the line; throws when it is not there
 * @throws QuorateError sessionLost
 */
export async function resumeTurn(
  context: RecipeContext,
  lease: LeaseId,
  options: WaitOptions,
  find: (session: Session) => Promise<Entered>,
): Promise<Queued> {
  const session = await Session.resume(context, lease, options.signal);
  try {
    const { place, granted, untilGranted } = await find(session);
    return { place, granted: granted || (await waitTurn(context, session, options, untilGranted)) };
  } catch (error) {
    session.detach();
    throw error;
  }
}

export type Queued = Pick<Entered, "place" | "granted">;

/** Leaves before one's turn. */
async function giveUpTurn(context: RecipeContext, place: Place, options: TurnOptions): Promise<void> {
  await removePlace(context, place);
  await giveUpSession(place.session, options);
}

/**
 * Ends a session that was opened for something that did not come about. The lease of an id that the caller chose is left to its TTL: a repeat
 * of the call goes on with it, and a revoke on its way would end it under whoever repeats.
 */
export async function giveUpSession(session: Session, options: TurnOptions): Promise<void> {
  if (options.session !== undefined) return;
  if (options.id === undefined) await session.end();
  else session.detach();
}

/**
 * Waits until nothing that is ahead stands in the way of a place.
 * @param ahead a read of what is before it
 * @param obstacle of what was read, the key to wait for; undefined: there is none
 * @throws QuorateError sessionLost when the place itself is gone; what the signal fired with
 */
export async function untilNothingAhead(
  context: RecipeContext,
  { key, created, session, ownSession }: Place,
  ahead: Operation,
  obstacle: (kvs: readonly KeyValue[]) => KeyValue | undefined,
  signal: AbortSignal,
): Promise<void> {
  const look = txnOf([], [rangeOp(oneKey(key)), ahead]);
  for (;;) {
    // Both at one revision: nobody is told that his turn has come whose own key is not there.
    const seen = await repeat(context, () => context.store.txn(look, { signal }), { signal, until: Infinity });
    if (foundAt(seen, 0)[0]?.createRevision !== created) throw placeGone(session, ownSession);
    const before = obstacle(foundAt(seen, 1));
    if (before === undefined) return;
    await untilOneGone(context, [before.key, key], seen.revision, signal);
  }
}

/** The error for a place that is not there any more; a session that was for it alone is lost with it. */
export function placeGone(session: Session, ownSession: boolean): QuorateError {
  if (ownSession) session.lose("its place is gone");
  return errSessionLost("its place is gone", { lease: session.id });
}

/**
 * Waits until one of the keys is deleted after a revision; or it is worth looking again, because history was compacted.
 * @throws what the signal was fired with
 */
export async function untilOneGone(context: RecipeContext, keys: readonly Bytes[], revision: number, signal: AbortSignal): Promise<void> {
  const scope = openScope(context.host, [signal]);
  const untilGone = async (key: Bytes): Promise<void> => {
    const request = { ...oneKey(key), startRevision: revision + 1, noPut: true, signal: scope.signal };
    for await (const _ of context.store.watch(request)) return;
  };
  try {
    await Promise.race(keys.map(untilGone));
  } catch (error) {
    if (!isCompacted(error)) throw error;
  } finally {
    scope.close();
  }
  signal.throwIfAborted();
}
