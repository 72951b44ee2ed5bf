/**
 * One member: the machine with its disk, which outlives its processes, and the process that runs on it now, if any. A process is the
 * product's own parts, wired as runtime-node wires them: Replica on RaftConsensus on FileLogStorage.
 */
import { SEGMENT_HEADER_BYTES } from "../../../adapters/file-storage/segment.ts";
import { isQuorateError } from "../../../core/errors.ts";
import { FileLogStorage } from "../../../adapters/file-storage/file-log-storage.ts";
import { DEFAULT_LIMITS } from "../../../core/raft/limits.ts";
import type { NodeId } from "../../../core/raft/types.ts";
import { type Beginning, RaftConsensus } from "../../../core/replica/raft-consensus.ts";
import { Replica } from "../../../core/replica/replica.ts";
import type { Identity } from "../../../core/replica/log-storage-port.ts";
import { SimulatedDisk, hostError } from "../../helpers/simulated-disk.ts";
import { Chance } from "../../helpers/chance.ts";
import { Violation, demand } from "../violation.ts";
import { Life } from "./life.ts";
import { RecordedConsensus } from "./ledger.ts";
import { SimulatedTransport } from "./network.ts";
import { Promises } from "./promises.ts";
import type { Simulation } from "./simulation.ts";
import { SlowDisk } from "./slow-disk.ts";
import { TICK_MS } from "./swarm.ts";
import { Observer } from "./truth.ts";

const WALL_START_MS = 1_700_000_000_000;

export type Death = "kill" | "power";

/** What runs while the process does. */
export interface Running {
  readonly life: Life;
  readonly replica: Replica;
  readonly consensus: RecordedConsensus;
  readonly raft: RaftConsensus;
  readonly transport: SimulatedTransport;
  /** It has recovered and serves. */
  ready: boolean;
}

export class Member {
  readonly name: string;
  readonly url: string;
  readonly founder: boolean;
  /** Decimal; null until a joiner has been told who it is. */
  id: NodeId | null;
  disk = new SimulatedDisk();
  running: Running | null = null;
  /** Removed from the cluster, or given up: it never comes back. */
  gone = false;
  /** What its disk held is no more, or will be refused: an operator has to put another member in its place. */
  lost = false;
  /** The files in which a bit was flipped since the last start that went well. */
  readonly #rotten = new Set<string>();
  /** Bytes that its disk can hold. */
  #capacity = Infinity;
  /** Processes so far. */
  lives = 0;
  #promises = new Promises();
  /** The disk that keeps them. */
  #promisesOn = this.disk;
  /** Speed of its clock, and how far its wall clock is off. */
  rate: number;
  wallOffset: number;
  readonly #simulation: Simulation;
  readonly #chance: Chance;

