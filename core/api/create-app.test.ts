import { localAuthenticator } from "../../test/helpers/local-authenticator.ts";
import { afterEach, describe, expect, test } from "vitest";
import { MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import { type Bytes, ascii, fromUint8Array } from "../bytes/bytes.ts";
import { Replica } from "../replica/replica.ts";
import { Solo } from "../replica/solo.ts";
import type { AccessOptions } from "./access.ts";
import { type AppDeps, createApp } from "./create-app.ts";
import type { ReplySink, Route } from "./exchange.ts";
import { v2Routes } from "./v2/routes.ts";

const BODY_MAX = 1_000;
const ANY: AccessOptions = { corsOrigins: ["*"], hosts: ["*"] };

const members: Replica[] = [];
afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
});

async function startMember(quotaBytes = 1_000_000): Promise<Replica> {
  const member = new Replica({
    consensus: new Solo({
      storage: new MemoryLogStorage(),
      newIdentity: () => ({ clusterId: "7", memberId: "1", diskId: "5" }),
      meta: { name: "one", peerUrls: ["http://localhost:2380"], clientUrls: ["http://localhost:2379"] },
    }),
    clock: { wallMs: () => 1_000, monotonicMs: () => 1_000 },
    randomBytes: (count) => new Uint8Array(count).fill(1),
    pause: () => Promise.resolve(),
    tickMs: 100,
    snapshotEntries: 1_000,
    quotaBytes,
    autoCompaction: { mode: "off" },
    strictReconfigCheck: true,
    attributes: () => null,
    onRemoved: () => {},
    onFailed: (error) => {
      throw error;
    },
    onNotice: () => {},
    diskBytes: () => 0,
    logReserve: () => "ok",
  });
  await member.start();
  members.push(member);
  return member;
}

