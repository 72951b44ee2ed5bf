/**
 * Consensus among members: drives the pure raft core with a log, a transport and ticks (dissertation §3, §10.2). It owns no timer;
 * `tick` comes from the runtime by way of the replica.
 *
 * The loop: whatever happened, `#pump` takes each Ready of the core. Messages that may leave at once leave, entries and hard state go
 * to the log, and when that is durable the core hears of it and the messages that had to wait leave. Several writes may be under way;
 * the log keeps their order. Applying is synchronous, in order, each entry once a run.
 */
import { QuorateError, errLeaderChanged, errNoLeader, errStopped, errTimeout } from "../errors.ts";
import { assert, must } from "../invariant.ts";
import { type ConfigChange, foundingLog, membersOf } from "../raft/config-change.ts";
import { DEFAULT_LIMITS, type Limits } from "../raft/limits.ts";
import { type Message, isMessage } from "../raft/messages.ts";
import { RaftNode } from "../raft/node.ts";
import { Xoshiro128 } from "../raft/prng.ts";
import type { Ready } from "../raft/ready.ts";
import type { Status } from "../raft/status.ts";
import type { Config, Index, NodeId, SnapshotMeta, Term } from "../raft/types.ts";
import type { Consensus, ConsensusHost, ConsensusMember, ConsensusStatus, MemberMeta, Proposed } from "./consensus-port.ts";
import type { Identity, LogStorage } from "./log-storage-port.ts";
import type { PeerAddress, Transport } from "./transport-port.ts";

export interface RaftConsensusOptions {
  readonly storage: LogStorage;
  readonly transport: Transport;
  /** Used when the storage is new. */
  readonly newIdentity: () => Identity;
  /** The founding members, when this cluster is new; empty for a member that joins one. */
  readonly founding: readonly { readonly id: NodeId; readonly meta: MemberMeta }[];
  /** Index of the entry that added this member; 0 for a founding member. */
  readonly joinIndex: Index;
  /** Where to reach the members before the log has told: for a member that joins. */
  readonly bootstrapPeers: readonly PeerAddress[];
  readonly limits?: Partial<Limits>;
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

/** Writes under way at most; more proposals gather meanwhile and go together. */
const WRITES_MAX = 2;

export function parseMemberMeta(text: string | undefined): MemberMeta {
  if (text === undefined || text === "") return { name: "", peerUrls: [], clientUrls: [] };
  return JSON.parse(text) as MemberMeta;
}

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
  #term: Term = 0;
  #leader: NodeId | null = null;
  #applied: Index = 0;
  /** Readys whose write is under way, oldest first. */
  #writes: { readonly seq: number; durable: boolean; readonly after: readonly Message[] }[] = [];
  #config: { current: Config; index: Index; committed: boolean };
  /** Configurations by the index that set them, oldest first: a snapshot needs the one as of its place. */
  #configs: { readonly index: Index; readonly config: Config }[] = [];
  #readCount = 0;
  #round: ReadRound | null = null;
  /** When the question of the round is asked anew, in ticks. */
  #retryAt = 0;
  #nextRound: ReadRound | null = null;
  #changes: PendingChange[] = [];
  #installing: string | null = null;
  #idle: (() => void)[] = [];

