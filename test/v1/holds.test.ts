/** Locks and their like over plain HTTP, at a real server, by themselves and beside etcdctl on the same name. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "../clients/program.ts";
import { CAN_COMPARE } from "../clients/sides.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { EventReader } from "./event-reader.ts";
import { asking } from "./http.ts";

let server: ServerProcess;
const ask = asking(() => server);
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());

/** JSON of a reply with this status. */
async function json(status: number, method: string, path: string, sent = {}): Promise<Record<string, unknown>> {
  const reply = await ask(method, path, sent);
  expect({ path, status: reply.status, text: reply.text }).toMatchObject({ path, status });
  return reply.json ?? {};
}

const line = async (path: string) => {
  const state = (await json(200, "GET", path)) as { holder: unknown; line: unknown[] };
  return (state.holder === null ? 0 : 1) + state.line.length;
};

const untilLine = (path: string, count: number) =>
  untilTrue(async () => (await line(path)) === count, { what: () => `${count} at ${path}` });

const untilWaiting = (path: string, count: number) =>
  untilTrue(async () => ((await json(200, "GET", path))["line"] as unknown[]).length === count, {
    what: () => `${count} waiting at ${path}`,
  });

describe("locks", () => {
  test("one holds, the next one is told by whom and how long at most, and has it after the release", async () => {
    const first = await json(201, "POST", "/v1/locks/deploy?owner=me&ttl=20s");
    expect(first).toMatchObject({ ttl: 20, key: expect.stringMatching(/^\/quorate\/locks\/deploy\/[0-9a-f]+$/) });
    const refused = await ask("POST", "/v1/locks/deploy");
    expect(refused.status).toBe(423);
    expect(refused.json).toMatchObject({ code: "held", holder: first["lease"], owner: "me", outcome: "none" });
    expect(refused.json!["retryAfterMs"]).toBeLessThanOrEqual(21_000);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(1);
    const waiting = ask("POST", "/v1/locks/deploy?wait=20s");
    await untilLine("/v1/locks/deploy", 2);
    await json(204, "DELETE", `/v1/locks/deploy/${String(first["lease"])}`);
    const second = await waiting;
    expect(second.status).toBe(201);
    expect(second.json!["fence"]).toBeGreaterThan(first["fence"] as number);
    await json(204, "DELETE", `/v1/locks/deploy/${String(second.json!["lease"])}`);
    expect(await line("/v1/locks/deploy")).toBe(0);
  });

  test("asked again with the same id it is the same hold; renewed it is held, released it is gone", async () => {
    const [one, two] = [await json(201, "POST", "/v1/locks/again?id=4711"), await json(201, "POST", "/v1/locks/again?id=4711&wait=1s")];
    expect(two).toEqual(one);
    expect(await json(200, "PUT", "/v1/locks/again/4711")).toEqual(one);
    await json(204, "DELETE", "/v1/locks/again/4711");
    await json(204, "DELETE", "/v1/locks/again/4711");
    expect(await json(410, "PUT", "/v1/locks/again/4711")).toMatchObject({ code: "session_lost" });
  });

  test("a guarded write of a former holder is 409, also under a name that has to be encoded", async () => {
    const hold = await json(201, "POST", "/v1/locks/a%2Fb%20c");
    const headers = { "quorate-guard": String(hold["guard"]) };
    await json(201, "PUT", "/v1/kv/guarded", { body: "1", headers });
    expect(await json(200, "DELETE", "/v1/locks/a%2Fb%20c?force=1")).toMatchObject({ lease: hold["lease"] });
    expect(await json(409, "PUT", "/v1/kv/guarded", { body: "2", headers })).toMatchObject({ code: "stale_holder" });
    expect((await ask("GET", "/v1/kv/guarded")).text).toBe("1");
  });

  test("a guarded transaction of a former holder is 409, whatever it would do otherwise", async () => {
    const hold = await json(201, "POST", "/v1/locks/txn");
    const sent = {
      headers: { "quorate-guard": String(hold["guard"]) },
      body: JSON.stringify({ success: [{ op: "append", prefix: "txn/", value: "1" }], failure: [{ op: "put", key: "other", value: "1" }] }),
    };
    expect(await json(200, "POST", "/v1/txn", sent)).toMatchObject({ succeeded: true, results: [{ op: "append" }] });
    await json(204, "DELETE", `/v1/locks/txn/${String(hold["lease"])}`);
    expect(await json(409, "POST", "/v1/txn", sent)).toMatchObject({ code: "stale_holder" });
    expect(await json(200, "GET", "/v1/kv/txn/?prefix")).toMatchObject({ count: 1 });
    await json(404, "GET", "/v1/kv/other");
  });

  test.each([
    ["PUT", "/v1/config/guarded/port", "1", "/quorate/config/guarded/"],
    ["POST", "/v1/queues/guarded", "job", "/quorate/queues/guarded/"],
    ["POST", "/v1/topics/guarded", "event", "/quorate/topics/guarded/"],
    ["POST", "/v1/counters/guarded", '{"add":1}', "/quorate/counters/guarded"],
    ["PUT", "/v1/tasks/guarded", "spec", "/quorate/tasks/guarded/"],
    ["POST", "/v1/kv/guarded/", "value", "guarded/"],
    ["POST", "/v1/batch", '{"txns":[{"success":[{"op":"put","key":"batched","value":"1"}]}]}', "batched"],
  ])("%s %s is done only while the lock is held, if so wanted", async (method, path, body, prefix) => {
    const state = async () => (await json(200, "GET", `/v1/kv/${encodeURIComponent(prefix)}?prefix`))["kvs"] as unknown[];
    const hold = await json(201, "POST", "/v1/locks/any-write");
    const sent = { body, headers: { "quorate-guard": String(hold["guard"]) } };
    expect((await ask(method, path, sent)).status).toBeLessThan(300);
    await json(204, "DELETE", `/v1/locks/any-write/${String(hold["lease"])}`);
    const before = await state();
    expect(before.length).toBeGreaterThan(0);
    const late = await ask(method, path, sent);
    expect(late.text).toContain("stale_holder");
    if (path !== "/v1/batch") expect(late.status).toBe(409);
    expect(await state()).toEqual(before);
  });

  test.each([
    ["elections", "/v1/elections/placed", ""],
    ["rwlocks", "/v1/rwlocks/placed", "/write"],
    ["semaphores", "/v1/semaphores/placed", "?permits=1&limit=1&"],
  ])("a ticket of %s says how many are before it", async (_, path, end) => {
    const query = end.includes("?") ? "" : "?";
    const first = await json(201, "POST", `${path}${end}`);
    const tickets = [await json(202, "POST", `${path}${end}${query}queue=1`), await json(202, "POST", `${path}${end}${query}queue=1`)];
    expect(tickets.map(({ position }) => position)).toEqual([1, 2]);
    await json(204, "DELETE", `${path}/${String(tickets[0]!["lease"])}`);
    expect(await json(202, "PUT", `${path}/${String(tickets[1]!["lease"])}`)).toMatchObject({ position: 1 });
    await json(204, "DELETE", `${path}/${String(first["lease"])}`);
    expect(await json(200, "PUT", `${path}/${String(tickets[1]!["lease"])}`)).not.toHaveProperty("position");
  });

  test("what cannot be guarded refuses a guard, and a guard has its form", async () => {
    const headers = { "quorate-guard": "a@1" };
    expect(await json(400, "POST", "/v1/leases", { body: '{"ttl":"20s"}', headers })).toMatchObject({ field: "quorate-guard" });
    expect(await json(400, "POST", "/v1/counters/c", { body: "{}", headers: { "quorate-guard": "a" } })).toMatchObject({
      field: "quorate-guard",
    });
  });

  test("a ticket keeps the place for a chain of short requests", async () => {
    const first = await json(201, "POST", "/v1/locks/chain");
    const ticket = await json(202, "POST", "/v1/locks/chain?queue=1&id=815");
    expect(ticket).toMatchObject({ lease: "815", position: 1 });
    const later = await json(202, "POST", "/v1/locks/chain?queue=1");
    expect(later["position"]).toBe(2);
    expect(await json(202, "POST", "/v1/locks/chain/815?wait=50ms")).toEqual(ticket);
    const waiting = json(200, "POST", "/v1/locks/chain/815?wait=20s");
    await json(204, "DELETE", `/v1/locks/chain/${String(first["lease"])}`);
    expect(await waiting).toMatchObject({ key: ticket["key"] });
    await json(204, "DELETE", "/v1/locks/chain/815");
    expect(await json(200, "PUT", `/v1/locks/chain/${String(later["lease"])}`)).toMatchObject({ key: later["key"] });
  });

  test("held by a connection: it outlives its TTL while that is open, and is free when it closes", async () => {
    const stream = await EventReader.open(`${server.url}/v1/locks/shell?hold=connection&ttl=5s`, { method: "POST" });
    const granted = await stream.next();
    expect(granted).toMatchObject({ event: "granted", data: { ttl: 5, key: expect.stringMatching(/^\/quorate\/locks\/shell\//) } });
    const next = await EventReader.open(`${server.url}/v1/locks/shell?hold=connection&ttl=5s`, { method: "POST" });
    await untilLine("/v1/locks/shell", 2);
    const until = performance.now() + 6_000;
    await untilTrue(() => performance.now() > until, { what: () => "longer than the lease lives without being renewed" });
    expect(await json(200, "GET", "/v1/locks/shell")).toMatchObject({ holder: { lease: granted!.data["lease"] } });
    stream.hangUp();
    expect((await next.next())?.event).toBe("granted");
    next.hangUp();
    await untilLine("/v1/locks/shell", 0);
  });

  test.each([
    ["locks", "/v1/locks/streamed", ""],
    ["elections", "/v1/elections/streamed", ""],
    ["rwlocks", "/v1/rwlocks/streamed", "/write"],
    ["semaphores", "/v1/semaphores/streamed", "?permits=1&limit=1&"],
  ])("%s: waited for by a stream, which ends as it is granted, and held by its TTL", async (_, path, end) => {
    const query = end.includes("?") ? "" : "?";
    const accept = { accept: "text/event-stream" };
    const first = await json(201, "POST", `${path}${end}`);
    const refused = await EventReader.open(`${server.url}${path}${end}${query}wait=10ms`, { method: "POST", headers: accept });
    expect(await refused.next()).toMatchObject({ event: "error", data: { status: 423, code: "held" } });
    const gone = await EventReader.open(`${server.url}${path}${end}`, { method: "POST", headers: accept });
    await untilWaiting(path, 1);
    gone.hangUp();
    await untilWaiting(path, 0);
    const stream = await EventReader.open(`${server.url}${path}${end}${query}id=5150`, { method: "POST", headers: accept });
    await untilWaiting(path, 1);
    await json(204, "DELETE", `${path}/${String(first["lease"])}`);
    const granted = await stream.next();
    expect(granted).toMatchObject({ event: "granted", data: { lease: "5150", ttl: 15 } });
    expect(await stream.next()).toBeUndefined();
    expect(await json(200, "PUT", `${path}/5150`)).toEqual(granted!.data);
    await json(204, "DELETE", `${path}/5150`);
  });

  test("held by a connection, and taken away: the stream ends with the problem", async () => {
    const stream = await EventReader.open(`${server.url}/v1/locks/taken?hold=connection&ttl=5s`, { method: "POST" });
    const granted = await stream.next();
    await json(204, "DELETE", `/v1/leases/${String(granted!.data["lease"])}`);
    expect(await stream.next()).toMatchObject({ event: "error", data: { code: "session_lost", status: 410 } });
    expect(await stream.next()).toBeUndefined();
  });

  test("who hangs up while it waits leaves the line; with an id of its own the place is kept", async () => {
    const first = await json(201, "POST", "/v1/locks/hangup");
    for (const [query, left] of [
      ["wait=50s", 1],
      ["wait=50s&id=9001&ttl=60s", 2],
    ] as const) {
      const gone = new AbortController();
      const waiting = fetch(`${server.url}/v1/locks/hangup?${query}`, { method: "POST", signal: gone.signal });
      waiting.catch(() => {});
      await untilLine("/v1/locks/hangup", 2);
      gone.abort();
      await expect(waiting).rejects.toThrow();
      await untilLine("/v1/locks/hangup", left);
    }
    const waiting = json(201, "POST", "/v1/locks/hangup?wait=20s&id=9001&ttl=60s");
    await json(204, "DELETE", `/v1/locks/hangup/${String(first["lease"])}`);
    expect(await waiting).toMatchObject({ lease: "9001" });
  });
});

test("elections: who leads is told at once, by long poll and as a stream", async () => {
  const stream = await EventReader.open(`${server.url}/v1/elections/db`, { headers: { accept: "text/event-stream" } });
  expect((await stream.next())?.event).toBe("none");
  const state = await ask("GET", "/v1/elections/db");
  expect(state.headers.get("etag")).toBe('"0"');
  const changed = ask("GET", "/v1/elections/db?wait=20s", { headers: { "if-none-match": '"0"' } });
  const leader = await json(201, "POST", "/v1/elections/db", { body: "10.0.0.1" });
  const reply = await changed;
  expect(reply.json).toMatchObject({ leader: { value: "10.0.0.1", term: leader["fence"] } });
  expect(await stream.next()).toMatchObject({ event: "leader", data: { value: "10.0.0.1", term: leader["fence"] } });
  const same = await ask("GET", "/v1/elections/db", { headers: { "if-none-match": reply.headers.get("etag")! } });
  expect(same.status).toBe(304);
  await json(200, "PUT", `/v1/elections/db/${String(leader["lease"])}`, { body: "10.0.0.2" });
  expect(await stream.next()).toMatchObject({ data: { value: "10.0.0.2" } });
  const heir = json(201, "POST", "/v1/elections/db?wait=20s", { body: "10.0.0.3" });
  await untilWaiting("/v1/elections/db", 1);
  await json(204, "DELETE", `/v1/elections/db/${String(leader["lease"])}`);
  expect((await heir)["fence"]).toBeGreaterThan(leader["fence"] as number);
  expect(await stream.next()).toMatchObject({ data: { value: "10.0.0.3" } });
  stream.hangUp();
});

test("read-write locks: readers together, a writer alone, a writer becomes a reader", async () => {
  const writer = await json(201, "POST", "/v1/rwlocks/x/write");
  const reader = json(201, "POST", "/v1/rwlocks/x/read?wait=20s");
  await json(423, "POST", "/v1/rwlocks/x/write");
  const kept = await json(200, "POST", `/v1/rwlocks/x/${String(writer["lease"])}/downgrade`);
  expect(kept["fence"]).toBe(writer["fence"]);
  await reader;
  await json(201, "PUT", "/v1/kv/rw", { body: "1", headers: { "quorate-guard": String(kept["guard"]) } });
  expect(((await json(200, "GET", "/v1/rwlocks/x"))["holders"] as unknown[]).length).toBe(2);
});

test("semaphores: permits up to the limit, and a higher limit wakes who waits", async () => {
  await json(201, "POST", "/v1/semaphores/x?permits=2&limit=3");
  await json(423, "POST", "/v1/semaphores/x?permits=2");
  expect(await json(409, "POST", "/v1/semaphores/x?limit=4")).toMatchObject({ code: "conflict", limit: 3 });
  const waiting = json(201, "POST", "/v1/semaphores/x?permits=2&wait=20s");
  await untilWaiting("/v1/semaphores/x", 1);
  await json(204, "PUT", "/v1/semaphores/x/limit", { body: { limit: 4 } });
  await waiting;
});

test("rendezvous: waited for by a stream", async () => {
  const open = () =>
    EventReader.open(`${server.url}/v1/rendezvous/streams?parties=2`, { method: "POST", headers: { accept: "text/event-stream" } });
  const streams = [await open(), await open()];
  const met = await Promise.all(streams.map((stream) => stream.next()));
  for (const one of met) expect(one).toMatchObject({ event: "ready", data: { generation: 1, members: { length: 2 } } });
  expect(new Set(met.map((one) => one!.data["ticket"])).size).toBe(2);
  expect(await Promise.all(streams.map((stream) => stream.next()))).toEqual([undefined, undefined]);
});

test("barriers: who waits passes; rendezvous: nobody goes before all are there", async () => {
  const stream = await EventReader.open(`${server.url}/v1/barriers/x`, { headers: { accept: "text/event-stream" } });
  expect(await stream.next()).toMatchObject({ event: "open", data: { closed: null } });
  await json(201, "PUT", "/v1/barriers/x");
  expect((await stream.next())?.event).toBe("closed");
  const { closed } = await json(423, "GET", "/v1/barriers/x?wait=10ms");
  const waiting = json(200, "GET", "/v1/barriers/x?wait=20s");
  await json(204, "DELETE", "/v1/barriers/x");
  await waiting;
  expect((await stream.next())?.event).toBe("open");
  stream.hangUp();
  await json(201, "PUT", "/v1/barriers/x");
  await json(200, "GET", `/v1/barriers/x?closed=${String(closed)}`);

  const first = json(200, "POST", "/v1/rendezvous/x?parties=3&wait=20s");
  const second = await json(202, "POST", "/v1/rendezvous/x?parties=3&id=77");
  const third = await json(200, "POST", "/v1/rendezvous/x?parties=3&wait=20s");
  expect(third["members"]).toHaveLength(3);
  expect(await json(200, "POST", "/v1/rendezvous/x?parties=3&id=77")).toMatchObject({ ticket: second["ticket"], generation: 1 });
  const leaving = ask("DELETE", `/v1/rendezvous/x/${String(third["ticket"])}?wait=20s`);
  await json(202, "DELETE", `/v1/rendezvous/x/${String((await first)["ticket"])}`);
  await json(204, "DELETE", `/v1/rendezvous/x/${String(second["ticket"])}?wait=20s`);
  expect((await leaving).status).toBe(204);
});

describe.skipIf(!CAN_COMPARE)("etcdctl on the same name", { timeout: 60_000 }, () => {
  const etcdctl = (...args: string[]) => new Program("etcdctl", args, { ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: server.url });

  test("lock: it holds, v1 waits; v1 holds, it waits", async () => {
    const theirs = etcdctl("lock", "/quorate/locks/both");
    await theirs.until(/^\/quorate\/locks\/both\/[0-9a-f]+\n/);
    expect(await json(423, "POST", "/v1/locks/both")).toMatchObject({ code: "held" });
    const waiting = json(201, "POST", "/v1/locks/both?wait=30s&ttl=60s");
    await untilLine("/v1/locks/both", 2);
    const next = etcdctl("lock", "/quorate/locks/both");
    await untilLine("/v1/locks/both", 3);
    await theirs.kill("SIGINT");
    const mine = await waiting;
    expect(next.stdout).toBe("");
    await json(204, "DELETE", `/v1/locks/both/${String(mine["lease"])}`);
    await next.until(/^\/quorate\/locks\/both\/[0-9a-f]+\n/);
    await next.kill("SIGINT");
    expect(await line("/v1/locks/both")).toBe(0);
  });

  test("elect: it leads, v1 waits; v1 leads, it waits and listens", async () => {
    const leader = async () => ((await json(200, "GET", "/v1/elections/both"))["leader"] as { value: string } | null)?.value;
    const theirs = etcdctl("elect", "/quorate/elections/both", "theirs");
    await theirs.until(/theirs\n/);
    expect(await leader()).toBe("theirs");
    const listener = etcdctl("elect", "--listen", "/quorate/elections/both");
    await listener.until(/theirs\n/);
    const waiting = json(201, "POST", "/v1/elections/both?wait=30s&ttl=60s", { body: "mine" });
    await untilWaiting("/v1/elections/both", 1);
    const next = etcdctl("elect", "/quorate/elections/both", "next");
    await untilWaiting("/v1/elections/both", 2);
    await theirs.kill("SIGINT");
    const mine = await waiting;
    await listener.until(/mine\n/);
    await json(204, "DELETE", `/v1/elections/both/${String(mine["lease"])}`);
    await next.until(/next\n/);
    expect(await leader()).toBe("next");
    await next.kill("SIGINT");
    await listener.kill("SIGINT");
  });
});

test("breaking a lock by force is for users of the role root, without a scope", async () => {
  const guarded = await startQuorate();
  const there = asking(() => guarded);
  const key = (text: string) => Buffer.from(text).toString("base64");
  const basic = (user: string) => ({ authorization: `Basic ${key(`${user}:secret`)}` });
  try {
    for (const [path, body] of [
      ["user/add", { name: "root", password: "secret" }],
      ["user/add", { name: "bob", password: "secret" }],
      ["role/add", { name: "locker" }],
      ["role/grant", { name: "locker", perm: { permType: "READWRITE", key: key("/quorate/locks/"), range_end: key("/quorate/locks0") } }],
      ["user/grant", { user: "bob", role: "locker" }],
      ["role/add", { name: "root" }],
      ["user/grant", { user: "root", role: "root" }],
      ["auth/enable", {}],
    ] as const) {
      const reply = await there("POST", `/v3/auth/${path.replace("auth/", "")}`, { body });
      expect({ path, status: reply.status, text: reply.text }).toMatchObject({ path, status: 200 });
    }
    expect((await there("POST", "/v1/locks/x")).status).toBe(401);
    expect((await there("POST", "/v1/locks/x", { headers: basic("bob") })).status).toBe(201);
    expect((await there("POST", "/v1/elections/x", { headers: basic("bob") })).status).toBe(403);
    expect((await there("DELETE", "/v1/locks/x?force=1", { headers: basic("bob") })).status).toBe(403);
    const token = await there("POST", "/v1/tokens", { headers: basic("root"), body: { allow: ["locks:x:acquire"], ttl: "1m" } });
    const scoped = { authorization: `Bearer ${String(token.json!["token"])}` };
    expect((await there("DELETE", "/v1/locks/x?force=1", { headers: scoped })).status).toBe(403);
    expect((await there("POST", "/v1/locks/x", { headers: scoped })).status).toBe(423);
    expect((await there("DELETE", "/v1/locks/x?force=1", { headers: basic("root") })).status).toBe(200);
    const mine = await there("POST", "/v1/locks/x", { headers: scoped });
    expect(mine.status).toBe(201);
    expect((await there("DELETE", `/v1/locks/x/${String(mine.json!["lease"])}`, { headers: scoped })).status).toBe(204);
  } finally {
    await guarded.stop();
  }
});