  constructor(simulation: Simulation, name: string, id: NodeId | null) {
    this.#simulation = simulation;
    this.#chance = new Chance(simulation.seed, `member ${name}`);
    this.name = name;
    this.url = `http://${name}:2380`;
    this.founder = id !== null;
    this.id = id;
    const { drift } = simulation.swarm;
    this.rate = 1 + drift * (2 * this.#chance.real() - 1);
    this.wallOffset = drift === 0 ? 0 : this.#chance.int(-60_000, 60_000);
  }

  /** Whether it may refuse to start, since a bit of its disk was flipped. */
  get isDoubtful(): boolean {
    return this.running === null && this.#rotten.size > 0;
  }

  get up(): boolean {
    return this.running?.ready === true && this.running.life.alive;
  }

  /** Milliseconds on its monotonic clock. */
  monotonicMs(): number {
    return 5000 + this.#simulation.engine.now * this.rate;
  }

  wallMs(): number {
    return Math.floor(WALL_START_MS + this.monotonicMs() + this.wallOffset);
  }

  /** Starts a process on the present disk. */
  start(): void {
    const simulation = this.#simulation;
    const life = new Life(simulation.engine, ++this.lives);
    if (this.#promisesOn !== this.disk) this.#promises = new Promises(); // another disk was put in
    this.#promisesOn = this.disk;
    this.disk.capacity = this.#capacity;
    life.mayFail = this.isFull;
    simulation.note(`${this.name} starts, life ${life.number}`);
    simulation.count(this.lives === 1 ? "start" : "restart");
    this.disk.onDeath = () => this.#died(life, "power", "in a step of the disk");
    if (this.#chance.hit(simulation.swarm.inStep * 0.1)) {
      this.disk.dieAtStep = this.disk.steps + this.#chance.int(1, 25);
      simulation.count("crash in recovery");
    }
    this.running = this.#wire(life);
    const { running } = this;
    running.replica.start().then(
      () => {
        if (!life.alive) return;
        this.#checked(() => this.#recovered(running));
        if (this.#rotten.size > 0) simulation.count("flipped bit: did no harm");
        this.#rotten.clear();
        running.ready = true;
        this.#tick(life);
        simulation.started(this);
      },
      (error: unknown) => this.#startFailed(life, error),
    );
  }

  #wire(life: Life): Running {
    const simulation = this.#simulation;
    const { swarm, engine } = simulation;
    const latency = (): number => {
      const { diskMean, diskStall } = simulation.swarm;
      if (this.#chance.hit(diskStall)) {
        simulation.count("disk stall");
        return this.#chance.exponential(20 * TICK_MS);
      }
      return this.#chance.exponential(diskMean);
    };
    const storage = new FileLogStorage({
      directory: "/data",
      segmentBytes: swarm.segmentBytes,
      schedule: (ms, act) => {
        let wanted = true;
        life.after(ms, () => wanted && act());
        return () => void (wanted = false);
      },
      fileSystem: new SlowDisk(this.disk, life, latency),
    });
    let claimed: Identity | null = null;
    const promises = this.#promises;
    const transport = new SimulatedTransport({
      network: simulation.network,
      life,
      id: this.id ?? this.url,
      onSend: (message) => this.#checked(() => promises.sent(message)),
      claim: () => ({ id: raft.identity.memberId, boot: raft.boot, diskId: raft.identity.diskId }),
    });
    const notice = (level: "info" | "warn", message: string, details?: Record<string, unknown>): void => {
      if (life.alive) simulation.note(`${this.name} ${level}: ${message} ${details === undefined ? "" : JSON.stringify(details)}`);
    };
    const raft = new RaftConsensus({
      storage,
      transport,
      begin: async (known) => {
        const beginning = await this.#begin(life, known ?? claimed);
        claimed = beginning.identity;
        return beginning;
      },
      limits: swarm.limits,
      ...(swarm.defers ? { defer: (task: () => void) => life.after(0, task) } : {}),
      seed: this.#chance.int(0, 2 ** 31 - 1),
      onRepairs: () => simulation.count(this.#rotten.size === 0 ? "recovery repaired a torn tail" : "flipped bit: passed over"),
      onNotice: notice,
    });
    const observer = new Observer(simulation.truth, this.name);
    const consensus = new RecordedConsensus({
      inner: raft,
      ledger: simulation.ledger,
      life,
      stateHash: () => replica.store.hash(),
      onOffice: (leading, term) => {
        simulation.note(`${this.name} ${leading ? "leads" : "follows"} in term ${term}`);
        if (leading) simulation.count("leader elected");
      },
      onState: (fresh) => {
        simulation.witness.state(this.name, consensus.applied, replica.store);
        observer.look(replica.store);
        for (const { command } of fresh) {
          if (command?.kind === "leaseRevoke" && command.term !== 0 && replica.store.lease(command.id) === undefined) {
            simulation.clients.expired(command.id);
          }
        }
      },
      onFault: (error) => engine.fail(error as Error),
    });
    const replica: Replica = new Replica({
      consensus,
      clock: { wallMs: () => this.wallMs(), monotonicMs: () => this.monotonicMs() },
      randomBytes: (count) => Uint8Array.from({ length: count }, () => this.#chance.int(0, 255)),
      pause: () => life.sleep(0.1),
      tickMs: TICK_MS,
      snapshotEntries: swarm.snapshotEntries,
      quotaBytes: swarm.quotaBytes,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: swarm.strictReconfigCheck,
      attributes: () => ({ name: this.name, clientUrls: [`http://${this.name}:2379`], peerUrls: [this.url] }),
      onFailed: (error) => this.#failed(life, error),
      onRemoved: () => this.#removed(life),
      onNotice: notice,
      diskBytes: () => 0,
      logReserve: () => storage.reserve(),
    });
    return { life, replica, consensus, raft, transport, ready: false };
  }

  /** As runtime-node/cluster/beginning.ts: founders know one another, a joiner asks those who are there. */
  async #begin(life: Life, known: Identity | null): Promise<Beginning> {
    const simulation = this.#simulation;
    const clusterId = "77";
    const diskId = String(this.#chance.int(1, 2 ** 31 - 1));
    if (this.founder) {
      const founding = simulation.founders.map((member) => ({
        id: member.id!,
        meta: { name: member.name, peerUrls: [member.url], clientUrls: [`http://${member.name}:2379`] },
      }));
      return { identity: known ?? { clusterId, memberId: this.id!, diskId }, founding, joinIndex: 0, bootstrapPeers: [] };
    }
    for (;;) {
      const answered = simulation.members.filter((member) => member.up && member !== this && !member.gone);
      const greeting = answered.length === 0 ? undefined : this.#chance.pick(answered).running!.transport.greet();
      const members = (greeting?.members ?? []) as { id: NodeId; meta: { peerUrls: string[] } }[];
      if (greeting !== undefined && members.some(({ id }) => id === this.id)) {
        return {
          identity: known ?? { clusterId, memberId: this.id!, diskId },
          founding: [],
          joinIndex: greeting.configIndex,
          bootstrapPeers: members.filter(({ id }) => id !== this.id).map(({ id, meta }) => ({ id, urls: meta.peerUrls })),
        };
      }
      await life.sleep(200);
    }
  }

  #tick(life: Life): void {
    const { engine, swarm } = this.#simulation;
    engine.after(TICK_MS / this.rate, () => {
      if (!life.alive) return;
      this.#tick(life);
      if (this.#chance.hit(swarm.missedTicks)) return;
      if (this.#chance.hit(swarm.wallJumps)) this.wallOffset += this.#chance.int(-10_000, 10_000);
      life.run(() => {
        this.running!.replica.tick();
        this.#checked(() => this.#bounded());
      });
    });
  }

  #recovered({ raft, consensus }: Running): void {
    const status = raft.raftStatus()!;
    this.#promises.kept(this.name, status);
    demand(
      consensus.applied <= status.commit,
      "commit is not behind",
      () => `${this.name} applied ${consensus.applied}, commit ${status.commit}`,
    );
  }

  #bounded(): void {
    const status = this.running?.raft.raftStatus();
    if (status === null || status === undefined) return;
    const limits = { ...DEFAULT_LIMITS, ...this.#simulation.swarm.limits };
    const { unpersisted, pendingReads, name } = { ...status, name: this.name };
    // One Ready more may carry what entries do not wait for; reads are bounded here and on their way to a leader.
    demand(unpersisted <= limits.maxUnpersistedReadys + 1, "bounded", () => `${name} has ${unpersisted} Readys that are not durable`);
    demand(pendingReads <= 2 * limits.maxPendingReads, "bounded", () => `${name} has ${pendingReads} pending reads`);
  }

  /** What a check finds must not look like a failure of the member. */
  #checked(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#simulation.engine.fail(error as Error);
    }
  }

  #startFailed(life: Life, error: unknown): void {
    if (!life.alive) return;
    const rotten = [...this.#rotten];
    if (rotten.length > 0 && isQuorateError(error) && error.reason === "damaged") {
      const named = String(error.details["file"]);
      const text = (): string => `${this.name}: ${rotten.join(" and ")} is damaged, and ${named} is named`;
      this.#checked(() => demand(rotten.includes(named), "damage is named", text));
      this.#simulation.count("flipped bit: refused to start");
      this.lost = this.gone = true;
      this.die("kill");
    } else if (life.mayFail) this.#failedByDisk(error as Error);
    else this.#simulation.engine.fail(new Violation("a member starts again", `${this.name}: ${String((error as Error).stack ?? error)}`));
  }

  #failed(life: Life, error: Error): void {
    if (!life.alive) return;
    this.#simulation.note(`${this.name} failed: ${error.message}`);
    if (isQuorateError(error) && error.reason === "notAdmitted" && (this.lost || life.mayFail)) {
      this.#simulation.count("ended itself: another disk, or an old copy");
      this.gone ||= this.lost;
      life.after(0, () => this.die("kill"));
      return;
    }
    if (!life.mayFail) {
      this.#simulation.engine.fail(new Violation("a member goes on", `${this.name} ended itself: ${error.stack ?? error.message}`));
      return;
    }
    life.after(0, () => this.#failedByDisk(error));
  }

  /** Whatever the disk did not do, the reason names the file. */
  #failedByDisk(error: Error): void {
    const file = isQuorateError(error) ? String(error.details["file"] ?? "") : "";
    const text = (): string => `${this.name} ended itself after a disk error without naming a file: ${error.stack}`;
    this.#checked(() => demand(file.startsWith("/data"), "damage is named", text));
    this.#simulation.count(`ended itself after a disk error${this.isFull ? ": full" : ""}`);
    this.die("kill");
  }

  #removed(life: Life): void {
    if (!life.alive) return;
    this.#simulation.count("removed for good");
    this.gone = true;
    life.after(0, () => this.die("kill"));
  }

