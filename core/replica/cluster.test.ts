/** Three members in one process, over the memory log and the memory network, on a clock that the test moves. */
import { afterEach, describe, expect, test } from "vitest";
import { MemoryLogDisk, MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import { MemoryNetwork, type MemoryTransport } from "../../adapters/memory/transport.ts";
import { ascii } from "../bytes/bytes.ts";
import type { RangeRequest } from "../store/command.ts";
import type { StateMachine } from "../store/state-machine.ts";
import { formatMemberMeta } from "./consensus-port.ts";
import { RaftConsensus } from "./raft-consensus.ts";
import { Replica } from "./replica.ts";

const TICK_MS = 100;
const IDS = ["1", "2", "3"];

/** Lets everything that is ready happen: promises, and the deliveries of the network, which are microtasks here. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 400; turn++) await Promise.resolve();
}

class Cluster {
  readonly network = new MemoryNetwork();
  readonly clock = { now: 1_000_000 };
  readonly disks = new Map<string, MemoryLogDisk>();
  readonly members = new Map<string, { replica: Replica; consensus: RaftConsensus; transport: MemoryTransport }>();
  readonly failures: string[] = [];
  /** What each member told its operator, oldest first. */
  readonly notices: { readonly id: string; readonly level: string; readonly message: string }[] = [];
  snapshotEntries = 1_000_000;
  /** What chance gives next, as the value of each byte; then sevens. */
  readonly random: number[] = [];
  /** Members tell the others their names, disks and boots, as they do in production. */
  publish = false;

  async start(id: string, founding: readonly string[] = IDS): Promise<void> {
    const disk = this.disks.get(id) ?? new MemoryLogDisk();
    this.disks.set(id, disk);
    const transport = this.network.transport(id);
    const meta = (one: string) => ({ name: `m${one}`, peerUrls: [`http://${one}:2380`], clientUrls: [`http://${one}:2379`] });
    const consensus = new RaftConsensus({
      storage: new MemoryLogStorage(disk),
      transport,
      begin: async () => ({
        identity: { clusterId: "77", memberId: id, diskId: `9${id}` },
        founding: founding.map((one) => ({ id: one, meta: meta(one) })),
        joinIndex: 0,
        bootstrapPeers: [],
      }),
      seed: Number(id),
      onNotice: () => {},
    });
    const replica = new Replica({
      consensus,
      clock: { wallMs: () => this.clock.now, monotonicMs: () => this.clock.now },
      randomBytes: (count) => new Uint8Array(count).fill(this.random.shift() ?? 7),
      pause: () => Promise.resolve(),
      tickMs: TICK_MS,
      snapshotEntries: this.snapshotEntries,
      quotaBytes: 1e9,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: true,
      attributes: () => (this.publish ? meta(id) : null),
      onRemoved: () => {},
      onFailed: (error) => this.failures.push(`${id}: ${error.message}`),
      onNotice: (level, message) => this.notices.push({ id, level, message }),
      diskBytes: () => 0,
      logReserve: () => disk.reserve,
    });
    await replica.start();
    this.members.set(id, { replica, consensus, transport });
  }

  replica(id: string): Replica {
    return this.members.get(id)!.replica;
  }

  /** As kill -9: nothing is said to anybody; what was durable stays. */
  async kill(id: string): Promise<void> {
    for (const other of IDS) this.isolate(id, other);
    this.members.delete(id);
    this.disks.get(id)!.crash();
  }

  isolate(a: string, b: string): void {
    this.network.cut(a, b);
    this.network.cut(b, a);
  }

  async run(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += TICK_MS) {
      this.clock.now += TICK_MS;
      for (const { replica } of this.members.values()) replica.tick();
      await settle();
    }
  }

  leaders(): string[] {
    return [...this.members].filter(([, { consensus }]) => consensus.status().leading).map(([id]) => id);
  }

  /** Runs until exactly one of those that are up leads and the others know. */
  async untilLeader(): Promise<string> {
    for (let at = 0; at < 20_000; at += TICK_MS) {
      const [leader, ...more] = this.leaders();
      const agreed = [...this.members.values()].every(({ consensus }) => consensus.status().leader === leader);
      if (leader !== undefined && more.length === 0 && agreed) return leader;
      await this.run(TICK_MS);
    }
    throw new Error("no leader within 20 s");
  }

  /** Runs the clock until the promise has settled. */
  async during<T>(promise: Promise<T>): Promise<T> {
    let done = false;
    const mark = () => void (done = true);
    promise.then(mark, mark);
    await settle();
    for (let at = 0; !done && at < 60_000; at += TICK_MS) await this.run(TICK_MS);
    return promise;
  }

  put(id: string, key: string, value = "v") {
    return this.during(
      this.replica(id).propose({
        kind: "put",
        key: ascii(key),
        value: ascii(value),
        lease: "0",
        prevKv: false,
        ignoreValue: false,
        ignoreLease: false,
      }),
    );
  }

  async get(id: string, key: string): Promise<string | undefined> {
    await this.during(Promise.resolve(this.replica(id).readBarrier()));
    return this.replica(id).store.range({ ...RANGE, key: ascii(key) }).kvs[0]?.value;
  }
}

