/**
 * Barriers: closed while a key is there, `/quorate/barriers/<name>`. Whoever waits at one that is closed passes when that closing ends, even
 * if it is closed again at once.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errHeld } from "../errors.ts";
import type { LeaseId } from "../store/command.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { milliseconds } from "./durations.ts";
import { segmentOf } from "./names.ts";
import { placeValue } from "./numbered-line.ts";
import { type RepeatOptions, isCompacted, repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { openScope } from "./scope.ts";
import type { Session, SessionOptions } from "./session.ts";
import { type WaitOptions, untilOneGone, withSession } from "./turns.ts";

export interface CloseOptions extends SessionOptions {
  /** The barrier opens when the session ends; it stays the caller's. With `ttl` one is opened and kept alive. Neither: closed until opened. */
  readonly session?: Session | undefined;
  /** Who it is, for people who look. */
  readonly owner?: string | undefined;
}

export interface Closing {
  /** When it was closed; it is that closing until it is opened. */
  readonly closed: number;
  /** It was closed already, by somebody else: that closing, and whatever ends it, is left as it is. */
  readonly before: boolean;
  /** What keeps it closed; null: it stays closed until it is opened. */
  readonly session: Session | null;
}

/** Closes the barrier, unless it is closed. @throws QuorateError badField, sessionLost */
export async function closeBarrier(context: RecipeContext, name: string, options: CloseOptions = {}): Promise<Closing> {
  const key = keyOf(name);
  const { owner, session, ttl, id, signal } = options;
  const close = async (lease?: LeaseId): Promise<Closing> => {
    const look = rangeOp(oneKey(key));
    const request = txnOf([createdAt(key, 0)], [putOp(key, placeValue(context, { owner }), lease), look], [look]);
    const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
    const [kv] = foundAt(result, result.succeeded ? 1 : 0);
    const before = !result.succeeded && kv!.lease !== lease && lease !== undefined;
    return { closed: kv!.createRevision, before, session: null };
  };
  if (session === undefined && ttl === undefined && id === undefined) return close();
  return withSession(context, options, async (opened, ownSession) => {
    const closing = await close(opened.id);
    if (!closing.before) return { ...closing, session: opened };
    if (ownSession) await opened.end();
    return closing;
  });
}

/** Opens the barrier: all who wait pass. @returns false when it was open */
export async function openBarrier(context: RecipeContext, name: string, options: CallOptions = {}): Promise<boolean> {
  const request = txnOf([], [deleteOp(oneKey(keyOf(name)))]);
  const { responses } = await repeat(context, () => context.store.txn(request, options), options);
  const [response] = responses;
  return response?.op === "delete" && response.deleted > 0;
}

export interface BarrierState {
  /** When it was closed; null: it is open. */
  readonly closed: number | null;
  readonly revision: number;
}

/** Whether the barrier is closed. */
export async function barrierState(context: RecipeContext, name: string, options: RepeatOptions = {}): Promise<BarrierState> {
  const { signal } = options;
  const { kvs, revision } = await repeat(context, () => context.store.range(readOf(oneKey(keyOf(name))), { signal }), options);
  return { closed: kvs[0]?.createRevision ?? null, revision };
}

/** Whether it is closed now, and then each change. Ends with the signal, without throwing. */
export async function* observeBarrier(context: RecipeContext, name: string, signal: AbortSignal): AsyncGenerator<BarrierState, void, void> {
  const key = keyOf(name);
  let last: number | null | undefined;
  while (!signal.aborted) {
    try {
      const seen = await barrierState(context, name, { signal, until: Infinity });
      if (seen.closed !== last) yield seen;
      last = seen.closed;
      for await (const { events } of context.store.watch({ ...oneKey(key), startRevision: seen.revision + 1, signal })) {
        for (const { type, kv } of events) {
          last = type === "delete" ? null : kv.createRevision;
          yield { closed: last, revision: kv.modRevision };
        }
      }
    } catch (error) {
      if (!signal.aborted && !isCompacted(error)) throw error;
    }
  }
}

export interface BarrierWait extends WaitOptions {
  /** The closing whose end is waited for, as seen before. Default: the present one. */
  readonly closed?: number | undefined;
}

/**
 * Waits until the barrier is open, or has been since.
 * @throws QuorateError held when the time to wait is over, with `closed` in its details to go on waiting for; the signal's reason
 */
export async function waitAtBarrier(context: RecipeContext, name: string, options: BarrierWait = {}): Promise<void> {
  const { wait, signal } = options;
  const key = keyOf(name);
  let seen = await barrierState(context, name, { signal });
  const closed = options.closed ?? seen.closed;
  const scope = openScope(context.host, [signal], wait === undefined ? undefined : milliseconds(wait, "wait"));
  try {
    while (seen.closed !== null && seen.closed === closed) {
      await untilOneGone(context, [key], seen.revision, scope.signal);
      seen = await barrierState(context, name, { signal: scope.signal, until: Infinity });
    }
  } catch (error) {
    if (scope.timedOut()) throw errHeld(`the barrier ${JSON.stringify(name)}`, { closed });
    throw error;
  } finally {
    scope.close();
  }
}

function keyOf(name: string): Bytes {
  return ascii(`/quorate/barriers/${segmentOf(name)}`);
}
