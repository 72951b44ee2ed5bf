import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { FileLogStorage } from "../../adapters/file-storage/file-log-storage.ts";
import { NodeFileSystem } from "../../adapters/file-storage/node-file-system.ts";
import { applyChange, encodeConfig } from "../../core/raft/config-change.ts";
import type { Config, Entry } from "../../core/raft/types.ts";
import type { Recovered } from "../../core/replica/log-storage-port.ts";
import { encodeCommand } from "../../core/store/command-codec.ts";
import { StateMachine } from "../../core/store/state-machine.ts";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import { putOf, sampleState } from "../../test/helpers/sample-backup.ts";
import { removeTempDir, tempDir } from "../../test/helpers/temp-dir.ts";
import { type ForcedNewCluster, finishNewCluster, forceNewCluster } from "./force-new-cluster.ts";
import { writeNewMember } from "./new-life.ts";

const fileSystem = new NodeFileSystem();
const OLD_CLUSTER = "4660"; // hex 1234
const MEMBER = "1";
let dir = "";
let place = "";

beforeEach(() => {
  dir = tempDir("force");
  place = join(dir, "data");
  return () => removeTempDir(dir);
});

/** Member 1 of three: a snapshot at index 1 with the sample state, then puts of x0, x1 … of which `commit` says how many are known. */
async function survivor(puts: number, commit: number, members = ["1", "2", "3"]): Promise<void> {
  const state = sampleState();
  const [alarm] = state.alarms();
  state.apply({ kind: "alarm", action: "deactivate", alarm: alarm!, time: 2000 }, { index: 8, term: 2 }); // it would refuse the puts
  await writeNewMember({
    directory: place,
    identity: { clusterId: OLD_CLUSTER, memberId: MEMBER, diskId: "9" },
    members: members.map((id) => ({ id, meta: { name: `m${id}`, peerUrls: [`http://10.0.0.${id}:2380`], clientUrls: [] } })),
    state,
    fileSystem,
  });
  const entries = Array.from({ length: puts }, (_, at): Entry => {
    const data = encodeCommand({ ...putOf(`x${at}`, "1"), time: 5000 + at });
    return { term: 3, index: 2 + at, kind: "data", data };
  });
  await append(entries, commit);
}

async function append(entries: readonly Entry[], commit: number): Promise<void> {
  const storage = new FileLogStorage({ directory: place, fileSystem });
  await storage.open();
  await storage.append({ entries, hard: { term: 3, vote: null, commit } }, true);
  await storage.close();
}

const force = (): Promise<ForcedNewCluster> =>
  forceNewCluster({ directory: place, name: "left", peerUrls: ["http://10.0.0.1:2380"], fileSystem, bumpRevision: 500 });

async function open(directory: string): Promise<{ recovered: Recovered; state: StateMachine }> {
  const storage = new FileLogStorage({ directory, fileSystem });
  const recovered = await storage.open();
  const state = new StateMachine({ quotaBytes: 1e9 });
  await state.restore(storage.readSnapshot(recovered.snapshot!.id));
  await storage.close();
  return { recovered, state };
}

const names = () => readdirSync(dir).toSorted();

test("all that the disk holds goes on as a cluster of this member alone, the uncertain end of its log too", async () => {
  await survivor(5, 4);
  const done = await force();
  if (done.kind !== "made") throw new Error(done.kind);
  expect(done).toMatchObject({ clusterIdBefore: OLD_CLUSTER, memberId: MEMBER, membersLeftBehind: 2, amnesiac: false });
  expect([done.entriesKept, done.entriesUncertain]).toEqual([5, 2]);
  expect(done.revision).toEqual({ revisionBefore: 11, revisionAfter: 511 });
  expect(done.keptDirectory).toBe(`${place}.before-1234`);
  expect(names()).toEqual(["data", "data.before-1234"]);

  const { recovered, state } = await open(place);
  expect(recovered.identity).toMatchObject({ clusterId: done.clusterId, memberId: MEMBER });
  expect(recovered.identity!.diskId).not.toBe("9");
  expect(done.clusterId).not.toBe(OLD_CLUSTER);
  expect(recovered.snapshot!.config).toEqual({
    voters: [MEMBER],
    outgoing: [],
    learners: [],
    learnersNext: [],
    removed: [],
    meta: { [MEMBER]: '{"name":"left","peerUrls":["http://10.0.0.1:2380"],"clientUrls":[]}' },
  });
  const { kvs } = state.range(rangeOf("\0", "\0"));
  expect(kvs.map(({ key }) => String(key))).toEqual(["a", "c", "x0", "x1", "x2", "x3", "x4"]);
  expect([state.revision, state.compactedRevision, state.alarms(), state.lease("7")?.keys]).toEqual([511, 511, [], ["c"]]);
  // The old directory is whole, for whoever wants to look.
  expect((await open(done.keptDirectory)).recovered.entries.length).toBe(5);
});

