/**
 * Consensus among members: drives the pure raft core with a log, a transport and ticks (dissertation §3, §10.2). It owns no timer;
 * `tick` comes from the runtime by way of the replica.
 *
 * The loop: whatever happened, `#pump` takes each Ready of the core. Messages that may leave at once leave, entries and hard state go
 * to the log, and when that is durable the core hears of it and the messages that had to wait leave. Several writes may be under way;
 * the log keeps their order. Applying is synchronous, in order, each entry once a run.
 */
import { QuorateError, errLeaderChanged, errNoLeader, errStopped, errTimeout, isQuorateError } from "../errors.ts";
import { InvariantError, must } from "../invariant.ts";
import { type ConfigChange, foundingLog, isGone, membersOf } from "../raft/config-change.ts";
import { DEFAULT_LIMITS, type Limits } from "../raft/limits.ts";
import { type Message, isMessage } from "../raft/messages.ts";
import { RaftNode } from "../raft/node.ts";
import { Xoshiro128 } from "../raft/prng.ts";
import type { Ready } from "../raft/ready.ts";
import type { Status } from "../raft/status.ts";
import type { Config, Entry, Index, NodeId, SnapshotMeta, Term } from "../raft/types.ts";
import {
  type Consensus,
  type ConsensusHost,
  type ConsensusMember,
  type ConsensusStatus,
  type MemberMeta,
  type Proposed,
  formatMemberMeta,
  parseMemberMeta,
} from "./consensus-port.ts";
import type { Identity, LogStorage, Recovered } from "./log-storage-port.ts";
import type { PeerAddress, PeerClaim, PeerRefusal, Transport } from "./transport-port.ts";

/** How a member begins that has no log yet. */
export interface Beginning {
  readonly identity: Identity;
  /** The founding members, when this cluster is new; empty for a member that joins one. */
  readonly founding: readonly { readonly id: NodeId; readonly meta: MemberMeta }[];
  /** Index of the entry that added this member, or a later one; 0 for a founding member. */
  readonly joinIndex: Index;
  /** Where to reach the members before the log has told: for a member that joins. */
  readonly bootstrapPeers: readonly PeerAddress[];
}

export interface RaftConsensusOptions {
  readonly storage: LogStorage;
  readonly transport: Transport;
  /**
   * Asked when the log is empty.
   * @param known who the storage belongs to, when an earlier start got that far: the answer has to have the same identity
   */
  readonly begin: (known: Identity | null) => Promise<Beginning>;
  readonly limits?: Partial<Limits>;
  /** See `SoloOptions.defer`. */
  readonly defer?: (task: () => void) => void;
  /** Chance for election timeouts: a random whole number below 2^53. */
  readonly seed: number;
  /** Told what recovery had to repair, one sentence each. */
  readonly onRepairs?: (repairs: readonly string[]) => void;
  readonly onNotice: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
}

/** Reads that one question to the leader confirms. */
interface ReadRound {
  readonly ctx: string;
  readonly since: number;
  index: Index | null;
  readonly waiting: { readonly resolve: () => void; readonly reject: (error: QuorateError) => void }[];
}

/** A membership change that waits until its last configuration is committed. */
interface PendingChange {
  readonly resolve: () => void;
  readonly reject: (error: QuorateError) => void;
}

/** A read that no leader confirms fails after so many election timeouts. */
const READ_ELECTIONS_MAX = 5;

/** Writes of entries under way at most: what comes meanwhile gathers and shares the next one. */
const WRITES_MAX = 1;

