/**
 * `relay` before a real cluster: on Deno with `Deno.serve` and by `deno task relay`, and in this process where an order of events has to be
 * made. What it passes on must be what a member says, also while members are killed.
 */
import { writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { type Socket, createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../client/client.ts";
import { relay } from "../../runtime-node/relay/relay.ts";
import { base64, callV3 } from "../cluster/http.ts";
import { freePort } from "../helpers/free-port.ts";
import { runtime } from "../helpers/runtimes.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import { type ServerProcess, startServer } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const deno = runtime("deno");
const agent = new Agent({ keepAlive: true });
const ends: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

/** A member that takes requests and never answers; `cut` breaks the connections off. */
async function silentMember(): Promise<{ readonly url: string; readonly asked: Promise<void>; readonly left: Promise<void>; cut(): void }> {
  const sockets = new Set<Socket>();
  const cut = (): void => sockets.forEach((socket) => void socket.destroy());
  let told = (): void => {};
  const asked = new Promise<void>((resolve) => (told = resolve));
  let gone = (): void => {};
  const left = new Promise<void>((resolve) => (gone = resolve));
  const server = createServer((socket) => {
    sockets.add(socket);
    socket
      .on("data", told)
      .on("close", gone)
      .on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close(), cut);
  const { port } = server.address() as { readonly port: number };
  return { url: `http://127.0.0.1:${port}`, asked, left, cut };
}

const nobody = async (): Promise<string> => `http://127.0.0.1:${await freePort()}`;
const at = (path: string, init?: RequestInit): Request => new Request(`http://relay.example${path}`, init);

describe("relay", () => {
  let member: ServerProcess;
  beforeAll(async () => {
    member = await startQuorate();
  });
  afterAll(() => member.stop());

  test("passes on what a member says: status, headers and body", async () => {
    const app = relay({ endpoints: [member.url] });
    const put = await app(at("/v1/kv/a%2Fb", { method: "PUT", body: "1", headers: { "if-none-match": "*" } }));
    expect([put.status, put.headers.get("quorate-revision")]).toEqual([201, put.headers.get("etag")?.replaceAll('"', "")]);
    expect((await app(at("/v1/kv/a%2Fb", { method: "PUT", body: "1", headers: { "if-none-match": "*" } }))).status).toBe(412);
    for (const path of ["/v1/kv/a%2Fb", "/v2/keys/a/b", "/v2/keys/none", "/version", "/v3/kv/nothing"]) {
      const [direct, relayed] = [await fetch(member.url + path), await app(at(path))];
      expect([path, relayed.status, await relayed.text()]).toEqual([path, direct.status, await direct.text()]);
      expect(relayed.headers.get("content-type")).toBe(direct.headers.get("content-type"));
    }
    const head = await app(at("/v1/kv/a%2Fb", { method: "HEAD" }));
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "1", ""]);
  });

  test("asks another member for what only reads, and for a write that has certainly not arrived", async () => {
    const app = relay({ endpoints: [await nobody(), member.url] });
    expect((await app(at("/v1/kv/x", { method: "PUT", body: "1" }))).status).toBe(201);
    const broken = await silentMember();
    const reading = relay({ endpoints: [broken.url, member.url] })(at("/v1/kv/x"));
    await broken.asked;
    broken.cut();
    expect(await (await reading).text()).toBe("1");
    const slow = await silentMember();
    const range = { method: "POST", body: JSON.stringify({ key: base64("x") }) };
    const answer = await relay({ endpoints: [slow.url, member.url], attemptMs: 50 })(at("/v3/kv/range", range));
    expect(await answer.json()).toMatchObject({ count: "1" });
  });

  test("says that nobody knows whether a write was done whose member was lost, in the words of its API", async () => {
    for (const [path, says] of [
      ["/v1/kv/lost", { status: 504, code: "timeout", outcome: "unknown" }],
      ["/v2/keys/lost", { errorCode: 300, cause: "etcdserver: request timed out" }],
      ["/v3/kv/put", { code: 14, message: "etcdserver: request timed out" }],
    ] as const) {
      const broken = await silentMember();
      const writing = relay({ endpoints: [broken.url, member.url] })(
        at(path, { method: path === "/v3/kv/put" ? "POST" : "PUT", body: "{}" }),
      );
      await broken.asked;
      broken.cut();
      const reply = await writing;
      expect([path, reply.status, await reply.json()]).toEqual([path, 504, expect.objectContaining(says)]);
    }
    expect((await fetch(`${member.url}/v1/kv/lost`)).status).toBe(404); // it was not asked again elsewhere
  });

  test("says that nothing was done when nobody can be reached", async () => {
    const reply = await relay({ endpoints: [await nobody(), await nobody()] })(at("/v1/kv/x", { method: "PUT", body: "1" }));
    expect(reply.status).toBe(503);
    expect(reply.headers.get("retry-after")).toBe("1");
    expect(await reply.json()).toMatchObject({ code: "unreachable", outcome: "none" });
  });

  test("refuses by name what it cannot pass on", async () => {
    const app = relay({ endpoints: [member.url], bodyBytesMax: 100 });
    expect((await app(at("/metrics"))).status).toBe(404);
    expect((await app(at("/v1/kv/x", { method: "PUT", body: "x".repeat(101) }))).status).toBe(413);
    const socket = await app(at("/v1/watch", { headers: { upgrade: "websocket" } }));
    expect([socket.status, await socket.json()]).toEqual([501, expect.objectContaining({ code: "unsupported", outcome: "none" })]);
    const grpc = await app(at("/etcdserverpb.KV/Range", { method: "POST", headers: { "content-type": "application/grpc" } }));
    expect(grpc.headers.get("grpc-status")).toBe("12");
    expect(() => relay({ endpoints: [] })).toThrow(expect.objectContaining({ reason: "badField" }));
  });

  test("tells the member that a client has gone", async () => {
    const broken = await silentMember();
    const gone = new AbortController();
    const app = relay({ endpoints: [broken.url, member.url] });
    const waiting = app(at("/v1/kv/never?wait=50s", { signal: gone.signal }));
    await broken.asked;
    gone.abort();
    await broken.left;
    await waiting;
  });
});

describe.skipIf(deno === undefined)("relay on Deno (skipped where it is not installed)", { timeout: 90_000 }, () => {
  test("serves a mixed cluster with Deno.serve: watches go on, and what was acknowledged is there, while members are killed", async () => {
    const cluster = await Cluster.start({ size: 3, runtime: (name) => (name === "m1" ? runtime("node")! : deno!) });
    ends.push(() => cluster.stop());
    const port = await freePort();
    const script = join(tempDir("relay"), "relay.ts");
    const app = pathToFileURL(join(PROJECT_ROOT, "runtime-node", "relay", "relay.ts")).href;
    const options = { hostname: "127.0.0.1", port };
    writeFileSync(
      script,
      `import { relay } from ${JSON.stringify(app)};\n` +
        `Deno.serve(${JSON.stringify(options)}, relay({ endpoints: ${JSON.stringify(cluster.urls)} }));\n`,
    );
    // What such hosts allow: the network, and nothing else.
    const args = ["run", "--allow-net", "--no-prompt", "--config", join(PROJECT_ROOT, "deno.json"), script];
    const server = await startServer({ name: "relay", command: deno!.command, args, port, dataDir: "" });
    ends.push(() => server.stop());

    const q = connect({ url: server.url, retry: { attempts: 100 } });
    const seen: string[] = [];
    const done = new AbortController();
    ends.push(() => done.abort());
    const watching = (async () => {
      for await (const step of q.keys("w/").watch({ signal: done.signal })) {
        for (const { key } of step.kind === "reset" ? step.entries : step.changes) seen.push(key);
        if (seen.includes("last")) return;
      }
    })();
    const acknowledged: string[] = [];
    const put = async (key: string): Promise<void> => {
      await q.keys("w/").put(key, key, { idempotencyKey: key });
      acknowledged.push(key);
    };
    await put("first");
    for (const { name } of cluster.members) {
      await cluster.member(name).process.kill("SIGKILL");
      for (let n = 0; n < 5; n++) await put(`${name}-${n}`);
      await cluster.restart(name);
      await cluster.untilLeader();
    }
    await put("last");
    await watching;
    expect(acknowledged).toHaveLength(17);
    expect(seen.filter((key) => key !== "first")).toEqual(acknowledged.slice(1));
    for (const key of acknowledged) expect((await q.keys("w/").get(key))?.value).toBe(key);
  });

  test("deno task relay serves what QUORATE_URL names", async () => {
    const member = await startQuorate();
    ends.push(() => member.stop());
    const port = await freePort();
    const env = { QUORATE_URL: `${await nobody()}, ${member.url}`, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` };
    const args = ["task", "--cwd", PROJECT_ROOT, "relay"];
    const server = await startServer({ name: "deno task relay", command: deno!.command, args, port, dataDir: "", env });
    ends.push(() => server.kill("SIGTERM")); // the task ends its server; SIGKILL would leave that alone
    await callV3(agent, server.url, "/v3/kv/put", { key: base64("k"), value: base64("v") });
    expect((await connect(member.url).kv.get("k"))?.value).toBe("v");
  });
});
