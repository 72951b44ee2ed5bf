/** Watches over HTTP at a real server: server-sent events, long polls, and WebSockets. Each goes on where it was broken off. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { asking } from "./http.ts";

let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate({ flags: ["--cors", "https://app.example"] })));
afterAll(() => server.stop());
const ask = asking(() => server);

interface Change {
  readonly events: readonly { type: string; key: string; kv?: { value: string }; prev?: { value: string }; revision: number }[];
  readonly revision: number;
  readonly compactRevision?: number;
}
interface Told {
  readonly event: string;
  readonly id?: string;
  readonly data: Change;
}

async function put(key: string, value: string): Promise<number> {
  return (await ask("PUT", `/v1/kv/${key}`, { body: value })).json!["revision"] as number;
}

const keysOf = (data: Change): string[] => data.events.map(({ key }) => key);

/** A stream of server-sent events, and its end. */
async function events(path: string, headers: Readonly<Record<string, string>> = {}): Promise<{ next(): Promise<Told>; close(): void }> {
  const stop = new AbortController();
  const reply = await fetch(server.url + path, { headers: { accept: "text/event-stream", ...headers }, signal: stop.signal });
  expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  const chunks = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    next: async () => {
      while (!text.includes("\n\n")) text += (await chunks.read()).value ?? "";
      const block = text.slice(0, text.indexOf("\n\n"));
      text = text.slice(block.length + 2);
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const id = field("id");
      return { event: field("event") ?? "message", ...(id === undefined ? {} : { id }), data: JSON.parse(field("data")!) as Change };
    },
    close: () => stop.abort(),
  };
}

describe("server-sent events", () => {
  test("tell of changes, and go on after Last-Event-ID without a gap or a repeat", async () => {
    const stream = await events("/v1/watch?prefix=sse/&prev");
    const open = await stream.next();
    expect(open).toMatchObject({ event: "open", id: String(open.data.revision) });
    const first = await put("sse/a", "1");
    expect(await stream.next()).toMatchObject({ event: "change", id: String(first), data: { events: [{ type: "put", key: "sse/a" }] } });
    stream.close();
    const second = await put("sse/a", "2");
    await ask("DELETE", "/v1/kv/sse/a");
    const again = await events("/v1/watch?prefix=sse/&prev", { "last-event-id": String(first) });
    expect(await again.next()).toMatchObject({ event: "open", id: String(first) });
    const seen: Change["events"][number][] = [];
    while (seen.length < 2) seen.push(...(await again.next()).data.events);
    expect(seen).toMatchObject([
      { type: "put", kv: { value: "2" }, prev: { value: "1" }, revision: second },
      { type: "delete", prev: { value: "2" }, revision: second + 1 },
    ]);
    again.close();
  });

  test("say that history is gone, and go on", async () => {
    const old = await put("sse-reset/a", "1");
    const newest = await put("sse-reset/a", "2");
    await ask("POST", "/v3/kv/compaction", { body: { revision: newest } });
    const stream = await events(`/v1/watch?prefix=sse-reset/&after=${old - 1}`);
    expect((await stream.next()).event).toBe("open");
    const reset = await stream.next();
    expect(reset).toMatchObject({ event: "reset", data: { compactRevision: newest } });
    const later = await put("sse-reset/b", "3");
    expect(await stream.next()).toMatchObject({ event: "change", id: String(later), data: { revision: later } });
    stream.close();
  });
});

describe("long polls", () => {
  test("give what was missed, or wait for what is to come, by keys of any bytes", async () => {
    const before = await put("poll/%FF/a", "1");
    expect((await ask("GET", `/v1/watch?prefix=poll/%FF&after=${before - 1}`)).json).toMatchObject({
      events: [{ type: "put" }],
      revision: before,
    });
    const [came] = await Promise.all([ask("GET", `/v1/watch?prefix=poll/&after=${before}&wait=30s`), put("poll/b", "2")]);
    expect(came.json).toMatchObject({ events: [{ key: "poll/b" }], revision: before + 1 });
    const none = await ask("GET", `/v1/watch?key=poll/none&wait=10ms&after=${before}`);
    expect([none.status, none.headers.get("quorate-revision")]).toEqual([204, String(before)]);
  });
});

