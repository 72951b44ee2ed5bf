/**
 * Consensus of one where the state itself is stored, by a platform that replicates it: a Durable Object. No log: a batch of commands is one
 * transaction of the storage, and what is durable is committed.
 *
 * Group commit: while one batch is on its way to be durable, proposals gather. Nobody is told of a command before it is durable, neither
 * who proposed it nor a watch. A batch that cannot be stored is rolled back whole, and its commands are tried one at a time: each that
 * cannot be stored by itself is refused, the others take effect.
 *
 *     propose …  | transaction | sync ……………… | tell |
 *                     propose, propose, …      | transaction | sync ……………… | tell |
 */
import { type QuorateError, errNoLeader, errNotStored, errStopped, errUnsupported, isQuorateError } from "../errors.ts";
import type { Entry, Index, SnapshotMeta, Term } from "../raft/types.ts";
import type { Consensus, ConsensusMember, ConsensusStatus, MemberMeta, Proposed, StoredHost } from "./consensus-port.ts";
import { PENDING_BYTES_MAX, PENDING_PROPOSALS_MAX } from "./limits.ts";
import type { Identity } from "./log-storage-port.ts";

/** No log outlives a start, so that there are no leftovers of an earlier office to be told apart. As of a new cluster of etcd. */
const TERM: Term = 2;

/** Where the host keeps its state. */
export interface TransactionalStorage {
  /** Runs its argument at once; what it throws leaves nothing of it behind, and is thrown. */
  transaction(work: () => void): void;
  /** Resolves when all transactions so far are durable. After it has rejected nothing is known of them: the member ends. */
  sync(): Promise<void>;
}

export interface StoredSoloOptions {
  readonly storage: TransactionalStorage;
  readonly identity: Identity;
  /** Of the last command that the stored state has applied. */
  readonly appliedIndex: Index;
  /** How this member is listed. */
  readonly meta: MemberMeta;
  /** See `SoloOptions.defer`. Default: after the present task. */
  readonly defer?: (task: () => void) => void;
}

export class StoredSolo implements Consensus {
  readonly identity: Identity;
  readonly boot = 1;
  readonly #options: StoredSoloOptions;
  #host: StoredHost | null = null;
  #last: Index;
  #applied: Index;
  #gathered: Entry[] = [];
  #pendingCount = 0;
  #pendingBytes = 0;
  /** Of the batch that is on its way to be durable; resolves also when that fails. */
  #syncing: Promise<void> | null = null;
  #flushPlanned = false;
  #stopped = false;

  constructor(options: StoredSoloOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.#last = this.#applied = options.appliedIndex;
  }

  start(host: StoredHost): Promise<void> {
    this.#host = host;
    host.officeChanged(true, TERM, this.identity.memberId);
    return Promise.resolve();
  }

  propose(data: Uint8Array): Proposed {
    if (this.#stopped || this.#host === null) return { ok: false, why: "stopped", leader: null };
    if (this.#pendingCount >= PENDING_PROPOSALS_MAX || this.#pendingBytes + data.length > PENDING_BYTES_MAX) {
      return { ok: false, why: "overloaded", leader: this.identity.memberId };
    }
    const entry: Entry = { term: TERM, index: ++this.#last, kind: "data", data };
    this.#gathered.push(entry);
    this.#pendingCount++;
    this.#pendingBytes += data.length;
    if (this.#syncing === null && !this.#flushPlanned) {
      this.#flushPlanned = true;
      const defer = this.#options.defer ?? queueMicrotask;
      defer(() => {
        this.#flushPlanned = false;
        if (this.#syncing === null) this.#write();
      });
    }
    return { ok: true, term: entry.term, index: entry.index };
  }

  #write(): void {
    const host = this.#host;
    const entries = this.#gathered;
    if (host === null || entries.length === 0) return;
    this.#gathered = [];
    const tell = this.#apply(host, entries);
    this.#syncing = this.#options.storage.sync().then(
      () => this.#durable(entries, tell),
      (error: unknown) => this.#fail(error),
    );
  }

  /** @returns tells everybody who waits, in order */
  #apply(host: StoredHost, entries: readonly Entry[]): () => void {
    try {
      return host.applyWithin(entries, (work) => this.#options.storage.transaction(work));
    } catch (error) {
      if (entries.length === 1) return () => host.refuse(entries[0]!.index, refusalOf(error));
      const tells = entries.map((entry) => this.#apply(host, [entry]));
      return () => tells.forEach((tell) => tell());
    }
  }

  #durable(entries: readonly Entry[], tell: () => void): void {
    this.#syncing = null;
    for (const entry of entries) this.#pendingBytes -= entry.data.length;
    this.#pendingCount -= entries.length;
    this.#applied = entries.at(-1)!.index;
    try {
      tell();
    } catch (error) {
      this.#fail(error);
    }
    this.#write();
  }

  #fail(error: unknown): void {
    this.#syncing = null;
    const host = this.#host;
    this.#host = null;
    this.#stopped = true;
    host?.failed(error instanceof Error ? error : new Error(String(error)));
  }

  readBarrier(): Promise<void> | undefined {
    if (this.#host === null) throw errStopped();
    // What is applied may be on its way still; who reads it must not be the only one that ever saw it.
    return this.#syncing ?? undefined;
  }

  status(): ConsensusStatus {
    const leading = this.#host !== null;
    const { memberId } = this.identity;
    return {
      leader: leading ? memberId : null,
      leading,
      term: TERM,
      commit: this.#applied,
      applied: this.#applied,
      last: this.#last,
      problem: null,
    };
  }

  tick(): void {} // nobody to hear from

  askLeader(): Promise<unknown> {
    return Promise.reject(errNoLeader()); // asked only by those who do not lead: this member stopped
  }

  members(): readonly ConsensusMember[] {
    return [{ id: this.identity.memberId, learner: false, meta: this.#options.meta }];
  }

  raftStatus(): null {
    return null;
  }

  changeMembership(): Promise<void> {
    return Promise.reject(errUnsupported("quorate: the members cannot be changed: this runtime has no peers"));
  }

  transferLeadership(): void {
    throw errUnsupported("quorate: leadership cannot be moved: this runtime has no peers");
  }

  snapshot(): Promise<SnapshotMeta> {
    return Promise.reject(errUnsupported("quorate: there is no log that a snapshot would shorten: the state itself is stored"));
  }

  /** Ends at once, with what was not stored yet: the state is replaced by another. Who waits hears nothing. */
  halt(): void {
    this.#stopped = true;
    this.#host = null;
    this.#gathered = [];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#syncing !== null || this.#gathered.length > 0) await (this.#syncing ?? Promise.resolve());
    this.#host = null;
  }
}

const refusalOf = (error: unknown): QuorateError => (isQuorateError(error) ? error : errNotStored(error));
