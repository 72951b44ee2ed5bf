/** The client as its users have it, against a real server over real connections. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { connectAll } from "../../client/all.ts";
import { type Client, connect, fromEnv, isUnknown, json, outcomeOf, text } from "../../client/client.ts";
import { etcdWire } from "../../client/etcd.ts";
import type { WatchStep } from "../../client/keys.ts";
import { freePort } from "../helpers/free-port.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

let server: ServerProcess;
let q: Client;
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());
let at = 0;
let prefix = "";
beforeEach(() => {
  q = connect(server.url);
  prefix = `test/${at++}/`;
});

async function take<T>(steps: AsyncIterable<WatchStep<T>>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const step of steps) {
    if (step.kind === "reset") seen.push(`reset ${step.entries.map(({ key, value }) => `${key}=${String(value)}`).join()}`);
    else for (const one of step.changes) seen.push(one.type === "put" ? `${one.key}=${String(one.entry.value)}` : `-${one.key}`);
    if (seen.length >= count) break;
  }
  return seen;
}

describe("keys", () => {
  test("are put, read and deleted", async () => {
    const keys = q.keys(prefix);
    expect(await keys.get("ä")).toBeNull();
    const revision = await keys.put("ä", "ü\u0000");
    expect(await keys.get("ä")).toEqual({ key: "ä", value: "ü\u0000", revision, created: revision, version: 1, lease: null });
    expect(await q.kv.get(`${prefix}ä`)).toMatchObject({ key: `${prefix}ä`, value: "ü\u0000" });
    expect([await keys.delete("ä"), await keys.delete("ä")]).toEqual([true, false]);
    expect((await keys.get("ä", { atRevision: revision }))?.value).toBe("ü\u0000");
  });

  test("are written only at the revision that was seen, if so wanted", async () => {
    const keys = q.keys(prefix);
    const first = await keys.put("a", "1", { ifRevision: 0 });
    await expect(keys.put("a", "2", { ifRevision: 0 })).rejects.toMatchObject({ reason: "conflict", details: { revision: first } });
    const second = await keys.put("a", "2", { ifRevision: first });
    await expect(keys.delete("a", { ifRevision: first })).rejects.toMatchObject({ reason: "conflict", details: { revision: second } });
    expect(await keys.delete("a", { ifRevision: second })).toBe(true);
    await expect(keys.put("a", "3", { ifRevision: second })).rejects.toMatchObject({ details: { revision: 0 } });
  });

  test("are updated by many without losing a change", async () => {
    const counter = q.keys(prefix, json<number>());
    await Promise.all(Array.from({ length: 10 }, () => counter.update("n", (n) => (n ?? 0) + 1)));
    expect((await counter.get("n"))?.value).toBe(10);
  });

  test("have a schema that is held both ways", async () => {
    const users = q.keys(prefix, json(z.object({ name: z.string(), age: z.coerce.number().default(7) })));
    await users.put("ada", { name: "Ada" });
    expect((await users.get("ada"))?.value).toEqual({ name: "Ada", age: 7 });
    await expect(users.put("bob", { name: 1 as unknown as string })).rejects.toMatchObject({ reason: "badValue" });
    expect(await users.count()).toBe(1);
    await q.kv.put(`${prefix}eve`, '{"name":true}');
    await expect(users.get("eve")).rejects.toThrow(/does not fit its schema: name: /);
    await q.kv.put(`${prefix}eve`, "{");
    await expect(users.get("eve")).rejects.toThrow(/no JSON/);
  });

  test("are listed page by page as of one revision", async () => {
    const keys = q.keys(prefix);
    for (const key of ["a", "b", "c", "d", "e"]) await keys.put(key, key);
    const seen: string[] = [];
    for await (const { key } of keys.list({ pageSize: 2 })) {
      seen.push(key);
      if (key === "a") await keys.delete("e");
    }
    expect(seen).toEqual(["a", "b", "c", "d", "e"]);
    expect((await keys.all()).entries.map(({ key }) => key)).toEqual(["a", "b", "c", "d"]);
    expect(await keys.count()).toBe(4);
    expect((await q.kv.all()).entries.length).toBeGreaterThanOrEqual(4);
  });

  test("go with their time to live, or with a session", async () => {
    const keys = q.keys(prefix);
    await keys.put("a", "1", { ttl: "2s" });
    const all = connectAll(server.url);
    const session = await all.session({ ttl: "5s" });
    await keys.put("b", "2", { lease: session });
    const ends = take(keys.watch(), 3);
    expect((await keys.get("b"))?.lease).toBe(session.id);
    await session.end();
    expect(await ends).toEqual(["reset a=1,b=2", "-b", "-a"]);
  });

  test("are watched: what is there, then each change, from a revision on too", async () => {
    const keys = q.keys(prefix, text);
    const first = await keys.put("a", "1");
    const gone = new AbortController();
    const all = take(keys.watch({ signal: gone.signal }), 4);
    const later = take(keys.watch({ after: first }), 3);
    // The first one may find more in the state than the first key.
    await q.txn().put(`${prefix}b`, "2").put(`${prefix}c`, "3").commit();
    await keys.delete("a");
    expect(await later).toEqual(["b=2", "c=3", "-a"]);
    gone.abort();
    expect((await all)[0]).toMatch(/^reset /);
  });
});

describe("transactions", () => {
  test("take one branch or the other", async () => {
    const [a, b] = [`${prefix}a`, `${prefix}b`];
    const make = () =>
      q
        .txn()
        .ifAbsent(a)
        .put(a, "1")
        .put(b, new Uint8Array([255]))
        .list(prefix)
        .else((branch) => branch.get(a).delete(b));
    const first = await make().commit();
    expect(first).toMatchObject({ succeeded: true, steps: [{ did: "put" }, { did: "put" }, { did: "get" }] });
    expect(first.steps[2]).toMatchObject({ found: [{ key: a, text: "1", revision: first.revision }, { key: b }] });
    const second = await make().commit();
    expect(second).toMatchObject({ succeeded: false, steps: [{ found: [{ text: "1" }] }, { did: "delete", deleted: 1 }] });
    expect((await q.txn().ifPresent(a).ifValue(a, "1").ifRevision(a, first.revision).deleteAll(prefix).commit()).steps).toEqual([
      { did: "delete", deleted: 1 },
    ]);
  });

  test("of a stale holder do nothing", async () => {
    const all = connectAll(server.url);
    const [first, key] = [await all.lock(prefix, { ttl: "5s" }), `${prefix}guarded`];
    expect((await q.txn().ifHeld(first).put(key, "1").commit()).succeeded).toBe(true);
    const stale = q.txn().ifHeld(first).put(key, "2");
    await first.release();
    expect((await stale.commit()).succeeded).toBe(false);
    expect(() => q.txn().ifHeld(first)).toThrow(/session is lost/);
    expect((await q.kv.get(key))?.value).toBe("1");
  });
});

describe("recipes as methods", () => {
  test("exclude one another, wake the next one, and release by themselves", async () => {
    const [one, other] = [connectAll(server.url), connectAll(server.url)];
    const hold = await one.lock(prefix, { ttl: "5s", owner: "one" });
    expect(await other.tryLock(prefix)).toBeNull();
    expect((await other.lockState(prefix)).holder).toMatchObject({ owner: "one", fence: hold.fence });
    const waiting = other.lock(prefix, { ttl: "5s" });
    await hold.release();
    {
      await using next = await waiting;
      expect(next.fence).toBeGreaterThan(hold.fence);
    }
    expect(await one.withLock(prefix, async (held) => held.signal.aborted, { ttl: "5s" })).toBe(false);
  });

  test("of every kind run on this server", async () => {
    const [a, b] = [connectAll(server.url), connectAll(server.url)];
    const name = prefix;
    const readers = [await a.rwlock(name).read({ ttl: "5s" }), await b.rwlock(name).read({ ttl: "5s" })];
    const writing = a.rwlock(name).write({ ttl: "5s" });
    for (const reader of readers) await reader.release();
    await (await writing).release();
    await using permits = await a.semaphore(name, 2).acquire(2, { ttl: "5s" });
    expect([await b.semaphore(name, 2).tryAcquire(1, { ttl: "5s" }), await b.semaphore(name).available()]).toEqual([null, 0]);
    await a.barrier(name).close();
    const passed = b.barrier(name).wait();
    expect(await a.barrier(name).open()).toBe(true);
    await passed;
    const parties = await Promise.all([a, b].map((q) => q.rendezvous(name, 2).enter({ ttl: "5s" })));
    expect(new Set(parties.map(({ generation }) => generation)).size).toBe(1);
    await Promise.all(parties.map((party) => party.leave()));
    await using both = await a.locks([`${name}x`, `${name}y`], { ttl: "5s" });
    expect(both.holds).toHaveLength(2);
    expect([await a.fence(name, permits.fence), await a.fence(name, permits.fence - 1n)]).toMatchObject([
      { accepted: true },
      { accepted: false },
    ]);
    const done = new AbortController();
    let led = 0n;
    await b.runAsLeader(name, async (leadership) => ((led = leadership.term), done.abort()), { data: "b", ttl: "5s", signal: done.signal });
    expect([led > 0n, await a.election(name).leader()]).toEqual([true, null]);
  });

  test("topics tell everybody the same, and a consumer where it was", async () => {
    const [a, b] = [connectAll(server.url), connectAll(server.url)];
    const news = a.topic(prefix, json<{ n: number }>());
    for (const n of [1, 2, 3]) await news.publish({ n });
    const twice = await Promise.all([4, 4].map((n) => news.publish({ n }, { idempotencyKey: "four" })));
    expect(twice[0]).toBe(twice[1]);
    const follow = async (count: number) => {
      const seen: number[] = [];
      for await (const message of b.topic(prefix, json<{ n: number }>()).subscribe({ consumer: "c" })) {
        if (message.kind === "reset") throw new Error("nothing was removed");
        seen.push(message.value.n);
        await message.ack();
        if (seen.length === count) break;
      }
      return seen;
    };
    expect([await follow(2), await follow(2)]).toEqual([
      [1, 2],
      [3, 4],
    ]);
    const stale = [news.subscribe({ consumer: "d" }), news.subscribe({ consumer: "d" })];
    const [one, two] = (await Promise.all(stale.map((events) => events.next()))).map(({ value }) => value!);
    if (one?.kind !== "event" || two?.kind !== "event") throw new Error("events were expected");
    await one.ack();
    await expect(two.ack()).rejects.toMatchObject({ reason: "conflict" });
    for (const events of stale) await events.return();
  });

  test("tasks show who is at work, and who was lost", async () => {
    const all = connectAll(server.url);
    const task = all.task(prefix);
    await task.direct("move");
    const [lost, done] = [await all.session({ ttl: "5s" }), await all.session({ ttl: "5s" })];
    await task.report("a", { state: "running", percent: 10 }, lost);
    await task.report("b", { state: "done" }, done);
    await Promise.all([lost.end(), done.end()]);
    const { spec, workers } = await task.state();
    expect([spec, workers.map(({ worker, state }) => `${worker} ${state}`).toSorted()]).toEqual(["move", ["a lost", "b done"]]);
  });

  test("hand a hold from one process to another", async () => {
    const [one, other] = [connectAll(server.url), connectAll(server.url)];
    const hold = await one.lock(prefix, { ttl: "5s" });
    const resumed = await other.resume(JSON.parse(JSON.stringify(hold)));
    expect(resumed.fence).toBe(hold.fence);
    await resumed.release();
    expect((await one.lockState(prefix)).holder).toBeNull();
    await hold.release();
  });
});

describe("calls of one moment", () => {
  test("go in one request, reads and writes apart, each with its own outcome", async () => {
    const sent: string[] = [];
    const asked = (url: string, init: RequestInit) => {
      sent.push(new URL(url).pathname);
      return fetch(url, init);
    };
    const keys = connect({ url: server.url, fetch: asked }).keys(prefix);
    await Promise.all(["a", "b", "c"].map((key) => keys.put(key, key)));
    expect(sent.splice(0)).toEqual(["/v1/batch"]);
    const outcomes = await Promise.allSettled([
      keys.get("a"),
      keys.put("a", "2", { ifRevision: 1 }),
      keys.get("b"),
      keys.put("d", "4"),
      keys.get("c", { atRevision: 2 ** 40 }),
    ]);
    expect(sent.splice(0)).toEqual(["/v1/batch", "/v1/batch"]);
    expect(outcomes).toMatchObject([
      { value: { value: "a" } },
      { reason: { reason: "conflict" } },
      { value: { value: "b" } },
      { value: expect.any(Number) },
      { reason: { reason: "futureRevision" } },
    ]);
    await keys.get("a");
    expect(sent).toEqual(["/v1/txn"]);
  });

  test("of a batch that was lost, reads are asked again and writes are unknown", async () => {
    let lose = 2;
    const asked = async (url: string, init: RequestInit) => {
      const reply = await fetch(url, init);
      if (lose-- > 0) throw new TypeError("cut");
      return reply;
    };
    const keys = connect({ url: server.url, fetch: asked }).keys(prefix);
    const outcomes = await Promise.all(
      [keys.get("a"), keys.get("b"), keys.put("a", "1"), keys.put("b", "2")].map((one) => outcomeOf<unknown>(one)),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(["done", "done", "unknown", "unknown"]);
  });

  test("of a batch whose answer is none, nothing is known", async () => {
    for (const body of ['{"results":[{},{}]}', '{"results":[]}', "{}", "[]"]) {
      const { kv } = connect({ url: "http://x", retry: { attempts: 1 }, fetch: async () => new Response(body) });
      const outcomes = await Promise.all(["a", "b"].map((key) => outcomeOf(kv.put(key, "1"))));
      expect(outcomes).toMatchObject([{ kind: "unknown" }, { kind: "unknown" }]);
    }
  });

  test("more than a batch can hold go in several", async () => {
    let requests = 0;
    const keys = connect({ url: server.url, fetch: (url, init) => (requests++, fetch(url, init)) }).keys(prefix);
    const values = Array.from({ length: 300 }, (_, n) => `${n}`);
    await Promise.all(values.map((value) => keys.put(value, value)));
    expect([requests, await keys.count()]).toEqual([3, 300]);
  });
});

describe("serializable reads", () => {
  test("ask for what this client has seen already", async () => {
    const asked: (string | null)[] = [];
    const watched = (url: string, init: RequestInit) => {
      asked.push(new Headers(init.headers).get("quorate-min-revision"));
      return fetch(url, init);
    };
    const { kv } = connect({ url: server.url, fetch: watched });
    const revision = await kv.put(`${prefix}a`, "1");
    expect((await kv.get(`${prefix}a`, { serializable: true }))?.value).toBe("1");
    expect(asked).toEqual([null, `${revision}`]);
    await expect(kv.get("a", { serializable: true, minRevision: revision + 1000 })).rejects.toMatchObject({ reason: "behind" });
  });

  test("of a member of etcd that is behind are asked again, linearizably", async () => {
    const asked: unknown[] = [];
    const member = async (_url: string, { body }: RequestInit) => {
      const { serializable } = JSON.parse(body as string) as { readonly serializable: boolean };
      asked.push(serializable);
      return Response.json({ header: { revision: serializable && asked.length > 1 ? "4" : "5" } });
    };
    const { kv } = connect({ url: "http://x", wire: etcdWire(), fetch: member });
    await kv.get("a");
    expect((await kv.all({ serializable: true })).revision).toBe(5);
    expect(asked).toEqual([false, true, false]);
    await expect(kv.get("a", { minRevision: 6 })).rejects.toMatchObject({ reason: "futureRevision" });
  });
});

describe("connect()", () => {
  test("opens nothing, whatever the address", () => {
    expect(connect("http://127.0.0.1:1").kv.prefix).toBe("");
    for (const url of ["", "localhost:2379", "ftp://x"]) expect(() => connect(url)).toThrow(/^url must be/);
    expect(() => connect({ endpoints: [] })).toThrow(/^url must be/);
  });

  test("tells what certainly was not done from what is unknown", async () => {
    const nobody = connect({ url: `http://127.0.0.1:${await freePort()}`, retry: { attempts: 2 } });
    expect(await outcomeOf(nobody.kv.put("a", "1"))).toMatchObject({ kind: "failed", error: { reason: "unreachable" } });
    const lost = connect({ url: server.url, fetch: async (url, init) => (await fetch(url, init), Promise.reject(new TypeError("cut"))) });
    const outcome = await outcomeOf(lost.kv.put(`${prefix}a`, "1"));
    expect(outcome).toMatchObject({ kind: "unknown", error: { reason: "connectionLost" } });
    expect(outcome.kind === "unknown" && isUnknown(outcome.error)).toBe(true);
    expect((await q.kv.get(`${prefix}a`))?.version).toBe(1);
  });

  test("what stands between may answer, and the server may not know itself", async () => {
    const answered = (status: number, body: string) =>
      connect({ url: "http://x", retry: { attempts: 2 }, fetch: async () => new Response(body, { status }) }).kv;
    for (const body of ["<html>bad gateway</html>", "", "{}"]) {
      expect(await outcomeOf(answered(502, body).put("a", "1"))).toMatchObject({ kind: "unknown", error: { reason: "connectionLost" } });
    }
    const problem = (outcome: string) => JSON.stringify({ status: 500, code: "storage_failed", detail: "no", outcome });
    expect((await outcomeOf(answered(500, problem("unknown")).put("a", "1"))).kind).toBe("unknown");
    expect((await outcomeOf(answered(500, problem("none")).put("a", "1"))).kind).toBe("failed");
    await expect(answered(200, '{"succeeded":true,"resu').get("a")).rejects.toMatchObject({ reason: "connectionLost" });
  });

  test("a call ends when nobody waits for it any more, with the reason given", async () => {
    const gone = new AbortController();
    const stuck = connect({
      url: server.url,
      fetch: (_url, { signal }) => new Promise((_, reject) => signal!.addEventListener("abort", () => reject(new Error("aborted")))),
    });
    const asked = stuck.kv.get("a", { signal: gone.signal });
    gone.abort(new Error("mine"));
    await expect(asked).rejects.toThrow("mine");
    const slow = connect({
      url: server.url,
      retry: { attemptMs: 20, attempts: 2 },
      fetch: (_url, { signal }) => new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason as Error))),
    });
    await expect(slow.kv.get("a")).rejects.toMatchObject({ reason: "timeout" });
  });

  test("fromEnv() reads the address, or several, and the token", async () => {
    const sent: string[] = [];
    const asked = async (url: string, init: RequestInit) => {
      sent.push(`${url} ${new Headers(init.headers).get("authorization")}`);
      throw Object.assign(new TypeError("no"), { code: "ECONNREFUSED" });
    };
    const env = { QUORATE_URL: "http://a:1/, http://b:2", QUORATE_TOKEN: "t" };
    await expect(fromEnv(env, { fetch: asked, retry: { attempts: 2 } }).kv.get("x")).rejects.toMatchObject({ reason: "unreachable" });
    expect(sent.map((one) => one.replace("/v1/txn", "")).toSorted()).toEqual(["http://a:1 Bearer t", "http://b:2 Bearer t"]);
    expect(() => fromEnv({})).toThrow(/^QUORATE_URL must be/);
  });

  test("a token that is not taken any more is fetched anew, once", async () => {
    const tokens = ["old", "new"];
    let asked = 0;
    const reply = (headers: RequestInit["headers"]) =>
      new Headers(headers).get("authorization") === "Bearer new"
        ? Response.json({ succeeded: true, results: [{ op: "get", kvs: [], count: 0, more: false }], revision: 3 })
        : Response.json({ code: "invalid_auth_token", detail: "no", status: 401 }, { status: 401 });
    const of = (token: () => string) => connect({ url: "http://x", token, fetch: async (_url, { headers }) => reply(headers) });
    expect(await of(() => tokens[asked++]!).kv.get("a")).toBeNull();
    expect(asked).toBe(2);
    await expect(of(() => "bad").kv.get("a")).rejects.toMatchObject({ reason: "invalidAuthToken" });
  });
});
