/** Backup, restore and the new cluster of a last survivor, with real processes: by the command line, as an operator does it. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { runCommand } from "../helpers/run-command.ts";
import { writeBackup } from "../helpers/sample-backup.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { removeTempDir, tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { ask, base64, callV3, fromBase64 } from "./http.ts";

const SCRIPT = join(PROJECT_ROOT, "runtime-node", "quorate.js");
const agent = new Agent({ keepAlive: true });
const ends: (() => Promise<void>)[] = [];
let dir = "";

beforeEach(() => void (dir = tempDir("snapshot")));
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  removeTempDir(dir);
});

const snapshot = (...args: string[]) => runCommand(process.execPath, [SCRIPT, "snapshot", ...args], 20_000);

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await snapshot(...args);
  expect([code, stderr.replace(/^revision .*\n/, "")]).toEqual([0, ""]);
  return stdout;
}

async function serve(dataDir?: string): Promise<ServerProcess> {
  const server = await startQuorate(dataDir === undefined ? {} : { dataDir });
  ends.push(() => server.stop());
  return server;
}

interface Kv {
  readonly key: string;
  readonly value: string;
  readonly mod_revision: string;
}

type Header = Readonly<Record<"cluster_id" | "member_id" | "revision", string>>;

const EVERYTHING = { key: base64("\0"), range_end: base64("\0") };
const all = (url: string) => callV3<{ header: Header; kvs?: Kv[] }>(agent, url, "/v3/kv/range", EVERYTHING);
const put = (url: string, key: string, value: string, more: object = {}) =>
  callV3<{ header: Header }>(agent, url, "/v3/kv/put", { key: base64(key), value: base64(value), ...more });
const hex = (id: string) => BigInt(id).toString(16);

/** What the first messages of a watch say, up to one that cancels it. */
async function watchFrom(url: string, revision: string): Promise<{ canceled?: boolean; compact_revision?: string } | undefined> {
  const reply = await fetch(`${url}/v3/watch`, {
    method: "POST",
    body: JSON.stringify({ create_request: { ...EVERYTHING, start_revision: revision } }),
    signal: AbortSignal.timeout(5_000),
  });
  let text = "";
  for await (const piece of reply.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const canceled = text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { result: { canceled?: boolean; compact_revision?: string } })
      .find(({ result }) => result.canceled === true);
    if (canceled !== undefined) return canceled.result;
  }
  return undefined;
}

test("where authentication is on, a backup is for the user root", async () => {
  const { url } = await serve();
  await put(url, "a", "1");
  const file = (name: string): string => join(dir, name);
  await done("save", file("off"), "--endpoints", url, "--user", "root:pw");
  for (const [path, body] of [
    ["user/add", { name: "root", password: "p:w" }],
    ["user/grant", { user: "root", role: "root" }],
    ["user/add", { name: "u", password: "pw" }],
    ["enable", {}],
  ] as const) {
    await callV3(agent, url, `/v3/auth/${path}`, body);
  }
  await done("save", file("one"), "--endpoints", url, "--user", "root:p:w");
  await done("save", file("two"), "--endpoints", url, "--user", "root", "--password", "p:w");
  const refused = [
    [[], 1, "user name is empty"],
    [["--user", "u:pw"], 1, "permission denied"],
    [["--user", "root:no"], 1, "the answer to --user was 400 .*invalid user ID or password"],
    [["--user", "root"], 2, "--user needs a password"],
    [["--password", "pw"], 2, "--password needs a --user"],
  ] as const;
  for (const [flags, code, told] of refused) {
    const result = await snapshot("save", file("none"), "--endpoints", url, ...flags);
    expect([flags, result.code, result.stderr]).toEqual([flags, code, expect.stringMatching(told)]);
  }
  expect(readdirSync(dir).toSorted()).toEqual(["off", "one", "two"]);
});

