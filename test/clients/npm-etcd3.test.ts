/** The client `etcd3` of npm, which is written on grpc-js: against a real etcd and against this project's server. */
import { Etcd3, type IKeyValue, type Watcher } from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { SIDES, startSide } from "./sides.ts";

/** Sides are tried side by side, the tests of one in turn. */
const IN_TURN = { concurrent: false };

describe.each(SIDES)("etcd3 (npm) on %s", { concurrent: true }, (side) => {
  let server: ServerProcess;
  let client: Etcd3;

  beforeAll(async () => {
    server = await startSide(side);
    client = new Etcd3({ hosts: server.url });
  });
  afterAll(async () => {
    client.close();
    await server.stop();
  });

  test("put, get, ranges, sort, limit, count, delete", IN_TURN, async () => {
    const space = client.namespace("range/");
    for (const [key, value] of Object.entries({ c: 1, a: 3, b: 2, d: 4 })) await space.put(key).value(value);
    expect(await space.get("a").number()).toBe(3);
    expect(await space.get("none").string()).toBeNull();
    expect(await space.getAll().keys()).toEqual(["a", "b", "c", "d"]);
    expect(await space.getAll().sort("Value", "Descend").limit(2).strings()).toEqual({ d: "4", a: "3" });
    expect(await space.getAll().sort("Create", "Ascend").keys()).toEqual(["c", "a", "b", "d"]);
    expect(await space.getAll().inRange({ start: "b", end: "d" }).numbers()).toEqual({ b: 2, c: 1 });
    expect(await space.getAll().prefix("a").count()).toBe(1);
    const { header } = await space
      .put("a")
      .value("new")
      .getPrevious()
      .then(async () => space.getAll().exec());
    expect(
      await space
        .get("a")
        .revision(Number(header.revision) - 1)
        .string(),
    ).toBe("3");
    expect((await space.delete().key("a").getPrevious())[0]!.value.toString()).toBe("new");
    await space.delete().inRange({ start: "b", end: "d" });
    expect(await space.getAll().strings()).toEqual({ d: "4" });
    await space.delete().all();
    expect(await space.getAll().count()).toBe(0);
    expect(await client.getAll().prefix("range/").count()).toBe(0);
  });

  test("transactions: compare, then, else", IN_TURN, async () => {
    const swap = (from: string, to: string) =>
      client.if("txn", "Value", "==", from).then(client.put("txn").value(to)).else(client.get("txn")).commit();
    expect((await client.if("txn", "Create", "==", 0).then(client.put("txn").value("1")).commit()).succeeded).toBe(true);
    expect((await swap("1", "2")).succeeded).toBe(true);
    const failed = await swap("1", "3");
    expect(failed.succeeded).toBe(false);
    expect(failed.responses[0]!.response_range!.kvs[0]!.value.toString()).toBe("2");
  });

  test("leases: kept alive while held, gone with their keys when they are revoked, and noticed when lost", IN_TURN, async () => {
    const lease = client.lease(1, { autoKeepAlive: true });
    await lease.put("leased").value("x");
    const renewed = new Promise<void>((resolve) => void lease.once("keepaliveSucceeded", () => resolve()));
    await lease.keepaliveOnce();
    await renewed;
    expect(await client.get("leased").string()).toBe("x");
    await lease.revoke();
    expect(await client.get("leased").string()).toBeNull();

    const lost = client.lease(2);
    const noticed = new Promise<Error>((resolve) => void lost.once("lost", resolve));
    await client.leaseClient.leaseRevoke({ ID: await lost.grant() });
    expect(String(await noticed)).toMatch(/Lease \d+ is expired or revoked/);
  });

  test("watch: keys and prefixes, and from a revision", IN_TURN, async ({ expect }) => {
    const events: string[] = [];
    const watcher = await client.watch().prefix("seen/").create();
    watcher.on("put", ({ key, value }) => events.push(`put ${String(key)}=${String(value)}`));
    watcher.on("delete", ({ key }) => events.push(`delete ${String(key)}`));
    const { header } = await client.put("seen/a").value("1");
    await client.put("seen/b").value("2");
    await client.delete().key("seen/a");
    await client.put("seen/a").value("3");
    await expect.poll(() => events).toEqual(["put seen/a=1", "put seen/b=2", "delete seen/a", "put seen/a=3"]);
    const late: string[] = [];
    const past = await client.watch().prefix("seen/").startRevision(header.revision).create();
    past.on("put", ({ value }) => late.push(String(value)));
    await expect.poll(() => late).toEqual(["1", "2", "3"]);
    await Promise.all([watcher.cancel(), past.cancel()]);
  });

  test("locks exclude each other", IN_TURN, async () => {
    const first = client.lock("mutex");
    await first.acquire();
    await expect(client.lock("mutex").acquire()).rejects.toThrow("mutex");
    await first.release();
    expect(await client.lock("mutex").do(() => "inside")).toBe("inside");
  });

  test("elections: one leads, the next one follows", IN_TURN, async ({ expect }) => {
    const one = client.election("chief", 5).campaign("one");
    await new Promise((resolve, reject) => one.once("elected", () => resolve(null)).once("error", reject));
    const observer = await client.election("chief", 5).observe();
    const seen: string[] = [];
    observer.on("change", (value) => seen.push(String(value)));
    if (observer.leader() !== undefined) seen.push(observer.leader()!);
    const two = client.election("chief", 5).campaign("two");
    let elected = false;
    const second = new Promise<void>((resolve, reject) =>
      two.once("elected", () => resolve((elected = true) as never)).once("error", reject),
    );
    await expect.poll(() => client.getAll().prefix("election/chief").count()).toBe(2);
    expect(elected).toBe(false);
    await one.resign();
    await second;
    await expect.poll(() => seen.at(-1)).toBe("two");
    await Promise.all([two.resign(), observer.cancel()]);
  });

  test("STM: concurrent additions are all there", IN_TURN, async () => {
    await client.put("sum").value(0);
    const add = (n: number): Promise<unknown> =>
      client.stm({ retries: 100 }).transact(async (tx) => {
        const sum = await tx.get("sum").number();
        await tx.put("sum").value(sum! + n);
      });
    await Promise.all([1, 2, 3, 4].map(add));
    expect(await client.get("sum").number()).toBe(10);
  });
});

