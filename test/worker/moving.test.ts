/** A snapshot moves: from a member on Node into a Durable Object, by the command's file, and back again; the state is the same. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const servers: ServerProcess[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));
const running = async (started: Promise<ServerProcess>): Promise<ServerProcess> => {
  const server = await started;
  servers.push(server);
  return server;
};

const base64 = (text: string) => Buffer.from(text).toString("base64");
const ADMIN = { authorization: "Bearer secret" };
const SNAPSHOT = "/admin/namespaces/default/snapshot";

async function v3<T = Record<string, string>>(server: ServerProcess, path: string, body: object): Promise<T> {
  const reply = await fetch(`${server.url}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
  return (await reply.json()) as T;
}
const put = (server: ServerProcess, key: string, value: string, more = {}) =>
  v3(server, "kv/put", { key: base64(key), value: base64(value), ...more });
const hashOf = async (server: ServerProcess) => (await v3<{ hash: number }>(server, "maintenance/hash", {})).hash;
const valueAt = async (server: ServerProcess, key: string, more = {}) =>
  v3<{ kvs?: { value: string }[]; message?: string }>(server, "kv/range", { key: base64(key), ...more }).then(
    ({ kvs, message }) => kvs?.[0]?.value ?? message,
  );
const quorate = async (...args: string[]) => {
  const done = await runCommand(process.execPath, [QUORATE_SCRIPT, ...args], 30_000);
  expect(done.code, done.stderr).toBe(0);
};
const restore = async (server: ServerProcess, file: Uint8Array<ArrayBuffer>, query = "") => {
  const reply = await fetch(server.url + SNAPSHOT + query, { method: "PUT", headers: ADMIN, body: file });
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
};
const untilBack = (server: ServerProcess) =>
  untilTrue(async () => (await fetch(`${server.url}/health`).catch(() => undefined))?.status === 200, {
    what: () => `it serves: ${server.output()}`,
  });
const fileOf = (path: string) => new Uint8Array(readFileSync(path));

/** Something of everything. */
async function fill(server: ServerProcess): Promise<void> {
  for (let n = 0; n < 50; n++) await put(server, `k${n % 20}`, `value ${n}`);
  await v3(server, "kv/deleterange", { key: base64("k3") });
  await v3(server, "lease/grant", { ID: "77", TTL: "600" });
  await put(server, "leased", "1", { lease: "77" });
  await fetch(`${server.url}/v2/keys/a/b`, {
    method: "PUT",
    body: "value=1&ttl=600",
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
  await fetch(`${server.url}/v1/kv/once`, {
    method: "PUT",
    body: "1",
    headers: { "idempotency-key": "one", "content-type": "text/plain" },
  });
  await v3(server, "kv/compaction", { revision: "10" });
  await v3(server, "auth/role/add", { name: "r" });
}

describe.skipIf(workerd === undefined)("moving (skipped where workerd is not there)", () => {
  test("Node's snapshot is the object's state, and the object's is Node's", { timeout: 120_000 }, async () => {
    const node = await running(startQuorate());
    const object = await running(startQuorateWorker({ vars: { ADMIN_TOKEN: "secret" } }));
    await fill(node);
    const saved = join(tempDir("backup"), "node.snap");
    await quorate("snapshot", "save", saved, "--endpoints", node.url);
    const hash = await hashOf(node);

    await put(object, "gone", "1");
    const restored = await restore(object, fileOf(saved), "?bump=0");
    expect(restored).toMatchObject({ status: 200, body: { hash, keys: 23 } });
    await untilBack(object);
    expect([await hashOf(object), await valueAt(object, "gone"), await valueAt(object, "k9")]).toEqual([
      hash,
      undefined,
      base64("value 49"),
    ]);
    expect(await valueAt(object, "k9", { revision: "12" })).toBe(base64("value 9"));
    expect(Number((await v3(object, "lease/timetolive", { ID: "77" })).TTL)).toBeGreaterThan(500);
    expect(await put(object, "leased", "2", { lease: "77" })).toHaveProperty("header");

    const back = join(tempDir("backup"), "object.snap");
    const reply = await fetch(object.url + SNAPSHOT, { headers: ADMIN });
    writeFileSync(back, new Uint8Array(await reply.arrayBuffer()));
    const dataDir = join(tempDir("restored"), "data");
    await quorate("snapshot", "restore", back, "--data-dir", dataDir, "--bump-revision", "0");
    const again = await running(startQuorate({ dataDir }));
    expect([await hashOf(again), await valueAt(again, "leased")]).toEqual([await hashOf(object), base64("2")]);
  });

  test("the revision is raised above all that was seen of either, and old ones are told to be compacted", { timeout: 60_000 }, async () => {
    const object = await running(startQuorateWorker({ vars: { ADMIN_TOKEN: "secret" } }));
    await put(object, "a", "1");
    const file = new Uint8Array(await (await fetch(object.url + SNAPSHOT, { headers: ADMIN })).arrayBuffer());
    for (let n = 0; n < 5; n++) await put(object, "a", "2");
    expect((await restore(object, file, "?bump=0")).body).toMatchObject({ revisionBefore: 2, revision: 8 });
    await untilBack(object);
    expect([await valueAt(object, "a"), await valueAt(object, "a", { revision: "2" })]).toEqual([
      base64("1"),
      "etcdserver: mvcc: required revision has been compacted",
    ]);
    expect((await restore(object, file)).body).toMatchObject({ revisionBefore: 2, revision: 1_000_002 });
    await untilBack(object);
    expect(await put(object, "a", "3")).toMatchObject({ header: { revision: "1000003" } });
  });

  test("a damaged file, and whoever has no token, changes nothing", { timeout: 60_000 }, async () => {
    const object = await running(startQuorateWorker({ vars: { ADMIN_TOKEN: "secret" } }));
    await put(object, "a", "1");
    const file = new Uint8Array(await (await fetch(object.url + SNAPSHOT, { headers: ADMIN })).arrayBuffer());
    const hash = await hashOf(object);
    for (const at of [20, file.length >> 1, file.length - 1]) {
      const damaged = file.slice();
      damaged[at] = damaged[at]! ^ 1;
      expect(await restore(object, damaged)).toMatchObject({ status: 400, body: { code: "malformed" } });
    }
    expect(await restore(object, file.slice(0, -1))).toMatchObject({ status: 400 });
    expect(await restore(object, file, "?bump=-1")).toMatchObject({ status: 400, body: { code: "bad_field" } });
    expect((await fetch(object.url + SNAPSHOT, { method: "PUT", body: file })).status).toBe(401);
    expect((await fetch(object.url + SNAPSHOT)).status).toBe(401);
    expect(await hashOf(object)).toBe(hash);
  });
});
