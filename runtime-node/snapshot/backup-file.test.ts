import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { NodeFileSystem } from "../../adapters/file-storage/node-file-system.ts";
import { isQuorateError, type QuorateError } from "../../core/errors.ts";
import { sampleState, writeBackup } from "../../test/helpers/sample-backup.ts";
import { removeTempDir, tempDir } from "../../test/helpers/temp-dir.ts";
import { readBackup } from "./backup-file.ts";
import { formatStatus, humanBytes } from "./status.ts";

const fileSystem = new NodeFileSystem();
let path = "";

beforeEach(() => {
  const dir = tempDir("backup");
  path = join(dir, "backup.snap");
  return () => removeTempDir(dir);
});

async function faultOf(bytes: Uint8Array): Promise<QuorateError> {
  writeFileSync(path, bytes);
  const error: unknown = await readBackup(fileSystem, path).then(
    () => null,
    (caught: unknown) => caught,
  );
  if (!isQuorateError(error)) throw new Error(`no QuorateError but ${String(error)}`);
  return error;
}

test("a backup is what was written", async () => {
  const bytes = writeBackup(path);
  const backup = await readBackup(fileSystem, path);
  expect(backup.state.hash()).toBe(sampleState().hash());
  expect([backup.bytes, backup.contentHash.length, backup.header.index]).toEqual([bytes.length, 64, 7]);
});

test("every flipped bit, cut and addition is damage, with file and byte", async () => {
  const whole = writeBackup(path);
  for (let at = 0; at < whole.length; at++) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 1 << (at % 8);
    const { reason, message, details } = await faultOf(flipped);
    expect([at, reason, message.includes(path)]).toEqual([at, "damaged", true]);
    expect(message).toMatch(/at byte \d+/);
    // The frame that is hit begins there or before; one whose length was hit may swallow those behind it.
    expect(details["offset"]).toBeLessThanOrEqual(at);
  }
  for (let length = 1; length < whole.length; length++) {
    const { reason, message, details } = await faultOf(whole.subarray(0, length));
    expect([length, reason]).toEqual([length, "damaged"]);
    expect(message).toMatch(/at byte \d+/);
    expect(details["offset"]).toBeLessThanOrEqual(length);
  }
  for (const more of [Buffer.alloc(1), Buffer.alloc(9), Buffer.from("garbage that is long enough"), whole]) {
    const { reason, details } = await faultOf(Buffer.concat([whole, more]));
    expect(reason).toBe("damaged");
    expect(details["offset"]).toBeLessThanOrEqual(whole.length);
  }
});

test("an empty file is damaged, one that is not there is not", async () => {
  const { reason, message } = await faultOf(Buffer.alloc(0));
  expect([reason, message]).toEqual(["damaged", `${path} is damaged: the snapshot is empty, at byte 0`]);
  await expect(readBackup(fileSystem, `${path}.not`)).rejects.toMatchObject({ reason: "notFound" });
});

test("files of other kinds are called what they are", async () => {
  const bolt = Buffer.alloc(4096);
  bolt.writeUInt32LE(0xed0cdaed, 16);
  expect(await faultOf(bolt)).toMatchObject({ reason: "notSnapshot", message: expect.stringContaining("a database of etcd") as string });
  const kept = Buffer.concat([Buffer.from("QSNP"), Buffer.alloc(100)]);
  expect(await faultOf(kept)).toMatchObject({
    reason: "notSnapshot",
    message: expect.stringContaining("out of a data directory") as string,
  });
  expect(await faultOf(Buffer.from("# a text file, of some length"))).toMatchObject({ reason: "notSnapshot" });
});

test("status prints what etcdctl prints, and where in the life of the cluster the backup stands", async () => {
  writeBackup(path);
  const backup = await readBackup(fileSystem, path);
  const hash = sampleState().hash();
  const bytes = backup.bytes;
  expect(formatStatus(backup, "simple")).toBe(`${hash.toString(16)}, 6, 2, ${bytes} B, 7, 2, cdf818194e3a8c32`);
  expect(JSON.parse(formatStatus(backup, "json"))).toEqual({
    hash,
    revision: 6,
    totalKey: 2,
    totalSize: bytes,
    index: 7,
    term: 2,
    clusterId: "14841639068965178418",
  });
  const [rule, heads, , cells] = formatStatus(backup, "table").split("\n");
  expect(heads).toContain("| REVISION | TOTAL KEYS |");
  expect(cells).toContain("|        6 |          2 |");
  expect(rule!.length).toBe(cells!.length);
});

test("sizes are written as etcdctl writes them", () => {
  // 20480 bytes: what an etcdctl 3.4 printed as 20 kB.
  const pairs = { 1: "1 B", 803: "803 B", 999: "999 B", 1024: "1.0 kB", 9_999: "10 kB", 20_480: "20 kB", 999_999: "1000 kB" };
  for (const [bytes, text] of Object.entries(pairs)) expect(humanBytes(Number(bytes))).toBe(text);
  expect([humanBytes(1_000_000), humanBytes(5_600_000_000)]).toEqual(["1.0 MB", "5.6 GB"]);
});