describe.each(SIDES)("etcd3 (npm) on %s that is killed and started again", { concurrent: true }, (side) => {
  test("the watcher resumes and misses nothing, leases are there, requests go on", IN_TURN, async ({ expect }) => {
    const place = { port: await freePort(), dataDir: tempDir("etcd3") };
    let server = await startSide(side, place);
    const client = new Etcd3({ hosts: server.url, faultHandling: {} });
    try {
      const seen: string[] = [];
      const watcher: Watcher = await client.watch().prefix("k/").create();
      watcher.on("put", ({ key }: IKeyValue) => seen.push(String(key)));
      const lease = client.lease(60);
      await lease.put("k/leased").value("x");
      await client.put("k/1").value("x");
      await expect.poll(() => seen).toEqual(["k/leased", "k/1"]);
      await server.kill("SIGKILL");
      server = await startSide(side, place);
      // Written by somebody else, and not over gRPC: connections of one process share their waiting after a failure.
      for (const key of ["k/2", "k/3"]) {
        const body = JSON.stringify({ key: Buffer.from(key).toString("base64"), value: "eA==" });
        expect((await fetch(`${server.url}/v3/kv/put`, { method: "POST", body })).status).toBe(200);
      }
      await expect.poll(() => seen, { timeout: 20_000 }).toEqual(["k/leased", "k/1", "k/2", "k/3"]);
      await expect.poll(() => client.get("k/leased").string().catch(String), { timeout: 20_000 }).toBe("x");
      await lease.keepaliveOnce();
      await lease.revoke();
    } finally {
      client.close();
      await server.stop();
    }
  });
});

describe.each(SIDES)("etcd3 (npm) with users on %s", { concurrent: true }, (side) => {
  test("auth: users and roles, permissions, a token that is got again", IN_TURN, async () => {
    const server = await startSide(side);
    const open = new Etcd3({ hosts: server.url });
    const root = new Etcd3({ hosts: server.url, auth: { username: "root", password: "rootpw" } });
    const user = new Etcd3({ hosts: server.url, auth: { username: "u", password: "pw" } });
    try {
      const all = await open.role("root").create();
      await (await open.user("root").create("rootpw")).addRole(all);
      const role = await open.role("app").create();
      await role.grant({ permission: "Readwrite", range: open.range({ prefix: "app/" }) });
      await (await open.user("u").create("pw")).addRole("app");
      await open.auth.authEnable();
      await expect(open.put("app/a").value("1").exec()).rejects.toThrow("user name is empty");
      await user.put("app/a").value("1");
      expect(await user.get("app/a").string()).toBe("1");
      await expect(user.get("other").string()).rejects.toThrow("permission denied");
      const wrong = new Etcd3({ hosts: server.url, auth: { username: "u", password: "no" } });
      await expect(wrong.get("app/a").string()).rejects.toThrow("authentication failed");
      wrong.close();
      expect((await root.getUsers()).map(({ name }) => name)).toEqual(["root", "u"]);
      expect(await root.role("app").permissions()).toMatchObject([{ permission: "Readwrite" }]);
      await root.user("u").removeRole("app");
      await expect(user.get("app/a").string()).rejects.toThrow("permission denied");
      await root.auth.authDisable();
      expect(await open.get("app/a").string()).toBe("1");
    } finally {
      for (const client of [open, root, user]) client.close();
      await server.stop();
    }
  });
});
