import { type Socket, connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Access } from "../core/api/access.ts";
import { tempDir } from "../test/helpers/temp-dir.ts";
import type { Refusal } from "./refusal-notices.ts";
import { ListenerTls } from "./tls/listener-tls.ts";
import { selfSigned } from "./tls/self-signed.ts";
import { TlsSource } from "./tls/tls-source.ts";
import type { ApiRequest, ReplySink, Route } from "../core/api/exchange.ts";
import { RouteTable } from "../core/api/route-table.ts";
import { type Bytes, ascii } from "../core/bytes/bytes.ts";
import { HttpListener, type HttpListenerOptions } from "./http-listener.ts";
import { readSettings } from "./config.ts";
import { HEADER_BYTES_MAX, HEADER_LINES_MAX, PIPELINED_MAX } from "./limits.ts";

const BODY_MAX = 10_000;
const TEXT = Object.freeze({ "content-type": "text/plain" });

/** What the handlers of the tests saw and hold. */
class Fixture {
  readonly seen: ApiRequest[] = [];
  readonly errors: unknown[] = [];
  readonly sinks: ReplySink[] = [];
  closed = 0;
  release: (() => void)[] = [];
  listener!: HttpListener;
  port = 0;

  async start(options: Partial<HttpListenerOptions> = {}): Promise<void> {
    const route = (path: string, handle: Route["handle"], kind: Route["kind"] = "unary"): Route => ({ method: "*", path, kind, handle });
    const table = new RouteTable([
      route("/echo", (request) => {
        this.seen.push(request);
        return { status: 200, headers: TEXT, body: `${request.method} ${request.query} ${request.body}` as Bytes };
      }),
      route("/v3/kv/throws", () => {
        throw new Error("planted");
      }),
      route("/v2/keys/rejects", () => Promise.reject(new Error("planted too"))),
      route("/later", async (request) => {
        await new Promise<void>((resolve) => this.release.push(resolve));
        return { status: 200, headers: TEXT, body: ascii(`later ${request.query}`) };
      }),
      route("/watch", () => ({
        status: 200,
        headers: TEXT,
        body: (sink) => {
          this.sinks.push(sink);
          sink.onClose(() => this.closed++);
        },
      })),
      route(
        "/upload",
        async (request) => {
          let bytes = 0;
          for await (const chunk of request.chunks!) bytes += chunk.length;
          return { status: 200, headers: TEXT, body: ascii(String(bytes)) };
        },
        "stream",
      ),
    ]);
    this.listener = new HttpListener({
      table,
      access: new Access({ corsOrigins: ["*"], hosts: ["*"] }),
      bodyBytesMax: BODY_MAX,
      connectionsMax: 100,
      fallback: (_request, response) => void response.writeHead(404).end("fallback"),
      onError: (error) => this.errors.push(error),
      ...options,
    });
    this.port = await this.listener.listen("127.0.0.1", 0);
  }

  open(): Client {
    return new Client(this.port);
  }
}

