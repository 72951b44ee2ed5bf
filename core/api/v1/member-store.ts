/**
 * The store as recipes want it (core/recipes/client-port.ts), on a member of this process: what stands behind the v1 endpoints. Reads are
 * linearizable by the member's read barrier; a transaction that cannot write has no place in the log.
 */
import { errCompacted, errFutureRevision, errLeaseExists, errLeaseTtlTooLarge, isQuorateError } from "../../errors.ts";
import type { AsOf, CallOptions, ReadOptions, Store, WatchBatch, WatchRequest } from "../../recipes/client-port.ts";
import type { Member } from "../../replica/member.ts";
import type { LeaseId, RangeRequest, RangeResult, TxnRequest, TxnResult } from "../../store/command.ts";
import type { CommandSession } from "../../store/sessions.ts";
import { LEASE_TTL_SECONDS_MAX } from "../../store/lease/lease-table.ts";
import { checkRange, checkTxn, isReadOnly } from "../../store/mvcc/transaction.ts";
import { WatchReader } from "../watch-reader.ts";

export interface MemberStoreOptions {
  /** Operations, and compares, of one transaction. */
  readonly maxTxnOps: number;
  /** Shorter leases are granted for this time, as by the v3 API. */
  readonly minLeaseTtlSeconds: number;
  /** Lets the host's event loop take its turn, while a long history is read. */
  readonly pause: () => Promise<void>;
}

/** `serializable`: of reads alone, answered at once. */
export interface MemberTxnOptions extends ReadOptions {
  /** The same one again is the same act (core/store/sessions.ts). */
  readonly session?: CommandSession | undefined;
}

export class MemberStore implements Store {
  readonly #member: Member;
  readonly #options: MemberStoreOptions;

  constructor(member: Member, options: MemberStoreOptions) {
    this.#member = member;
    this.#options = options;
  }

  async range(request: RangeRequest, { signal, serializable = false, minRevision = 0 }: ReadOptions = {}): Promise<RangeResult & AsOf> {
    signal?.throwIfAborted();
    checkRange(request);
    const { store } = this.#member;
    // What any member has told of is committed, and a barrier waits for all that is.
    if (!serializable || store.revision < minRevision) await unlessAborted(this.#member.readBarrier(), signal);
    if (store.revision < minRevision) throw errFutureRevision({ revision: minRevision });
    return { ...store.range(request), revision: store.revision };
  }

  async txn(request: TxnRequest, { signal, serializable = false, session }: MemberTxnOptions = {}): Promise<TxnResult & AsOf> {
    signal?.throwIfAborted();
    checkTxn(request, this.#options.maxTxnOps);
    if (isReadOnly(request)) {
      if (!serializable) await unlessAborted(this.#member.readBarrier(), signal);
      const { store } = this.#member;
      return { ...store.readTxn(request), revision: store.revision };
    }
    const { result, revision } = await unlessAborted(this.#member.propose({ kind: "txn", ...request }, session && { session }), signal);
    return { ...result, revision };
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    return { [Symbol.asyncIterator]: () => new WatchBatches(this.#member, request, this.#options.pause) };
  }

  /** An id that is there already is renewed: whoever repeats a grant counts its time from the repeat. */
  async grant(id: LeaseId, ttlSeconds: number, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (ttlSeconds > LEASE_TTL_SECONDS_MAX) throw errLeaseTtlTooLarge({ ttlSeconds });
    const wanted = Math.max(ttlSeconds, this.#options.minLeaseTtlSeconds);
    for (;;) {
      if (await unlessAborted(this.#grantNew(id, wanted), signal)) return;
      const granted = await unlessAborted(this.#renewed(id), signal);
      if (granted === wanted) return;
      if (granted !== null) throw errLeaseExists({ id, ttlSeconds: granted });
    }
  }

  /** @returns false when the id is there already */
  async #grantNew(id: LeaseId, ttlSeconds: number): Promise<boolean> {
    try {
      await this.#member.propose({ kind: "leaseGrant", id, ttlSeconds });
      return true;
    } catch (error) {
      if (isQuorateError(error) && error.reason === "leaseExists") return false;
      throw error;
    }
  }

  /** @returns null when it has ended meanwhile */
  async #renewed(id: LeaseId): Promise<number | null> {
    try {
      return await this.#member.keepAlive(id);
    } catch (error) {
      if (isQuorateError(error) && error.reason === "leaseNotFound") return null;
      throw error;
    }
  }

  async keepAlive(id: LeaseId, { signal }: CallOptions = {}): Promise<number> {
    signal?.throwIfAborted();
    return unlessAborted(this.#member.keepAlive(id), signal);
  }

  async revoke(id: LeaseId, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    try {
      await unlessAborted(this.#member.propose({ kind: "leaseRevoke", id, term: 0 }), signal);
    } catch (error) {
      if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
    }
  }

  async remaining(id: LeaseId, { signal }: CallOptions = {}): Promise<number> {
    signal?.throwIfAborted();
    return unlessAborted(this.#member.leaseRemainingSeconds(id), signal);
  }
}

/** Written out, because a generator cannot be told to return while it waits for an event. */
class WatchBatches implements AsyncIterator<WatchBatch, undefined> {
  readonly #reader: WatchReader;
  readonly #pause: () => Promise<void>;
  readonly #close = (): void => this.#reader.close();
  readonly #signal: AbortSignal | undefined;

  constructor(member: Member, { signal, ...options }: WatchRequest, pause: () => Promise<void>) {
    const { key, end } = options;
    this.#reader = new WatchReader(member.store, { ...options, range: { key, end } });
    this.#pause = pause;
    this.#signal = signal;
    if (signal?.aborted) this.#reader.close();
    signal?.addEventListener("abort", this.#close);
  }

  async next(): Promise<IteratorResult<WatchBatch, undefined>> {
    for (;;) {
      const step = await this.#reader.next();
      if (step.kind === "events") {
        if (step.events.length > 0) return { done: false, value: step };
        await this.#pause();
        continue;
      }
      this.#signal?.removeEventListener("abort", this.#close);
      if (step.kind === "lost") throw errCompacted({ compactRevision: step.compactRevision });
      return DONE;
    }
  }

  async return(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.#signal?.removeEventListener("abort", this.#close);
    this.#reader.close();
    return DONE;
  }
}

const DONE = { done: true, value: undefined } as const;

/** What was asked for goes on; the one who asked is told at once. */
async function unlessAborted<T>(asked: Promise<T> | undefined, signal: AbortSignal | undefined): Promise<T> {
  if (asked === undefined || signal === undefined) return asked as T;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([asked, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
