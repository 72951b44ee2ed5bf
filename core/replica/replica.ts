/**
 * One member's life: stamps and proposes commands, applies what was agreed, answers those who wait, and does the leader's duties —
 * ending leases, checkpointing them, compacting by policy, taking snapshots, raising the space alarm. It owns no timer: the runtime
 * calls `tick` about ten times a second, and every duty follows from that and the clocks.
 *
 * A failed device or a broken invariant ends the member: `onFailed` is called once, nothing is acknowledged afterwards.
 */
import { InvariantError } from "../invariant.ts";
import {
  type QuorateError,
  errBadField,
  errLeaderChanged,
  errLeaseNotFound,
  errNoLeader,
  errNoSpace,
  errNotLeader,
  errStopped,
  errTooManyRequests,
  isQuorateError,
} from "../errors.ts";
import type { Entry, Index, SnapshotMeta, Term } from "../raft/types.ts";
import { type Applied, type Command, type CommandBody, type LeaseId, type Result, type ResultOf } from "../store/command.ts";
import { decodeCommand, encodeCommand } from "../store/command-codec.ts";
import { type FrozenState, type HashMismatch, type Outcome, StateMachine } from "../store/state-machine.ts";
import type { StateStorage } from "../store/state-storage-port.ts";
import { checkSession } from "../store/sessions.ts";
import type { RevisionRecord } from "../store/version-store-port.ts";
import type { StoreView } from "../store/store-view.ts";
import type { WatchStats } from "../store/watch/watch-hub.ts";
import { AutoCompaction, type AutoCompactionPolicy } from "./auto-compaction.ts";
import type { Clock } from "./clock-port.ts";
import type { Consensus, ConsensusMember, StoredHost } from "./consensus-port.ts";
import { LeaseClock } from "./lease-clock.ts";
import type { LeaseDeadlines } from "./lease-deadlines-port.ts";
import {
  COMPACTION_SLICE,
  FORWARD_MS_MAX,
  HASH_CHECK_INTERVAL_MS,
  LEASE_CHECKPOINT_BATCH,
  LEASE_CHECKPOINT_INTERVAL_MS,
  LEASE_REVOKES_AT_ONCE,
  LEASE_REVOKES_PER_SECOND,
  SNAPSHOT_LOG_BYTES,
} from "./limits.ts";
import type { Member, MemberStatus, PeerInfo, ProposalAttributes } from "./member.ts";
import { Membership, type MemberAttributes } from "./membership.ts";
import { StoreClock } from "./store-clock.ts";

export interface ReplicaOptions {
  readonly consensus: Consensus;
  readonly clock: Clock;
  /** Cryptographically random bytes. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** Lets the host's event loop take its turn; between slices of long work. */
  readonly pause: () => Promise<void>;
  /** One tick of the consensus; its heartbeat interval. */
  readonly tickMs: number;
  /** A snapshot is taken after so many entries. */
  readonly snapshotEntries: number;
  /** Space that keys and values may take, in bytes. */
  readonly quotaBytes: number;
  readonly autoCompaction: AutoCompactionPolicy;
  /** Where the state is kept. Default: in memory, rebuilt from the log at each start. */
  readonly storage?: StateStorage;
  /** Default: in memory, as the state. */
  readonly deadlines?: LeaseDeadlines;
  /** Refuse membership changes that the members that are up could not carry. */
  readonly strictReconfigCheck: boolean;
  /** What this member tells the others about itself; null while it is not known yet. */
  readonly attributes: () => MemberAttributes | null;
  readonly onFailed: (error: Error) => void;
  /** Told of each revision at once, before it is durable: for what has to be stored in the same breath. */
  readonly onCommit?: (record: RevisionRecord) => void;
  /** The others have removed this member for good: it should end, and its data may be deleted. */
  readonly onRemoved: () => void;
  /** Something an operator should read; also what a background duty could not do and will try again. */
  readonly onNotice: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
  /** Bytes on the device. */
  readonly diskBytes: () => number;
  /** "low": the log has no room set aside on the device beyond what it has begun. */
  readonly logReserve: () => "ok" | "low";
}

interface Waiter {
  readonly command: Command;
  readonly term: Term;
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: QuorateError) => void;
}

type Proposal = CommandBody & ProposalAttributes;

/** What the leader answers to a command that was sent to it. */
interface Forwarded {
  readonly applied: Applied;
  readonly index: Index;
}

