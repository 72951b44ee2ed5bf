/**
 * A line of keys, one for each session, in the layout of etcd's `concurrency` package: `<prefix><lease in hex>`. Whose key was created first
 * has its turn. Each other one waits for the key just before its own to go, so that a departure wakes one waiter; and none is told that its
 * turn has come but by a read that finds its own key there and none before it.
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { KeyValue, LeaseId, Operation } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import type { Place } from "./hold.ts";
import { repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { type Session, checkLease } from "./session.ts";
import { type Entered, placeGone, putForSession, untilNothingAhead } from "./turns.ts";

/** A line, and somebody who wants to be in it. */
export interface Entry {
  readonly prefix: Bytes;
  readonly session: Session;
  readonly ownSession: boolean;
  /** Of the session's key, when it is put. */
  readonly value: Bytes;
}

const FIRST = { sortTarget: "create", sortOrder: "ascend", limit: 1 } as const;
const LAST = { sortTarget: "create", sortOrder: "descend", limit: 1 } as const;

/** A lease's key in a line. */
export function keyInLine(prefix: Bytes, lease: LeaseId): Bytes {
  return (prefix + BigInt(lease).toString(16)) as Bytes;
}

/** How many are before a place; the first one has its turn. */
export async function positionInLine(context: RecipeContext, prefix: Bytes, { created }: Place): Promise<number> {
  // The count of a reply is that of the range, whatever the bounds of revisions.
  const before = readOf(keysUnder(prefix), { maxCreateRevision: created - 1, keysOnly: true });
  return (await repeat(context, () => context.store.range(before))).kvs.length;
}

/** The read of the first key in a line. */
export function firstOp(prefix: Bytes): Operation {
  return rangeOp(keysUnder(prefix), FIRST);
}

/** Puts the session's key at the end of the line, unless it is in it already. @throws QuorateError sessionLost, noSpace … */
export async function joinLine(context: RecipeContext, { prefix, session, ownSession, value }: Entry): Promise<Entered> {
  const key = keyInLine(prefix, session.id);
  const look = [rangeOp(oneKey(key)), firstOp(prefix)];
  const result = await putForSession(context, session, txnOf([createdAt(key, 0)], [putOp(key, value, session.id), ...look], look));
  const at = result.succeeded ? 1 : 0;
  const created = foundAt(result, at)[0]!.createRevision;
  const first = foundAt(result, at + 1)[0]!;
  return enteredAt(context, prefix, { session, ownSession, key, created, beside: [] }, first.key === key);
}

/** As `joinLine`, but only if nobody is there. @returns who is first; or the place, which is then first */
export async function joinEmptyLine(context: RecipeContext, { prefix, session, ownSession, value }: Entry): Promise<KeyValue | Place> {
  const key = keyInLine(prefix, session.id);
  const line = keysUnder(prefix);
  // Of a range of keys the compare holds when it holds for each, and none was created at 0: so when there is none.
  const empty = { ...line, target: "create", operator: "equal", value: 0 } as const;
  const result = await putForSession(context, session, txnOf([empty], [putOp(key, value, session.id), firstOp(prefix)], [firstOp(prefix)]));
  const first = foundAt(result, result.succeeded ? 1 : 0)[0]!;
  return first.key === key ? { session, ownSession, key, created: first.createRevision, beside: [] } : first;
}

/** The session's place in a line that it joined before. @throws QuorateError sessionLost when it is not there */
export async function findInLine(context: RecipeContext, prefix: Bytes, session: Session, signal?: AbortSignal): Promise<Entered> {
  const key = keyInLine(prefix, session.id);
  const look = txnOf([], [rangeOp(oneKey(key)), firstOp(prefix)]);
  const seen = await repeat(context, () => context.store.txn(look, { signal }), { signal });
  const [own] = foundAt(seen, 0);
  if (own === undefined) throw placeGone(session, true);
  const place = { session, ownSession: true, key, created: own.createRevision, beside: [] };
  return enteredAt(context, prefix, place, foundAt(seen, 1)[0]?.key === key);
}

/** Leaves a line by the lease alone, and ends the lease. What is gone already is fine. */
export async function leaveLine(context: RecipeContext, prefix: Bytes, lease: LeaseId): Promise<void> {
  const key = keyInLine(prefix, checkLease(lease));
  // Nobody else's key has this lease in its name.
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(key))])));
  await repeat(context, () => context.store.revoke(lease));
}

function enteredAt(context: RecipeContext, prefix: Bytes, place: Place, granted: boolean): Entered {
  const ahead = rangeOp(keysUnder(prefix), { ...LAST, maxCreateRevision: place.created - 1 });
  return { place, granted, untilGranted: (signal) => untilNothingAhead(context, place, ahead, ([last]) => last, signal) };
}