export class RaftConsensus implements Consensus {
  readonly #options: RaftConsensusOptions;
  readonly #storage: LogStorage;
  readonly #transport: Transport;
  readonly #limits: Limits;
  #host: ConsensusHost | null = null;
  #identity: Identity | null = null;
  #node: RaftNode | null = null;
  #boot = 0;
  #stopped = false;
  #pumping = false;
  #pumpPlanned = false;
  #ticks = 0;
  #leading = false;
  /**
   * This member leads and is the only voter: nobody else can take office or commit, so that what is applied here is the newest, once
   * all that earlier terms committed is applied.
   */
  #alone = false;
  #members: readonly ConsensusMember[] = [];
  /** The log's end when this member took office. */
  #servesFrom: Index = 0;
  #term: Term = 0;
  #leader: NodeId | null = null;
  #applied: Index = 0;
  /** Readys whose write is under way, oldest first. */
  #writes: { readonly seq: number; readonly since: number; durable: boolean; readonly after: readonly Message[] }[] = [];
  /** The disk was found hanging, and an operator was told. */
  #stalled = false;
  #config: { current: Config; index: Index; committed: boolean };
  /** Newest opening of each peer's storage that was claimed on a connection. */
  readonly #boots = new Map<NodeId, number>();
  /** Peers whose connection broke, and of whom nothing came since: sooner known than by the core's clock. */
  readonly #lost = new Set<NodeId>();
  #removed = false;
  #readCount = 0;
  #round: ReadRound | null = null;
  /** When the question of the round is asked anew, in ticks. */
  #retryAt = 0;
  #nextRound: ReadRound | null = null;
  #changes: PendingChange[] = [];
  /** The snapshot that is wanted from a peer. */
  #installing: string | null = null;
  /** A fetched snapshot is on the disk and not yet the state: what is applied meanwhile is in it. */
  #restoring = false;
  /** Snapshots are written one at a time, fetched ones and own ones alike. */
  #snapshotWork: Promise<unknown> = Promise.resolve();
  #idle: (() => void)[] = [];

  constructor(options: RaftConsensusOptions) {
    this.#options = options;
    this.#storage = options.storage;
    this.#transport = options.transport;
    this.#limits = { ...DEFAULT_LIMITS, maxUnpersistedReadys: WRITES_MAX, ...options.limits };
    const empty: Config = { voters: [], outgoing: [], learners: [], learnersNext: [], removed: [], meta: {} };
    this.#config = { current: empty, index: 0, committed: true };
  }

