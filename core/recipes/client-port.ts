/**
 * What the recipes stand on: the public client interface, and nothing else. One implementation of each recipe runs behind the v1 endpoints
 * (on a member) and in the SDK (over `fetch`), and cannot tell the two apart.
 *
 * Every call may be repeated: a write is made so that doing it again with the same ids changes nothing and finds what the first one did.
 * That is what a caller does with an outcome that is not known.
 */
import type { KeyRange, LeaseId, RangeRequest, RangeResult, TxnRequest, TxnResult } from "../store/command.ts";
import type { WatchEvent } from "../store/watch/watcher.ts";

/** The store's revision as of which a reply is true. */
export interface AsOf {
  readonly revision: number;
}

export interface CallOptions {
  /** Whoever asked does not wait any longer: the call rejects with the signal's reason; what was sent may still take effect. */
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions extends CallOptions {
  /** Answered by any member at once, perhaps from the past; otherwise the read is linearizable. */
  readonly serializable?: boolean;
  /** The member waits until it has applied this revision. */
  readonly minRevision?: number;
}

export interface WatchRequest extends KeyRange, CallOptions {
  /** The first revision wanted; at least 1. */
  readonly startRevision: number;
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
  readonly prevKv?: boolean;
}

/** Whole revisions, ascending. */
export interface WatchBatch {
  readonly events: readonly WatchEvent[];
  /** Everything up to this revision has been delivered. */
  readonly revision: number;
}

/**
 * The store, as a client sees it.
 *
 * All calls throw `QuorateError`. Of a write, the reasons `leaderChanged`, `timeout` and `connectionLost` say that its outcome is not known;
 * every other one that nothing was done.
 */
export interface Store {
  /** @throws QuorateError compacted, futureRevision, noLeader */
  range(request: RangeRequest, options?: ReadOptions): Promise<RangeResult & AsOf>;
  /** A transaction is also the way to put, delete and append. @throws QuorateError leaseNotFound, noSpace, tooManyOps … */
  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResult & AsOf>;
  /**
   * Events of a range from a revision on, without gap or repeat; each iteration is a watch of its own. A connection that breaks is made
   * anew inside. Ends when `signal` fires, or by `return()` of the iterator, at once and without throwing. @throws QuorateError compacted, with `details.compactRevision`: read the state and watch from there
   */
  watch(request: WatchRequest): AsyncIterable<WatchBatch>;
  /**
   * Granting an id anew that is there already with the same TTL is the same act; the TTL begins anew.
   * @throws QuorateError leaseTtlTooLarge; leaseExists when it is there with another TTL
   */
  grant(id: LeaseId, ttlSeconds: number, options?: CallOptions): Promise<void>;
  /** @returns the TTL in seconds, which begins anew @throws QuorateError leaseNotFound */
  keepAlive(id: LeaseId, options?: CallOptions): Promise<number>;
  /** A lease that is gone already is fine. Its keys go with it. */
  revoke(id: LeaseId, options?: CallOptions): Promise<void>;
  /** Remaining whole seconds, by the leader's clock. @throws QuorateError leaseNotFound */
  remaining(id: LeaseId, options?: CallOptions): Promise<number>;
}

/** Time and chance of the place where a recipe runs. */
export interface Host {
  /** Milliseconds; never goes back, whatever the wall clock does. */
  monotonicMs(): number;
  /** The store's clock as far as it is known here, in milliseconds since 1970: the time that commands are stamped with. */
  clockMs(): number;
  /** Rejects with the signal's reason when it fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Cryptographically random bytes. */
  randomBytes(count: number): Uint8Array;
  /**
   * Work that goes on behind an answer: a renewal, a release. It never rejects. In an edge function this is `ctx.waitUntil`; elsewhere it
   * may do nothing.
   */
  background(work: Promise<unknown>): void;
  /** What `background` is given is carried to its end though the answer is out, so nobody has to wait for a release. */
  readonly carriesOn?: boolean;
}

/** Where a recipe runs. */
export interface RecipeContext {
  readonly store: Store;
  readonly host: Host;
}