  constructor(options: RaftConsensusOptions) {
    this.#options = options;
    this.#storage = options.storage;
    this.#transport = options.transport;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
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
    let { hard, entries } = recovered;
    this.#boot = recovered.boot;
    this.#identity = recovered.identity;
    if (this.#identity === null) {
      this.#identity = this.#options.newIdentity();
      await this.#storage.initialise(this.#identity);
    }
    const { founding } = this.#options;
    if (hard.term === 0 && entries.length === 0 && recovered.snapshot === null && founding.length > 0) {
      const first = foundingLog(founding.map(({ id, meta }) => ({ id, meta: JSON.stringify(meta) })));
      await this.#storage.append(first, true);
      ({ hard, entries } = first);
    }
    if (recovered.repairs.length > 0) this.#options.onRepairs?.(recovered.repairs);
    if (recovered.snapshot) {
      await host.restore(recovered.snapshot, this.#storage.readSnapshot(recovered.snapshot.id));
      this.#configs.push({ index: recovered.snapshot.configIndex, config: recovered.snapshot.config });
      this.#applied = recovered.snapshot.index;
    }
    this.#node = new RaftNode({
      id: this.#identity.memberId,
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
        joinIndex: this.#options.joinIndex,
      },
    });
    const status = this.#node.status();
    this.#setConfig({ current: status.config, index: 0, committed: true });
    await this.#transport.start({
      message: (from, message) => this.#message(from, message),
      call: (from, request) => must(this.#host, () => "a call before start").answer(from, request),
      greet: () => ({ clusterId: this.identity.clusterId, members: this.members() }),
      readSnapshot: (id) => this.#storage.readSnapshot(id),
      unreachable: (peer) => {
        if (this.#node === null || this.#stopped) return;
        this.#node.unreachable(peer);
        this.#planPump();
      },
    });
    if (status.config.voters.length === 0) this.#transport.setPeers(this.#options.bootstrapPeers);
    this.#pump();
    // A voter alone has nobody to wait for.
    if (status.config.voters.length === 1 && status.config.voters[0] === this.#identity.memberId) {
      this.#node.campaign();
      this.#pump();
    }
  }

  members(): readonly ConsensusMember[] {
    const { voters, learners, meta } = this.#config.current;
    return [...voters, ...learners].map((id) => ({ id, learner: learners.includes(id), meta: parseMemberMeta(meta[id]) }));
  }

  async stop(): Promise<void> {
    if (this.#leading) this.#handOver();
    this.#stopped = true;
    if (this.#writes.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#failReads(errStopped());
    this.#failChanges(errStopped());
    this.#host = null;
    await this.#transport.stop();
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

  #message(from: NodeId, message: unknown): void {
    if (this.#node === null || this.#stopped) return;
    if (!isMessage(message) || message.from !== from) {
      this.#options.onNotice("warn", "a peer sent what is no message; it was dropped", { from });
      return;
    }
    this.#node.step(message);
    this.#planPump();
  }

  propose(data: Uint8Array): Proposed {
    if (this.#node === null || this.#stopped) return { ok: false, why: "stopped", leader: null };
    const proposed = this.#node.propose([data]);
    if (proposed.ok) {
      this.#planPump();
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

  #planPump(): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    queueMicrotask(() => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#pumping || this.#host === null || this.#node === null) return;
    this.#pumping = true;
    try {
      while (this.#writes.length < WRITES_MAX && this.#node.hasReady()) this.#handle(this.#node.ready());
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
  }

  #handle(ready: Ready): void {
    const node = this.#node!;
    if (ready.config) this.#setConfig(ready.config);
    for (const message of ready.send) this.#transport.send(message.to, message);
    if (ready.hard !== undefined || ready.entries.length > 0) {
      const write = { seq: ready.seq, durable: false, after: ready.sendAfterPersist };
      this.#writes.push(write);
      const batch = ready.hard === undefined ? { entries: ready.entries } : { hard: ready.hard, entries: ready.entries };
      this.#storage.append(batch, ready.mustSync).then(
        () => {
          write.durable = true;
          this.#written();
        },
        (error: unknown) => this.#fail(error),
      );
    } else if (this.#writes.length > 0) {
      this.#writes.push({ seq: ready.seq, durable: true, after: ready.sendAfterPersist });
    } else {
      node.persisted(ready.seq);
      for (const message of ready.sendAfterPersist) this.#transport.send(message.to, message);
    }
    if (ready.apply.length > 0) this.#apply(ready.apply);
    if (ready.soft) this.#office(ready.soft);
    for (const { ctx, index } of ready.reads) this.#confirmed(ctx, index);
    for (const { ctx } of ready.readsFailed) {
      if (this.#round?.ctx === ctx) this.#retryAt = this.#ticks + 1; // a new question, to whoever leads by then
    }
    if (ready.install) this.#install(ready.install);
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
    if (!changed && !known) return;
    if (!leading) this.#failChanges(errLeaderChanged());
    this.#host!.officeChanged(leading, soft.term, soft.leader);
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
    const { current, index, committed } = config;
    this.#configs = this.#configs.filter((one) => one.index < index);
    this.#configs.push({ index, config: current });
    const others = membersOf(current).filter((id) => id !== this.identity.memberId);
    if (others.length > 0 || committed) {
      this.#transport.setPeers(others.map((id) => ({ id, urls: parseMemberMeta(current.meta[id]).peerUrls })));
    }
    if (!committed || current.outgoing.length > 0) return;
    for (const change of this.#changes.splice(0)) change.resolve();
  }

  /** Resolves when the change is committed and no longer joint. @throws QuorateError notLeader, or why the change is refused */
  changeMembership(change: ConfigChange): Promise<void> {
    if (this.#node === null || this.#stopped) return Promise.reject(errStopped());
    const proposed = this.#node.proposeConfig(change);
    if (!proposed.ok) return Promise.reject(errChangeRefused(proposed.why));
    return new Promise((resolve, reject) => {
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

  /** The configuration in force at a place of the log, and the index that set it. */
  #configAt(index: Index): { readonly index: Index; readonly config: Config } {
    const found = this.#configs.findLast((one) => one.index <= index);
    return found ?? { index: 0, config: this.#config.current };
  }

  async snapshot(
    meta: { readonly index: Index; readonly term: Term; readonly id: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<SnapshotMeta> {
    const { index: configIndex, config } = this.#configAt(meta.index);
    const done = await this.#write({ ...meta, size: 0, configIndex, config }, chunks);
    const node = must(this.#node, () => "a snapshot before start");
    if (this.#host === null) return done;
    node.compacted(done);
    this.#pump();
    const { first } = node.status();
    await this.#storage.compact(Math.min(done.index, first - 1));
    return done;
  }

  async #write(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<SnapshotMeta> {
    const writer = await this.#storage.createSnapshot(meta);
    try {
      for await (const chunk of chunks) await writer.write(chunk);
      return await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  /** Fetches what the leader offers. A newer offer takes the place of a running one, which then ends by itself. */
  #install({ meta, from }: NonNullable<Ready["install"]>): void {
    if (this.#installing === meta.id) return;
    this.#installing = meta.id;
    this.#fetch(meta, from).then(
      (ok) => this.#installed(meta.id, ok),
      (error: unknown) => {
        this.#options.onNotice("warn", "fetching a snapshot failed and is tried again", { from, snapshot: meta.id, error: String(error) });
        this.#installed(meta.id, false);
      },
    );
  }

  async #fetch(meta: SnapshotMeta, from: NodeId): Promise<boolean> {
    const wanted = () => this.#installing === meta.id && this.#host !== null;
    const source = this.#transport.fetchSnapshot(from, meta.id);
    const whileWanted = async function* () {
      for await (const chunk of source) {
        if (!wanted()) throw errLeaderChanged();
        yield chunk;
      }
    };
    await this.#write(meta, whileWanted());
    if (!wanted()) return false;
    await this.#host!.restore(meta, this.#storage.readSnapshot(meta.id));
    this.#applied = meta.index;
    this.#configs = [{ index: meta.configIndex, config: meta.config }];
    return true;
  }

  #installed(id: string, ok: boolean): void {
    if (this.#installing === id) this.#installing = null;
    if (this.#host === null || this.#node === null) return;
    this.#node.snapshotInstalled(id, ok);
    this.#pump();
  }

  // ---- how it is

  status(): ConsensusStatus {
    if (this.#node === null) return { leader: null, leading: false, term: 0, commit: 0, applied: 0, last: 0 };
    const { leader, role, term, commit, last } = this.#node.status();
    return { leader, leading: role === "leader", term, commit, applied: this.#applied, last };
  }

  /** Everything the core knows, for metrics and operators. */
  raftStatus(): Status {
    assert(this.#node !== null, () => "status asked for before start");
    return this.#node.status();
  }
}

function errChangeRefused(why: string): QuorateError {
  return new QuorateError("failedPrecondition", "changeRefused", `etcdserver: the change is refused: ${why}`, { why });
}
