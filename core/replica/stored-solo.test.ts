/** A member whose state is stored: on SQLite, with syncs that wait for the test, restarts, and failures of the storage. */
import { afterEach, describe, expect, test } from "vitest";
import { SqlLeaseDeadlines } from "../../adapters/durable-object-storage/sql-lease-deadlines.ts";
import { SqlStateStorage } from "../../adapters/durable-object-storage/sql-state-storage.ts";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import { type SqliteStorage, sqliteStorage } from "../../test/helpers/sqlite-storage.ts";
import { ascii } from "../bytes/bytes.ts";
import { Replica } from "./replica.ts";
import { StoredSolo } from "./stored-solo.ts";

const put = (key: string, lease = "0") =>
  ({ kind: "put", key: ascii(key), value: ascii("v"), lease, prevKv: false, ignoreValue: false, ignoreLease: false }) as const;
const settle = async () => {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
};

const storages: SqliteStorage[] = [];
afterEach(() => storages.splice(0).forEach((one) => one.close()));

class Sleeper {
  readonly db: SqliteStorage = sqliteStorage();
  now = 1_000_000;
  replica!: Replica;
  readonly failures: Error[] = [];
  /** Syncs that wait; null: none does. */
  held: { release: () => void; fail: (error: Error) => void }[] | null = null;

  constructor() {
    storages.push(this.db);
  }

  /** As after a nap: nothing is known but what was stored. */
  async wake(): Promise<Replica> {
    const storage = new SqlStateStorage(this.db);
    const { appliedIndex } = storage.load();
    this.replica = new Replica({
      consensus: new StoredSolo({
        storage: {
          transaction: (work) => this.db.transactionSync(work),
          sync: () => new Promise((release, fail) => (this.held === null ? release() : void this.held.push({ release, fail }))),
        },
        identity: { clusterId: "7", memberId: "1", diskId: "5" },
        appliedIndex,
        meta: { name: "one", peerUrls: [], clientUrls: [] },
      }),
      storage,
      deadlines: new SqlLeaseDeadlines(this.db),
      clock: { wallMs: () => this.now, monotonicMs: () => this.now },
      randomBytes: (count) => new Uint8Array(count).fill(7),
      pause: () => Promise.resolve(),
      tickMs: 100,
      snapshotEntries: 1_000_000,
      quotaBytes: 2 ** 30,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: true,
      attributes: () => null,
      onFailed: (error) => this.failures.push(error),
      onRemoved: () => {},
      onNotice: () => {},
      diskBytes: () => 0,
      logReserve: () => "ok",
    });
    await this.replica.start();
    return this.replica;
  }

  keys(): string[] {
    return this.replica.store.range(rangeOf("\0", "\0")).kvs.map(({ key }) => key);
  }

  watch(): string[] {
    const seen: string[] = [];
    const take = (): void => {
      for (let step = watcher.take(1e9); step?.kind === "events"; step = watcher.take(1e9))
        seen.push(...step.events.map(({ kv }) => kv.key));
    };
    const watcher = this.replica.store.watch({
      ...rangeOf("\0", "\0"),
      startRevision: 0,
      noPut: false,
      noDelete: false,
      prevKv: false,
      onReady: take,
    });
    return seen;
  }
}

