/** How a watch is spoken: by WebSocket to a store that sleeps, by a stream, or by polls where something in between lets nothing else through. */
import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../client/connect.ts";
import type { Keys } from "../../client/keys.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { untilTrue } from "../helpers/until-ready.ts";

/** A proxy of HTTP as there are many: it knows no WebSockets. */
class PlainProxy {
  /** Paths with queries, as asked. */
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param buffers passes a reply on when it is whole, as proxies do that look for viruses */
  static async start(target: string, buffers: boolean): Promise<PlainProxy> {
    const proxy: PlainProxy = new PlainProxy(createServer((from, to) => proxy.#pass(target, buffers, from, to)));
    proxy.#server.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #pass(target: string, buffers: boolean, from: IncomingMessage, to: ServerResponse): void {
    this.asked.push(`${from.headers.accept === "text/event-stream" ? "stream " : ""}${from.url}`);
    const headers = { ...from.headers, host: new URL(target).host };
    const asking = request(target + from.url, { method: from.method!, headers }, (reply) => {
      const parts: Buffer[] = [];
      if (!buffers) {
        to.writeHead(reply.statusCode!, reply.headers);
        to.flushHeaders();
        reply.pipe(to);
        return;
      }
      reply.on("data", (part: Buffer) => parts.push(part));
      reply.on("end", () => to.writeHead(reply.statusCode!, reply.headers).end(Buffer.concat(parts)));
    });
    asking.on("error", () => to.destroy());
    to.on("close", () => asking.destroy());
    from.pipe(asking);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Follows the values put under a prefix, into `seen`. */
async function follow(keys: Keys<string>, seen: string[], signal: AbortSignal): Promise<void> {
  for await (const step of keys.watch({ after: 1, signal })) {
    if (step.kind === "reset") throw new Error("nothing was compacted");
    for (const change of step.changes) if (change.type === "put") seen.push(change.entry.value);
  }
}

const proxies: PlainProxy[] = [];
const over = new AbortController();
afterEach(() => proxies.splice(0).forEach((proxy) => proxy.stop()));
afterAll(() => over.abort());

async function through(target: string, buffers: boolean): Promise<PlainProxy> {
  const proxy = await PlainProxy.start(target, buffers);
  proxies.push(proxy);
  return proxy;
}

async function untilSeen(seen: readonly string[], value: string): Promise<void> {
  await untilTrue(() => Promise.resolve(seen.includes(value)), { what: () => value, timeoutMs: 30_000 });
}

test("where replies are held back until they are whole, changes come by polls, each once", { timeout: 60_000 }, async () => {
  const server = await startQuorate();
  try {
    const proxy = await through(server.url, true);
    const direct = connect(server.url).keys("held/");
    await direct.put("k", "0");
    const seen: string[] = [];
    const following = new AbortController();
    const done = follow(connect(proxy.url).keys("held/"), seen, following.signal);
    await untilSeen(seen, "0"); // after ten seconds in which no stream began
    for (const value of ["1", "2", "3"]) {
      await direct.put("k", value);
      await untilSeen(seen, value);
    }
    expect(seen).toEqual(["0", "1", "2", "3"]);
    expect(proxy.asked.some((path) => path.startsWith("/v1/watch?") && path.includes("wait="))).toBe(true);
    following.abort();
    await done;
  } finally {
    await server.stop();
  }
});

describe.skipIf(workerd === undefined)("a Durable Object (skipped where workerd is not there)", () => {
  const opened: string[] = [];
  const { WebSocket: HostsSocket } = globalThis;
  let server: ServerProcess;

  beforeAll(async () => {
    server = await startQuorateWorker();
    globalThis.WebSocket = class extends HostsSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        opened.push(String(url));
      }
    };
  });
  afterAll(async () => {
    globalThis.WebSocket = HostsSocket;
    await server.stop();
  });

  test(
    "is watched by WebSocket, which goes on without gap or repeat when the object's process is killed",
    { timeout: 60_000 },
    async () => {
      const q = connect(`${server.url}/ns/sockets`);
      await q.kv.put("s/k", "0");
      const seen: string[] = [];
      const following = new AbortController();
      const done = follow(q.keys("s/"), seen, following.signal);
      await untilSeen(seen, "0");
      expect(opened).toEqual([expect.stringMatching(/^ws:.*\/ns\/sockets\/v1\/watch\?prefix=s%2F&after=1$/)]);
      await q.kv.put("s/k", "1");
      await server.kill("SIGKILL");
      server = await startQuorateWorker({ directory: server.dataDir, port: server.port });
      await connect(`${server.url}/ns/sockets`).kv.put("s/k", "2");
      await untilSeen(seen, "2");
      expect(seen).toEqual(["0", "1", "2"]);
      following.abort();
      await done;
    },
  );

  test("is watched by a stream where WebSockets are not let through, and where a fetch was given", { timeout: 60_000 }, async () => {
    const proxy = await through(server.url, false);
    const urls: string[] = [];
    const own = (url: string, init: RequestInit) => {
      urls.push(url);
      return fetch(url, init);
    };
    for (const [name, q] of [
      ["plain", connect(`${proxy.url}/ns/plain`)],
      ["own", connect({ url: `${server.url}/ns/own`, fetch: own })],
    ] as const) {
      await q.kv.put("s/k", "0");
      const seen: string[] = [];
      const following = new AbortController();
      const before = opened.length;
      const done = follow(q.keys("s/"), seen, following.signal);
      await untilSeen(seen, "0");
      following.abort();
      await done;
      expect(opened.length - before).toBe(name === "plain" ? 1 : 0);
    }
    expect(proxy.asked.some((path) => path.startsWith("stream /ns/plain/v1/watch"))).toBe(true);
    expect(urls.some((url) => url.includes("/v1/watch?"))).toBe(true);
  });

  test("says why it cannot be watched, though a WebSocket is not told", async () => {
    const q = connect({ url: `${server.url}/ns/refused`, token: "none" });
    const anybody = connect(`${server.url}/ns/refused`);
    await anybody.kv.put("s/k", "0");
    await fetch(`${server.url}/ns/refused/v3/auth/user/add`, { method: "POST", body: JSON.stringify({ name: "root", password: "p" }) });
    await fetch(`${server.url}/ns/refused/v3/auth/user/grant`, { method: "POST", body: JSON.stringify({ user: "root", role: "root" }) });
    const enabled = await fetch(`${server.url}/ns/refused/v3/auth/enable`, { method: "POST", body: "{}" });
    expect(enabled.status, await enabled.text()).toBe(200);
    const watching = (client: typeof q) => follow(client.keys("s/"), [], AbortSignal.timeout(20_000));
    await expect(watching(anybody)).rejects.toMatchObject({
      code: expect.stringMatching(/unauthenticated|invalidArgument|permissionDenied/),
    });
    await expect(watching(q)).rejects.toMatchObject({ code: "unauthenticated" });
  });
});
