/**
 * Queues of leased keys, which locks and elections are made of: whoever wants something puts a key `name/<lease in hex>` bound to its
 * lease; the one created first has it, and each other waits for the one just before it to go, so that a departure wakes one waiter.
 * When a lease ends, its key goes with it, and the queue moves on.
 *
 * Where it departs from etcd's `concurrency` package: a waiter whose own key has gone (its lease ended, somebody deleted it) fails at
 * once, and never wins; etcd 3.4 lets it win. A lease that was granted for the request is kept alive while the request waits.
 * Source: etcd 3.4's clientv3/concurrency (key.go, mutex.go, election.go, session.go).
 */
import { type Bytes, EMPTY, prefixEnd } from "../../bytes/bytes.ts";
import {
  errElectionNoLeader,
  errElectionNotLeader,
  errEmptyKey,
  errSessionExpired,
  errWaitCanceled,
  isQuorateError,
} from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import {
  type Compare,
  type KeyRange,
  type KeyValue,
  type LeaseId,
  NO_LEASE,
  type Operation,
  type RangeRequest,
  type TxnResult,
} from "../../store/command.ts";
import type { Cancellation } from "./cancellation.ts";
import { WatchReader } from "../watch-reader.ts";
import type { Every } from "./watch.ts";

/** Of a lease that is granted because the request names none. */
const SESSION_TTL_SECONDS = 60;

/** A key in a queue. */
export interface Place {
  /** The common beginning of all keys in the queue. */
  readonly prefix: Bytes;
  readonly key: Bytes;
  /** When the key was created, which is its place in the queue. */
  readonly createRevision: number;
  readonly lease: LeaseId;
}

/** Something that was done or seen, and the revision to name in the header of the reply. */
export interface Outcome {
  readonly revision: number;
}

export interface Joined extends Outcome {
  readonly place: Place;
  /** The key as it was before, when the lease was in the queue already. */
  readonly before: KeyValue | null;
  readonly isFirst: boolean;
}

export interface Seen extends Outcome {
  readonly kv: KeyValue;
}

/** A lease for one request: the one it names, or one granted for it. */
export interface Session {
  readonly lease: LeaseId;
  /** The request waits no longer: stops keeping the lease alive. */
  release(): void;
  /** The request failed: ends a lease that was granted for it. */
  abandon(): Promise<void>;
}

export class LeaseQueues {
  readonly #member: Member;
  readonly #every: Every;
  readonly #kind: "mutex" | "election";

  /** @param kind names what failed in errors */
  constructor(member: Member, every: Every, kind: "mutex" | "election") {
    this.#kind = kind;
    this.#member = member;
    this.#every = every;
  }

