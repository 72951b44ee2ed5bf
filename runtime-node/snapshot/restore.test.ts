import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { FileLogStorage } from "../../adapters/file-storage/file-log-storage.ts";
import { NodeFileSystem } from "../../adapters/file-storage/node-file-system.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { Recovered } from "../../core/replica/log-storage-port.ts";
import { StateMachine } from "../../core/store/state-machine.ts";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import { SAMPLE_CLUSTER_ID, sampleState, writeBackup } from "../../test/helpers/sample-backup.ts";
import { removeTempDir, tempDir } from "../../test/helpers/temp-dir.ts";
import { clusterIdOf, memberIdOf } from "../cluster/ids.ts";
import { parseInitialCluster } from "../cluster/initial-cluster.ts";
import { type RestoreOptions, restoreSnapshot } from "./restore.ts";

const fileSystem = new NodeFileSystem();
const THREE = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380";
let dir = "";
let file = "";

beforeEach(() => {
  dir = tempDir("restore");
  file = join(dir, "backup.snap");
  return () => removeTempDir(dir);
});

/** Of member `name` of three, unless the options say otherwise. */
function restore(name: string, options: Partial<RestoreOptions> & { cluster?: string } = {}): ReturnType<typeof restoreSnapshot> {
  const initialCluster = parseInitialCluster(options.cluster ?? THREE)!;
  const peerUrls = initialCluster.find((member) => member.name === name)?.peerUrls ?? ["http://elsewhere:1"];
  const { cluster: _, ...rest } = options;
  const usual = { file, directory: join(dir, name), name, initialCluster, peerUrls, token: "t", bumpRevision: 1000, fileSystem };
  return restoreSnapshot({ ...usual, ...rest });
}

async function open(directory: string): Promise<{ recovered: Recovered; state: StateMachine; snapshot: Buffer }> {
  const storage = new FileLogStorage({ directory, fileSystem });
  const recovered = await storage.open();
  const state = new StateMachine({ quotaBytes: 1e9 });
  const chunks: Uint8Array[] = [];
  for await (const chunk of storage.readSnapshot(recovered.snapshot!.id)) chunks.push(chunk);
  await state.restore(
    (async function* () {
      yield* chunks;
    })(),
  );
  await storage.close();
  return { recovered, state, snapshot: Buffer.concat(chunks) };
}

test("the state begins a new life: keys and leases, a raised revision, nothing below it, no alarm", async () => {
  writeBackup(file);
  const restored = await restore("a");
  expect(restored).toMatchObject({ revisionBefore: 6, revisionAfter: 1006, clusterIdBefore: SAMPLE_CLUSTER_ID });
  const { state } = await open(restored.directory);
  expect([state.revision, state.compactedRevision, state.alarms(), state.check()]).toEqual([1006, 1006, [], []]);
  const old = sampleState();
  const all = rangeOf("\0", "\0");
  expect(state.range(all).kvs).toEqual(old.range(all).kvs);
  expect(state.lease("7")).toEqual({ id: "7", ttlSeconds: 600, keys: ["c"] });
  for (const revision of [1, 6, 7, 1005]) {
    expect(() => state.range(rangeOf("a", "", { revision }))).toThrowError(expect.objectContaining({ reason: "compacted" }));
  }
  const watcher = state.watch({ key: "a" as Bytes, end: "" as Bytes, startRevision: 3, noPut: false, noDelete: false, prevKv: false, onReady: () => {} }); // prettier-ignore
  state.flush();
  expect(watcher.take(1 << 20)).toMatchObject({ kind: "compacted" });
});

test("members that are restored from one file with the same flags are one cluster: equal ids, configuration and bytes", async () => {
  writeBackup(file);
  const restored = [await restore("a"), await restore("b", { cluster: THREE.split(",").toReversed().join(",") }), await restore("c")];
  expect(new Set(restored.map(({ clusterId }) => clusterId)).size).toBe(1);
  expect(new Set(restored.map(({ memberId }) => memberId)).size).toBe(3);
  const opened = await Promise.all(restored.map(({ directory }) => open(directory)));
  const ids = restored.map(({ memberId }) => memberId);
  for (const [at, { recovered, snapshot }] of opened.entries()) {
    expect(recovered.identity).toMatchObject({ clusterId: restored[0]!.clusterId, memberId: ids[at] });
    expect(recovered.hard).toEqual({ term: 1, vote: null, commit: 1 });
    expect([recovered.entries, recovered.repairs, recovered.boot]).toEqual([[], [], 2]);
    expect(recovered.snapshot).toEqual(opened[0]!.recovered.snapshot);
    expect(snapshot.equals(opened[0]!.snapshot)).toBe(true);
  }
  const { config, index, term, configIndex } = opened[0]!.recovered.snapshot!;
  expect([index, term, configIndex]).toEqual([1, 1, 1]);
  expect(config.voters.toSorted()).toEqual(ids.toSorted());
  expect(JSON.parse(config.meta[ids[1]!]!)).toEqual({ name: "b", peerUrls: ["http://10.0.0.2:2380"], clientUrls: [] });
  expect(new Set(opened.map(({ recovered }) => recovered.identity!.diskId)).size).toBe(3);
});

