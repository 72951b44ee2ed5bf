/**
 * What all recipes share in which one waits for a turn: a session for the one who waits, the wait for keys to go, and how a wait ends.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errSessionLost, isQuorateError } from "../errors.ts";
import type { TxnRequest, TxnResult } from "../store/command.ts";
import type { AsOf, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { type Place, removePlace } from "./hold.ts";
import { repeat } from "./repeat.ts";
import { oneKey } from "./requests.ts";
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
export async function waitTurn(
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

/** Leaves before one's turn. */
export async function giveUpTurn(context: RecipeContext, place: Place, options: TurnOptions): Promise<void> {
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
    if (!isQuorateError(error) || error.reason !== "compacted") throw error;
  } finally {
    scope.close();
  }
  signal.throwIfAborted();
}