test("T40: save, kill, restore, start: everything is there, and nobody of the old life goes back in time", async () => {
  const before = await serve();
  for (let n = 0; n < 50; n++) await put(before.url, `k${n % 20}`, `v${n}`);
  await callV3(agent, before.url, "/v3/lease/grant", { TTL: 900, ID: 77 });
  await put(before.url, "leased", "here", { lease: 77 });
  await ask(agent, before.url, "PUT", "/v2/keys/dir/node", "value=two", "application/x-www-form-urlencoded");
  const saved = await all(before.url);
  const file = join(dir, "backup.snap");
  expect(await done("save", file, "--endpoints", before.url)).toBe(`Snapshot saved at ${file}\n`);
  // What comes after the backup is lost, and its revisions must not come again.
  const lost = await put(before.url, "k1", "after the backup");
  await before.kill("SIGKILL");

  const status = JSON.parse(await done("status", file, "-w", "json")) as Record<string, unknown>;
  expect(status).toMatchObject({
    revision: Number(saved.header.revision),
    totalKey: saved.kvs!.length,
    clusterId: saved.header.cluster_id,
  });
  expect(await done("status", file)).toMatch(new RegExp(`^[0-9a-f]+, ${saved.header.revision}, ${saved.kvs!.length}, [0-9.]+ k?B, `));

  const dataDir = join(dir, "data");
  const told = await done("restore", file, "--data-dir", dataDir);
  const after = await serve(dataDir);
  const restored = await all(after.url);
  expect(restored.kvs).toEqual(saved.kvs);
  expect(restored.header.revision).toBe(String(Number(saved.header.revision) + 1_000_000));
  expect(restored.header.cluster_id).not.toBe(saved.header.cluster_id);
  expect(told).toContain(`Member ${hex(restored.header.member_id)} of the new cluster ${hex(restored.header.cluster_id)}`);
  for (const revision of ["1", lost.header.revision, String(Number(restored.header.revision) - 1)]) {
    expect(await watchFrom(after.url, revision)).toMatchObject({ canceled: true, compact_revision: restored.header.revision });
  }
  const waited = await ask(agent, after.url, "GET", `/v2/keys/dir?wait=true&recursive=true&waitIndex=${lost.header.revision}`);
  expect([waited?.status, JSON.parse(waited!.text)]).toMatchObject([400, { errorCode: 401 }]);
  expect((await ask(agent, after.url, "GET", "/v2/keys/dir/node"))?.text).toContain('"value":"two"');
  const lease = await callV3<{ keys: string[] }>(agent, after.url, "/v3/lease/timetolive", { ID: 77, keys: true });
  expect(lease.keys.map(fromBase64)).toEqual(["leased"]);
  const next = await put(after.url, "next", "1");
  expect(next.header.revision).toBe(String(Number(restored.header.revision) + 1));
  // It is a member like any other: what it writes outlives it.
  await after.kill("SIGKILL");
  expect((await all((await serve(dataDir)).url)).kvs!.length).toBe(saved.kvs!.length + 1);
});

test("fences go on rising over a restore: none that was given out after the backup comes again", async () => {
  const before = await serve();
  const acquire = async (url: string, path: string): Promise<{ fence: number; lease: string; guard: string }> => {
    const reply = await ask(agent, url, "POST", path);
    expect([path, reply?.status]).toEqual([path, 201]);
    return JSON.parse(reply!.text) as { fence: number; lease: string; guard: string };
  };
  const kinds = ["locks/a", "elections/a", "rwlocks/a/write", "semaphores/a?limit=1&permits=1"];
  const paths = kinds.map((kind) => `/v1/${kind}`);
  const old: string[] = [];
  for (const path of paths) old.push((await acquire(before.url, `${path}${path.includes("?") ? "&" : "?"}ttl=2s`)).guard);
  await callV3(agent, before.url, "/v3/kv/put", { key: base64("mine"), value: base64("1") });
  const file = join(dir, "fences.snap");
  await done("save", file, "--endpoints", before.url);
  // Lost with the old life, and known outside: a hundred holds of each.
  let highest = 0;
  for (let n = 0; n < 100; n++) {
    for (const path of paths) {
      const { fence, lease } = await acquire(before.url, path.replace("/a", "/b"));
      expect(fence).toBeGreaterThan(highest);
      highest = fence;
      const released = await ask(agent, before.url, "DELETE", `${path.replace("/a", "/b").replace(/\/write|\?.*$/, "")}/${lease}`);
      expect(released?.status).toBe(204);
    }
  }
  await before.kill("SIGKILL");
  const dataDir = join(dir, "fenced");
  await done("restore", file, "--data-dir", dataDir);
  const after = await serve(dataDir);
  for (const path of paths) {
    const { fence } = await acquire(after.url, path.replace("/a", "/b"));
    expect(fence).toBeGreaterThan(highest);
    highest = fence;
  }
  // Who held as the backup was made holds by the backup's leases, which nobody renews; then the next one has it, with a higher fence.
  for (const path of paths) {
    const { fence } = await acquire(after.url, `${path}${path.includes("?") ? "&" : "?"}wait=20s`);
    expect(fence).toBeGreaterThan(highest);
    highest = fence;
  }
  for (const guard of old) {
    const reply = await fetch(`${after.url}/v1/kv/mine`, { method: "PUT", body: "2", headers: { "quorate-guard": guard } });
    expect([guard, reply.status]).toEqual([guard, 409]);
  }
}, 60_000);