test("done again it does nothing: the member is alone already", async () => {
  await survivor(1, 2);
  const done = await force();
  const before = readFileSync(join(place, "identity"), "utf8");
  expect(await force()).toEqual({ kind: "alone", clusterId: done.clusterId });
  expect([names(), readFileSync(join(place, "identity"), "utf8").split("\n")[1]]).toEqual([
    ["data", "data.before-1234"],
    before.split("\n")[1],
  ]);
});

test("the newest configuration counts, whether committed or not", async () => {
  await survivor(0, 1, ["1"]);
  const { recovered } = await open(place);
  const joint = applyChange(recovered.snapshot!.config, { add: [{ id: "2", meta: "{}", as: "voter" }] }) as Config;
  await append([{ term: 3, index: 2, kind: "config", data: encodeConfig(joint) }], 1);
  expect(await force()).toMatchObject({ kind: "made", membersLeftBehind: 1 });
});

test("a flag that was left there does not throw out the members that were added since", async () => {
  await survivor(1, 2);
  const first = await force();
  const { recovered } = await open(place);
  const grown = applyChange(recovered.snapshot!.config, { add: [{ id: "2", meta: "{}", as: "voter" }] }) as Config;
  await append([{ term: 3, index: 2, kind: "config", data: encodeConfig(grown) }], 2);
  await expect(force()).rejects.toMatchObject({ reason: "exists", message: expect.stringContaining("start without the flag") as string });
  expect((await open(place)).recovered.identity?.clusterId).toBe(first.clusterId);
  renameSync(`${place}.before-1234`, join(dir, "away"));
  expect(await force()).toMatchObject({ kind: "made", clusterIdBefore: first.clusterId });
});

test("two survivors make two clusters", async () => {
  const ids = new Set<string>();
  for (let n = 0; n < 3; n++) {
    place = join(dir, `data-${n}`);
    await survivor(1, 2);
    ids.add((await force()).clusterId);
  }
  expect(ids.size).toBe(3);
});

/** Stops the process's file system before the n-th rename of a directory, as a crash would. */
class CrashingFileSystem extends NodeFileSystem {
  #left: number;
  constructor(renames: number) {
    super();
    this.#left = renames;
  }
  override rename(from: string, to: string): Promise<void> {
    // Those of the storage have names of files; of a directory that begins with the data directory's.
    if (from.startsWith(place) && !from.slice(place.length).includes("/") && this.#left-- === 0) return Promise.reject(new Error("crash"));
    return super.rename(from, to);
  }
}

test("a crash before any of the renames loses nothing, and the next run ends with the same state", async () => {
  for (let renames = 0; renames < 3; renames++) {
    place = join(dir, `crash-${renames}`);
    await survivor(5, 4);
    const options = { directory: place, name: "left", peerUrls: ["http://10.0.0.1:2380"], bumpRevision: 500 };
    await expect(forceNewCluster({ ...options, fileSystem: new CrashingFileSystem(renames) })).rejects.toThrowError("crash");
    expect(existsSync(place)).toBe(renames < 2);
    expect(await finishNewCluster(place, fileSystem)).toBe(renames === 2);
    const again = await forceNewCluster({ ...options, fileSystem });
    expect([renames, again.kind]).toEqual([renames, renames === 2 ? "alone" : "made"]);
    const { state, recovered } = await open(place);
    expect([state.revision, state.keyCount(), recovered.snapshot!.config.voters]).toEqual([511, 7, [MEMBER]]);
    expect(names().filter((name) => name.startsWith(`crash-${renames}`))).toEqual([`crash-${renames}`, `crash-${renames}.before-1234`]);
    expect(await finishNewCluster(place, fileSystem)).toBe(false);
  }
});

test("refused: no member's directory, one without anything in it, one that is in use, a kept directory in the way", async () => {
  await expect(force()).rejects.toMatchObject({ reason: "nothingToRecover" });
  expect(names()).toEqual([]);
  const empty = new FileLogStorage({ directory: place, fileSystem });
  await empty.open();
  await empty.initialise({ clusterId: OLD_CLUSTER, memberId: MEMBER, diskId: "9" });
  await expect(force()).rejects.toMatchObject({ reason: "locked" });
  await empty.close();
  await expect(force()).rejects.toMatchObject({ reason: "nothingToRecover" });
  renameSync(place, join(dir, "empty"));
  await survivor(1, 2);
  mkdirSync(`${place}.before-1234`);
  await expect(force()).rejects.toMatchObject({ reason: "exists" });
  expect((await open(place)).recovered.identity?.clusterId).toBe(OLD_CLUSTER);
});