  // ---- what happens to it

  /** The next sync fails, once. */
  breakSync(): void {
    const { running } = this;
    if (running === null) return;
    running.life.mayFail = true;
    let broken = false;
    this.disk.fault = ({ call }) => {
      if (broken || call !== "sync") return;
      broken = true;
      this.#simulation.count("disk error");
      throw hostError("EIO");
    };
  }

  get isFull(): boolean {
    return this.#capacity !== Infinity;
  }

  /** There is room for so many more bytes, until `clear`. */
  fill(bytes: number): void {
    this.#capacity = this.disk.usedBytes() + bytes;
    this.disk.capacity = this.#capacity;
    if (this.running !== null) this.running.life.mayFail = true;
  }

  clear(): void {
    this.#capacity = this.disk.capacity = Infinity;
  }

  /** A bit of what its disk holds is another one. Only while it is down: what it reads later is what it reads at its start. */
  rot(): void {
    const paths = ["/data", "/data/log", "/data/snapshots"].flatMap((directory) => this.disk.paths(directory));
    const used = (path: string): number => this.disk.content(path).findLastIndex((byte) => byte !== 0) + 1;
    const holding = paths.filter((one) => used(one) > 0 && !one.endsWith(".tmp"));
    if (holding.length === 0) return; // it had just begun
    // Half of the time at the end of the log, where damage and a torn write look most alike.
    const newest = holding.findLast((one) => one.startsWith("/data/log/") && used(one) > SEGMENT_HEADER_BYTES);
    const atEnd = newest !== undefined && this.#chance.hit(0.5);
    const path = atEnd ? newest : this.#chance.pick(holding);
    const content = Buffer.from(this.disk.content(path));
    const at = this.#chance.int(atEnd ? Math.max(SEGMENT_HEADER_BYTES, used(path) - 1024) : 0, used(path) - 1);
    content[at]! ^= 1 << this.#chance.int(0, 7);
    this.disk.replaceContent(path, content);
    this.#rotten.add(path);
    this.#simulation.note(`${this.name}: a bit of ${path} flips at byte ${at}`);
    this.#simulation.count("flipped bit");
  }

