/** The client while members die and connections are cut, over real sockets. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connectAll } from "../../client/all.ts";
import { connect, isUnknown } from "../../client/client.ts";
import type { Keys } from "../../client/keys.ts";
import { CutProxy } from "../helpers/cut-proxy.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

/** The values put under a prefix as a watcher sees them, until it has seen the last. */
async function follow(keys: Keys<string>, last: string, seen: string[] = []): Promise<string[]> {
  for await (const step of keys.watch({ after: 1 })) {
    if (step.kind === "reset") throw new Error("nothing was compacted");
    for (const change of step.changes) if (change.type === "put") seen.push(change.entry.value);
    if (seen.includes(last)) break;
  }
  return seen;
}

describe("through a proxy that cuts", () => {
  let server: ServerProcess;
  let proxy: CutProxy;
  beforeAll(async () => void (server = await startQuorate()));
  afterAll(() => server.stop());
  beforeEach(async () => void (proxy = await CutProxy.start(server.port)));
  afterEach(() => proxy.stop());

  test("a watch goes on without gap or repeat, wherever its stream is cut", async () => {
    const keys = connect(proxy.url).keys("cut/");
    const direct = connect(server.url).keys("cut/");
    const values = Array.from({ length: 120 }, (_, n) => `${n}`);
    // Streams end after any number of bytes: in a head, in a line, between two.
    proxy.cutRepliesAfter(100, 331);
    const seen = follow(keys, values.at(-1)!);
    for (const value of values) await direct.put("k", value);
    expect(await seen).toEqual(values);
    expect(proxy.accepted).toBeGreaterThan(5);
  });

  test("a watch that was cut after it had told goes on behind what it told", async () => {
    const keys = connect(proxy.url).keys("told/");
    const direct = connect(server.url).keys("told/");
    const values = Array.from({ length: 30 }, (_, n) => `${n}`);
    const seen: string[] = [];
    const following = follow(keys, values.at(-1)!, seen);
    for (const [n, value] of values.entries()) {
      await direct.put("k", value);
      if (n % 5 !== 3) continue;
      await untilTrue(async () => seen.includes(value), { what: () => value });
      proxy.cut();
    }
    await following;
    expect(seen).toEqual(values);
  });

  test("a read is asked again, a write whose reply was cut off is unknown", async () => {
    const q = connect(proxy.url);
    const direct = connect(server.url);
    await direct.kv.put("read", "1");
    proxy.cutRepliesAfter(20);
    await expect(q.kv.put("write", "1")).rejects.toSatisfy(isUnknown);
    expect((await direct.kv.get("write"))?.version).toBe(1);
    const read = q.kv.get("read");
    proxy.heal();
    expect((await read)?.value).toBe("1");
  });

  test("a write with an idempotency key is done once, and heard of, however often its replies are lost", async () => {
    const q = connect({ url: proxy.url, retry: { attempts: 1_000 } });
    const direct = connect(server.url);
    proxy.cutRepliesAfter(20);
    const put = q.kv.put("keyed", "1", { idempotencyKey: "once-1" });
    await untilTrue(async () => (await direct.kv.get("keyed")) !== null, { what: () => "the key" });
    proxy.heal();
    const entry = await direct.kv.get("keyed");
    expect([await put, entry?.version]).toEqual([entry?.revision, 1]);
    const commit = () => q.txn().append("keyed/", "x").commit({ idempotencyKey: "once-2" });
    expect(await commit()).toEqual(await commit());
    expect(await direct.keys("keyed/").count()).toBe(1);
  });

  test("an idempotency key belongs to its write, and the lease of that to it", async () => {
    const q = connect(server.url);
    const put = (value = "1") => q.kv.put("dying", value, { ttl: "60s", idempotencyKey: "dying-1" });
    const revision = await put();
    const lease = (await q.kv.get("dying"))?.lease;
    expect([await put(), (await q.kv.get("dying"))?.lease]).toEqual([revision, lease]);
    await expect(put("2")).rejects.toMatchObject({ reason: "keyReused" });
    await expect(q.kv.put("dying", "2", { idempotencyKey: "ü" })).rejects.toMatchObject({ details: { field: "idempotencyKey" } });
  });

  test("a lock is taken once, however often the replies are lost", async () => {
    const q = connectAll({ url: proxy.url, retry: { attemptMs: 300 } });
    proxy.silence();
    const asked = q.lock("cut", { ttl: "10s" });
    const other = connectAll(server.url);
    // The lease, or the place in the line, is there before anybody has heard of it.
    while ((await fetch(`${server.url}/v3/lease/leases`, { method: "POST", body: "{}" }).then((r) => r.text())).includes('"ID"') === false);
    proxy.cut();
    proxy.heal();
    await using hold = await asked;
    expect((await other.lockState("cut")).line).toEqual([]);
    expect((await other.lockState("cut")).holder?.fence).toBe(hold.fence);
  });
});

describe("of three members", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start({ size: 3 });
    await cluster.untilLeader();
  });
  afterAll(() => cluster.stop());

  test("a killed leader costs no watcher an event and no reader an answer", async () => {
    const q = connect({ endpoints: cluster.urls });
    const keys = q.keys("members/");
    const values = Array.from({ length: 60 }, (_, n) => `${n}`);
    const seen = follow(keys, values.at(-1)!);
    const leader = await cluster.untilLeader();
    for (const [n, value] of values.entries()) {
      if (n === 20) await cluster.member(leader).process.kill("SIGKILL");
      // Its value tells whether an unknown write was done: repeated only when it was not.
      for (let done = false; !done;) {
        try {
          await keys.put("k", value);
          done = true;
        } catch (error) {
          if (!isUnknown(error)) continue;
          done = (await untilRead(keys))?.value === value;
        }
      }
    }
    expect((await seen).filter((value, n, all) => value !== all[n - 1])).toEqual(values);
    await cluster.restart(leader);
  });

  test("a lock outlives the death of any member, and its session is renewed", async () => {
    const q = connectAll({ endpoints: cluster.urls });
    await using hold = await q.lock("members", { ttl: "10s" });
    const leader = await cluster.untilLeader();
    await cluster.member(leader).process.kill("SIGKILL");
    await hold.renew();
    expect(hold.signal.aborted).toBe(false);
    const { succeeded } = await q.txn().ifHeld(hold).put("guarded", "1").commit();
    expect(succeeded).toBe(true);
    await cluster.restart(leader);
  });

  test("serializable reads of one client never go back, whoever answers", async () => {
    const writer = connect({ endpoints: cluster.urls });
    // Each call goes to the next member.
    let turn = 0;
    const anyone = connect({
      url: "http://any",
      fetch: (url, init) => fetch(url.replace("http://any", cluster.urls[turn++ % 3]!), init),
    });
    let last = 0;
    for (let n = 0; n < 50; n++) {
      const written = await writer.kv.put("back", `${n}`);
      const { revision } = await anyone.kv.all({ serializable: true });
      expect(revision).toBeGreaterThanOrEqual(last);
      last = revision;
      if (n % 10 === 0) expect((await anyone.kv.get("back", { serializable: true, minRevision: written }))?.value).toBe(`${n}`);
    }
  });
});

/** For want of a leader for a while, no read is answered. */
async function untilRead(keys: Keys<string>) {
  for (;;) {
    try {
      return await keys.get("k");
    } catch (error) {
      if (!isUnknown(error) && (error as { code?: string }).code !== "unavailable") throw error;
    }
  }
}