test("another file, token, bump or cluster makes another cluster, and none is the one without a backup", async () => {
  writeBackup(file);
  const other = join(dir, "other.snap");
  const later = sampleState();
  later.apply({ kind: "leaseRevoke", id: "7", term: 0, time: 2000 }, { index: 8, term: 2 });
  writeBackup(other, later);
  let count = 0;
  const into = () => ({ directory: join(dir, `other-${count++}`) });
  const all = [
    await restore("a", into()),
    await restore("a", { ...into(), file: other }),
    await restore("a", { ...into(), token: "u" }),
    await restore("a", { ...into(), bumpRevision: 1001 }),
    await restore("a", { ...into(), cluster: "a=http://10.0.0.1:2380" }),
    await restore("a", { ...into(), cluster: THREE.replace("c=", "d=") }),
  ];
  const plain = memberIdOf(["http://10.0.0.1:2380"], "t");
  expect(new Set([...all.map(({ clusterId }) => clusterId), clusterIdOf([plain])]).size).toBe(7);
  expect(new Set([...all.map(({ memberId }) => memberId), plain]).size).toBe(7);
  expect((await restore("a", into())).clusterId).toBe(all[0]!.clusterId);
});

test("a bump of 0 keeps revision and history", async () => {
  writeBackup(file);
  const { directory } = await restore("a", { bumpRevision: 0 });
  const { state } = await open(directory);
  expect([state.revision, state.compactedRevision]).toEqual([6, sampleState().compactedRevision]);
  const then = state.range(rangeOf("a", "", { revision: 2 }));
  expect(then).toEqual(sampleState().range(rangeOf("a", "", { revision: 2 })));
});

describe("refused, and nothing is left behind:", () => {
  const names = () => readdirSync(dir).toSorted();

  test("a directory with something in it", async () => {
    writeBackup(file);
    mkdirSync(join(dir, "a"));
    writeFileSync(join(dir, "a", "mine"), "mine");
    await expect(restore("a")).rejects.toMatchObject({ reason: "exists" });
    expect([names(), readdirSync(join(dir, "a"))]).toEqual([["a", "backup.snap"], ["mine"]]);
  });

  test("a damaged file", async () => {
    const bytes = writeBackup(file);
    bytes[100]! ^= 1;
    writeFileSync(file, bytes);
    await expect(restore("a")).rejects.toMatchObject({ reason: "damaged", details: { file } });
    expect(names()).toEqual(["backup.snap"]);
  });

  test("a name, or addresses, that the initial cluster does not have", async () => {
    writeBackup(file);
    await expect(restore("x")).rejects.toMatchObject({ reason: "notMember" });
    await expect(restore("a", { peerUrls: ["http://10.0.0.9:2380"] })).rejects.toMatchObject({ reason: "notMember" });
    expect(names()).toEqual(["backup.snap"]);
  });

  test("a revision beyond exact numbers", async () => {
    writeBackup(file);
    await expect(restore("a", { bumpRevision: Number.MAX_SAFE_INTEGER })).rejects.toMatchObject({ reason: "badField" });
    expect(names()).toEqual(["backup.snap"]);
  });

  test("a disk that fails on the way", async () => {
    writeBackup(file);
    class FailingFileSystem extends NodeFileSystem {
      override rename(from: string, to: string): Promise<void> {
        return from.endsWith(".part") ? Promise.reject(new Error("no more")) : super.rename(from, to);
      }
    }
    await expect(restore("a", { fileSystem: new FailingFileSystem() })).rejects.toThrowError("no more");
    expect(names()).toEqual(["backup.snap"]);
  });

  test("somebody else's directory in place of DIR.part", async () => {
    writeBackup(file);
    mkdirSync(join(dir, "a.part"));
    writeFileSync(join(dir, "a.part", "mine"), "mine");
    await expect(restore("a")).rejects.toMatchObject({ reason: "exists" });
    expect(readFileSync(join(dir, "a.part", "mine"), "utf8")).toBe("mine");
  });
});

test("an empty directory is taken, and what a killed run left is built anew", async () => {
  writeBackup(file);
  mkdirSync(join(dir, "a"));
  const left = await restore("b");
  await fileSystem.rename(left.directory, join(dir, "a.part"));
  const { directory } = await restore("a");
  expect((await open(directory)).recovered.identity?.memberId).not.toBe(left.memberId);
  expect(existsSync(join(dir, "a.part"))).toBe(false);
});