  /** Another disk is put in, with nothing on it. */
  empty(): void {
    this.disk = new SimulatedDisk();
    this.lost = true;
    this.#simulation.note(`${this.name} gets an empty disk`);
    this.#simulation.count("empty disk");
  }

  /** Dies soon, in the middle of a step of its disk. */
  dieInStep(): void {
    if (this.running === null) return;
    this.disk.dieAtStep = this.disk.steps + this.#chance.int(1, 8);
  }

  die(how: Death): void {
    const { running } = this;
    if (running === null || !running.life.alive) return;
    this.disk.dieAtStep = -1;
    this.#died(running.life, how, "");
  }

  #died(life: Life, how: Death, where: string): void {
    const { running } = this;
    if (running?.life !== life || !life.alive) return;
    life.die();
    const simulation = this.#simulation;
    simulation.note(`${this.name} dies (${how}) ${where}`);
    simulation.count(where === "" ? `crash (${how})` : "crash in a step of the disk");
    this.running = null;
    const old = this.disk;
    const { survive } = simulation.swarm;
    this.disk = how === "kill" ? old.afterKill() : old.afterCrash(() => this.#chance.hit(survive));
    this.#promisesOn = this.disk;
    simulation.network.detach(running.transport);
    simulation.died(this, running);
  }
}
