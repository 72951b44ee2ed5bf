/**
 * Something held by a session: a key of its own, bound to the session's lease. What was granted and what still waits are both such keys;
 * whose turn it is, each recipe decides.
 *
 * `fence` rises from holder to holder of one name. Inside the store `guard` makes a write of somebody who holds no longer fail; outside, a
 * resource that refuses every fence lower than the highest it has seen does the same.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errSessionLost } from "../errors.ts";
import type { KeyValue, LeaseId, TxnRequest } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { isPassing, repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, oneKey, rangeOp, readOf, txnOf } from "./requests.ts";
import { Session } from "./session.ts";

/** A key of a session, granted or waiting. */
export interface Place {
  readonly session: Session;
  /** The session was opened for this alone, and ends with it. */
  readonly ownSession: boolean;
  readonly key: Bytes;
  /** When the key was created, which is its place in a line. */
  readonly created: number;
  /** Keys that go with it. */
  readonly beside: readonly Bytes[];
}

/** All that another process needs to go on holding it. */
export interface HoldJson {
  readonly key: string;
  readonly created: number;
  /** Decimal. */
  readonly fence: string;
  readonly lease: LeaseId;
  readonly ttlSeconds: number;
  readonly beside: readonly string[];
}

export class Hold {
  protected readonly context: RecipeContext;
  readonly session: Session;
  readonly key: Bytes;
  readonly fence: bigint;
  readonly #place: Place;
  #entered = 1;

  /** @param fence default: when the key was created */
  constructor(context: RecipeContext, place: Place, fence = place.created) {
    this.context = context;
    this.#place = place;
    this.session = place.session;
    this.key = place.key;
    this.fence = BigInt(fence);
  }

  get lease(): LeaseId {
    return this.session.id;
  }

  /** Fires when it is lost, with `sessionLost` as the reason. */
  get signal(): AbortSignal {
    return this.session.signal;
  }

  /** On the host's monotonic clock, in milliseconds: until then nobody else has it. */
  get validUntil(): number {
    return this.session.validUntil;
  }

  /** The value of the header `Quorate-Guard`: the key, percent-encoded, and when it was created. */
  get guardHeader(): string {
    return `${this.key.replaceAll("%", "%25")}@${this.#place.created}`;
  }

  /** The transaction, with the condition that this is still held: it fails otherwise. @throws QuorateError sessionLost */
  guard(txn: TxnRequest): TxnRequest {
    this.#check();
    return { ...txn, compare: [...txn.compare, createdAt(this.key, this.#place.created)] };
  }

  /** Renews its session now, which otherwise happens by itself. @throws QuorateError sessionLost */
  async renew(): Promise<void> {
    this.#check();
    await this.session.renew();
  }

  /** Once more by the same holder: it is then released by as many releases. @throws QuorateError sessionLost */
  reenter(): this {
    this.#check();
    this.#entered++;
    return this;
  }

  /** Gives it up; again is fine. What was lost is not there to be given up, and nobody else's is touched. */
  async release(): Promise<void> {
    if (this.#entered === 0 || --this.#entered > 0) return;
    await leave(this.context, this.#place);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#entered = Math.min(this.#entered, 1);
    const release = this.release();
    const { host } = this.context;
    if (!host.carriesOn) return release;
    host.background(release.catch(() => {})); // what cannot be released now ends with its TTL
  }

  toJSON(): HoldJson {
    const { created, beside } = this.#place;
    return { key: this.key, created, fence: this.fence.toString(), beside, ...this.session.toJSON() };
  }

  /** Another hold stands for it from now on. */
  protected handOver(): void {
    this.#entered = 0;
  }

  #check(): void {
    this.session.check();
    if (this.#entered === 0) throw errSessionLost("what it held was released", { lease: this.lease });
  }
}

/** Goes on with what another process holds, and renews it. @throws QuorateError sessionLost */
export async function resumeHold(
  context: RecipeContext,
  { key, created, fence, lease, beside }: HoldJson,
  signal?: AbortSignal,
): Promise<Hold> {
  const session = await Session.resume(context, lease, signal);
  const place = { session, ownSession: true, key: key as Bytes, created, beside: beside as Bytes[] };
  try {
    const own = await ownKey(context, place.key, signal);
    if (own?.createRevision !== created) throw errSessionLost("its key is gone", { lease });
  } catch (error) {
    session.detach();
    throw error;
  }
  return new Hold(context, place, Number(fence));
}

/** The key as it is now, if it is there. */
export async function ownKey(context: RecipeContext, key: Bytes, signal?: AbortSignal): Promise<KeyValue | undefined> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(key)), { signal }), { signal });
  return kvs[0];
}

/** Gives up what a place stands for. When the store does not answer, it ends with the session. */
export async function leave(context: RecipeContext, place: Place): Promise<void> {
  const { session, ownSession } = place;
  if (ownSession) session.detach();
  try {
    // After a force, the same lease may have come again: then it is not this one's to end.
    if ((await removePlace(context, place)) && ownSession) await session.end();
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

/**
 * Takes the key and what goes with it away, if it is still the one that was created then.
 * @returns false when another one of the same name is there
 */
export async function removePlace(context: RecipeContext, { key, created, beside }: Place): Promise<boolean> {
  const all = [key, ...beside].map((one) => deleteOp(oneKey(one)));
  const request = txnOf([createdAt(key, created)], all, [rangeOp(oneKey(key))]);
  const result = await repeat(context, () => context.store.txn(request));
  return result.succeeded || foundAt(result, 0).length === 0;
}