/** Counters and timings for metrics: numbers that only grow, and the last values. */
export interface ReplicaStats {
  proposals: number;
  proposalsFailed: number;
  applied: number;
  appliedBatches: number;
  snapshots: number;
  snapshotMillis: number;
  leasesExpired: number;
  leaderChanges: number;
  pending: number;
  /** Keys written and keys deleted, by whatever command. */
  puts: number;
  deletes: number;
}

export class Replica implements Member {
  readonly #options: ReplicaOptions;
  readonly #consensus: ReplicaOptions["consensus"];
  readonly #store: StateMachine;
  readonly #leaseClock: LeaseDeadlines;
  readonly #storeClock: StoreClock;
  readonly #autoCompaction: AutoCompaction;
  readonly #membership: Membership;
  readonly #waiters = new Map<number, Waiter>();
  readonly stats: ReplicaStats = {
    proposals: 0,
    proposalsFailed: 0,
    applied: 0,
    appliedBatches: 0,
    snapshots: 0,
    snapshotMillis: 0,
    leasesExpired: 0,
    leaderChanges: 0,
    pending: 0,
    puts: 0,
    deletes: 0,
  };
  /** Whether this member has no vote among these members. A list of members never changes: there is another one then. */
  #learnerOf: { readonly members: readonly ConsensusMember[]; readonly learner: boolean } = { members: [], learner: false };
  #appliedIndex = 0;
  #appliedTerm: Term = 0;
  #leading = false;
  #term: Term = 0;
  #startedAt = 0;
  #leaderSince = 0;
  #failure: Error | null = null;
  #stopping = false;
  #leader: string | null = null;
  #lastLeader: string | null = null;
  /** Whom the log has named last. */
  #toldLeader: string | null = null;
  /** Those who wait for a leader: woken by each tick and each change of office. */
  #untilTick: (() => void)[] = [];
  /** Those who wait until this member has applied what the leader did for them. */
  #untilIndex: { readonly index: Index; readonly deadline: number; readonly resolve: () => void }[] = [];
  #tickRest = 0;
  #entriesSinceSnapshot = 0;
  #bytesSinceSnapshot = 0;
  #snapshotting: Promise<void> | null = null;
  #compacting: Promise<void> | null = null;
  #raisingAlarm = false;
  #hashCheckedAt = 0;
  #revokeCredit = LEASE_REVOKES_AT_ONCE;
  #tickedAt: number | null = null;
  #checkpointedAt = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#consensus = options.consensus;
    const { quotaBytes, storage } = options;
    this.#store = new StateMachine({ quotaBytes, ...(storage === undefined ? {} : { storage }) });
    this.#appliedIndex = this.#store.appliedIndex;
    this.#leaseClock = options.deadlines ?? new LeaseClock();
    this.#storeClock = new StoreClock(options.clock);
    this.#autoCompaction = new AutoCompaction(options.autoCompaction);
    this.#membership = new Membership({
      consensus: this.#consensus,
      randomBytes: options.randomBytes,
      monotonicMs: () => options.clock.monotonicMs(),
      strictReconfigCheck: options.strictReconfigCheck,
      attributes: options.attributes,
      askLeader: (request, here) => this.#askLeader(request, here),
      untilTick: () => this.#nextTick(),
      onNotice: options.onNotice,
    });
    this.#store.onCommit((record) => {
      for (const { version } of record.kvs) {
        if (version === 0) this.stats.deletes++;
        else this.stats.puts++;
      }
      options.onCommit?.(record);
    });
    this.#store.onHashMismatch((mismatch) => this.#raiseCorrupt(mismatch));
    this.#store.onLeases({
      granted: (id, ttlSeconds) => this.#startLease(id, ttlSeconds),
      revoked: (id) => this.#leaseClock.delete(id),
      checkpointed: () => {}, // only a later leader uses it
      reset: () => this.#leaseClock.clear(),
    });
  }

  /** Recovers and begins to serve. @throws QuorateError what the storage found damaged */
  async start(): Promise<void> {
    const host: StoredHost = {
      apply: (entries) => this.#apply(entries),
      applyWithin: (entries, transaction) => this.#applyWithin(entries, transaction),
      refuse: (index, error) => this.#refuse(index, error),
      restore: (meta, chunks) => this.#restore(meta, chunks),
      officeChanged: (leading, term, leader) => this.#officeChanged(leading, term, leader),
      answer: (_from, request) => this.#answer(request),
      failed: (error) => this.#fail(error),
      removed: () => this.#options.onRemoved(),
    };
    await this.#consensus.start(host);
    this.#startedAt = this.#options.clock.wallMs();
  }

  get clusterId(): string {
    return this.#consensus.identity.clusterId;
  }

  get memberId(): string {
    return this.#consensus.identity.memberId;
  }

  get isLearner(): boolean {
    const members = this.#consensus.members();
    if (members !== this.#learnerOf.members) {
      this.#learnerOf = { members, learner: !members.some(({ id, learner }) => id === this.memberId && !learner) };
    }
    return this.#learnerOf.learner;
  }

  get store(): StoreView {
    return this.#store;
  }

  get pendingProposals(): number {
    return this.#waiters.size;
  }

  watchStats(): WatchStats {
    return this.#store.watchStats();
  }

  /** Of keys and values; where it differs between namespaces and may change while they are served. */
  get quotaBytes(): number {
    return this.#store.quotaBytes;
  }

  set quotaBytes(bytes: number) {
    this.#store.quotaBytes = bytes;
  }

  // ---- writes

  propose<B extends CommandBody>(body: B, attributes?: ProposalAttributes): Promise<Applied<ResultOf<B["kind"]>>> {
    if (attributes !== undefined) return this.#proposeWith(body, attributes) as Promise<Applied<ResultOf<B["kind"]>>>;
    return this.#proposeAny(body) as Promise<Applied<ResultOf<B["kind"]>>>;
  }

  async #proposeWith(body: CommandBody, attributes: ProposalAttributes): Promise<Applied> {
    if (attributes.session !== undefined) checkSession(attributes.session);
    return this.#proposeAny({ ...body, ...attributes });
  }

  #proposeAny(body: Proposal): Promise<Applied> {
    return new Promise<Applied>((resolve, reject) => {
      try {
        if (this.#propose(body, resolve, reject) === null) this.#forward(body).then(resolve, reject);
      } catch (error) {
        this.stats.proposalsFailed++;
        reject(error as Error);
      }
    });
  }

  /** @returns its index; null when this member does not lead: nothing was done */
  #propose(body: Proposal, resolve: (applied: Applied) => void, reject: (error: QuorateError) => void): Index | null {
    if (this.#failure !== null || this.#stopping) throw errStopped();
    const command = { ...body, time: this.#storeClock.now() } as Command;
    const data = encodeCommand(command);
    // Without room set aside for the log nothing may grow, whatever the quota says: refusing now keeps what was acknowledged.
    const low = this.#options.logReserve() === "low";
    if (this.#store.growsBeyondQuota(command, low ? Infinity : data.length)) {
      this.#raiseNoSpace(low ? "the disk of the log is nearly full" : "the space quota is used up");
      throw errNoSpace();
    }
    const proposed = this.#consensus.propose(data);
    if (!proposed.ok) {
      if (proposed.why === "overloaded") throw errTooManyRequests();
      if (proposed.why === "stopped") throw errStopped();
      return null;
    }
    this.stats.proposals++;
    this.#waiters.set(proposed.index, { command, term: proposed.term, resolve, reject });
    return proposed.index;
  }

  /**
   * Has the leader propose it. What certainly was not proposed is tried again, with whoever leads by then; an unknown outcome is
   * told as such and never repeated.
   */
  async #forward(body: Proposal): Promise<Applied> {
    if (isLeadersOwn(body)) throw errNotLeader(); // must not take effect under another leader
    const data = encodeCommand({ ...body, time: 0 } as Command);
    const answer = (await this.#askLeader({ propose: data }, () => this.#proposeHere(body))) as Forwarded;
    await this.#untilApplied(answer.index);
    return answer.applied;
  }

  /** @returns undefined when this member does not lead */
  async #proposeHere(body: Proposal): Promise<Forwarded | undefined> {
    let index: Index | null = null;
    const applied = await new Promise<Applied | null>((resolve, reject) => {
      index = this.#propose(body, resolve, reject);
      if (index === null) resolve(null);
    });
    return applied === null || index === null ? undefined : { applied, index };
  }

  /**
   * So that whoever wrote through this member finds it here, also by a serializable read. Given up after a while: the command is done,
   * and saying so must not depend on how far behind this member is.
   */
  async #untilApplied(index: Index): Promise<void> {
    if (this.#appliedIndex >= index) return;
    const deadline = this.#options.clock.monotonicMs() + FORWARD_MS_MAX;
    await new Promise<void>((resolve) => this.#untilIndex.push({ index, deadline, resolve }));
  }

  #releaseApplied(): void {
    if (this.#untilIndex.length === 0) return;
    const now = this.#options.clock.monotonicMs();
    const over = this.#failure !== null || this.#stopping;
    const waiting = this.#untilIndex;
    this.#untilIndex = [];
    for (const one of waiting) {
      if (over || one.index <= this.#appliedIndex || one.deadline < now) one.resolve();
      else this.#untilIndex.push(one);
    }
  }

  /**
   * Asks the leader, or does it here when this member has become the leader meanwhile.
   * @param here undefined: not leading after all
   * @throws QuorateError noLeader when none was found in time
   */
  async #askLeader(request: unknown, here: () => Promise<unknown>): Promise<unknown> {
    const deadline = this.#options.clock.monotonicMs() + FORWARD_MS_MAX;
    for (;;) {
      if (this.#failure !== null || this.#stopping) throw errStopped();
      if (this.#leading) {
        const done = await here();
        if (done !== undefined) return done;
      } else if (this.#leader !== null) {
        try {
          return await this.#consensus.askLeader(request, FORWARD_MS_MAX);
        } catch (error) {
          if (!isQuorateError(error) || !CERTAINLY_NOT_DONE.has(error.reason)) throw error;
        }
      }
      if (this.#options.clock.monotonicMs() > deadline) throw errNoLeader();
      await this.#nextTick();
    }
  }

  /** Resolves at the next tick or change of office. @throws QuorateError stopped */
  async #nextTick(): Promise<void> {
    await new Promise<void>((resolve) => this.#untilTick.push(resolve));
    if (this.#failure !== null || this.#stopping) throw errStopped();
  }

  /** A question of another member, which takes this one for the leader. Its form was checked by nobody yet. */
  async #answer(request: unknown): Promise<unknown> {
    if (!this.#leading) throw errNotLeader();
    const { propose, keepAlive, leaseRemaining, membership } = (request ?? {}) as Record<string, unknown>;
    if (propose instanceof Uint8Array) {
      const body: Proposal = decodeCommand(propose);
      return led(await this.#proposeHere(body));
    }
    if (typeof keepAlive === "string") return led(await this.#keepAliveHere(keepAlive));
    if (typeof leaseRemaining === "string") return led(await this.#leaseRemainingHere(leaseRemaining));
    if (membership !== undefined) return this.#membership.answer(membership);
    throw errBadField("request", "a question to the leader that this member does not know");
  }

  /** Once for each time that the quota is met; the alarm itself is a command, so that it outlives a restart. */
  #raiseNoSpace(why: string): void {
    const raised = this.#store.alarms().some((alarm) => alarm.alarm === "nospace" && alarm.memberId === this.memberId);
    if (raised || this.#raisingAlarm) return;
    this.#raisingAlarm = true;
    this.#options.onNotice("warn", `${why}: writes are refused until space is freed and the alarm is disarmed`, {
      quotaBytes: this.quotaBytes,
      sizeBytes: this.#store.sizeBytes(),
    });
    this.#background("raising the space alarm", async () => {
      try {
        await this.propose({ kind: "alarm", action: "activate", alarm: { memberId: this.memberId, alarm: "nospace" } });
      } finally {
        this.#raisingAlarm = false;
      }
    });
  }

  // ---- what was agreed

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.#appliedIndex + 1) {
        throw new InvariantError(`entry ${entry.index} follows ${this.#appliedIndex}: every index is applied once, in order`);
      }
      this.#appliedIndex = entry.index;
      this.#appliedTerm = entry.term;
      this.#entriesSinceSnapshot++;
      this.#bytesSinceSnapshot += entry.data.length;
      if (entry.kind === "data") this.#applyCommand(entry);
    }
    this.stats.applied += entries.length;
    this.stats.appliedBatches++;
    this.#store.flush();
    this.#releaseApplied();
  }

  #applyCommand(entry: Entry): void {
    const waiter = this.#waiters.get(entry.index);
    const mine = waiter !== undefined && waiter.term === entry.term;
    this.#answerTo(waiter, entry, this.#store.apply(mine ? waiter.command : decodeCommand(entry.data), entry));
  }

  #answerTo(waiter: Waiter | undefined, entry: Entry, outcome: Outcome): void {
    if (waiter === undefined) return;
    const mine = waiter.term === entry.term;
    this.#waiters.delete(entry.index);
    if (!mine) waiter.reject(errLeaderChanged()); // another leader's entry took the place: certainly not done
    else if (outcome.ok) waiter.resolve(outcome as Applied & { result: Result });
    else waiter.reject(outcome.error);
  }

  /** See `StoredHost`. Those who wait hear nothing before the storage has it for good. */
  #applyWithin(entries: readonly Entry[], transaction: (work: () => void) => void): () => void {
    const outcomes: Outcome[] = [];
    this.#store.within(transaction, () => {
      for (const entry of entries) {
        const command = this.#waiters.get(entry.index)?.command ?? decodeCommand(entry.data);
        outcomes.push(this.#store.apply(command, entry));
      }
    });
    this.#appliedIndex = entries.at(-1)!.index;
    this.#appliedTerm = entries.at(-1)!.term;
    return () => {
      this.stats.applied += entries.length;
      this.stats.appliedBatches++;
      entries.forEach((entry, at) => this.#answerTo(this.#waiters.get(entry.index), entry, outcomes[at]!));
      this.#store.flush();
      this.#releaseApplied();
    };
  }

  #refuse(index: Index, error: QuorateError): void {
    this.#appliedIndex = Math.max(this.#appliedIndex, index);
    const waiter = this.#waiters.get(index);
    this.#waiters.delete(index);
    waiter?.reject(error);
  }

  async #restore(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const header = await this.#store.restore(chunks);
    if (header.index !== meta.index) throw new InvariantError(`the snapshot of index ${meta.index} holds the state at ${header.index}`);
    this.#appliedIndex = meta.index;
    this.#appliedTerm = meta.term;
    this.#entriesSinceSnapshot = 0;
    this.#bytesSinceSnapshot = 0;
    this.#store.flush(); // the next entry may be long in coming: watchers are told now
  }

  #officeChanged(leading: boolean, term: Term, leader: string | null): void {
    const was = this.#leading && this.#term === term;
    this.#leader = leader;
    this.#leading = leading;
    this.#term = term;
    this.#wake();
    this.#tellLeader(leader);
    if (leader !== null && leader !== this.#lastLeader) {
      this.#lastLeader = leader;
      this.stats.leaderChanges++;
    }
    if (leading && was) return;
    this.#leaderSince = this.#options.clock.wallMs();
    this.#storeClock.atLeast(this.#store.clockMs);
    if (this.#leaseClock.areStored) return; // and there is nobody to lose office to
    this.#leaseClock.clear();
    if (leading) {
      for (const lease of this.#store.leaseTable.all()) this.#startLease(lease.id, lease.ttlSeconds);
      return;
    }
    for (const [index, waiter] of this.#waiters) {
      this.#waiters.delete(index);
      waiter.reject(errLeaderChanged()); // the outcome is unknown
    }
  }

  /** An operator reads who leads, and since when nobody does: the first thing to know when writes fail. */
  #tellLeader(leader: string | null): void {
    if (this.#stopping || leader === this.#toldLeader) return;
    this.#toldLeader = leader;
    const term = this.#term;
    if (leader === null) {
      this.#options.onNotice("warn", "no leader: writes and linearizable reads wait for an election", { term, was: this.#lastLeader });
      return;
    }
    const name = this.#consensus.members().find(({ id }) => id === leader)?.meta.name ?? "";
    const who = leader === this.memberId ? "this member" : `member ${leader}`;
    this.#options.onNotice("info", `leader is ${who} in term ${term}`, name === "" ? {} : { name });
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#leading = false;
    for (const waiter of this.#waiters.values()) waiter.reject(errStopped());
    this.#waiters.clear();
    this.#options.onFailed(error);
  }

  #wake(): void {
    this.#releaseApplied();
    for (const resolve of this.#untilTick.splice(0)) resolve();
  }

  // ---- reads

  readBarrier(): Promise<void> | undefined {
    if (this.#failure !== null) throw errStopped();
    return this.#consensus.readBarrier();
  }

  // ---- leases

  /** A whole term from now; less when the log says that less was left (a checkpoint, or the end of a v2 TTL). */
  #startLease(id: LeaseId, ttlSeconds: number): void {
    if (!this.#leading) return;
    const lease = this.#store.leaseTable.get(id);
    if (lease === undefined) return;
    const whole = ttlSeconds * 1000;
    const left = lease.v2 ? Math.max(0, lease.v2.expiresAt - this.#storeClock.now()) : Math.min(whole, lease.remainingMs ?? whole);
    this.#leaseClock.set(id, this.#options.clock.monotonicMs() + left);
  }

  async keepAlive(id: LeaseId): Promise<number> {
    return (await this.#askLeader({ keepAlive: id }, () => this.#keepAliveHere(id))) as number;
  }

  /**
   * What this member knows of leases counts only once a majority has confirmed that it leads: one that was deposed, and has not heard of
   * it, would call leases gone that it does not know yet, or whose deadlines it dropped with its office.
   * @returns undefined when it does not lead after all
   */
  async #keepAliveHere(id: LeaseId): Promise<number | undefined> {
    await this.readBarrier();
    if (!this.#leading) return undefined;
    const lease = this.#store.leaseTable.get(id);
    if (lease === undefined || lease.v2 || this.#leaseClock.deadline(id) === undefined) throw errLeaseNotFound();
    if (lease.remainingMs !== null) {
      // A new leader must not count from the old checkpoint: it is taken back before the renewal is promised.
      try {
        await this.propose({ kind: "leaseCheckpoint", remainingMs: [[id, lease.ttlSeconds * 1000]], term: this.#term });
      } catch (error) {
        if (isQuorateError(error) && DEPOSED.has(error.reason)) return undefined;
        throw error;
      }
      if (!this.#leading) return undefined;
      if (this.#store.leaseTable.get(id) === undefined || this.#leaseClock.deadline(id) === undefined) throw errLeaseNotFound();
    }
    this.#leaseClock.set(id, this.#options.clock.monotonicMs() + lease.ttlSeconds * 1000);
    const settling = this.#leaseClock.settled();
    if (settling !== undefined) await settling;
    return lease.ttlSeconds;
  }

  async leaseRemainingSeconds(id: LeaseId): Promise<number> {
    return (await this.#askLeader({ leaseRemaining: id }, () => this.#leaseRemainingHere(id))) as number;
  }

  /** @returns undefined when it does not lead after all */
  async #leaseRemainingHere(id: LeaseId): Promise<number | undefined> {
    await this.readBarrier();
    if (!this.#leading) return undefined;
    if (this.#store.leaseTable.get(id) === undefined) throw errLeaseNotFound();
    const deadline = this.#leaseClock.deadline(id);
    return deadline === undefined ? 0 : Math.max(0, Math.floor((deadline - this.#options.clock.monotonicMs()) / 1000));
  }

  newLeaseId(): LeaseId {
    for (;;) {
      let id = 0n;
      for (const byte of this.#options.randomBytes(8)) id = (id << 8n) | BigInt(byte);
      const text = (id & 0x7fff_ffff_ffff_ffffn).toString();
      if (text !== "0" && this.#store.leaseTable.get(text) === undefined) return text;
    }
  }

  // ---- duties

  /** When `tick` has something to do next, in milliseconds of the clock that runs evenly; undefined: nothing is known. */
  get nextDutyMs(): number | undefined {
    return this.#leading ? this.#leaseClock.earliest() : undefined;
  }

  /** To be called about ten times a second. Never throws; what fails is named through `onNotice` or `onFailed`. */
  tick(): void {
    if (this.#failure !== null || this.#stopping) return;
    const now = this.#options.clock.monotonicMs();
    const elapsed = this.#tickedAt === null ? 0 : now - this.#tickedAt;
    this.#tickedAt = now;
    this.#tickRest += elapsed;
    const ticks = Math.floor(this.#tickRest / this.#options.tickMs);
    this.#tickRest -= ticks * this.#options.tickMs;
    if (ticks > 0) this.#consensus.tick(ticks);
    this.#wake();
    this.#membership.tick();
    if (this.#leading) this.#lead(now, elapsed);
    this.#freeCompacted();
    if (this.#entriesSinceSnapshot >= this.#options.snapshotEntries || this.#bytesSinceSnapshot >= SNAPSHOT_LOG_BYTES) {
      this.#background("taking a snapshot", () => this.takeSnapshot());
    }
  }

  /** What only the leader does. */
  #lead(now: number, elapsed: number): void {
    this.#expireLeases(now, elapsed);
    this.#checkpointLeases(now);
    this.#checkHashes(now);
    const { revision, compactedRevision } = this.#store;
    const target = this.#autoCompaction.due(now, revision, compactedRevision);
    if (target !== undefined) {
      this.#background("compacting by policy", () => this.propose({ kind: "compact", revision: target }));
    }
  }

  #expireLeases(now: number, elapsed: number): void {
    this.#revokeCredit = Math.min(LEASE_REVOKES_AT_ONCE, this.#revokeCredit + (elapsed * LEASE_REVOKES_PER_SECOND) / 1000);
    while (this.#revokeCredit >= 1) {
      const id = this.#leaseClock.takeExpired(now);
      if (id === undefined) return;
      this.#revokeCredit--;
      this.propose({ kind: "leaseRevoke", id, term: this.#term }).then(
        () => void this.stats.leasesExpired++,
        (error: unknown) => {
          const gone = this.#store.leaseTable.get(id) === undefined;
          if (!gone && this.#leading) this.#leaseClock.set(id, this.#options.clock.monotonicMs() + 1000); // again in a second
          if (!gone) this.#options.onNotice("warn", "ending a lease failed and is tried again", { lease: id, error: String(error) });
        },
      );
    }
  }

  #checkpointLeases(now: number): void {
    if (now - this.#checkpointedAt < LEASE_CHECKPOINT_INTERVAL_MS) return;
    this.#checkpointedAt = now;
    let batch: [LeaseId, number][] = [];
    const send = () => {
      const remainingMs = batch;
      batch = [];
      this.#background("checkpointing leases", () => this.propose({ kind: "leaseCheckpoint", remainingMs, term: this.#term }));
    };
    for (const [id, left] of this.#leaseClock.remaining(now)) {
      const lease = this.#store.leaseTable.get(id);
      if (lease === undefined || lease.v2 || lease.ttlSeconds * 1000 <= LEASE_CHECKPOINT_INTERVAL_MS) continue;
      batch.push([id, Math.round(left)]);
      if (batch.length === LEASE_CHECKPOINT_BATCH) send();
    }
    if (batch.length > 0) send();
  }

  /**
   * Two commands: at the first, each member notes the hash of its state; the second carries the leader's. The log orders them, so that
   * all compare the same place without anybody waiting for anybody.
   */
  #checkHashes(now: number): void {
    if (now - this.#hashCheckedAt < HASH_CHECK_INTERVAL_MS || this.#consensus.members().length < 2) return;
    if (this.#store.alarms().some(({ alarm }) => alarm === "corrupt")) return; // known, and nothing is applied
    this.#hashCheckedAt = now;
    const term = this.#term;
    this.#background("comparing the members' states", async () => {
      const { result } = await this.propose({ kind: "hashMark", term });
      if (result.index > 0) await this.propose({ kind: "hashVerify", index: result.index, hash: result.hash, term });
    });
  }

  /** As etcd: the alarm stops all writes until an operator has decided whose state is the right one. */
  #raiseCorrupt({ index, expected, own }: HashMismatch): void {
    this.#options.onNotice("warn", "the state of this member differs from the leader's: the alarm CORRUPT is raised", {
      index,
      expected,
      own,
    });
    const alarm = { memberId: this.memberId, alarm: "corrupt" } as const;
    this.#background("raising the alarm CORRUPT", () => this.propose({ kind: "alarm", action: "activate", alarm }));
  }

  #freeCompacted(): void {
    if (this.#compacting !== null || this.#store.compactStep(COMPACTION_SLICE)) return;
    this.#compacting = (async () => {
      while (!this.#stopping && !this.#store.compactStep(COMPACTION_SLICE)) await this.#options.pause();
    })().then(
      () => void (this.#compacting = null),
      (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** Writes a snapshot of the present state and drops the log before it. At most one at a time: a second call joins the first. */
  takeSnapshot(): Promise<void> {
    this.#snapshotting ??= this.#writeSnapshot().finally(() => (this.#snapshotting = null));
    return this.#snapshotting;
  }

  async #writeSnapshot(): Promise<void> {
    const [index, term] = [this.#appliedIndex, this.#appliedTerm];
    if (index === 0) return;
    const [entries, bytes] = [this.#entriesSinceSnapshot, this.#bytesSinceSnapshot];
    this.#entriesSinceSnapshot = 0;
    this.#bytesSinceSnapshot = 0;
    const began = this.#options.clock.monotonicMs();
    // Frozen before anything is awaited: a command applied meanwhile would be in the snapshot and again in the log after it.
    const frozen = this.#freeze();
    try {
      const meta = await this.#consensus.snapshot({ index, term, id: `${term}-${index}` }, this.#chunksOf(frozen));
      const millis = Math.round(this.#options.clock.monotonicMs() - began);
      this.stats.snapshots++;
      this.stats.snapshotMillis += millis;
      this.#options.onNotice("info", "snapshot taken", { index, bytes: meta.size, millis });
    } catch (error) {
      this.#entriesSinceSnapshot += entries;
      this.#bytesSinceSnapshot += bytes;
      throw error;
    } finally {
      frozen.release();
    }
  }

  async *snapshot(): AsyncIterable<Uint8Array> {
    const frozen = this.#freeze();
    try {
      yield* this.#chunksOf(frozen);
    } finally {
      frozen.release();
    }
  }

  #freeze(): FrozenState {
    return this.#store.freeze({ clusterId: this.clusterId, index: this.#appliedIndex, term: this.#appliedTerm });
  }

  async *#chunksOf(frozen: FrozenState): AsyncIterable<Uint8Array> {
    for (const chunk of frozen.chunks()) {
      yield chunk;
      await this.#options.pause();
      if (this.#stopping || this.#failure !== null) throw errStopped();
    }
  }

  async defragment(): Promise<void> {
    while (!this.#store.compactStep(COMPACTION_SLICE)) await this.#options.pause();
  }

  /** A duty that nobody waits for: what it throws is an operator's news, and a failed device ends the member by its own path. */
  #background(what: string, duty: () => Promise<unknown>): void {
    duty().catch((error: unknown) => {
      if (this.#failure === null && !this.#stopping) this.#options.onNotice("warn", `${what} failed`, { error: String(error) });
    });
  }

  // ---- how it is

  status(): MemberStatus {
    const status = this.#consensus.status();
    const problems = this.#store.alarms().map((alarm) => `alarm ${alarm.alarm.toUpperCase()} of member ${alarm.memberId}`);
    if (this.#failure !== null) problems.push(this.#failure.message);
    if (status.problem !== null) problems.push(status.problem);
    return {
      leaderId: status.leader ?? "0",
      term: status.term,
      raftIndex: status.commit,
      appliedIndex: this.#appliedIndex,
      diskBytes: this.#options.diskBytes(),
      learner: this.isLearner,
      problems,
      startedAt: this.#startedAt,
      leaderSince: this.#leaderSince,
    };
  }

  members(): readonly PeerInfo[] {
    const byId = this.#consensus.members().toSorted((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1));
    // Of itself a member knows better than the configuration, which hears of it a moment after the start.
    const own = this.#options.attributes();
    return byId.map(({ id, learner, meta }) => {
      const { name, clientUrls } = id === this.memberId && own !== null ? own : meta;
      const peerUrls = meta.peerUrls.length === 0 && id === this.memberId ? (own?.peerUrls ?? []) : meta.peerUrls;
      return { id, name, peerUrls, clientUrls, learner };
    });
  }

  async addMember(peerUrls: readonly string[], learner: boolean): Promise<PeerInfo> {
    const added = await this.#membership.add(peerUrls, learner);
    await this.readBarrier(); // so that this member's own list has it
    return this.members().find(({ id }) => id === added.id) ?? added;
  }

  async removeMember(id: string): Promise<void> {
    await this.#membership.remove(id);
    if (id !== this.memberId) await this.readBarrier();
  }

  async updateMember(id: string, peerUrls: readonly string[]): Promise<void> {
    await this.#membership.update(id, peerUrls);
    await this.readBarrier();
  }

  async promoteMember(id: string): Promise<void> {
    await this.#membership.promote(id);
    await this.readBarrier();
  }

  moveLeader(to: string): Promise<void> {
    return this.#membership.moveLeader(to);
  }

  /** Answers what was acknowledged, refuses the rest, and lets go of the storage. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await Promise.allSettled([this.#snapshotting, this.#compacting]);
    await this.#consensus.stop();
    for (const waiter of this.#waiters.values()) waiter.reject(errStopped());
    this.#waiters.clear();
  }
}

/** Errors of asking the leader after which asking again cannot do a thing twice. */
const CERTAINLY_NOT_DONE = new Set(["noLeader", "notLeader", "notSent"]);

/** A command of a leader's own was cut short by the end of its office. */
const DEPOSED = new Set(["notLeader", "leaderChanged"]);

/** @throws QuorateError notLeader when nothing was done because this member does not lead */
function led<T>(done: T | undefined): T {
  if (done === undefined) throw errNotLeader();
  return done;
}

/** What a leader does on its own account, bound to its term. */
function isLeadersOwn(body: CommandBody): boolean {
  const { kind } = body;
  return (kind === "leaseRevoke" && body.term !== 0) || kind === "leaseCheckpoint" || kind === "hashMark" || kind === "hashVerify";
}