interface Socket {
  send(message: unknown): void;
  next(): Promise<Told & { id: string }>;
  readonly closed: Promise<number>;
  readonly socket: WebSocket;
}

/** @throws Error with the status when it is refused */
function connect(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Socket> {
  const socket = new WebSocket(server.url.replace("http", "ws") + path, { headers });
  const messages: (Told & { id: string })[] = [];
  let wake = (): void => {};
  socket.on("message", (data: Buffer) => {
    messages.push(JSON.parse(data.toString("utf8")) as Told & { id: string });
    wake();
  });
  const closed = new Promise<number>((resolve) => socket.on("close", resolve));
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () =>
      resolve({
        socket,
        closed,
        send: (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message)),
        next: async () => {
          while (messages.length === 0) await new Promise<void>((told) => (wake = told));
          return messages.shift()!;
        },
      }),
    );
  });
}

describe("a WebSocket", () => {
  test("watches the range of its URL, and goes on after a revision", async () => {
    const first = await put("ws/a", "1");
    const second = await put("ws/b", "2");
    const one = await connect(`/v1/watch?prefix=ws/&after=${first}`);
    expect(await one.next()).toMatchObject({ id: "", event: "open", data: { revision: first } });
    expect(await one.next()).toMatchObject({ id: "", event: "change", data: { events: [{ key: "ws/b" }], revision: second } });
    const third = await put("ws/c", "3");
    expect(await one.next()).toMatchObject({ data: { events: [{ key: "ws/c", kv: { value: "3" } }], revision: third } });
    one.socket.close();
  });

  test("watches several ranges, each until it is canceled", async () => {
    const one = await connect("/v1/watch");
    one.send({ id: "a", watch: { prefix: "many/a/" } });
    one.send({ id: "b", watch: { key: { base64: "bWFueS9i" }, noPut: true } });
    expect([(await one.next()).id, (await one.next()).id]).toEqual(["a", "b"]);
    await put("many/b", "1");
    await put("many/a/1", "1");
    const change = await one.next();
    expect([change.id, keysOf(change.data)]).toEqual(["a", ["many/a/1"]]);
    one.send({ id: "a", cancel: true });
    expect(await one.next()).toEqual({ id: "a", event: "end" });
    await put("many/a/2", "2");
    await ask("DELETE", "/v1/kv/many/b");
    expect(await one.next()).toMatchObject({ id: "b", event: "change", data: { events: [{ type: "delete", key: "many/b" }] } });
    one.send({ id: "a", watch: { prefix: "many/a/" } });
    expect(await one.next()).toMatchObject({ id: "a", event: "open" });
    one.socket.close();
  });

  test("is told that history is gone", async () => {
    const old = await put("ws-reset", "1");
    const newest = await put("ws-reset", "2");
    await ask("POST", "/v3/kv/compaction", { body: { revision: newest } });
    const one = await connect(`/v1/watch?key=ws-reset&after=${old - 1}`);
    expect([(await one.next()).event, (await one.next()).event]).toEqual(["open", "reset"]);
    one.socket.close();
  });

  test.each([
    ["{", "message"],
    ["[]", "message"],
    [{ watch: { key: "a" } }, "id"],
    [{ id: 5, watch: { key: "a" } }, "id"],
    [{ id: "x".repeat(129), watch: { key: "a" } }, "id"],
    [{ id: "a" }, "watch"],
    [{ id: "a", watch: {} }, "key"],
    [{ id: "a", watch: { key: "" } }, "key"],
    [{ id: "a", watch: { key: "a", prefix: "b" } }, "key"],
    [{ id: "a", watch: { key: { base64: "?" } } }, "watch.key.base64"],
    [{ id: "a", watch: { key: "a", after: -1 } }, "watch.after"],
    [{ id: "a", watch: { key: "a", noPut: 1 } }, "watch.noPut"],
    [{ id: "a", watch: { key: "a", colour: 1 } }, "watch"],
    [{ id: "a", cancel: false }, "cancel"],
    [{ id: "a", cancel: true }, "id"],
    [{ id: "taken", watch: { key: "a" } }, "id"],
  ])("refuses %j and goes on", async (message, field) => {
    const one = await connect("/v1/watch");
    one.send({ id: "taken", watch: { key: "taken" } });
    expect(await one.next()).toMatchObject({ event: "open" });
    one.send(message);
    expect(await one.next()).toMatchObject({ event: "error", data: { code: "bad_field", status: 400, field } });
    await put("taken", "1");
    expect(await one.next()).toMatchObject({ id: "taken", event: "change" });
    one.socket.close();
  });

  test("is refused before it opens, for wrong fields, wrong tokens and pages of other origins", async () => {
    await expect(connect("/v1/watch?key=a&after=x")).rejects.toThrow("400");
    await expect(connect("/v1/watch?key=a&prefix=b")).rejects.toThrow("400");
    await expect(connect("/v1/watch?key=a", { authorization: "Bearer nobody" })).rejects.toThrow("401");
    await expect(connect("/v1/watch?key=a&token=nobody")).rejects.toThrow("401");
    await expect(connect("/v1/watch?key=a", { origin: "https://evil.example" })).rejects.toThrow("403");
    await expect(connect("/v1/kv/a")).rejects.toThrow("404");
    for (const origin of ["https://app.example", server.url]) (await connect("/v1/watch?key=a", { origin })).socket.close();
  });

  test("has a limit of watches, and of a message", async () => {
    const one = await connect("/v1/watch");
    for (let at = 0; at <= 100; at++) one.send({ id: String(at), watch: { key: "limit" } });
    const told = [];
    for (let at = 0; at <= 100; at++) told.push(await one.next());
    expect(told.filter(({ event }) => event === "error")).toMatchObject([{ id: "100", data: { field: "watch" } }]);
    one.send("x".repeat(65 * 1024));
    expect(await one.closed).toBe(1009);
  });

  test("that does not read gets everything in the end, and holds up nobody", async () => {
    const slow = await connect("/v1/watch?prefix=slow/");
    const from = (await slow.next()).data.revision;
    slow.socket.pause();
    const value = "x".repeat(100_000);
    const count = 200;
    for (let at = 0; at < count; at++) await put(`slow/${at}`, value);
    slow.socket.resume();
    const seen: string[] = [];
    let revision = from;
    while (seen.length < count) {
      const { data } = await slow.next();
      expect(data.revision).toBeGreaterThan(revision);
      revision = data.revision;
      seen.push(...keysOf(data));
    }
    expect(seen).toEqual(Array.from({ length: count }, (_, at) => `slow/${at}`));
    slow.socket.close();
  });
});

test("a request that would like to be HTTP/2 is answered as it is", async () => {
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    const headers = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "" };
    request(`${server.url}/v1/watch?key=h2c`, { headers }, (reply) => resolve(reply.statusCode))
      .on("error", reject)
      .end();
  });
  expect(status).toBe(204);
});

test("a server that ends says so to its sockets", async () => {
  const own = await startQuorate();
  const socket = new WebSocket(`${own.url.replace("http", "ws")}/v1/watch`);
  await new Promise((resolve) => socket.on("open", resolve));
  const code = new Promise((resolve) => socket.on("close", resolve));
  own.signal("SIGTERM");
  expect([await code, await own.exited]).toMatchObject([1001, { code: 0 }]);
});
