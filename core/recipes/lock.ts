/**
 * Locks: one holder at a time, in the order in which they came. The keys are those of etcd's `concurrency` package, so that `etcdctl lock
 * /quorate/locks/<name>`, a Go `concurrency.Mutex` and this exclude one another.
 *
 * The holder is whoever's key was created first; that revision is the fence.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errHeld } from "../errors.ts";
import type { KeyValue, LeaseId } from "../store/command.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { Hold } from "./hold.ts";
import { type Entry, findInLine, firstOp, joinEmptyLine, joinLine, leaveLine, positionInLine } from "./line.ts";
import { prefixOf } from "./names.ts";
import { repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, oneKey, readOf, txnOf } from "./requests.ts";
import type { Session } from "./session.ts";
import {
  type Entered,
  type Queued,
  type TurnOptions,
  type WaitOptions,
  giveUpSession,
  queueTurn,
  resumeTurn,
  takeTurn,
  withSession,
} from "./turns.ts";

const KIND = "locks";

export interface LockOptions extends TurnOptions {
  /** Who it is, for people who look. */
  readonly owner?: string | undefined;
}

/** A place in the line of a lock, kept for as long as its session is renewed. */
export interface LockTicket {
  readonly lease: LeaseId;
  readonly key: string;
  /** 1: next after the holder. */
  readonly position: number;
}

/** One who holds a lock or waits for it. */
export interface LockEntry {
  readonly lease: LeaseId;
  readonly key: string;
  readonly fence: bigint;
  /** As it was said. */
  readonly owner: string | null;
  /** When the place was taken, in milliseconds since 1970; null when an entry of another program does not say. */
  readonly since: number | null;
}

export interface LockState {
  readonly holder: LockEntry | null;
  /** In the order of their turns. */
  readonly line: readonly LockEntry[];
  readonly revision: number;
}

/**
 * Waits for the lock and takes it. Again with the same `id`, or the same session: the same hold.
 * @throws QuorateError held when the time to wait is over, sessionLost, badField; the signal's reason
 */
export async function acquireLock(context: RecipeContext, name: string, options: LockOptions = {}): Promise<Hold> {
  return acquireLockUnder(context, prefixOf(KIND, name), options);
}

/** As `acquireLock`, of a lock that has its keys elsewhere, as those of `etcdctl lock` are. @param prefix ends with a slash */
export async function acquireLockUnder(context: RecipeContext, prefix: Bytes, options: LockOptions = {}): Promise<Hold> {
  const place = await takeTurn(context, options, (session, ownSession) => enter(context, prefix, session, ownSession, options));
  if (place === null) throw errHeld(`the lock ${prefix}`);
  return new Hold(context, place);
}

/** The lock at once, if nobody has it or waits for it; null otherwise. @throws QuorateError sessionLost, badField */
export async function tryLock(context: RecipeContext, name: string, options: LockOptions = {}): Promise<Hold | null> {
  const prefix = prefixOf(KIND, name);
  return withSession(context, options, async (session, ownSession) => {
    const found = await joinEmptyLine(context, entryOf(context, prefix, session, ownSession, options));
    if ("session" in found) return new Hold(context, found);
    await giveUpSession(session, options);
    return null;
  });
}

/** As `acquireLock`; but when the time to wait is over, the place in the line is kept for as long as the session is renewed. */
export async function queueForLock(context: RecipeContext, name: string, options: LockOptions = {}): Promise<Hold | LockTicket> {
  const prefix = prefixOf(KIND, name);
  const queued = await queueTurn(context, options, (session, ownSession) => enter(context, prefix, session, ownSession, options));
  return holdOrTicket(context, prefix, queued);
}

/**
 * Goes on waiting with a ticket, or holding with the lease of a hold; renews it.
 * @throws QuorateError sessionLost when the place is gone
 */
export async function resumeLock(
  context: RecipeContext,
  name: string,
  lease: LeaseId,
  options: WaitOptions = {},
): Promise<Hold | LockTicket> {
  const prefix = prefixOf(KIND, name);
  const queued = await resumeTurn(context, lease, options, (session) => findInLine(context, prefix, session, options.signal));
  return holdOrTicket(context, prefix, queued);
}

/** Leaves the lock or its line, by the lease alone, and ends the lease. What is gone already is fine. */
export async function releaseLock(context: RecipeContext, name: string, lease: LeaseId): Promise<void> {
  await leaveLine(context, prefixOf(KIND, name), lease);
}

/**
 * Takes the lock from whoever holds it; the next one in the line has it then. The writes that the former holder guards fail from now on, and
 * its session goes on.
 * @returns who held it; null when nobody did
 */
export async function breakLock(context: RecipeContext, name: string): Promise<LockEntry | null> {
  const prefix = prefixOf(KIND, name);
  for (;;) {
    const [first] = foundAt(await repeat(context, () => context.store.txn(txnOf([], [firstOp(prefix)]))), 0);
    if (first === undefined) return null;
    const request = txnOf([createdAt(first.key, first.createRevision)], [deleteOp(oneKey(first.key))]);
    const { succeeded } = await repeat(context, () => context.store.txn(request));
    if (succeeded) return entryIn(first);
  }
}

/** Who holds the lock, and who waits for it. */
export async function lockState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<LockState> {
  const line = readOf(keysUnder(prefixOf(KIND, name)), { sortTarget: "create", sortOrder: "ascend" });
  const { kvs, revision } = await repeat(context, () => context.store.range(line, options), options);
  const [holder = null, ...waiting] = kvs.map(entryIn);
  return { holder, line: waiting, revision };
}

/**
 * Runs `work` while holding the lock, and releases it afterwards.
 * @throws QuorateError sessionLost when the lock was lost meanwhile, whatever `work` did; and as `acquireLock`
 */
export async function withLock<T>(
  context: RecipeContext,
  name: string,
  work: (hold: Hold) => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const hold = await acquireLock(context, name, options);
  try {
    const result = await work(hold);
    hold.session.check();
    return result;
  } catch (error) {
    hold.signal.throwIfAborted();
    throw error;
  } finally {
    await hold.release();
  }
}

function enter(context: RecipeContext, prefix: Bytes, session: Session, ownSession: boolean, options: LockOptions): Promise<Entered> {
  return joinLine(context, entryOf(context, prefix, session, ownSession, options));
}

function entryOf({ host }: RecipeContext, prefix: Bytes, session: Session, ownSession: boolean, { owner }: LockOptions): Entry {
  const value = utf8Encode(JSON.stringify({ owner, since: host.clockMs() }));
  return { prefix, session, ownSession, value };
}

async function holdOrTicket(context: RecipeContext, prefix: Bytes, { place, granted }: Queued): Promise<Hold | LockTicket> {
  if (granted) return new Hold(context, place);
  const { session, ownSession, key } = place;
  const position = await positionInLine(context, prefix, place);
  if (ownSession) session.detach();
  return { lease: session.id, key, position };
}

/** Other programs put what they like, or nothing. */
function entryIn({ key, value, createRevision, lease }: KeyValue): LockEntry {
  let said: Record<string, unknown> = {};
  try {
    said = (JSON.parse(utf8Decode(value)) ?? {}) as Record<string, unknown>;
  } catch {
    // not ours
  }
  const owner = typeof said["owner"] === "string" ? said["owner"] : null;
  const since = typeof said["since"] === "number" ? said["since"] : null;
  return { lease, key, fence: BigInt(createRevision), owner, since };
}
