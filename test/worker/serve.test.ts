/** The Worker in workerd, from outside: namespaces, what it refuses, administration, users, streams, alarms, sockets that outlive a nap. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
/** The platform puts an object to sleep after ten seconds in which nothing happens to it. */
const NAP_MS = 13_000;
const SLEEPY_MS = 90_000;
const ADMIN = { authorization: "Bearer secret" };

// At the same time, since some of them wait for naps; each has namespaces of its own.
describe.skipIf(workerd === undefined).concurrent("the Worker in workerd (skipped where it is not there for this machine)", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startQuorateWorker({ vars: { ADMIN_TOKEN: "secret", HOST_SUFFIX: "ns.example.org", MAX_REQUEST_BYTES: "100000" } });
  });
  afterAll(() => server.stop());

  const ask = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(server.url + path, init);
    return { status: reply.status, headers: reply.headers, text: await reply.text() };
  };
  const v3 = async <T = Record<string, unknown>>(
    ns: string,
    path: string,
    body: object,
    headers: Record<string, string> = {},
  ): Promise<T> => {
    const { text } = await ask(`/ns/${ns}/v3/${path}`, { method: "POST", body: JSON.stringify(body), headers });
    return JSON.parse(text) as T;
  };
  const put = (ns: string, key: string, value: string, more = {}) => v3(ns, "kv/put", { key: base64(key), value: base64(value), ...more });

  /** The object sleeps, and wakes as another instance of itself. */
  const nap = async (ns: string) => {
    const since = async () => (JSON.parse((await ask(`/ns/${ns}/v2/stats/self`)).text) as { startTime: string }).startTime;
    const before = await since();
    await new Promise((resolve) => setTimeout(resolve, NAP_MS));
    expect(await since()).not.toBe(before);
  };

  test("a namespace is chosen by path, header or host name; each has revisions of its own", async () => {
    await put("one", "k", "1");
    await put("one", "k", "2");
    expect((await ask("/ns/one/v1/kv/k")).text).toBe("2");
    expect((await ask("/v1/kv/k", { headers: { "quorate-namespace": "one" } })).text).toBe("2");
    expect((await ask("/v1/kv/k", { headers: { host: "one.ns.example.org" } })).status).toBe(404); // fetch sends its own
    expect((await ask("/ns/two/v1/kv/k")).status).toBe(404);
    expect(await put("two", "k", "1")).toMatchObject({ header: { revision: "2" } });
    expect(JSON.parse((await ask("/ns/A_B/v1/kv/k")).text)).toMatchObject({
      code: "bad_field",
      detail: expect.stringContaining('namespace "A_B"'),
    });
  });

  test("all three APIs speak of the same keys", async () => {
    await ask("/ns/views/v2/keys/a/b", {
      method: "PUT",
      body: "value=1",
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    expect((await ask("/ns/views/v1/kv/%2Fa%2Fb")).text).toBe("1");
    expect(await v3("views", "kv/range", { key: base64("/a/b") })).toMatchObject({ count: "1", kvs: [{ value: base64("1") }] });
  });

  test("gRPC is refused by name, in a way that a gRPC client reads", async () => {
    const { status, headers } = await ask("/etcdserverpb.KV/Range", {
      method: "POST",
      headers: { "content-type": "application/grpc+proto" },
    });
    expect([status, headers.get("grpc-status"), decodeURI(headers.get("grpc-message")!)]).toEqual([
      200,
      "12",
      "gRPC is not served on Workers: use the JSON gateway at /v3, /v2 or /v1",
    ]);
  });

  test("a request that is too large is refused with the limit of the view", async () => {
    expect(await put("limits", "k", "x".repeat(120_000))).toMatchObject({ message: "etcdserver: request is too large", code: 3 });
    expect((await ask("/ns/limits/v1/kv/k", { method: "PUT", body: "x".repeat(120_000) })).status).toBe(413);
    expect(await v3("limits", "kv/range", { key: base64("k") })).not.toHaveProperty("kvs");
  });

  test("whoever has the token lists namespaces and sets their quotas; nobody else does", async () => {
    expect((await ask("/admin/namespaces")).status).toBe(401);
    expect((await ask("/admin/namespaces", { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    for (const name of ["list-a", "list-b", "list-c", "list-d"]) await put(name, "k", "v");
    const listed = async (query: string) => {
      const { namespaces, more } = JSON.parse((await ask(`/admin/namespaces?${query}`, { headers: ADMIN })).text);
      return { names: (namespaces as { name: string }[]).map(({ name }) => name), more: more as boolean };
    };
    await untilTrue(async () => (await listed("after=list&limit=4")).names.at(-1) === "list-d", {
      what: () => "four namespaces are listed",
    });
    expect(await listed("after=list&limit=3")).toEqual({ names: ["list-a", "list-b", "list-c"], more: true });
    expect(await listed("after=list-a&limit=1")).toEqual({ names: ["list-b"], more: true });
    expect((await ask("/admin/namespaces?limit=0", { headers: ADMIN })).status).toBe(400);

    const quota = (body: string) => ask("/admin/namespaces/list-a", { method: "PUT", headers: ADMIN, body });
    expect(JSON.parse((await quota('{"quotaBytes": 2000}')).text)).toMatchObject({ quotaBytes: 2000, keys: 1, revision: 2 });
    expect(JSON.parse((await quota('{"quotaBytes": 0}')).text)).toMatchObject({
      status: 400,
      detail: expect.stringContaining("quotaBytes"),
    });
    expect(JSON.parse((await quota('{"bytes": 1}')).text)).toMatchObject({
      status: 400,
      detail: expect.stringContaining("bytes cannot be set"),
    });
    expect(await put("list-a", "large", "x".repeat(3000))).toMatchObject({ message: "etcdserver: mvcc: database space exceeded", code: 8 });
    expect(await put("list-b", "large", "x".repeat(3000))).toMatchObject({ header: { revision: "3" } });
    expect((await ask("/ns/list-a/admin/namespaces/list-a", { headers: ADMIN })).status).toBe(404); // the namespace is taken out once
  });

  test("users have tokens that outlive the object's naps, and permissions", { timeout: SLEEPY_MS }, async () => {
    const user = (name: string, role: string) =>
      v3("users", "auth/user/add", { name, password: `${name}-password` }).then(() => v3("users", "auth/user/grant", { user: name, role }));
    await v3("users", "auth/role/add", { name: "reader" });
    await v3("users", "auth/role/grant", { name: "reader", perm: { permType: "READ", key: base64("a"), range_end: base64("b") } });
    await user("root", "root");
    await user("ann", "reader");
    await v3("users", "auth/enable", {});
    const login = async (name: string) => {
      const { token } = await v3<{ token: string }>("users", "auth/authenticate", { name, password: `${name}-password` });
      return { authorization: token };
    };
    const [root, ann] = [await login("root"), await login("ann")];
    expect(await v3("users", "kv/put", { key: base64("a"), value: base64("1") }, root)).toMatchObject({ header: { revision: "2" } });
    expect(await v3("users", "auth/authenticate", { name: "ann", password: "wrong" })).toMatchObject({ code: 3 });
    await nap("users");
    expect(await v3("users", "kv/range", { key: base64("a") }, ann)).toMatchObject({ count: "1" });
    expect(await v3("users", "kv/put", { key: base64("a"), value: base64("2") }, ann)).toMatchObject({
      message: "etcdserver: permission denied",
    });
    expect(await v3("users", "kv/range", { key: base64("a") })).toMatchObject({ code: 3 });
  });

  test("a watch of v3 flows while its client says that it takes compressed bodies", async () => {
    const gone = new AbortController();
    const reply = await fetch(`${server.url}/ns/watch/v3/watch`, {
      method: "POST",
      body: JSON.stringify({ create_request: { key: base64("w") } }),
      headers: { "accept-encoding": "gzip" },
      signal: gone.signal,
    });
    const reader = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toContain('"created":true');
    await put("watch", "w", "1");
    expect((await reader.read()).value).toContain(base64("1"));
    await reader.cancel();
    gone.abort();
  });

  test("server-sent events flow, and go on behind Last-Event-ID", async () => {
    await put("events", "e", "1");
    await put("events", "e", "2");
    const gone = new AbortController();
    const headers = { accept: "text/event-stream", "last-event-id": "2" };
    const reply = await fetch(`${server.url}/ns/events/v1/watch?key=e`, { headers, signal: gone.signal });
    let text = "";
    for await (const piece of reply.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes("id: 3")) await put("events", "e", "3");
      if (text.includes("id: 4")) break;
    }
    expect(text.match(/^id: \d+$/gm)).toEqual(["id: 2", "id: 3", "id: 4"]);
    gone.abort();
  });

  test("a lease ends by the alarm, with nobody there", { timeout: SLEEPY_MS }, async () => {
    await v3("leases", "lease/grant", { ID: "77", TTL: "2" });
    await put("leases", "k", "v", { lease: "77" });
    await v3("leases", "lease/grant", { ID: "78", TTL: "600" });
    await put("leases", "kept", "v", { lease: "78" });
    // Nothing is asked until it must be over: only the alarm can have ended it by then, since a read does not.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await untilTrue(async () => (await v3<{ count?: string }>("leases", "kv/range", { key: base64("k") })).count === undefined, {
      what: () => "the lease ends",
    });
    expect(await v3("leases", "lease/leases", {})).toMatchObject({ leases: [{ ID: "78" }] });
    expect(await v3("leases", "kv/range", { key: base64("kept") })).toMatchObject({ count: "1" });
  });

  test("a renewed lease outlives a nap, and ends when nobody renews it any more", { timeout: SLEEPY_MS }, async () => {
    await v3("naps", "lease/grant", { ID: "5", TTL: "20" });
    await put("naps", "k", "v", { lease: "5" });
    await nap("naps");
    const { result } = await v3<{ result: { TTL: string } }>("naps", "lease/keepalive", { ID: "5" });
    expect(result.TTL).toBe("20");
    await new Promise((resolve) => setTimeout(resolve, NAP_MS)); // the alarm of the first term rings meanwhile, and finds nothing due
    expect(await v3("naps", "kv/range", { key: base64("k") })).toMatchObject({ count: "1" });
    expect(Number((await v3<{ TTL: string }>("naps", "lease/timetolive", { ID: "5" })).TTL)).toBeLessThan(10);
    await untilTrue(async () => (await v3<{ count?: string }>("naps", "kv/range", { key: base64("k") })).count === undefined, {
      what: () => "the lease ends",
      timeoutMs: 30_000,
    });
  });

  test("a schedule fires by the alarm", { timeout: SLEEPY_MS }, async () => {
    const made = await ask("/ns/clock/v1/schedules/tick", {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ every: "2s", queue: "ticks", body: "now" }),
    });
    expect(made.status, made.text).toBeLessThan(300);
    const keys = async () =>
      Number(
        (await v3<{ count?: string }>("clock", "kv/range", { key: base64("/quorate/queues/"), range_end: base64("/quorate/queues0") }))
          .count ?? 0,
      );
    await untilTrue(async () => (await keys()) >= 2, { what: () => "two ticks are in the queue", timeoutMs: 30_000 });
  });

  test("a WebSocket goes on after the object has slept, from where it was", { timeout: SLEEPY_MS }, async () => {
    await put("sockets", "a", "0");
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/ns/sockets/v1/watch`);
    const seen: { id: string; event: string; data: { revision: number } }[] = [];
    const texts: string[] = [];
    socket.on("message", (data: Buffer) => {
      const text = data.toString();
      if (text.startsWith("{")) seen.push(JSON.parse(text));
      else texts.push(text);
    });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const until = (count: number) => untilTrue(() => Promise.resolve(seen.length >= count), { what: () => JSON.stringify(seen) });
    socket.send('{"id": "x", "watch": {"key": "a"}}');
    socket.send('{"id": "y", "watch": {"prefix": "b"}}');
    await until(2);
    await put("sockets", "a", "1");
    await until(3);
    await nap("sockets");
    socket.send("ping");
    await put("sockets", "a", "2");
    await put("sockets", "b1", "1");
    await until(5);
    socket.send('{"id": "y", "cancel": true}');
    await until(6);
    expect(seen.map(({ id, event, data }) => [id, event, data?.revision])).toEqual([
      ["x", "open", 2],
      ["y", "open", 2],
      ["x", "change", 3],
      ["x", "change", 4],
      ["y", "change", 5],
      ["y", "end", undefined],
    ]);
    await untilTrue(() => Promise.resolve(texts.includes("pong")), { what: () => "the platform answers a ping" });
    for (let n = 0; n < 90; n++) socket.send(JSON.stringify({ id: `${n}${"i".repeat(100)}`, watch: { key: `${"k".repeat(500)}${n}` } }));
    await untilTrue(
      () => Promise.resolve(seen.some(({ event, data }) => event === "error" && JSON.stringify(data).includes("16384 bytes"))),
      {
        what: () => JSON.stringify(seen.at(-1)),
      },
    );
    socket.close();
  });
});