const RANGE: RangeRequest = {
  key: ascii(""),
  end: ascii(""),
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

describe("Replica on RaftConsensus", () => {
  let cluster: Cluster;
  afterEach(() => expect(cluster.failures).toEqual([]));

  async function three(): Promise<string> {
    cluster = new Cluster();
    for (const id of IDS) await cluster.start(id);
    return cluster.untilLeader();
  }

  const others = (id: string) => IDS.filter((one) => one !== id);

  test("a write through any member is read through every other at once", async () => {
    await three();
    for (const writer of IDS) {
      await cluster.put(writer, "k", `from ${writer}`);
      for (const reader of IDS) expect(await cluster.get(reader, "k")).toBe(`from ${writer}`);
    }
    await cluster.run(500);
    const hashes = IDS.map((id) => cluster.replica(id).store.hash());
    expect(new Set(hashes).size).toBe(1);
    expect(
      cluster
        .replica("1")
        .members()
        .map((member) => member.name),
    ).toEqual(["m1", "m2", "m3"]);
  });

  test("who wrote through a follower finds it there at once, without asking the leader", async () => {
    const leader = await three();
    const [follower] = others(leader);
    const body = {
      kind: "put",
      key: ascii("mine"),
      value: ascii("v"),
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    } as const;
    const { store } = cluster.replica(follower!);
    const seen = cluster
      .replica(follower!)
      .propose(body)
      .then(() => store.range({ ...RANGE, key: ascii("mine") }).count);
    expect(await cluster.during(seen)).toBe(1);
  });

  test("T33: a command with a session is done once, however often and through whomever it is sent", async () => {
    const leader = await three();
    const body = {
      kind: "put",
      key: ascii("k"),
      value: ascii("v"),
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    } as const;
    const session = { client: "somebody", sequence: 1 };
    const outcomes = await cluster.during(Promise.all(IDS.map((id) => cluster.replica(id).propose(body, { session }))));
    expect(outcomes.map(({ revision }) => revision)).toEqual([2, 2, 2]);
    await cluster.kill(leader);
    const again = cluster.replica(others(leader)[0]!).propose(body, { session });
    expect((await cluster.during(again)).revision).toBe(2);
    await expect(cluster.replica(others(leader)[0]!).propose(body, { session: { client: "", sequence: 1 } })).rejects.toMatchObject({
      reason: "badField",
    });
  });

  test("a refusal of the state machine reaches a client of a follower as the same error", async () => {
    const leader = await three();
    const put = cluster
      .replica(others(leader)[0]!)
      .propose({ kind: "put", key: ascii("k"), value: ascii("v"), lease: "5", prevKv: false, ignoreValue: false, ignoreLease: false });
    await expect(cluster.during(put)).rejects.toMatchObject({ code: "notFound", reason: "leaseNotFound" });
  });

  test("writes go on after the leader is killed, and nothing acknowledged is lost", async () => {
    const leader = await three();
    const [a, b] = others(leader);
    await cluster.put(leader, "before", "1");
    await cluster.kill(leader);
    await cluster.put(a!, "after", "2");
    expect(await cluster.get(b!, "before")).toBe("1");
    expect(await cluster.get(b!, "after")).toBe("2");
    cluster.network.heal();
    await cluster.start(leader);
    await cluster.run(2_000);
    expect(await cluster.get(leader, "after")).toBe("2");
    const hashes = IDS.map((id) => cluster.replica(id).store.hash());
    expect(new Set(hashes).size).toBe(1);
  });

  test("a leader that is cut off answers neither reads nor writes, and follows when it comes back", async () => {
    const leader = await three();
    const [a, b] = others(leader);
    await cluster.put(leader, "k", "old");
    cluster.isolate(leader, a!);
    cluster.isolate(leader, b!);
    const late = cluster.replica(leader).propose({
      kind: "put",
      key: ascii("lost"),
      value: ascii("x"),
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    });
    const read = Promise.resolve(cluster.replica(leader).readBarrier());
    read.catch(() => {});
    await expect(cluster.during(late)).rejects.toMatchObject({ code: "unavailable" });
    await cluster.put(a!, "k", "new");
    await expect(cluster.during(read)).rejects.toMatchObject({ code: "unavailable" });
    cluster.network.heal();
    await cluster.run(3_000);
    expect(await cluster.get(leader, "k")).toBe("new");
    expect(await cluster.get(leader, "lost")).toBeUndefined();
  });

  test("a member that missed more than the log keeps is given a snapshot", async () => {
    cluster = new Cluster();
    cluster.snapshotEntries = 50;
    for (const id of IDS) await cluster.start(id);
    const leader = await cluster.untilLeader();
    const [late] = others(leader);
    await cluster.kill(late!);
    cluster.disks.delete(late!); // comes back with an empty disk of the same size of knowledge as a new member
    for (let n = 0; n < 120; n++) await cluster.put(leader, `k${n}`, String(n));
    await cluster.run(1_000);
    cluster.network.heal();
    const disk = new MemoryLogDisk();
    disk.boot = 1;
    cluster.disks.set(late!, disk);
    await cluster.start(late!);
    await cluster.run(5_000);
    expect(await cluster.get(late!, "k119")).toBe("119");
    expect(cluster.replica(late!).store.hash()).toBe(cluster.replica(leader).store.hash());
  });

  test("a lease granted through a follower is renewed and ends by the leader's clock, on every member", async () => {
    const leader = await three();
    const [follower] = others(leader);
    const grant = cluster.replica(follower!).propose({ kind: "leaseGrant", id: "5", ttlSeconds: 5 });
    await cluster.during(grant);
    const put = {
      kind: "put",
      key: ascii("l"),
      value: ascii("v"),
      lease: "5",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    } as const;
    await cluster.during(cluster.replica(follower!).propose(put));
    await cluster.run(4_000);
    expect(await cluster.during(cluster.replica(follower!).keepAlive("5"))).toBe(5);
    await cluster.run(4_000);
    expect(await cluster.get(follower!, "l")).toBe("v");
    expect(await cluster.during(cluster.replica(follower!).leaseRemainingSeconds("5"))).toBeLessThanOrEqual(1);
    await cluster.run(2_000);
    for (const id of IDS) expect(await cluster.get(id, "l")).toBeUndefined();
  });

  test("T30: a change of leader extends a lease; a paused leader revokes nothing and renews nothing when it wakes", async () => {
    const leader = await three();
    await cluster.during(cluster.replica(leader).propose({ kind: "leaseGrant", id: "9", ttlSeconds: 10 }));
    await cluster.run(8_000);
    const paused = cluster.members.get(leader)!;
    cluster.members.delete(leader); // gets no ticks
    for (const other of others(leader)) cluster.isolate(leader, other);
    const next = await cluster.untilLeader();
    expect(await cluster.during(cluster.replica(next).keepAlive("9"))).toBe(10);
    await cluster.run(5_000);
    cluster.members.set(leader, paused);
    const late = paused.replica.keepAlive("9").then(
      () => "renewed",
      () => "not renewed",
    );
    paused.replica.tick(); // its clock says that the lease is over
    await settle();
    cluster.network.heal();
    await cluster.run(2_000);
    expect(cluster.replica(next).store.lease("9")).toBeDefined();
    // Either it was told so, or whoever leads by now was asked.
    if ((await cluster.during(late)) === "renewed")
      expect(await cluster.during(cluster.replica(next).leaseRemainingSeconds("9"))).toBeGreaterThan(5);
    expect(await cluster.during(cluster.replica(next).leaseRemainingSeconds("9"))).toBeGreaterThanOrEqual(1);
  });

  test("a leader that was deposed and does not know it calls no lease gone: whoever leads by now is asked", async () => {
    const leader = await three();
    await cluster.during(cluster.replica(leader).propose({ kind: "leaseGrant", id: "9", ttlSeconds: 10 }));
    const paused = cluster.members.get(leader)!;
    cluster.members.delete(leader); // gets no ticks
    for (const other of others(leader)) cluster.isolate(leader, other);
    const next = await cluster.untilLeader();
    await cluster.during(cluster.replica(next).propose({ kind: "leaseGrant", id: "11", ttlSeconds: 20 }));
    cluster.members.set(leader, paused);
    expect(paused.consensus.status().leading).toBe(true);
    const known = paused.replica.keepAlive("9");
    const unheardOf = paused.replica.keepAlive("11");
    const left = paused.replica.leaseRemainingSeconds("9");
    for (const answer of [known, unheardOf, left]) answer.catch(() => {}); // judged below
    await settle();
    cluster.network.heal();
    expect(await cluster.during(known)).toBe(10);
    expect(await cluster.during(unheardOf)).toBe(20);
    expect(await cluster.during(left)).toBeGreaterThan(0);
    await expect(cluster.during(paused.replica.keepAlive("12"))).rejects.toMatchObject({ reason: "leaseNotFound" });
  });

  test("T31: ten changes of leader do not keep a lease alive: what is left of it is in the log every five minutes", async () => {
    const leader = await three();
    const ttlSeconds = 1_800;
    await cluster.during(cluster.replica(leader).propose({ kind: "leaseGrant", id: "9", ttlSeconds }));
    const granted = cluster.clock.now;
    while (cluster.replica(leader).store.lease("9") !== undefined && cluster.clock.now - granted < 4 * ttlSeconds * 1_000) {
      await cluster.run(360_000);
      const [holder] = cluster.leaders();
      cluster.members.get(holder!)!.consensus.transferLeadership(others(holder!)[0]!);
      await cluster.untilLeader();
    }
    const lived = (cluster.clock.now - granted) / 1_000;
    expect(lived).toBeGreaterThanOrEqual(ttlSeconds);
    // Each of the changes, six minutes apart, gives back at most what was used since the last checkpoint.
    expect(lived).toBeLessThan(2 * ttlSeconds);
  });

  test("a member whose state differs is found out within two minutes, and the alarm CORRUPT stops all writes", async () => {
    const leader = await three();
    const [bad] = others(leader);
    await cluster.put(leader, "k", "v");
    await cluster.run(120_000);
    expect(cluster.replica(leader).store.alarms()).toEqual([]);
    const put = {
      kind: "put",
      key: ascii("x"),
      value: ascii("1"),
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    } as const;
    const store = cluster.replica(bad!).store as StateMachine;
    store.apply({ ...put, time: 0 }, { index: store.appliedIndex, term: 1 });
    await cluster.run(120_000);
    expect(cluster.replica(leader).store.alarms()).toEqual([{ memberId: bad, alarm: "corrupt" }]);
    await expect(cluster.put(leader, "k", "w")).rejects.toMatchObject({ reason: "corrupt" });
  });

  test("T24: after a restart at any place the state is that of the log: nothing twice, nothing left out", async () => {
    cluster = new Cluster();
    cluster.snapshotEntries = 7;
    await cluster.start("1", ["1"]);
    await cluster.run(200);
    for (let n = 1; n <= 40; n++) {
      await cluster.put("1", "counter", String(n));
      await cluster.run(100);
      const { store } = cluster.replica("1");
      const before = [store.hash(), store.revision];
      cluster.members.delete("1");
      cluster.disks.get("1")!.crash();
      await cluster.start("1", ["1"]);
      await cluster.run(200);
      const after = cluster.replica("1").store;
      expect([after.hash(), after.revision]).toEqual(before);
      expect(after.revision).toBe(n + 1);
    }
  });

  test("a member without room for its log refuses what grows and raises the alarm; reads and deletes go on", async () => {
    const leader = await three();
    await cluster.put(leader, "k", "v");
    cluster.disks.get(leader)!.reserve = "low";
    await expect(cluster.put(leader, "more")).rejects.toMatchObject({ reason: "noSpace" });
    await cluster.run(500);
    expect(cluster.replica(leader).store.alarms()).toEqual([{ memberId: leader, alarm: "nospace" }]);
    expect(await cluster.get(leader, "k")).toBe("v");
    const gone = cluster.replica(leader).propose({ kind: "delete", key: ascii("k"), end: ascii(""), prevKv: false });
    expect((await cluster.during(gone)).result.deleted).toBe(1);
    cluster.disks.get(leader)!.reserve = "ok";
    const disarm = { kind: "alarm", action: "deactivate", alarm: { memberId: leader, alarm: "nospace" } } as const;
    await cluster.during(cluster.replica(leader).propose(disarm));
    await cluster.put(leader, "more");
  });

  test("each member tells its operator who leads, and when nobody does, once", async () => {
    const leader = await three();
    const [a, b] = others(leader);
    const of = (id: string) => cluster.notices.filter((notice) => notice.id === id).map(({ level, message }) => `${level}: ${message}`);
    const { term } = cluster.replica(leader).status();
    expect(of(leader).at(-1)).toBe(`info: leader is this member in term ${term}`);
    expect(of(a!).at(-1)).toBe(`info: leader is member ${leader} in term ${term}`);
    await cluster.kill(leader);
    await cluster.kill(b!);
    const before = of(a!).length;
    await cluster.run(20_000); // many elections that nobody wins
    expect(of(a!).slice(before)).toEqual(["warn: no leader: writes and linearizable reads wait for an election"]);
  });

  test("a boot that somebody claims without proof ends no member and is not kept for strangers", async () => {
    cluster = new Cluster();
    cluster.publish = true;
    for (const id of IDS) await cluster.start(id);
    const leader = await cluster.untilLeader();
    await cluster.run(1_000);
    const [other] = others(leader);
    const host = cluster.members.get(leader)!.transport.hostOf()!;
    const { boot } = cluster.members.get(other!)!.consensus;
    const claim = { id: other!, diskId: `9${other}` };
    expect(host.admit({ ...claim, boot })).toBeNull();
    // A forged one: the member itself is put off, which it survives.
    expect(host.admit({ ...claim, boot: 1_000_000 })).toBeNull();
    expect(host.admit({ ...claim, boot })?.kind).toBe("stranger");
    // What the members agreed on is final: an old copy of the disk has to end.
    expect(host.admit({ ...claim, boot: boot - 1 })?.kind).toBe("stale");
    // Of ids that are no members nothing is kept.
    expect(host.admit({ id: "99", diskId: "1", boot: 1_000_000 })).toBeNull();
    expect(host.admit({ id: "99", diskId: "1", boot: 1 })).toBeNull();
  });

  test("a disk that is in no agreed configuration yet is no reason to end a member, nor to let an earlier one in", async () => {
    cluster = new Cluster();
    cluster.publish = true;
    for (const id of IDS) await cluster.start(id);
    const leader = await cluster.untilLeader();
    await cluster.run(1_000);
    const [a, b] = others(leader);
    const { consensus, transport } = cluster.members.get(leader)!;
    const { meta } = consensus.members().find(({ id }) => id === a)!;
    cluster.isolate(leader, a!);
    cluster.isolate(leader, b!);
    const word = { ...meta, boot: meta.boot! + 1 };
    consensus.changeMembership({ add: [{ id: a!, meta: formatMemberMeta(word), as: "voter" }] }).catch(() => {}); // nobody agrees
    await cluster.run(10);
    const claim = { id: a!, diskId: meta.diskId!, boot: word.boot };
    expect(transport.hostOf()!.admit({ ...claim, boot: meta.boot! })?.kind).toBe("stranger");
    expect(transport.hostOf()!.admit({ ...claim, diskId: "1" })?.kind).toBe("replaced");
    expect(transport.hostOf()!.admit(claim)).toBeNull();
  });

  test("an id is never given twice, whatever chance says: not that of a member, nor of one that was removed", async () => {
    const leader = await three();
    const add = async (port: number) => (await cluster.during(cluster.replica(leader).addMember([`http://x:${port}`], true))).id;
    const ofByte = (byte: bigint) => String(byte * 0x0101010101010101n);
    expect(await add(1)).toBe(ofByte(7n));
    cluster.random.push(7, 8);
    expect(await add(2)).toBe(ofByte(8n));
    await cluster.during(cluster.replica(leader).removeMember(ofByte(7n)));
    cluster.random.push(8, 7, 9);
    expect(await add(3)).toBe(ofByte(9n));
  });

  test("leadership moves when it is asked to, and when its holder stops in order", async () => {
    const leader = await three();
    const [a] = others(leader);
    cluster.members.get(leader)!.consensus.transferLeadership(a!);
    await cluster.run(500);
    expect(cluster.leaders()).toEqual([a]);
    await cluster.during(cluster.replica(a!).stop());
    cluster.members.delete(a!);
    await cluster.run(500);
    expect(cluster.leaders()).toHaveLength(1);
  });
});
