/** The test kit, used as its users do: their own lock and job on it, with time and faults in their hands. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FullClient, NearCache, isUnknown, outcomeOf } from "../client/all.ts";
import { clientContract } from "../test/contract/client-port.ts";
import { type TestClient, TestStore } from "./test-store.ts";

clientContract("the client on the test kit", async () => {
  const store = await TestStore.start();
  return { store: store.client().q.store, compact: () => store.compact(), close: () => store[Symbol.asyncDispose]() };
});

let store: TestStore;
let one: TestClient;
let other: TestClient;
beforeEach(async () => {
  store = await TestStore.start();
  [one, other] = [store.client(), store.client()];
});
afterEach(() => store[Symbol.asyncDispose]());

/** A job as users write them: once an hour, by whoever has the lock, and only once. */
async function job(q: FullClient, hour: string, work: () => void): Promise<boolean> {
  await using hold = await q.tryLock("job", { ttl: "10s" });
  if (hold === null) return false;
  if ((await q.kv.get(`done/${hour}`)) !== null) return false;
  work();
  return (await q.txn().ifHeld(hold).put(`done/${hour}`, "yes").commit()).succeeded;
}

describe("time", () => {
  test("stands still until it is moved, and then takes none", async () => {
    await store.run(one.q.kv.put("a", "1", { ttl: "1h" }));
    expect([store.time.now, store.keys()]).toEqual([0, { a: "1" }]);
    await store.advance(3_590_000);
    expect(store.keys()).toEqual({ a: "1" });
    await store.advance(20_000);
    expect([store.keys(), store.leases()]).toEqual([{}, []]);
  });

  test("moves as far as what is waited for needs", async () => {
    const hold = await store.run(one.q.lock("a", { ttl: "10s" }));
    store.time.after(5_000, () => void hold.release());
    const next = await store.run(other.q.lock("a"));
    expect([store.time.now, next.fence > hold.fence]).toEqual([5_000, true]);
    await next.release();
  });

  test("a run that can never end says so", async () => {
    await expect(store.run(new Promise(() => {}))).rejects.toThrow(/still not done/);
  });
});

