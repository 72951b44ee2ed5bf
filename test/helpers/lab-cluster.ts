/**
 * Three whole members in one process, on virtual time: what recipes are tried on where members fail. Members are killed, with what their disks
 * had not made durable, and cut off from one another; clients ask any of them, and hear of a time-out when the one they asked dies.
 *
 * What the store did is taken down from the members themselves: each revision once, and every member must have made the same of it.
 */
import { MemoryLogDisk, MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import { MemoryNetwork, type MemoryTransport } from "../../adapters/memory/transport.ts";
import { MemberStore } from "../../core/api/v1/member-store.ts";
import { ZERO } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { errNoLeader, errTimeout } from "../../core/errors.ts";
import { Xoshiro128 } from "../../core/raft/prng.ts";
import type { Store, WatchBatch, WatchRequest } from "../../core/recipes/client-port.ts";
import { readOf } from "../../core/recipes/requests.ts";
import { RaftConsensus } from "../../core/replica/raft-consensus.ts";
import { Replica } from "../../core/replica/replica.ts";
import type { KeyValue, LeaseId } from "../../core/store/command.ts";
import type { RevisionRecord } from "../../core/store/version-store-port.ts";
import { type Revision, STARTED_AT, STORE_OPTIONS, randomBytes } from "../../testing/memory-member.ts";
import type { VirtualTime } from "../../testing/virtual-time.ts";
import { Chance } from "./chance.ts";

const IDS = ["1", "2", "3"] as const;
type Id = (typeof IDS)[number];
const TICK_MS = 100;
/** A connection on which something was lost is given up after so long. */
const CALL_MS = 2_000;

interface Up {
  readonly replica: Replica;
  readonly consensus: RaftConsensus;
  readonly transport: MemoryTransport;
  readonly store: MemberStore;
  /** Rejects when the member dies. */
  readonly dies: Promise<never>;
  readonly die: () => void;
}

export class LabCluster {
  readonly history: Revision[] = [];
  /** What members made of the same revision differently. */
  readonly differences: string[] = [];
  readonly store: Store;
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #prng: Xoshiro128;
  readonly #network: MemoryNetwork;
  readonly #disks = new Map<Id, MemoryLogDisk>(IDS.map((id) => [id, new MemoryLogDisk()]));
  readonly #up = new Map<Id, Up>();
  readonly #cuts = new Set<string>();
  /** Pairs whose connection is about to be given up. */
  readonly #breaking = new Set<string>();
  readonly #seen = new Map<number, string>();
  #closed = false;

  private constructor(time: VirtualTime, seed: number) {
    this.#time = time;
    this.#chance = new Chance(seed, "members");
    this.#prng = new Xoshiro128(seed, "members' bytes");
    this.#network = new MemoryNetwork((deliver, from, to) => {
      this.#time.after(this.#chance.int(1, 8), () => {
        if (this.#reaches(from as Id, to as Id)) deliver();
        else this.#dropped(from as Id, to as Id);
      });
    });
    this.store = this.#anyStore();
  }

  static async start(time: VirtualTime, seed: number): Promise<LabCluster> {
    const cluster = new LabCluster(time, seed);
    for (const id of IDS) await cluster.#start(id);
    cluster.#tick();
    await time.run(cluster.#untilLed());
    return cluster;
  }

  // ---- members

  async #start(id: Id): Promise<void> {
    const disk = this.#disks.get(id)!;
    const transport = this.#network.transport(id);
    const meta = (one: string) => ({ name: `m${one}`, peerUrls: [`http://${one}:2380`], clientUrls: [`http://${one}:2379`] });
    const consensus = new RaftConsensus({
      storage: new MemoryLogStorage(disk),
      transport,
      begin: async () => ({
        identity: { clusterId: "77", memberId: id, diskId: `9${id}` },
        founding: IDS.map((one) => ({ id: one, meta: meta(one) })),
        joinIndex: 0,
        bootstrapPeers: [],
      }),
      seed: this.#chance.int(1, 1_000_000),
      onNotice: () => {},
    });
    const replica = new Replica({
      consensus,
      clock: { wallMs: () => STARTED_AT + this.#time.now, monotonicMs: () => this.#time.now },
      randomBytes: (count) => randomBytes(this.#prng, count),
      pause: () => Promise.resolve(),
      tickMs: TICK_MS,
      snapshotEntries: 1_000_000,
      quotaBytes: 2 ** 30,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: true,
      attributes: () => null,
      onFailed: (error) => {
        if (this.#up.get(id)?.replica === replica) this.differences.push(`member ${id} failed: ${error.message}`);
      },
      onRemoved: () => {},
      onNotice: () => {},
      onCommit: (record) => this.#committed(id, record),
      diskBytes: () => 0,
      logReserve: () => "ok",
    });
    let die = (): void => {};
    const dies = new Promise<never>((_, reject) => (die = () => reject(errTimeout())));
    dies.catch(() => {}); // heard by whoever asks
    this.#up.set(id, { replica, consensus, transport, store: new MemberStore(replica, STORE_OPTIONS), dies, die });
    await replica.start();
  }

  #tick(): void {
    if (this.#closed) return;
    for (const { replica } of this.#up.values()) replica.tick();
    this.#time.after(TICK_MS, () => this.#tick());
  }

  #reaches(from: Id, to: Id): boolean {
    return this.#up.has(from) && this.#up.has(to) && !this.#cuts.has(`${from}${to}`);
  }

  get leader(): Id | undefined {
    return [...this.#up].find(([, { consensus }]) => consensus.status().leading)?.[0];
  }

  async #untilLed(): Promise<void> {
    while (this.leader === undefined) await this.#time.sleep(TICK_MS);
  }

  /** As kill -9; comes back after so long, with what was durable. */
  kill(id: Id, downMs: number): void {
    const member = this.#up.get(id);
    if (member === undefined) return;
    this.#up.delete(id);
    this.#network.detach(id, member.transport);
    this.#disks.get(id)!.crash();
    member.die();
    this.#time.after(downMs, () => {
      if (!this.#closed) void this.#start(id);
    });
  }

  /** Cut off from both others, in both directions. */
  isolate(id: Id, forMs: number): void {
    const links = IDS.filter((other) => other !== id).flatMap((other) => [`${id}${other}`, `${other}${id}`]);
    for (const link of links) this.#cuts.add(link);
    this.#time.after(forMs, () => links.forEach((link) => this.#cuts.delete(link)));
  }

  /** Whatever waits between the two may wait for what is lost: a connection that breaks ends all of it. */
  #dropped(from: Id, to: Id): void {
    if (this.#breaking.has(from + to)) return;
    this.#breaking.add(from + to);
    this.#time.after(CALL_MS, () => {
      this.#breaking.delete(from + to);
      this.#up.get(from)?.transport.giveUp(to);
      this.#up.get(to)?.transport.giveUp(from);
    });
  }

  /** Something bad to one of the members every few seconds, for as long as `isFaulty`; never to a majority for long. */
  async nemesis(isFaulty: () => boolean): Promise<void> {
    while (isFaulty()) {
      await this.#time.sleep(this.#chance.exponential(8_000));
      const id = this.#chance.hit(0.6) ? (this.leader ?? "1") : this.#chance.pick(IDS);
      const forMs = this.#chance.int(500, 8_000);
      if (this.#chance.hit(0.5)) this.kill(id, forMs);
      else this.isolate(id, forMs);
    }
  }

  // ---- what happened

  #committed(id: Id, { revision, kvs }: RevisionRecord): void {
    const text = JSON.stringify(kvs);
    const before = this.#seen.get(revision);
    if (before !== undefined) {
      if (before !== text) this.differences.push(`${revision}: member ${id} has ${text}, another ${before}`);
      return;
    }
    this.#seen.set(revision, text);
    const events = kvs.map((kv) => ({ type: kv.version === 0 ? ("delete" as const) : ("put" as const), kv, prev: null }));
    this.history.push({ revision, at: this.#time.now, events });
  }

  #newest(): Up {
    const all = [...this.#up.values()];
    if (all.length === 0) throw errNoLeader();
    return all.reduce((best, one) => (one.replica.store.revision > best.replica.store.revision ? one : best));
  }

  keys(prefix = ""): readonly KeyValue[] {
    const bytes = utf8Encode(prefix);
    return this.#newest()
      .replica.store.range(readOf({ key: ZERO, end: ZERO }))
      .kvs.filter(({ key }) => key.startsWith(bytes));
  }

  leases(): readonly LeaseId[] {
    return this.#newest().replica.store.leaseIds();
  }

  get revision(): number {
    return this.#newest().replica.store.revision;
  }

  /** Where nobody can, nothing is forgotten. */
  async compact(): Promise<void> {
    if (this.#up.size === 0) return;
    const { replica, dies } = this.#newest();
    const { revision, compactedRevision } = replica.store;
    if (revision > compactedRevision) await Promise.race([replica.propose({ kind: "compact", revision }), dies]).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    const members = [...this.#up.values()];
    this.#up.clear();
    for (const { die } of members) die();
    await Promise.all(members.map(({ replica }) => replica.stop().catch(() => {})));
  }

  // ---- as a client sees it

  #any(): Up {
    const all = [...this.#up.values()];
    if (all.length === 0) throw errNoLeader();
    return this.#chance.pick(all);
  }

  #anyStore(): Store {
    const ask = async <T>(act: (store: MemberStore) => Promise<T>): Promise<T> => {
      const { store, dies } = this.#any();
      return Promise.race([act(store), dies]);
    };
    return {
      range: (request, options) => ask((store) => store.range(request, options)),
      txn: (request, options) => ask((store) => store.txn(request, options)),
      grant: (id, ttl, options) => ask((store) => store.grant(id, ttl, options)),
      keepAlive: (id, options) => ask((store) => store.keepAlive(id, options)),
      revoke: (id, options) => ask((store) => store.revoke(id, options)),
      remaining: (id, options) => ask((store) => store.remaining(id, options)),
      watch: (request) => this.#watch(request),
    };
  }

  /** Goes on at another member when the one that it was at dies. */
  async *#watch(request: WatchRequest): AsyncGenerator<WatchBatch, void, void> {
    let { startRevision } = request;
    while (!(request.signal?.aborted ?? false) && !this.#closed) {
      if (this.#up.size === 0) {
        await this.#time.sleep(TICK_MS);
        continue;
      }
      const { store, dies } = this.#any();
      const batches = store.watch({ ...request, startRevision })[Symbol.asyncIterator]();
      try {
        for (;;) {
          const step = await Promise.race([batches.next(), dies.catch(() => null)]);
          if (step === null) break; // it is dead
          if (step.done === true) return;
          startRevision = step.value.revision + 1;
          yield step.value;
        }
      } finally {
        void batches.return?.();
      }
    }
  }
}