  get identity(): Identity {
    return must(this.#identity, () => "identity asked for before start");
  }

  /** Openings of the storage, this one included. */
  get boot(): number {
    return this.#boot;
  }

  get config(): Config {
    return this.#config.current;
  }

  // ---- start and stop

  async start(host: ConsensusHost): Promise<void> {
    this.#host = host;
    const recovered = await this.#storage.open();
    this.#boot = recovered.boot;
    if (recovered.repairs.length > 0) this.#options.onRepairs?.(recovered.repairs);
    const { hard, entries, beginning } = await this.#begin(recovered);
    if (recovered.snapshot) {
      await host.restore(recovered.snapshot, this.#storage.readSnapshot(recovered.snapshot.id));
      this.#applied = recovered.snapshot.index;
    }
    this.#node = new RaftNode({
      id: this.identity.memberId,
      limits: this.#limits,
      prng: new Xoshiro128(this.#options.seed),
      preVote: true,
      checkQuorum: true,
      reads: "quorum",
      maxClockDriftPpm: 100_000,
      priority: 100,
      restored: {
        hard,
        snapshot: recovered.snapshot,
        entries: [...entries],
        applied: recovered.snapshot?.index ?? 0,
        boot: recovered.boot,
        // After a restart half way it is forgotten, which does no harm: ids are never used again (see Membership), so that no
        // configuration before the entry that added this member names it, and who is in none does not campaign.
        joinIndex: beginning?.joinIndex ?? 0,
      },
    });
    const status = this.#node.status();
    this.#setConfig({ current: status.config, index: status.configIndex, committed: status.configIndex <= status.commit });
    await this.#transport.start({
      message: (from, message) => this.#message(from, message),
      // A member that failed or stops may still be asked: its transport ends a moment later.
      call: (from, request) => this.#host?.answer(from, request) ?? Promise.reject(errStopped()),
      greet: () => ({ clusterId: this.identity.clusterId, members: this.members(), configIndex: this.#config.index }),
      admit: (peer) => this.#admit(peer),
      turnedAway: (by, refusal) => this.#turnedAway(by, refusal),
      readSnapshot: (id, offset) => behind(offset, this.#storage.readSnapshot(id)),
      unreachable: (peer) => {
        if (this.#node === null || this.#stopped) return;
        this.#lost.add(peer);
        this.#node.unreachable(peer);
        this.#planPump();
      },
      gone: (peer) => {
        if (this.#node === null || this.#stopped) return;
        this.#node.leaderGone(peer);
        this.#planPump();
      },
    });
    if (membersOf(status.config).length !== 1) await this.#transport.listen();
    if (status.config.voters.length === 0) this.#transport.setPeers(beginning?.bootstrapPeers ?? []);
    this.#pump();
    // A voter alone has nobody to wait for.
    if (status.config.voters.length === 1 && status.config.voters[0] === this.identity.memberId) {
      this.#node.campaign();
      this.#pump();
    }
  }

  /** What the log begins with: what was recovered, or for a new member what the founders agreed on. */
  async #begin(recovered: Recovered): Promise<{ hard: Recovered["hard"]; entries: readonly Entry[]; beginning?: Beginning }> {
    const { hard, entries, snapshot, identity } = recovered;
    this.#identity = identity;
    if (entries.length > 0 || snapshot !== null) {
      const adopted = this.#adopted(recovered);
      if (adopted === null) return { hard, entries };
      await this.#storage.append(adopted, true);
      return { hard: adopted.hard, entries: [...entries, ...adopted.entries] };
    }
    const beginning = await this.#options.begin(identity);
    if (identity === null) {
      this.#identity = beginning.identity;
      await this.#storage.initialise(beginning.identity);
    }
    const { founding } = beginning;
    if (founding.length === 0) return { hard, entries, beginning };
    const first = foundingLog(founding.map(({ id, meta }) => ({ id, meta: formatMemberMeta(meta) })));
    // A term that was voted in already must not be forgotten.
    if (hard.term > first.hard.term) first.hard = { ...hard, commit: first.hard.commit };
    await this.#storage.append(first, true);
    return { ...first, beginning };
  }

  /**
   * A log that a member alone wrote without Raft (`Solo`, or a release before clusters) names no configuration. All of it is committed;
   * it goes on as that of a cluster of this one member.
   */
  #adopted({ hard, entries, snapshot }: Recovered): { hard: Recovered["hard"]; entries: Entry[] } | null {
    const { memberId } = this.identity;
    // Who joins a cluster may have a part of its log that does not name it yet, or names nobody: but it has not voted for itself.
    if (hard.vote !== memberId || entries.some((entry) => entry.kind === "config")) return null;
    if (snapshot !== null && !isOwnAlone(snapshot.config, memberId)) return null;
    const last = entries.at(-1)?.index ?? snapshot?.index ?? 0;
    const alone = foundingLog([{ id: memberId, meta: formatMemberMeta({ name: "", peerUrls: [], clientUrls: [] }) }]);
    const entry: Entry = { ...alone.entries[0]!, index: last + 1, term: hard.term };
    this.#options.onNotice("info", "the log of a member alone goes on as that of a cluster of one", { index: entry.index });
    return { hard: { ...hard, commit: entry.index }, entries: [entry] };
  }

  members(): readonly ConsensusMember[] {
    return this.#members;
  }

  async stop(): Promise<void> {
    if (this.#leading) this.#handOver();
    this.#stopped = true;
    this.#installing = null;
    // Of a device that failed nothing is waited for.
    if (this.#writes.length > 0 && this.#host !== null) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#failReads(errStopped());
    this.#failChanges(errStopped());
    this.#host = null;
    await this.#transport.stop();
    await this.#snapshotWork;
    await this.#storage.close();
  }

  /** Leaving in order: the most caught-up voter is asked to take over; nobody waits for it. */
  #handOver(): void {
    const { config, progress, id } = this.#node!.status();
    const others = config.voters.filter((voter) => voter !== id && progress[voter]?.active === true);
    others.sort((a, b) => progress[b]!.match - progress[a]!.match);
    if (others[0] === undefined) return;
    this.#node!.transferLeadership(others[0]);
    this.#pump();
  }

  // ---- input

  tick(ticks: number): void {
    if (this.#node === null || this.#stopped) return;
    this.#ticks += ticks;
    this.#node.tick(ticks);
    this.#pump();
    this.#upholdReads();
    this.#watchDisk();
  }

  /** The core hands over by itself when the leader's disk hangs; a person has to know too. */
  #watchDisk(): void {
    const stalled = this.#diskProblem() !== null;
    if (stalled === this.#stalled) return;
    this.#stalled = stalled;
    this.#options.onNotice(stalled ? "warn" : "info", this.#diskProblem() ?? "the disk finishes its writes again");
  }

  #diskProblem(): string | null {
    const oldest = this.#writes[0];
    if (oldest === undefined || this.#ticks - oldest.since <= this.#limits.diskStallTicks) return null;
    return "the disk does not finish a write of the log: this member can neither lead nor vote";
  }

  /** A question that failed is asked again, as a new one; one that was lost too, after an election's time. None waits for ever. */
  #upholdReads(): void {
    for (const round of [this.#round, this.#nextRound]) {
      if (round !== null && this.#ticks - round.since > READ_ELECTIONS_MAX * this.#limits.electionTicks) {
        this.#settleRound(round, this.#leader === null ? errNoLeader() : errTimeout());
      }
    }
    const round = this.#round;
    if (round === null || round.index !== null || this.#ticks < this.#retryAt) return;
    this.#round = null;
    this.#ask(round.waiting, round.since);
  }

  #message(from: NodeId, message: unknown): boolean {
    if (!isMessage(message) || message.from !== from) return false;
    if (this.#node === null || this.#stopped) return true;
    this.#lost.delete(from);
    this.#node.step(message);
    this.#planPump();
    return true;
  }

  propose(data: Uint8Array): Proposed {
    if (this.#node === null || this.#stopped) return { ok: false, why: "stopped", leader: null };
    const proposed = this.#node.propose([data]);
    if (proposed.ok) {
      this.#planPump(this.#options.defer);
      return { ok: true, term: proposed.term, index: proposed.first };
    }
    switch (proposed.why) {
      case "uncommitted-limit":
        return { ok: false, why: "overloaded", leader: proposed.leader };
      default:
        return { ok: false, why: "notLeader", leader: proposed.why === "transferring" ? null : proposed.leader };
    }
  }

  /** Sends a question to the leader. @throws QuorateError noLeader, notSent (certainly not done), timeout (unknown), or the leader's */
  askLeader(request: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#leader === null || this.#leader === this.identity.memberId) return Promise.reject(errNoLeader());
    return this.#transport.call(this.#leader, request, timeoutMs);
  }

  // ---- reads

  readBarrier(): Promise<void> | undefined {
    if (this.#node === null || this.#stopped) throw errStopped();
    if (this.#alone && this.#applied >= this.#servesFrom) return undefined;
    if (this.#round !== null) {
      // What is on its way was asked before this read began: it could be too old. The next one serves all that come meanwhile.
      this.#nextRound ??= { ctx: "", since: this.#ticks, index: null, waiting: [] };
      return this.#join(this.#nextRound);
    }
    const round = this.#ask();
    if (this.#round !== round) return undefined; // confirmed at once: the only voter, or a lease
    return this.#join(round);
  }

  #join(round: ReadRound): Promise<void> {
    return new Promise((resolve, reject) => round.waiting.push({ resolve, reject }));
  }

  #ask(waiting: ReadRound["waiting"] = [], since = this.#ticks): ReadRound {
    const ctx = `${this.identity.memberId}.${this.#boot}.${++this.#readCount}`;
    const round: ReadRound = { ctx, since, index: null, waiting: [...waiting] };
    this.#round = round;
    this.#retryAt = this.#ticks + this.#limits.electionTicks;
    if (!this.#node!.readIndex(ctx).ok) this.#retryAt = this.#ticks + 1;
    this.#pump();
    return round;
  }

  #confirmed(ctx: string, index: Index): void {
    const round = this.#round;
    if (round?.ctx !== ctx) return;
    round.index = index;
    this.#releaseRound();
  }

  #releaseRound(): void {
    const round = this.#round;
    if (round === null || round.index === null || round.index > this.#applied) return;
    this.#settleRound(round, null);
  }

  #settleRound(round: ReadRound, error: QuorateError | null): void {
    if (round === this.#round) this.#round = null;
    else if (round === this.#nextRound) this.#nextRound = null;
    for (const { resolve, reject } of round.waiting) {
      if (error === null) resolve();
      else reject(error);
    }
    const next = this.#nextRound;
    if (this.#round !== null || next === null || this.#stopped || this.#host === null) return;
    this.#nextRound = null;
    queueMicrotask(() => {
      if (this.#stopped || this.#host === null) {
        for (const { reject } of next.waiting) reject(errStopped());
      } else if (this.#round === null) this.#ask(next.waiting);
      else {
        this.#nextRound ??= { ctx: "", since: this.#ticks, index: null, waiting: [] };
        this.#nextRound.waiting.push(...next.waiting);
      }
    });
  }

  #failReads(error: QuorateError): void {
    const rounds = [this.#nextRound, this.#round];
    this.#round = this.#nextRound = null;
    for (const round of rounds) for (const { reject } of round?.waiting ?? []) reject(error);
  }

  // ---- the loop

  /** @param defer what is handed over until it runs shares one write and one message */
  #planPump(defer: (task: () => void) => void = queueMicrotask): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    defer(() => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#pumping || this.#host === null || this.#node === null) return;
    this.#pumping = true;
    try {
      while (this.#node.hasReady()) this.#handle(this.#node.ready());
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
  }

  #handle(ready: Ready): void {
    if (ready.config) this.#setConfig(ready.config);
    for (const message of ready.send) this.#transport.send(message.to, message);
    this.#persist(ready);
    if (ready.apply.length > 0) this.#apply(ready.apply);
    if (ready.soft) this.#office(ready.soft);
    for (const { ctx, index } of ready.reads) this.#confirmed(ctx, index);
    for (const { ctx } of ready.readsFailed) {
      if (this.#round?.ctx === ctx) this.#retryAt = this.#ticks + 1; // a new question, to whoever leads by then
    }
    if (ready.install) this.#install(ready.install);
  }

  #persist({ seq, hard, entries, mustSync, sendAfterPersist: after }: Ready): void {
    const batch = hard === undefined ? { entries } : { hard, entries };
    if (mustSync) {
      const write = { seq, since: this.#ticks, durable: false, after };
      this.#writes.push(write);
      this.#storage.append(batch, true).then(
        () => {
          write.durable = true;
          this.#written();
        },
        (error: unknown) => this.#fail(error),
      );
      return;
    }
    // The commit index is a hint: nobody waits for it.
    if (hard !== undefined) this.#storage.append(batch, false).catch((error: unknown) => this.#fail(error));
    if (after.length === 0) return;
    if (this.#writes.length > 0) {
      this.#writes.push({ seq, since: this.#ticks, durable: true, after });
      return;
    }
    this.#node!.persisted(seq);
    for (const message of after) this.#transport.send(message.to, message);
  }

  /** Readys count as persisted in their order, so that nothing leaves before what it stands on. */
  #written(): void {
    if (this.#host === null || this.#node === null) return;
    let last: number | null = null;
    const after: Message[] = [];
    while (this.#writes[0]?.durable === true) {
      const write = this.#writes.shift()!;
      last = write.seq;
      after.push(...write.after);
    }
    if (last !== null) this.#node.persisted(last);
    for (const message of after) this.#transport.send(message.to, message);
    this.#pump();
    if (this.#writes.length === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #apply(entries: Ready["apply"]): void {
    if (this.#restoring) return; // no further than the snapshot, which is about to be the state
    this.#host!.apply(entries);
    this.#applied = entries.at(-1)!.index;
    this.#node!.applied(this.#applied);
    this.#releaseRound();
  }

  #office(soft: NonNullable<Ready["soft"]>): void {
    const leading = soft.role === "leader";
    const changed = leading !== this.#leading || (leading && soft.term !== this.#term);
    const known = soft.leader !== this.#leader;
    this.#term = soft.term;
    this.#leader = soft.leader;
    this.#leading = leading;
    if (changed) this.#servesFrom = this.#node!.status().last;
    this.#lookAround();
    if (!changed && !known) return;
    if (!leading) this.#failChanges(errLeaderChanged());
    this.#host!.officeChanged(leading, soft.term, soft.leader);
  }

  /** What follows from configuration and office, kept because it is asked for with every request. */
  #lookAround(): void {
    const { voters, outgoing, learners, learnersNext, meta } = this.#config.current;
    const nonVoters = [...learners, ...learnersNext];
    this.#members = [...voters, ...nonVoters].map((id) => ({ id, learner: nonVoters.includes(id), meta: parseMemberMeta(meta[id]) }));
    this.#alone = this.#leading && outgoing.length === 0 && voters.length === 1 && voters[0] === this.identity.memberId;
  }

  #fail(error: unknown): void {
    const host = this.#host;
    this.#host = null;
    this.#stopped = true;
    this.#failReads(errStopped());
    this.#failChanges(errStopped());
    for (const resolve of this.#idle.splice(0)) resolve();
    host?.failed(error instanceof Error ? error : new Error(String(error)));
  }

  // ---- membership

  #setConfig(config: { current: Config; index: Index; committed: boolean }): void {
    this.#config = config;
    for (const id of this.#boots.keys()) if (!membersOf(config.current).includes(id)) this.#boots.delete(id);
    this.#lookAround();
    const { current, committed } = config;
    const others = membersOf(current).filter((id) => id !== this.identity.memberId);
    if (others.length > 0 || (committed && current.voters.length > 0)) {
      this.#transport.setPeers(others.map((id) => ({ id, urls: parseMemberMeta(current.meta[id]).peerUrls })));
    }
    if (!committed || current.outgoing.length > 0) return;
    for (const change of this.#changes.splice(0)) change.resolve();
    if (isGone(current, this.identity.memberId)) this.#leaveForGood();
  }

  #leaveForGood(): void {
    if (this.#removed) return;
    this.#removed = true;
    queueMicrotask(() => this.#host?.removed());
  }

  #admit({ id, boot, diskId }: PeerClaim): PeerRefusal | null {
    const { current, committed } = this.#config;
    if (committed && isGone(current, id)) return { kind: "removed", message: `member ${id} was removed from the cluster` };
    const agreed = parseMemberMeta(this.#agreed()?.meta[id]);
    if (isOtherDisk(agreed, diskId)) {
      return { kind: "replaced", message: `member ${id} comes with another disk than it had: remove it, and add it as a new member` };
    }
    if (boot < (agreed.boot ?? 0)) {
      return { kind: "stale", message: `member ${id} comes with an older boot than before: a copy of an old disk` };
    }
    // What is not agreed on yet, as far as this member knows, or was only claimed on some connection, ends nobody: not now, it says.
    const newest = parseMemberMeta(current.meta[id]);
    if (isOtherDisk(newest, diskId) || boot < Math.max(newest.boot ?? 0, this.#boots.get(id) ?? 0)) {
      return { kind: "stranger", message: `somebody with another disk or a newer boot has called itself member ${id} here` };
    }
    if (membersOf(current).includes(id)) this.#boots.set(id, boot);
    return null;
  }

  /** The configuration that a majority has agreed on, as far as this member knows. */
  #agreed(): Config | undefined {
    const { current, committed } = this.#config;
    return committed || this.#node === null ? current : this.#node.configAt(this.#node.status().commit)?.config;
  }

  #turnedAway(by: NodeId, { kind, message }: PeerRefusal): void {
    if (this.#host === null || this.#removed) return;
    if (kind === "removed") this.#leaveForGood();
    else if (kind === "replaced" || kind === "stale") {
      this.#fail(new QuorateError("failedPrecondition", "notAdmitted", `member ${by} refuses this one: ${message}`, { by, kind }));
    }
  }

  async changeMembership(change: ConfigChange): Promise<void> {
    const known = new Set(membersOf(this.#config.current));
    if (change.add?.some(({ id }) => !known.has(id)) === true) await this.#transport.listen();
    if (this.#node === null || this.#stopped) throw errStopped();
    const proposed = this.#node.proposeConfig(change);
    if (!proposed.ok) throw errChangeRefused(proposed.why);
    await new Promise<void>((resolve, reject) => {
      this.#changes.push({ resolve, reject });
      this.#planPump();
    });
  }

  #failChanges(error: QuorateError): void {
    for (const change of this.#changes.splice(0)) change.reject(error);
  }

  transferLeadership(to: NodeId): void {
    if (this.#node === null || this.#stopped) throw errStopped();
    const result = this.#node.transferLeadership(to);
    if (!result.ok) throw errChangeRefused(result.why);
    this.#pump();
  }

  // ---- snapshots

  async snapshot(
    meta: { readonly index: Index; readonly term: Term; readonly id: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<SnapshotMeta> {
    const node = must(this.#node, () => "a snapshot before start");
    // Before anything is awaited: the core keeps no configuration below what it has been told is compacted.
    const { index: configIndex, config } = must(node.configAt(meta.index), () => `no configuration at ${meta.index}`);
    const done = await this.#inTurn(() => this.#write({ ...meta, size: 0, configIndex, config }, chunks));
    if (this.#host === null) return done;
    node.compacted(done);
    this.#pump();
    const { first } = node.status();
    await this.#stored(this.#storage.compact(Math.min(done.index, first - 1)));
    return done;
  }

  /** After all other work on snapshots, whatever became of it. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#snapshotWork.then(work);
    this.#snapshotWork = done.catch(() => undefined); // the caller has the error
    return done;
  }

  async #write(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<SnapshotMeta> {
    const writer = await this.#stored(this.#storage.createSnapshot(meta));
    try {
      for await (const chunk of chunks) await this.#stored(writer.write(chunk));
      return await this.#stored(writer.commit());
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  /** A device that failed once takes nothing ever after, and a follower that only fetches snapshots would try for ever: it ends instead. */
  async #stored<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof InvariantError || (isQuorateError(error) && error.reason === "storageFailed")) this.#fail(error);
      throw error;
    }
  }

  /**
   * Fetches what the leader offers. A newer offer takes the place of one that is being fetched, which then ends at its next chunk. Once
   * a snapshot is marked in the log there is no way back: the log before it is gone, so that it becomes the state whatever came after.
   */
  #install({ meta, from }: NonNullable<Ready["install"]>): void {
    if (this.#installing === meta.id) return;
    this.#installing = meta.id;
    void this.#inTurn(async () => {
      try {
        await this.#write(meta, this.#chunksFrom(from, meta));
      } catch (error) {
        if (this.#host === null) return;
        const superseded = this.#installing !== meta.id;
        if (!superseded) this.#options.onNotice("warn", "fetching a snapshot failed and is tried again", { from, error: String(error) });
        this.#installed(meta.id, false);
        return;
      }
      await this.#restore(meta);
    });
  }

  /**
   * A stream that breaks is gone on with where it broke, as long as each attempt brings something: over a bad link a large snapshot
   * would otherwise never arrive whole.
   * @throws QuorateError leaderChanged when it is no longer wanted; what the last attempt threw; `snapshotFailed` for another size
   */
  async *#chunksFrom(from: NodeId, { id, size }: SnapshotMeta): AsyncIterable<Uint8Array> {
    let offset = 0;
    for (;;) {
      const before = offset;
      try {
        for await (const chunk of this.#transport.fetchSnapshot(from, id, offset)) {
          if (!this.#wants(id)) throw errLeaderChanged();
          offset += chunk.length;
          yield chunk;
        }
        break;
      } catch (error) {
        if (offset === before || !this.#wants(id)) throw error;
        this.#options.onNotice("info", "fetching a snapshot goes on where it broke", { from, offset, error: String(error) });
      }
    }
    if (offset !== size) throw errSnapshotSize(from, offset, size);
  }

  #wants(snapshot: string): boolean {
    return this.#installing === snapshot && this.#host !== null;
  }

  async #restore(meta: SnapshotMeta): Promise<void> {
    if (this.#host === null) return;
    this.#restoring = true;
    try {
      await this.#host.restore(meta, this.#storage.readSnapshot(meta.id));
      this.#applied = meta.index;
      this.#installed(meta.id, true);
    } catch (error) {
      this.#fail(error); // the state is the old one and the log begins after the new: nothing can be done with either
    } finally {
      this.#restoring = false;
    }
    this.#pump();
    this.#releaseRound();
  }

  #installed(id: string, ok: boolean): void {
    if (this.#installing === id) this.#installing = null;
    if (this.#host === null || this.#node === null) return;
    this.#node.snapshotInstalled(id, ok);
    if (!this.#restoring) this.#pump();
  }

  // ---- how it is

  status(): ConsensusStatus {
    if (this.#node === null) return { leader: null, leading: false, term: 0, commit: 0, applied: 0, last: 0, problem: null };
    const { leader, role, term, commit, last, amnesiac } = this.#node.status();
    const problem = amnesiac
      ? "this member lost entries that it had acknowledged, and does not vote any more: remove it, and add it as a new member"
      : this.#diskProblem();
    return { leader, leading: role === "leader", term, commit, applied: this.#applied, last, problem };
  }

  raftStatus(): Status | null {
    const status = this.#node?.status() ?? null;
    if (status === null || this.#lost.size === 0) return status;
    const progress = Object.entries(status.progress).map(([id, one]) => [id, { ...one, active: one.active && !this.#lost.has(id) }]);
    return { ...status, progress: Object.fromEntries(progress) as Status["progress"] };
  }
}

/** The configuration that `Solo` puts into its snapshots: this member, of whom nothing is told. */
function isOwnAlone({ voters, meta }: Config, memberId: NodeId): boolean {
  return voters.length === 1 && voters[0] === memberId && meta[memberId] === undefined;
}

/** What is left of a stream without its first bytes. */
async function* behind(offset: number, chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let skip = offset;
  for await (const chunk of chunks) {
    if (skip < chunk.length) yield chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
  }
}

function isOtherDisk({ diskId: known }: MemberMeta, diskId: string): boolean {
  return known !== undefined && known !== "0" && known !== diskId;
}

function errSnapshotSize(peer: NodeId, bytes: number, wanted: number): QuorateError {
  return new QuorateError("unavailable", "snapshotFailed", `member ${peer} sent ${bytes} bytes of a snapshot of ${wanted}`, { peer });
}

function errChangeRefused(why: string): QuorateError {
  return new QuorateError("failedPrecondition", "changeRefused", `etcdserver: the change is refused: ${why}`, { why });
}