describe("refused with exit code 1", () => {
  const damages: readonly (readonly [what: string, damage: (bytes: Buffer) => Buffer])[] = [
    ["a flipped byte", (bytes) => (bytes.writeUInt8(bytes[150]! ^ 0xff, 150), bytes)],
    ["a cut", (bytes) => bytes.subarray(0, 120)],
    ["trailing garbage", (bytes) => Buffer.concat([bytes, Buffer.from("garbage behind the end")])],
  ];
  test.each(damages)("%s, by status and by restore, which names the byte and leaves nothing", async (_what, damage) => {
    const file = join(dir, "backup.snap");
    writeFileSync(file, damage(writeBackup(file)));
    for (const args of [
      ["status", file],
      ["restore", file, "--data-dir", join(dir, "data")],
    ]) {
      const { code, stdout, stderr } = await snapshot(...args);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/^quorate: .*backup\.snap is damaged: .*at byte \d+.*\n$/);
    }
    expect(readdirSync(dir)).toEqual(["backup.snap"]);
  });

  test("a data directory that holds something, a file that is there, an endpoint where nobody is", async () => {
    const file = join(dir, "backup.snap");
    writeBackup(file);
    const dataDir = join(dir, "data");
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "mine"), "mine");
    expect(await snapshot("restore", file, "--data-dir", dataDir)).toMatchObject({ code: 1, stderr: `quorate: ${dataDir} is not empty: a backup is restored into a new directory\n` }); // prettier-ignore
    expect(readFileSync(join(dataDir, "mine"), "utf8")).toBe("mine");
    const dead = `http://127.0.0.1:${await freePort()}`;
    expect((await snapshot("save", file, "--endpoints", dead)).stderr).toBe(`quorate: ${file} is there already and is not overwritten\n`);
    const { code, stderr } = await snapshot("save", join(dir, "other.snap"), "--endpoints", dead);
    expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(`^quorate: no snapshot from ${dead}: .*ECONNREFUSED`))]);
    expect(readdirSync(dir).toSorted()).toEqual(["backup.snap", "data"]);
  });

  test("paths that cannot be, in a sentence", async () => {
    const file = join(dir, "backup.snap");
    writeBackup(file);
    mkdirSync(join(dir, "directory"));
    const data = ["--data-dir", join(dir, "data")];
    const cases: readonly (readonly [args: readonly string[], told: string])[] = [
      [["save", join(dir, "none", "x.snap")], `there is no directory ${join(dir, "none")} to save a snapshot in`],
      [["save", join(dir, "directory")], `${join(dir, "directory")} is there already and is not overwritten`],
      [
        ["save", join(file, "x.snap")],
        `${join(file, "x.snap")}.part cannot be there: a part of this path is a file and no directory (ENOTDIR)`,
      ],
      [["status", join(dir, "none")], `there is no file ${join(dir, "none")}`],
      [["status", join(dir, "directory")], `${join(dir, "directory")} is a directory, and no snapshot`],
      [["restore", join(dir, "directory"), ...data], `${join(dir, "directory")} is a directory, and no snapshot`],
      [["restore", file, "--data-dir", file], `${file} cannot be there: a part of this path is a file and no directory (ENOTDIR)`],
    ];
    for (const [args, told] of cases) expect([args, await snapshot(...args)]).toMatchObject([args, { code: 1, stdout: "", stderr: `quorate: ${told}\n` }]); // prettier-ignore
    expect(readdirSync(dir).toSorted()).toEqual(["backup.snap", "directory"]);
  });

  test("a wrong command line, with exit code 2", async () => {
    const file = join(dir, "backup.snap");
    writeBackup(file);
    const data = ["--data-dir", join(dir, "data")];
    const wrong = [
      ["save"],
      ["save", file, "--endpoints", "ftp://x"],
      ["restore", file],
      ["restore", file, ...data, "--initial-cluster", "other=http://localhost:2380"],
      ["restore", file, ...data, "--initial-advertise-peer-urls", "localhost"],
      ["restore", file, ...data, "--bump-revision", "-1"],
      ["restore", file, ...data, "--bump-revision", "0", "--mark-compacted"],
      ["status", file, "-w", "xml"],
    ];
    for (const args of wrong) expect([args, (await snapshot(...args)).code]).toEqual([args, 2]);
    const { stderr } = await snapshot("restore", file, ...data, "--name", "x", "--initial-cluster", "a=http://localhost:2380");
    expect(stderr).toContain("--initial-cluster has no member x at http://localhost:2380 (--name, --initial-advertise-peer-urls)");
    expect(readdirSync(dir)).toEqual(["backup.snap"]);
  });
});