async function setUp(options: { routes?: Route[]; access?: AccessOptions; member?: Replica } & Partial<Pick<AppDeps, "metrics">> = {}) {
  const errors: unknown[] = [];
  const member = options.member ?? (await startMember());
  const { app, healthCounts } = createApp({
    member,
    routes: options.routes ?? [],
    access: options.access ?? ANY,
    bodyBytesMax: BODY_MAX,
    onError: (error) => errors.push(error),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  const ask = async (method: string, path: string, init: RequestInit = {}) => {
    const reply = await app.fetch(new Request(`http://host:2379${path}`, { method, ...init }));
    return { status: reply.status, headers: Object.fromEntries(reply.headers), text: await reply.text() };
  };
  return { app, ask, member, errors, healthCounts };
}

const PLAIN = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
const CORS = {
  "access-control-allow-headers": "accept, content-type, authorization",
  "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
  "access-control-allow-origin": "*",
};

describe("pages, as etcd 3.4 has them", () => {
  test.each([
    ["GET", "/", 404, "404 page not found\n"],
    ["POST", "/nothing", 404, "404 page not found\n"],
    ["GET", "/version/", 404, "404 page not found\n"],
    ["POST", "/v3/kv/nothing", 404, "Not Found\n"],
  ])("%s %s is %i", async (method, path, status, text) => {
    const { ask } = await setUp();
    expect(await ask(method, path)).toEqual({ status, text, headers: { ...PLAIN, ...CORS } });
  });

  test.each(["/version", "/health", "/metrics", "/livez", "/readyz/linearizable_read"])(
    "%s takes GET only, and /metrics HEAD",
    async (path) => {
      const { ask } = await setUp({ metrics: { contentType: "text/plain", render: () => Promise.resolve("") } });
      const refused = { status: 405, headers: { ...PLAIN, ...CORS, allow: "GET" } };
      expect(await ask("POST", path)).toEqual({ ...refused, text: "Method Not Allowed\n" });
      expect(await ask("HEAD", path)).toMatchObject({ status: path === "/metrics" ? 200 : 405, text: "" });
    },
  );

  test("/version names the release whose API is spoken", async () => {
    const { ask } = await setUp();
    const { status, headers, text } = await ask("GET", "/version");
    expect([status, headers["content-type"], text]).toEqual([200, "application/json", '{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}']);
  });

  test("/metrics is the page of its port, in UTF-8", async () => {
    const { ask } = await setUp({ metrics: { contentType: "text/plain; version=0.0.4", render: () => Promise.resolve("µ 1\n") } });
    expect(await ask("GET", "/metrics")).toMatchObject({
      status: 200,
      text: "µ 1\n",
      headers: { "content-type": "text/plain; version=0.0.4" },
    });
  });

  test("OPTIONS is answered on every path", async () => {
    const { ask } = await setUp();
    expect(await ask("OPTIONS", "/v3/kv/put")).toEqual({ status: 200, text: "", headers: CORS });
  });
});

describe("access", () => {
  test("a host that is not on the list gets 421; the port does not matter", async () => {
    const { ask } = await setUp({ access: { corsOrigins: ["*"], hosts: ["good", "::1"] } });
    expect((await ask("GET", "/version", { headers: { host: "evil" } })).status).toBe(421);
    expect((await ask("GET", "/version", { headers: { host: "good:1" } })).status).toBe(200);
    expect((await ask("GET", "/version", { headers: { host: "[::1]:1" } })).status).toBe(200);
  });

  test("a route's own CORS headers give way to the list of origins", async () => {
    const member = await startMember();
    const routes = v2Routes({ member, authenticator: localAuthenticator(member), now: () => 0 });
    const { ask } = await setUp({ member, routes, access: { corsOrigins: ["http://good"], hosts: ["*"] } });
    expect((await ask("GET", "/v2/keys/a", { headers: { origin: "http://bad" } })).headers["access-control-allow-origin"]).toBeUndefined();
    const good = await ask("GET", "/v2/keys/a", { headers: { origin: "http://good" } });
    expect(good.headers["access-control-allow-origin"]).toBe("http://good");
  });
});

describe("health", () => {
  test("/health says true while reads work, and counts", async () => {
    const { ask, healthCounts } = await setUp();
    expect(await ask("GET", "/health")).toMatchObject({ status: 200, text: '{"health":"true"}' });
    expect(healthCounts).toEqual({ success: 1, failures: 0 });
  });

  test("an alarm makes /health false with its name, unless it is excluded", async () => {
    const { ask, member, healthCounts } = await setUp();
    await member.propose({ kind: "alarm", action: "activate", alarm: { memberId: "1", alarm: "nospace" } });
    expect(await ask("GET", "/health")).toMatchObject({ status: 503, text: '{"health":"false","reason":"ALARM NOSPACE"}' });
    expect((await ask("GET", "/health?exclude=NOSPACE")).status).toBe(200);
    expect(healthCounts).toEqual({ success: 1, failures: 1 });
  });

  test("/livez and /readyz are ok, with their checks when asked", async () => {
    const { ask } = await setUp();
    expect(await ask("GET", "/livez")).toMatchObject({ status: 200, text: "ok\n" });
    const { text } = await ask("GET", "/readyz?verbose");
    expect(text).toBe("[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n");
    expect((await ask("GET", "/readyz/linearizable_read?verbose")).text).toBe("[+]linearizable_read ok\nok\n");
    expect((await ask("GET", "/readyz?verbose&exclude=non_learner")).text).not.toContain("learner");
  });

  test("/readyz fails and names the check when data is corrupt; /livez does not mind", async () => {
    const { ask, member } = await setUp();
    await member.propose({ kind: "alarm", action: "activate", alarm: { memberId: "1", alarm: "corrupt" } });
    const { status, text } = await ask("GET", "/readyz");
    expect([status, text]).toEqual([503, expect.stringContaining("[-]data_corruption failed: alarm activated: CORRUPT\n")]);
    expect((await ask("GET", "/livez")).status).toBe(200);
  });

  test("a member that has ended is not ready", async () => {
    const { ask, member } = await setUp();
    await member.stop();
    expect((await ask("GET", "/readyz")).status).toBe(503);
    expect((await ask("GET", "/health")).status).toBe(503);
  });
});

describe("exchanges over Fetch", () => {
  const route = (handle: Route["handle"], kind: Route["kind"] = "unary"): Route[] => [{ method: "*", path: "/x/*", kind, handle }];

  test("method, path, query, headers and body arrive as sent, bytes as bytes", async () => {
    const { ask } = await setUp({
      routes: route(({ method, path, query, header, body }) => ({
        status: 201,
        headers: { "x-seen": `${method} ${path} ${query} ${header("x-one")} ${header("x-two")}` },
        body: (body + "\xff") as Bytes,
      })),
    });
    const sent = new Uint8Array([0, 127, 128, 255]);
    const reply = await ask("PUT", "/x/a%2Fb?c=%20d#e", { body: sent, headers: { "X-One": "1" } });
    expect([reply.status, reply.headers["x-seen"]]).toEqual([201, "PUT /x/a%2Fb c=%20d 1 undefined"]);
    const { app } = await setUp({ routes: route(({ body }) => ({ status: 200, headers: {}, body })) });
    const raw = await app.fetch(new Request("http://host/x/", { method: "POST", body: sent }));
    expect(new Uint8Array(await raw.arrayBuffer())).toEqual(sent);
  });

  test("a client that breaks off in the middle of its body is no error of ours", async () => {
    const { ask, errors } = await setUp({ routes: route(() => ({ status: 200, headers: {}, body: ascii("") })) });
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("gone")) });
    expect((await ask("POST", "/x/a", { body, duplex: "half" } as RequestInit)).status).toBe(400);
    expect(errors).toEqual([]);
    const streamed = await setUp({
      routes: route(async ({ chunks }) => {
        let came = 0;
        for await (const chunk of chunks!) came += chunk.length;
        return { status: 200, headers: {}, body: ascii(String(came)) };
      }, "stream"),
    });
    let pulled = 0;
    const half = new ReadableStream<Uint8Array>({
      pull: (controller) => (pulled++ === 0 ? controller.enqueue(new Uint8Array(3)) : controller.error(new Error("gone"))),
    });
    expect((await streamed.ask("POST", "/x/a", { body: half, duplex: "half" } as RequestInit)).text).toBe("3");
    expect(streamed.errors).toEqual([]);
  });

  test("a body above the limit is refused, announced or not", async () => {
    const { ask } = await setUp({ routes: route(() => ({ status: 200, headers: {}, body: ascii("") })) });
    expect((await ask("POST", "/x/a", { body: "b".repeat(BODY_MAX) })).status).toBe(200);
    expect((await ask("POST", "/x/a", { body: "b".repeat(BODY_MAX + 1) })).status).toBe(413);
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(BODY_MAX)),
    });
    expect((await ask("POST", "/x/a", { body: stream, duplex: "half" } as RequestInit)).status).toBe(413);
  });

  test("a handler that throws gives 500 and is told of", async () => {
    const { ask, errors } = await setUp({
      routes: route(() => {
        throw new Error("planted");
      }),
    });
    expect(await ask("GET", "/x/a")).toMatchObject({ status: 500, text: "internal error: the server's log has the details\n" });
    expect(errors.map(String)).toEqual(["Error: planted"]);
  });

  test("a streaming reply is written as it is read, told to wait, and told of the end", async () => {
    let sink: ReplySink | undefined;
    let closed = 0;
    const { app } = await setUp({
      routes: route(() => ({
        status: 200,
        headers: {},
        body: (given) => {
          sink = given;
          given.onClose(() => closed++);
        },
      })),
    });
    const reply = await app.fetch(new Request("http://host/x/"));
    const reader = reply.body!.getReader();
    let written = 0;
    while (sink!.write(ascii("chunk"))) expect(written++).toBeLessThan(1_000);
    let drained = false;
    sink!.onDrain(() => (drained = true));
    for (let n = 0; n <= written; n++) expect(fromUint8Array((await reader.read()).value!)).toBe("chunk");
    expect(drained).toBe(true);
    await reader.cancel();
    expect(closed).toBe(1);
    expect(sink!.write(ascii("late"))).toBe(false);
    sink!.end();
    expect(closed).toBe(1);
  });

  test("a streaming request hands over its chunks", async () => {
    const { ask } = await setUp({
      routes: route(async ({ chunks }) => {
        let text = "";
        for await (const chunk of chunks!) text += `${chunk.length} `;
        return { status: 200, headers: {}, body: ascii(text) };
      }, "stream"),
    });
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(3));
        controller.enqueue(new Uint8Array(BODY_MAX + 1));
        controller.close();
      },
    });
    expect((await ask("POST", "/x/a", { body, duplex: "half" } as RequestInit)).text).toBe(`3 ${BODY_MAX + 1} `);
  });
});