describe("StoredSolo", () => {
  test("nobody is told before a command is durable, and what comes meanwhile goes together", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    one.held = [];
    const told: string[] = [];
    const seen = one.watch();
    const write = (key: string) => void replica.propose(put(key)).then(({ revision }) => told.push(`${key}@${revision}`));
    write("a");
    await settle();
    for (const key of ["b", "c", "d"]) write(key);
    let read = false;
    void Promise.resolve(replica.readBarrier()).then(() => (read = true));
    await settle();
    expect([told, seen, one.held.length, read]).toEqual([[], [], 1, false]);
    one.held[0]!.release();
    await settle();
    expect([told, seen, one.held.length, read]).toEqual([["a@2"], ["a"], 2, true]);
    one.held[1]!.release();
    await settle();
    expect([told, seen]).toEqual([["a@2", "b@3", "c@4", "d@5"], ["a", "b", "c", "d"]]); // prettier-ignore
    expect(replica.readBarrier()).toBeUndefined();
  });

  test("a restart finds everything, and goes on behind it", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    await replica.propose({ kind: "auth", change: { op: "userAdd", name: "ann", hash: null } });
    await replica.propose({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    await replica.propose(put("a", "9"), { session: { client: "c", sequence: 1 } });
    const [hash, index] = [replica.store.hash(), replica.status().appliedIndex];
    const again = await one.wake();
    expect([again.store.hash(), again.status().appliedIndex, again.store.auth.userNames()]).toEqual([hash, index, ["ann"]]);
    expect(await again.propose(put("a", "9"), { session: { client: "c", sequence: 1 } })).toMatchObject({ revision: 2 });
    expect(await again.propose(put("b"))).toMatchObject({ revision: 3 });
    expect(again.status()).toMatchObject({ appliedIndex: index + 2, raftIndex: index + 2, term: 2 });
  });

  test("a batch that cannot be stored is done one by one; what cannot be is refused, and nothing of it is left", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    await replica.propose(put("before"));
    const seen = one.watch();
    const writes = ["a", "b", "c"].map((key) => replica.propose(put(key)).then(({ revision }) => revision, String));
    const statements = one.db.statements;
    one.db.failAfter(5); // within the first command of three
    expect(await Promise.all(writes)).toEqual([3, 4, 5]);
    expect(one.db.statements).toBeGreaterThan(statements);
    one.db.failAfter(3);
    await expect(replica.propose(put("d"))).rejects.toThrow("the command could not be stored: database or disk is full");
    expect([one.keys(), replica.store.revision, one.failures]).toEqual([["a", "b", "before", "c"], 5, []]); // prettier-ignore
    expect(await replica.propose(put("e"))).toMatchObject({ revision: 6 });
    expect(seen).toEqual(["a", "b", "c", "e"]);
    const hash = replica.store.hash();
    expect((await one.wake()).store.hash()).toBe(hash);
  });

  test("after a sync that failed nothing is acknowledged, and the member has ended", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    one.held = [];
    const outcome = replica.propose(put("a")).then(() => "done", String);
    await settle();
    one.held[0]!.fail(new Error("the object was reset"));
    expect(await outcome).toContain("stopped");
    expect(one.failures.map(String)).toEqual(["Error: the object was reset"]);
    expect(() => replica.readBarrier()).toThrow("stopped");
    await expect(replica.propose(put("b"))).rejects.toThrow("stopped");
  });

  test("leases end by the clock that goes on while the member sleeps: neither sooner nor a whole term later", async () => {
    const one = new Sleeper();
    await (await one.wake()).propose({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    await one.replica.propose(put("a", "9"));
    one.now += 50_000;
    expect(await (await one.wake()).leaseRemainingSeconds("9")).toBe(10);
    expect(await one.replica.keepAlive("9")).toBe(60);
    one.now += 59_000;
    await one.wake();
    one.replica.tick();
    await settle();
    expect(one.keys()).toEqual(["a"]);
    expect(one.replica.nextDutyMs).toBe(one.now + 1_000);
    one.now += 1_000;
    await one.wake();
    one.replica.tick();
    one.replica.tick(); // an alarm that rings twice
    await settle();
    expect([one.keys(), one.replica.store.leaseIds(), one.replica.nextDutyMs]).toEqual([[], [], undefined]);
    expect(one.replica.stats.leasesExpired).toBe(1);
  });

  test("a lease that was about to end when the member fell asleep ends at the next look", async () => {
    const one = new Sleeper();
    await (await one.wake()).propose({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    one.now += 60_000;
    one.held = [];
    one.replica.tick();
    await settle();
    one.held = null; // the process is gone before the revocation is durable, and with it what was not
    await one.wake();
    one.replica.tick();
    await settle();
    expect([one.replica.store.leaseIds(), one.replica.nextDutyMs]).toEqual([[], undefined]);
  });

  test("what a compaction leaves behind is freed in transactions of their own", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    for (let n = 0; n < 20; n++) await replica.propose(put("a"));
    await replica.propose({ kind: "compact", revision: replica.store.revision });
    await replica.defragment();
    expect(replica.store.sizeBytes()).toBe(replica.store.sizeInUseBytes());
    const size = replica.store.sizeBytes();
    expect((await one.wake()).store.sizeBytes()).toBe(size);
  });

  test("stop() waits for what is on its way", async () => {
    const one = new Sleeper();
    const replica = await one.wake();
    one.held = [];
    const outcome = replica.propose(put("a"));
    await settle();
    const stopped = replica.stop();
    one.held[0]!.release();
    await stopped;
    expect(await outcome).toMatchObject({ revision: 2 });
  });
});