/** A bare connection: says what it is told and keeps what comes. */
class Client {
  readonly socket: Socket;
  received = "";
  ended = false;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (chunk) => (this.received += chunk.toString("latin1")));
    this.socket.on("error", () => (this.ended = true)); // a reset is an end too
    this.socket.on("end", () => (this.ended = true));
    this.socket.on("close", () => (this.ended = true));
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const end = performance.now() + 10_000;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`no ${what} within 10 s; received: ${this.received.slice(0, 500)}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  receive(text: string): Promise<void> {
    return this.until(() => this.received.includes(text), JSON.stringify(text));
  }

  untilEnded(): Promise<void> {
    return this.until(() => this.ended, "end");
  }
}

const HEAD = "Host: x\r\n";
let fixture = new Fixture();
const clients: Client[] = [];
const open = (): Client => {
  const client = fixture.open();
  clients.push(client);
  return client;
};

afterEach(async () => {
  for (const resolve of fixture.release) resolve();
  for (const client of clients.splice(0)) client.socket.destroy();
  await fixture.listener.close();
  fixture = new Fixture();
});

describe("requests", () => {
  test("a body in one piece, in pieces, and in chunks arrives whole", async () => {
    await fixture.start();
    const one = open().send(`POST /echo?a=1 HTTP/1.1\r\n${HEAD}Content-Length: 5\r\n\r\nhe\xfflo`);
    await one.receive("POST a=1 he\xfflo");
    const pieces = open().send(`PUT /echo HTTP/1.1\r\n${HEAD}Content-Length: 6\r\n\r\nabc`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    pieces.send("def");
    await pieces.receive("PUT  abcdef");
    await open()
      .send(`POST /echo HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n`)
      .receive("POST  abcdef");
  });

  test("a connection serves one request after another, and pipelined ones in their order", async () => {
    await fixture.start();
    const client = open().send(
      `GET /later?1 HTTP/1.1\r\n${HEAD}\r\nGET /echo?2 HTTP/1.1\r\n${HEAD}\r\nGET /echo?3 HTTP/1.1\r\n${HEAD}\r\n`,
    );
    await client.until(() => fixture.release.length === 1 && fixture.seen.length === 2, "dispatch");
    fixture.release[0]!();
    await client.receive("GET 3");
    expect(client.received.replace(/HTTP[^]*?\r\n\r\n/g, "|")).toBe("|later 1|GET 2 |GET 3 ");
  });

  test("HEAD has the head of GET without the body", async () => {
    await fixture.start();
    const client = open().send(`HEAD /echo HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
    await client.untilEnded();
    expect(client.received).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(client.received).toMatch(/\r\n\r\n$/);
  });

  test("an unknown path goes to the fallback", async () => {
    await fixture.start();
    await open().send(`GET /elsewhere HTTP/1.1\r\n${HEAD}\r\n`).receive("fallback");
  });

  test("a handler that throws gives a 500 in the form of its view, and the next request is served", async () => {
    await fixture.start();
    const client = open().send(`POST /v3/kv/throws HTTP/1.1\r\n${HEAD}Content-Length: 2\r\n\r\n{}`);
    await client.receive('"code":13}');
    expect(client.received).toMatch(/^HTTP\/1.1 500 /);
    client.send(`GET /v2/keys/rejects HTTP/1.1\r\n${HEAD}\r\n`);
    await client.receive('"errorCode":300');
    client.send(`GET /echo HTTP/1.1\r\n${HEAD}\r\n`);
    await client.receive("GET  ");
    expect(fixture.errors.map(String)).toEqual(["Error: planted", "Error: planted too"]);
  });

  test("CORS headers go to everybody by default, and only to the origins of a list", async () => {
    await fixture.start();
    await open().send(`GET /echo HTTP/1.1\r\n${HEAD}\r\n`).receive("access-control-allow-origin: *\r\n");
    await fixture.listener.close();
    await fixture.start({ access: new Access({ corsOrigins: ["http://good"], hosts: ["*"] }) });
    const bad = open().send(`GET /echo HTTP/1.1\r\n${HEAD}Origin: http://bad\r\n\r\n`);
    await bad.receive("GET  ");
    expect(bad.received).not.toContain("access-control");
    await open().send(`GET /echo HTTP/1.1\r\n${HEAD}Origin: http://good\r\n\r\n`).receive("access-control-allow-origin: http://good\r\n");
  });

  test("OPTIONS is answered on every path before any route sees it: browsers ask so before they post", async () => {
    await fixture.start();
    for (const path of ["/echo", "/v3/kv/throws", "/unknown"]) {
      const client = open().send(`OPTIONS ${path} HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
      await client.untilEnded();
      expect(client.received).toMatch(/^HTTP\/1.1 200 OK\r\n/);
      expect(client.received).toContain("access-control-allow-origin: *");
    }
    expect(fixture.seen).toEqual([]);
  });

  test("a host that is not on the list is refused with 421", async () => {
    await fixture.start({ access: new Access({ corsOrigins: ["*"], hosts: ["good"] }) });
    await open().send("GET /echo HTTP/1.1\r\nHost: evil.example:2379\r\n\r\n").receive("HTTP/1.1 421 ");
    await open().send("GET /echo HTTP/1.1\r\nHost: good:2379\r\n\r\n").receive("HTTP/1.1 200 ");
    expect(fixture.seen).toHaveLength(1);
  });
});

describe("streams", () => {
  test("what the handler writes arrives at once, and its end ends the reply", async () => {
    await fixture.start();
    const client = open().send(`POST /watch HTTP/1.1\r\n${HEAD}Content-Length: 0\r\n\r\n`);
    await client.receive("\r\n\r\n");
    fixture.sinks[0]!.write(ascii("first"));
    await client.receive("5\r\nfirst\r\n");
    expect(fixture.listener.counts.openStreams).toBe(1);
    fixture.sinks[0]!.end();
    await client.receive("0\r\n\r\n");
    expect([fixture.closed, fixture.listener.counts.openStreams]).toEqual([1, 0]);
  });

  test("a slow reader is told of by write, and asked again when it has read", async () => {
    await fixture.start();
    const client = open().send(`GET /watch HTTP/1.1\r\n${HEAD}\r\n`);
    await client.receive("\r\n\r\n");
    client.socket.pause();
    const chunk = "x".repeat(100_000) as Bytes;
    let written = 0;
    while (fixture.sinks[0]!.write(chunk)) expect(written++).toBeLessThan(10_000);
    let drained = false;
    fixture.sinks[0]!.onDrain(() => (drained = true));
    client.socket.resume();
    await client.until(() => drained, "drain");
  });

  test.each([
    ["hangs up", (client: Client) => client.socket.destroy()],
    ["closes its sending side", (client: Client) => client.socket.end()],
  ])("a client that %s ends its stream, and writing to it does no harm", async (_what, leave) => {
    await fixture.start();
    const client = open().send(`GET /watch HTTP/1.1\r\n${HEAD}\r\n`);
    await client.receive("\r\n\r\n");
    leave(client);
    await client.until(() => fixture.closed === 1, "end of the stream");
    expect(fixture.sinks[0]!.write(ascii("late"))).toBe(false);
    fixture.sinks[0]!.end();
    expect([fixture.closed, fixture.listener.counts.openStreams]).toEqual([1, 0]);
  });

  test("a stream that waits behind another reply ends with its connection", async () => {
    await fixture.start();
    const client = open().send(`GET /later HTTP/1.1\r\n${HEAD}\r\nGET /watch HTTP/1.1\r\n${HEAD}\r\n`);
    await client.until(() => fixture.sinks.length === 1, "stream");
    client.socket.destroy();
    await client.until(() => fixture.closed === 1, "end of the stream");
  });

  test("a streamed body has no limit of size or time but the client's own end", async () => {
    await fixture.start({ times: { body: 50, check: 20 } });
    const client = open().send(`POST /upload HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    for (let n = 0; n < 5; n++) {
      client.send(`1388\r\n${"y".repeat(5000)}\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    client.send("0\r\n\r\n");
    await client.receive("\r\n\r\n25000");
  });
});

describe("bounds", () => {
  test.each([
    ["announced", `POST /echo HTTP/1.1\r\n${HEAD}Content-Length: ${BODY_MAX + 1}\r\n\r\nabc`],
    ["in chunks", `POST /echo HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n3000\r\n${"z".repeat(0x3000)}\r\n`],
  ])("a body above the limit, %s, is refused and the connection closed", async (_what, request) => {
    await fixture.start();
    const client = open().send(request);
    await client.receive("HTTP/1.1 413 ");
    await client.untilEnded();
    expect(fixture.seen).toEqual([]);
  });

  test.each([
    ["none of it", ""],
    ["a part of it", "abc"],
  ])("a body of which %s comes in time is refused", async (_what, sent) => {
    await fixture.start({ times: { body: 60, check: 20 } });
    const client = open().send(`POST /echo HTTP/1.1\r\n${HEAD}Content-Length: 9\r\n\r\n${sent}`);
    await client.receive("HTTP/1.1 408 ");
    await client.untilEnded();
    expect(fixture.seen).toEqual([]);
  });

  /** Listens over TLS, with a certificate of its own making. @returns who was turned away */
  async function startTls(options: Partial<HttpListenerOptions>): Promise<Refusal[]> {
    const files = await selfSigned({ directory: tempDir("tls"), hosts: [], validYears: 1, nowMs: Date.now() });
    const source = new TlsSource({
      name: "clients",
      files: { cert: { flag: "cert-file", path: files.cert }, key: { flag: "key-file", path: files.key } },
      base: {},
      notice: () => {},
      nowMs: Date.now,
    });
    const refusals: Refusal[] = [];
    await fixture.start({
      tls: new ListenerTls(source, readSettings({}, {})),
      onRefused: (refusal) => refusals.push(refusal),
      ...options,
    });
    return refusals;
  }
  const HALF_A_HELLO = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

  test("over TLS, handshakes that do not come, or do not end, are cut off and named", async () => {
    const refusals = await startTls({ times: { handshake: 60 } });
    const clients = [open(), open().send(HALF_A_HELLO)];
    await Promise.all(clients.map((client) => client.untilEnded()));
    const refusal = { remote: "127.0.0.1", reason: expect.stringContaining("TLS: ") };
    await expect.poll(() => refusals).toEqual([refusal, refusal]);
    expect(clients.map(({ received }) => received).join("")).not.toContain("HTTP");
  });

  test("over TLS, handshakes count as connections, and the end does not wait for them", async () => {
    await startTls({ connectionsMax: 2, times: { grace: 20, handshake: 600_000 } });
    const [silent, begun] = [open(), open().send(HALF_A_HELLO)];
    await expect.poll(() => fixture.listener.connections()).toBe(2);
    await open().untilEnded();
    expect(fixture.listener.counts.connectionsDropped).toBe(1);
    expect([silent.ended, begun.ended]).toEqual([false, false]);
    await fixture.listener.close();
    await Promise.all([silent.untilEnded(), begun.untilEnded()]);
  });

  test("headers that do not end in time are refused", async () => {
    await fixture.start({ times: { headers: 60, check: 20 } });
    const client = open().send(`POST /echo HTTP/1.1\r\n${HEAD}X-Slow: `);
    await client.untilEnded();
    expect(client.received).toMatch(/^HTTP\/1.1 408 /);
  });

  test("headers above the limit of bytes, and of lines, are refused", async () => {
    await fixture.start();
    const big = open().send(`GET /echo HTTP/1.1\r\n${HEAD}X-Big: ${"b".repeat(HEADER_BYTES_MAX)}\r\n\r\n`);
    await big.receive("HTTP/1.1 431 ");
    await big.untilEnded();
    const many = open().send(`GET /echo HTTP/1.1\r\n${HEAD}${"x: y\r\n".repeat(HEADER_LINES_MAX)}\r\n`);
    await many.receive("HTTP/1.1 431 ");
    await many.untilEnded();
    expect(fixture.seen).toEqual([]);
    expect(fixture.listener.counts.clientErrors).toBe(2);
  });

  test.each([
    ["garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage\r\n\r\n"],
    ["two lengths", `POST /echo HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`],
    ["a length and chunks", `POST /echo HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["a negative length", `POST /echo HTTP/1.1\r\n${HEAD}Content-Length: -1\r\n\r\n`],
  ])("%s is refused with 400 and the connection closed", async (_what, bytes) => {
    await fixture.start();
    const client = open().send(bytes);
    await client.untilEnded();
    expect(client.received).toMatch(/^HTTP\/1.1 400 /);
    expect(fixture.seen).toEqual([]);
    await open().send(`GET /echo HTTP/1.1\r\n${HEAD}\r\n`).receive("GET  ");
  });

  test("a client that sends requests without end while it waits is cut off", async () => {
    await fixture.start();
    const client = open().send(`GET /later HTTP/1.1\r\n${HEAD}\r\n`.repeat(PIPELINED_MAX + 10));
    await client.untilEnded();
    expect(fixture.release.length).toBeLessThanOrEqual(PIPELINED_MAX + 1);
  });

  test("connections above the limit are closed, and counted", async () => {
    await fixture.start({ connectionsMax: 2 });
    const kept = [open(), open()];
    for (const client of kept) await client.send(`GET /echo HTTP/1.1\r\n${HEAD}\r\n`).receive("GET  ");
    await open().untilEnded();
    expect(fixture.listener.counts.connectionsDropped).toBe(1);
    expect(await fixture.listener.connections()).toBe(2);
  });

  test("a client that closes its sending side after a request gets the reply", async () => {
    await fixture.start();
    const client = open().send(`GET /later?half HTTP/1.1\r\n${HEAD}\r\n`);
    client.socket.end();
    await client.until(() => fixture.release.length === 1, "dispatch");
    await new Promise((resolve) => setTimeout(resolve, 20));
    fixture.release[0]!();
    await client.receive("later half");
    await client.untilEnded();
  });
});

describe("close()", () => {
  test("ends streams, answers what is under way, closes idle connections, takes no more", async () => {
    await fixture.start();
    const idle = open().send(`GET /echo HTTP/1.1\r\n${HEAD}\r\n`);
    await idle.receive("GET  ");
    const watch = open().send(`GET /watch HTTP/1.1\r\n${HEAD}\r\n`);
    await watch.receive("\r\n\r\n");
    const busy = open().send(`GET /later?busy HTTP/1.1\r\n${HEAD}\r\n`);
    await busy.until(() => fixture.release.length === 1, "dispatch");
    const closed = fixture.listener.close();
    await idle.untilEnded();
    await watch.receive("0\r\n\r\n");
    fixture.release[0]!();
    await busy.receive("later busy");
    await busy.untilEnded();
    await closed;
    const late = open();
    await late.untilEnded();
  });

  test("cuts off clients that are not done within the grace", async () => {
    await fixture.start({ times: { grace: 50 } });
    const busy = open().send(`GET /later HTTP/1.1\r\n${HEAD}\r\n`);
    await busy.until(() => fixture.release.length === 1, "dispatch");
    await fixture.listener.close();
    await busy.untilEnded();
  });
});