describe("clusters", () => {
  async function three(): Promise<Cluster> {
    const cluster = await Cluster.start({ size: 3 });
    ends.push(() => cluster.stop());
    await cluster.untilLeader();
    for (let n = 0; n < 30; n++) await put(cluster.urls[n % 3]!, `k${n}`, `v${n}`);
    return cluster;
  }

  async function untilSame(cluster: Cluster): Promise<void> {
    const same = async () => {
      const statuses = [...(await cluster.statuses()).values()];
      return statuses.length === cluster.members.length && new Set(statuses.map(({ revision }) => revision)).size === 1;
    };
    await untilTrue(same, { what: () => "all members at one revision" });
  }

  test("three members restored from one file are one new cluster, which grows", { timeout: 60_000 }, async () => {
    const cluster = await three();
    const saved = await all(cluster.urls[0]!);
    const file = join(dir, "backup.snap");
    await done("save", file, "--endpoints", cluster.urls[1]!);
    await cluster.stop();
    const initial = cluster.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    for (const { name, peerUrl, dataDir } of cluster.members) {
      rmSync(dataDir, { recursive: true });
      const flags = ["--name", name, "--initial-advertise-peer-urls", peerUrl, "--initial-cluster", initial];
      await done("restore", file, "--data-dir", dataDir, ...flags, "--bump-revision", "5000");
    }
    for (const { name } of cluster.members) await cluster.restart(name, [], false);
    await cluster.untilLeader();
    const after = await all(cluster.urls[2]!);
    expect(after.kvs).toEqual(saved.kvs);
    expect(after.header.cluster_id).not.toBe(saved.header.cluster_id);
    expect(after.header.revision).toBe(String(Number(saved.header.revision) + 5000));
    await put(cluster.urls[0]!, "new", "1");

    // A member that joins gets what the log no longer has: the restored snapshot.
    const place = await cluster.place("m4");
    // Refused until all members have told the leader about themselves.
    const add = () => ask(agent, cluster.urls[0]!, "POST", "/v3/cluster/member/add", JSON.stringify({ peerURLs: [place.peerUrl] }));
    await untilTrue(async () => (await add())?.status === 200, { what: () => "a member is added" });
    await cluster.join(place);
    await untilSame(cluster);
    expect((await all(place.url)).kvs!.length).toBe(31);
  });

  test("the last survivor goes on alone as a new cluster, and one that comes back is a stranger", { timeout: 60_000 }, async () => {
    const cluster = await three();
    await untilSame(cluster);
    const saved = await all(cluster.urls[0]!);
    for (const { process: one } of cluster.members) await one.kill("SIGKILL");
    const [survivor, other] = cluster.members;
    await cluster.restart(survivor!.name, ["--force-new-cluster"]);
    expect(cluster.member(survivor!.name).process.output()).toContain('"membersLeftBehind":2');
    // Left in a start script, the flag does nothing more.
    const { header: forced } = await all(survivor!.url);
    await cluster.restart(survivor!.name, ["--force-new-cluster"]);
    expect(cluster.member(survivor!.name).process.output()).toContain("nothing to do");
    // Comes back with its old data, alone: no quorum there, and nobody here who listens.
    await cluster.restart(other!.name, [], false);
    const after = await all(survivor!.url);
    expect(after.kvs).toEqual(saved.kvs);
    expect(after.header.cluster_id).toBe(forced.cluster_id);
    expect(after.header.cluster_id).not.toBe(saved.header.cluster_id);
    expect(after.header.member_id).toBe(saved.header.member_id);
    expect(Number(after.header.revision)).toBe(Number(saved.header.revision) + 1_000_000);
    expect(await watchFrom(survivor!.url, saved.header.revision)).toMatchObject({ canceled: true });
    await put(survivor!.url, "alone", "1");
    const { members } = await callV3<{ members: unknown[] }>(agent, survivor!.url, "/v3/cluster/member/list", {});
    expect(members.length).toBe(1);
    await untilTrue(async () => (await ask(agent, other!.url, "GET", "/health"))?.status === 503, { what: () => "the other is up, alone" });
    rmSync(`${survivor!.dataDir}.before-${BigInt(saved.header.cluster_id).toString(16)}`, { recursive: true });
  });
});
