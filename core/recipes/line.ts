/**
 * A line of keys, one for each session, in the layout of etcd's `concurrency` package: `<prefix><lease in hex>`. Whose key was created first
 * has its turn. Each other one waits for the key just before its own to go, so that a departure wakes one waiter; and none is told that its
 * turn has come but by a read that finds its own key there and none before it.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errSessionLost } from "../errors.ts";
import type { KeyValue, LeaseId, Operation } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import type { Place } from "./hold.ts";
import { repeat } from "./repeat.ts";
import { createdAt, foundAt, keysUnder, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";
import type { Session } from "./session.ts";
import { putForSession, untilOneGone } from "./turns.ts";

/** A line, and somebody who wants to be in it. */
export interface Entry {
  readonly prefix: Bytes;
  readonly session: Session;
  readonly ownSession: boolean;
  /** Of the session's key, when it is put. */
  readonly value: Bytes;
}

export interface Joined {
  readonly place: Place;
  /** Who is first; null: the place itself. */
  readonly before: KeyValue | null;
}

const FIRST = { sortTarget: "create", sortOrder: "ascend", limit: 1 } as const;
const LAST = { sortTarget: "create", sortOrder: "descend", limit: 1 } as const;

/** A lease's key in a line. */
export function keyInLine(prefix: Bytes, lease: LeaseId): Bytes {
  return (prefix + BigInt(lease).toString(16)) as Bytes;
}

/** The read of the first key in a line. */
export function firstOp(prefix: Bytes): Operation {
  return rangeOp(keysUnder(prefix), FIRST);
}

/** Puts the session's key at the end of the line, unless it is in it already. @throws QuorateError sessionLost, noSpace … */
export async function joinLine(context: RecipeContext, { prefix, session, ownSession, value }: Entry): Promise<Joined> {
  const key = keyInLine(prefix, session.id);
  const look = [rangeOp(oneKey(key)), firstOp(prefix)];
  const result = await putForSession(context, session, txnOf([createdAt(key, 0)], [putOp(key, value, session.id), ...look], look));
  const at = result.succeeded ? 1 : 0;
  const created = foundAt(result, at)[0]!.createRevision;
  const first = foundAt(result, at + 1)[0]!;
  return { place: { session, ownSession, key, created, beside: [] }, before: first.key === key ? null : first };
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

/** Waits until no key is before the place. @throws QuorateError sessionLost when the place itself is gone; what the signal fired with */
export async function untilFirst(context: RecipeContext, prefix: Bytes, place: Place, signal: AbortSignal): Promise<void> {
  const { key, created, session } = place;
  const look = txnOf([], [rangeOp(oneKey(key)), rangeOp(keysUnder(prefix), { ...LAST, maxCreateRevision: created - 1 })]);
  for (;;) {
    // One read of both at one revision: a key that was put in the place of a lost one is not taken for it.
    const seen = await repeat(context, () => context.store.txn(look, { signal }), { signal, until: Infinity });
    const [own] = foundAt(seen, 0);
    if (own?.createRevision !== created) {
      if (place.ownSession) session.lose("its place in the line is gone");
      throw errSessionLost("its place in the line is gone", { lease: session.id });
    }
    const [before] = foundAt(seen, 1);
    if (before === undefined) return;
    await untilOneGone(context, [before.key, key], seen.revision, signal);
  }
}