  async session(lease: LeaseId): Promise<Session> {
    if (lease !== NO_LEASE) return { lease, release: () => {}, abandon: () => Promise.resolve() };
    const member = this.#member;
    const id = member.newLeaseId();
    await member.propose({ kind: "leaseGrant", id, ttlSeconds: SESSION_TTL_SECONDS });
    const release = this.#every((SESSION_TTL_SECONDS * 1000) / 3, () => {
      // There are two more tries before it ends; when it has ended its key is gone, and that is what the waiter sees.
      member.keepAlive(id).catch(() => {});
    });
    return { lease: id, release, abandon: async () => void (await member.propose({ kind: "leaseRevoke", id, term: 0 })) };
  }

  /** Puts the lease's key into the queue, if it is not there yet. @throws QuorateError leaseNotFound and what a txn may throw */
  async join(name: Bytes, lease: LeaseId, value: Bytes): Promise<Joined> {
    const prefix = (name + "/") as Bytes;
    const key = (prefix + BigInt(lease).toString(16)) as Bytes;
    const first: Operation = { op: "range", ...rangeOf(prefix), sortTarget: "create", sortOrder: "ascend", limit: 1 };
    const { revision, result } = await this.#member.propose({
      kind: "txn",
      compare: [createdAt(key, 0)],
      success: [put(key, value, lease), first],
      failure: [{ op: "range", ...ALL, key, end: EMPTY }, first],
    });
    const before = result.succeeded ? null : kvsAt(result, 0)[0]!;
    const createRevision = before === null ? revision : before.createRevision;
    const owner = kvsAt(result, 1)[0];
    const isFirst = owner === undefined || owner.createRevision === createRevision;
    return { revision, before, isFirst, place: { prefix, key, createRevision, lease } };
  }

  /**
   * Waits until no key in the queue is older than the place.
   * @returns the revision at which it was seen to be first
   * @throws QuorateError sessionExpired, waitCanceled; the key is left to the caller
   */
  async untilFirst(place: Place, cancellation: Cancellation): Promise<Outcome> {
    const { store } = this.#member;
    for (;;) {
      if (cancellation.isCanceled) throw errWaitCanceled();
      await this.#member.readBarrier();
      const own = this.#get(place.key);
      if (own === undefined || own.createRevision !== place.createRevision) throw errSessionExpired(this.#kind);
      const older = { ...rangeOf(place.prefix), maxCreateRevision: place.createRevision - 1 };
      const { kvs } = store.range({ ...older, sortTarget: "create", sortOrder: "descend", limit: 1 });
      if (kvs.length === 0) return { revision: store.revision };
      await this.#untilDeleted([kvs[0]!.key, place.key], cancellation);
    }
  }

  /** After a failure: leaves the queue, and ends a lease that was granted for the request. */
  async giveUp(session: Session, joined: Joined | null): Promise<void> {
    try {
      if (joined !== null) await this.leave(joined.place);
      await session.abandon();
    } catch (error) {
      // The failure before is what the client learns of. What stays behind goes when the lease ends.
      if (!isQuorateError(error)) throw error;
    }
  }

  #get(key: Bytes): KeyValue | undefined {
    return this.#member.store.range({ ...ALL, key, end: EMPTY }).kvs[0];
  }

  /** Waits until one of the keys, all there now, is deleted, or for the cancellation; or it may be worth looking again. */
  async #untilDeleted(keys: readonly Bytes[], cancellation: Cancellation): Promise<void> {
    const { store } = this.#member;
    const readers = keys.map((key) => new WatchReader(store, { range: { key, end: EMPTY }, startRevision: 0, noPut: true }));
    const stop = () => {
      for (const reader of readers) reader.close();
    };
    const unlisten = cancellation.onCancel(stop);
    try {
      await Promise.race(readers.map((reader) => reader.next()));
    } finally {
      unlisten();
      stop();
    }
  }

  /** Gives a new value to a place that is held. @throws QuorateError electionNotLeader when it is not, emptyKey */
  async proclaim(place: Omit<Place, "prefix">, value: Bytes): Promise<Outcome> {
    const { key, createRevision, lease } = place;
    if (key === EMPTY) throw errEmptyKey();
    const success = [put(key, value, lease)];
    const { revision, result } = await this.#member.propose({
      kind: "txn",
      compare: [createdAt(key, createRevision)],
      success,
      failure: [],
    });
    if (!result.succeeded) throw errElectionNotLeader();
    return { revision };
  }

  /** Takes a place out of its queue; does nothing when it is not there any more. @throws QuorateError emptyKey */
  async leave({ key, createRevision }: Pick<Place, "key" | "createRevision">): Promise<Outcome> {
    if (key === EMPTY) throw errEmptyKey();
    const { revision } = await this.#member.propose({
      kind: "txn",
      compare: [createdAt(key, createRevision)],
      success: [{ op: "delete", key, end: EMPTY, prevKv: false }],
      failure: [],
    });
    return { revision };
  }

  /** The key that is first in the queue. @throws QuorateError electionNoLeader */
  async first(name: Bytes): Promise<Seen> {
    await this.#member.readBarrier();
    const kv = this.#first((name + "/") as Bytes);
    if (kv === undefined) throw errElectionNoLeader();
    return { kv, revision: this.#member.store.revision };
  }

  #first(prefix: Bytes): KeyValue | undefined {
    return this.#member.store.range({ ...rangeOf(prefix), sortTarget: "create", sortOrder: "ascend", limit: 1 }).kvs[0];
  }

  /** Who is first now, each new value of it, and who comes after it; without end, until it is canceled. */
  async *observe(name: Bytes, cancellation: Cancellation): AsyncGenerator<Seen, void, void> {
    const prefix = (name + "/") as Bytes;
    const { store } = this.#member;
    while (!cancellation.isCanceled) {
      await this.#member.readBarrier();
      const kv = this.#first(prefix);
      const seen = kv === undefined ? await this.#firstPut(prefix, cancellation) : { kv, revision: store.revision };
      if (seen === undefined) continue;
      yield seen;
      yield* this.#changes(seen, cancellation);
    }
  }

  /** Waits for a put in an empty queue. @returns undefined when it is canceled, or worth looking again */
  async #firstPut(prefix: Bytes, cancellation: Cancellation): Promise<Seen | undefined> {
    for await (const kv of this.#events(rangeOf(prefix), 0, cancellation)) {
      if (kv.version > 0) return { kv, revision: kv.modRevision };
    }
    return undefined;
  }

  /** The new values of a key until it is deleted, or the watch ends. */
  async *#changes({ kv: { key }, revision }: Seen, cancellation: Cancellation): AsyncGenerator<Seen, void, void> {
    for await (const kv of this.#events({ key, end: EMPTY }, revision + 1, cancellation)) {
      if (kv.version === 0) return;
      yield { kv, revision: kv.modRevision };
    }
  }

  async *#events(range: KeyRange, startRevision: number, cancellation: Cancellation): AsyncGenerator<KeyValue, void, void> {
    const reader = new WatchReader(this.#member.store, { range, startRevision });
    const unlisten = cancellation.onCancel(() => reader.close());
    try {
      for (let step = await reader.next(); step.kind === "events"; step = await reader.next()) {
        for (const event of step.events) yield event.kv;
      }
    } finally {
      unlisten();
      reader.close();
    }
  }
}

const ALL: RangeRequest = {
  key: EMPTY,
  end: EMPTY,
  revision: 0,
  limit: 0,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

const rangeOf = (prefix: Bytes): RangeRequest => ({ ...ALL, key: prefix, end: prefixEnd(prefix) });

const createdAt = (key: Bytes, revision: number): Compare => ({ key, end: EMPTY, target: "create", operator: "equal", value: revision });

const put = (key: Bytes, value: Bytes, lease: LeaseId): Operation => ({
  op: "put",
  key,
  value,
  lease,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
});

function kvsAt(result: TxnResult, at: number): readonly KeyValue[] {
  const response = result.responses[at];
  return response?.op === "range" ? response.kvs : [];
}
