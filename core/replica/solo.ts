/**
 * Consensus of one: a log on this member's storage and nobody to agree with. For runtimes whose platform replicates storage, and
 * for a single process. What is durable here is committed.
 *
 * Group commit: while one write is on its way, proposals gather; when it is durable the gathered ones are written at once, and
 * only then is the finished batch applied, so that the disk works while the batch is answered.
 */
import { must } from "../invariant.ts";
import { errNoLeader, errStopped, errUnsupported } from "../errors.ts";
import type { Entry, Index, SnapshotMeta, Term } from "../raft/types.ts";
import type { Consensus, ConsensusHost, ConsensusMember, ConsensusStatus, MemberMeta, Proposed } from "./consensus-port.ts";
import { PENDING_BYTES_MAX, PENDING_PROPOSALS_MAX } from "./limits.ts";
import type { Identity, LogStorage, Recovered } from "./log-storage-port.ts";

/** Entries applied at once while the log is replayed: bounds what one turn of the event loop does. */
const REPLAY_SLICE = 5_000;

export interface SoloOptions {
  readonly storage: LogStorage;
  /** Used when the storage is new. */
  readonly newIdentity: () => Identity;
  /** How this member is listed. */
  readonly meta: MemberMeta;
  /**
   * Runs a task once the host has handed over what it has at hand, say after the present turn of its event loop: proposals that come
   * until then share the write of the first. Default: after the present task.
   */
  readonly defer?: (task: () => void) => void;
  /** Told what recovery had to repair, one sentence each. */
  readonly onRepairs?: (repairs: readonly string[]) => void;
}

export class Solo implements Consensus {
  readonly #storage: LogStorage;
  readonly #options: SoloOptions;
  #boot = 0;
  #host: ConsensusHost | null = null;
  #identity: Identity | null = null;
  #term: Term = 0;
  #last: Index = 0;
  #applied: Index = 0;
  #gathered: Entry[] = [];
  #pendingCount = 0;
  #pendingBytes = 0;
  #writing = false;
  #flushPlanned = false;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: SoloOptions) {
    this.#options = options;
    this.#storage = options.storage;
  }

  /** Cluster and member id; known once `start` has opened the storage. */
  get identity(): Identity {
    return must(this.#identity, () => "identity asked for before start");
  }

  get boot(): number {
    return this.#boot;
  }

  async start(host: ConsensusHost): Promise<void> {
    const recovered: Recovered = await this.#storage.open();
    this.#boot = recovered.boot;
    this.#identity = recovered.identity;
    if (this.#identity === null) {
      this.#identity = this.#options.newIdentity();
      await this.#storage.initialise(this.#identity);
    }
    if (recovered.repairs.length > 0) this.#options.onRepairs?.(recovered.repairs);
    if (recovered.snapshot) {
      await host.restore(recovered.snapshot, this.#storage.readSnapshot(recovered.snapshot.id));
      this.#applied = this.#last = recovered.snapshot.index;
    }
    const { entries } = recovered;
    for (let at = 0; at < entries.length; at += REPLAY_SLICE) host.apply(entries.slice(at, at + REPLAY_SLICE));
    const tail = entries.at(-1);
    if (tail) this.#applied = this.#last = tail.index;
    this.#term = Math.max(recovered.hard.term, tail?.term ?? 0, recovered.snapshot?.term ?? 0) + 1;
    await this.#storage.append({ hard: { term: this.#term, vote: this.#identity.memberId, commit: this.#last }, entries: [] }, true);
    this.#host = host;
    host.officeChanged(true, this.#term, this.#identity.memberId);
  }

  propose(data: Uint8Array): Proposed {
    if (this.#stopped || this.#host === null) return { ok: false, why: "stopped", leader: null };
    if (this.#pendingCount >= PENDING_PROPOSALS_MAX || this.#pendingBytes + data.length > PENDING_BYTES_MAX) {
      return { ok: false, why: "overloaded", leader: this.identity.memberId };
    }
    const entry: Entry = { term: this.#term, index: ++this.#last, kind: "data", data };
    this.#gathered.push(entry);
    this.#pendingCount++;
    this.#pendingBytes += data.length;
    if (!this.#writing && !this.#flushPlanned) {
      this.#flushPlanned = true;
      const defer = this.#options.defer ?? queueMicrotask;
      defer(() => {
        this.#flushPlanned = false;
        if (!this.#writing) this.#write();
      });
    }
    return { ok: true, term: entry.term, index: entry.index };
  }

  #write(): void {
    const entries = this.#gathered;
    if (entries.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#gathered = [];
    this.#writing = true;
    this.#storage.append({ entries }, true).then(
      () => this.#written(entries),
      (error: unknown) => this.#fail(error),
    );
  }

  #written(entries: Entry[]): void {
    this.#writing = false;
    const host = this.#host;
    if (host === null) return; // failed meanwhile
    for (const entry of entries) this.#pendingBytes -= entry.data.length;
    this.#pendingCount -= entries.length;
    this.#write();
    try {
      host.apply(entries);
      this.#applied = entries.at(-1)!.index;
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const host = this.#host;
    this.#host = null;
    this.#stopped = true;
    // Nothing is under way any more: whoever stops it waits for nothing.
    this.#writing = false;
    this.#gathered = [];
    for (const resolve of this.#idle.splice(0)) resolve();
    host?.failed(error instanceof Error ? error : new Error(String(error)));
  }

  readBarrier(): Promise<void> | undefined {
    // What is applied here was durable first, and nothing else orders commands: a read of the applied state is linearizable.
    if (this.#host === null) throw errStopped();
    return undefined;
  }

  status(): ConsensusStatus {
    const leading = this.#host !== null;
    return {
      leader: leading ? this.identity.memberId : null,
      leading,
      term: this.#term,
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

  async snapshot(
    meta: { readonly index: Index; readonly term: Term; readonly id: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<SnapshotMeta> {
    const { memberId } = this.identity;
    const writer = await this.#storage.createSnapshot({
      ...meta,
      size: 0,
      configIndex: 0,
      config: { voters: [memberId], outgoing: [], learners: [], learnersNext: [], removed: [], meta: {} },
    });
    let done: SnapshotMeta;
    try {
      for await (const chunk of chunks) await writer.write(chunk);
      done = await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    await this.#storage.compact(done.index);
    return done;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#writing || this.#gathered.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#host = null;
    await this.#storage.close();
  }
}