describe("faults", () => {
  test("a job runs once, whichever of its requests is lost, and however", async () => {
    let tried = 0;
    for (const fault of ["loseReply", "loseRequest", "leaderLost", "refuse", "unreachable"] as const) {
      for (let nth = 1; nth <= 6; nth++) {
        await using mine = await TestStore.start({ seed: ++tried });
        const [a, b] = [mine.client(), mine.client()];
        let runs = 0;
        a.network.fault = ({ number }) => (number === nth ? fault : "none");
        const first = await mine.run(outcomeOf(job(a.q, "12", () => runs++)));
        await mine.advance(30_000);
        await mine.run(job(b.q, "12", () => runs++));
        expect(mine.keys("done/")).toEqual({ "done/12": "yes" });
        // The write was lost before it was done: the work was done, and nobody knows. Then it is done again.
        expect(runs, `${fault} of request ${nth}`).toBeLessThanOrEqual(first.kind === "unknown" ? 2 : 1);
        expect(mine.leases()).toEqual([]);
      }
    }
    expect(tried).toBe(30);
  });

  test("a write whose answer is lost is unknown, and done", async () => {
    one.network.fault = () => "loseReply";
    expect(await store.run(outcomeOf(one.q.kv.put("a", "1")))).toMatchObject({ kind: "unknown", error: { reason: "connectionLost" } });
    one.network.fault = ({ path }) => (path === "/v1/txn" ? "leaderLost" : "none");
    await expect(store.run(one.q.kv.put("a", "2"))).rejects.toSatisfy(isUnknown);
    one.network.fault = () => "unreachable";
    expect(await store.run(outcomeOf(one.q.kv.put("a", "3")))).toMatchObject({ kind: "failed", error: { reason: "unreachable" } });
    expect(store.keys()).toEqual({ a: "2" });
  });

  test("who is cut off loses the lock by its own clock, before another can have it", async () => {
    const hold = await store.run(one.q.lock("a", { ttl: "10s" }));
    let lostAt = Infinity;
    hold.signal.addEventListener("abort", () => (lostAt = store.time.now));
    one.network.partition();
    const next = await store.run(other.q.lock("a", { ttl: "10s" }));
    expect(lostAt).toBeLessThan(store.time.now);
    expect(store.time.now).toBeLessThanOrEqual(14_000);
    one.network.heal();
    expect(() => one.q.txn().ifHeld(hold)).toThrow(/session is lost/);
    await next.release();
  });

  test("watches survive breaks, partitions and compaction", async () => {
    const keys = one.q.keys("k/");
    const cache = new NearCache(one.q, keys);
    await store.run(cache.ready);
    await store.run(other.q.kv.put("k/a", "1"));
    await store.advance(10);
    expect(cache.get("a")?.value).toBe("1");
    one.network.breakConnections();
    await store.run(other.q.kv.put("k/b", "2"));
    await store.advance(1_000);
    expect(cache.get("b")?.value).toBe("2");
    one.network.partition();
    await store.run(other.q.txn().put("k/c", "3").delete("k/a").commit());
    await store.run(other.q.kv.put("k/c", "4"));
    await store.compact();
    await store.advance(1_000);
    expect(cache.entries().map(({ key, value }) => key + value)).toEqual(["a1", "b2"]);
    one.network.heal();
    await store.advance(10_000);
    expect(cache.entries().map(({ key, value }) => key + value)).toEqual(["b2", "c4"]);
    await store.run(cache[Symbol.asyncDispose]());
  });

  test("a connection that has stalled is noticed by the pings that do not come", async () => {
    const seen: string[] = [];
    const gone = new AbortController();
    const watching = (async () => {
      for await (const step of one.q.keys("k/").watch({ signal: gone.signal })) {
        if (step.kind === "changes") for (const { key } of step.changes) seen.push(`${key} ${store.time.now}`);
      }
    })();
    await store.advance(100_000);
    // One connection: its pings say that it is there.
    expect(one.network.requests.filter(({ path }) => path.startsWith("/v1/watch"))).toHaveLength(1);
    one.network.stallConnections();
    await store.run(other.q.kv.put("k/a", "1"));
    await store.advance(30_000);
    expect(seen).toEqual([]);
    await store.advance(30_000);
    expect(seen).toEqual([expect.stringMatching(/^a 1[45]\d{4}$/)]);
    gone.abort();
    await store.run(watching);
  });

  test("requests take the time that the network takes", async () => {
    one.network.latencyMs = () => 40;
    await store.run(one.q.kv.put("a", "1"));
    expect(store.time.now).toBe(80);
    expect(one.network.requests).toMatchObject([{ number: 1, method: "POST", path: "/v1/txn", at: 0 }]);
  });
});

test("where work goes on behind the answer, nobody waits for a release", async () => {
  const behind: Promise<unknown>[] = [];
  const edge = store.client({ waitUntil: (work) => void behind.push(work) });
  for (const { network } of [edge, one]) network.latencyMs = () => 40;
  const answer = async ({ q }: TestClient, name: string): Promise<number> => {
    {
      await using _hold = await q.lock(name);
    }
    return store.time.now;
  };
  const took = async (client: TestClient, name: string): Promise<number> => -store.time.now + (await store.run(answer(client, name)));
  // A grant, and the lock; and to wait for it, the release and the end of the session.
  expect([await took(edge, "a"), await took(one, "b")]).toEqual([160, 320]);
  await store.run(Promise.all(behind));
  expect([store.keys(), store.leases()]).toEqual([{}, []]);
});

describe("runs", () => {
  async function story(seed: number): Promise<string> {
    await using mine = await TestStore.start({ seed });
    const clients = [mine.client(), mine.client(), mine.client()];
    const fences: string[] = [];
    clients.forEach(({ network }, n) => (network.latencyMs = ({ number }) => (number * (n + 3)) % 17));
    await mine.run(
      Promise.all(clients.map(({ q }, n) => q.withLock("l", async ({ lease, fence }) => void fences.push(`${n} ${lease} ${fence}`)))),
    );
    return `${fences.join()} at ${mine.time.now}`;
  }

  test("of one seed are the same", async () => {
    expect(await story(7)).toBe(await story(7));
    expect(await story(7)).not.toBe(await story(8));
  });

  test("the API is there for whoever fetches it", async () => {
    const put = await one.network.fetch("http://store.test/v1/kv/a", { method: "PUT", body: "1" });
    expect([put.status, put.headers.get("etag")]).toEqual([201, '"2"']);
    expect(await (await one.network.fetch("http://store.test/v1/kv/a", {})).text()).toBe("1");
    await store.expire((await store.run(one.q.session())).id);
    expect(store.leases()).toEqual([]);
  });
});
