/** The verdict table of recovery.ts, row by row, and exhaustively over the bits and the sectors of the last two batches (T27). */
import { beforeEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../core/errors.ts";
import type { Entry } from "../../core/raft/types.ts";
import { plain } from "../../test/contract/log-storage-port.ts";
import { SimulatedDisk } from "../../test/helpers/simulated-disk.ts";
import { FOOTER_BYTES, HEADER_BYTES, SECTOR_BYTES, readHeader, sealBatch, stampOf } from "./batch-frame.ts";
import { FileLogStorage } from "./file-log-storage.ts";
import { recoverLog } from "./recovery.ts";

const SEGMENT = "/data/log/0000000000000001.log";

function entry(index: number, bytes: number, fill: (n: number) => number = (n) => (n * 7 + index) & 255): Entry {
  return { term: 1, index, kind: "data", data: Uint8Array.from({ length: bytes }, (_, n) => fill(n)) };
}

/** Appends one batch each, in this order, after the first, which every log has. @returns where each of them begins, and the end */
async function writeLog(disk: SimulatedDisk, batches: readonly (readonly Entry[])[]): Promise<number[]> {
  const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
  await storage.open();
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
  for (const entries of batches) await storage.append({ entries }, true);
  await storage.close();
  const content = disk.content(SEGMENT);
  const places: number[] = [];
  let at = SECTOR_BYTES;
  for (let header = readHeader(content, at); header !== undefined; header = readHeader(content, at)) {
    places.push(at);
    at += header.length;
  }
  return [...places.slice(1), at];
}

type Outcome = { kind: "accepted"; entries: unknown[]; repairs: readonly string[] } | { kind: "refused"; error: QuorateError };

async function recover(disk: SimulatedDisk): Promise<Outcome> {
  try {
    const { entries, repairs } = await recoverLog(disk, "/data/log", 1);
    return { kind: "accepted", entries: plain(entries), repairs };
  } catch (error) {
    if (error instanceof QuorateError && error.reason === "damaged") return { kind: "refused", error };
    throw error;
  }
}

function expectRefused(outcome: Outcome, offset: number): void {
  expect(outcome.kind).toBe("refused");
  if (outcome.kind === "refused") expect(outcome.error.details).toEqual({ file: SEGMENT, offset });
}

test("nothing of what was read stays in memory: entries have bytes of their own, segments none", async () => {
  const disk = new SimulatedDisk();
  const segmentBytes = 4 * Buffer.poolSize; // small entries share a pool of Node's with others, which must not look like a segment
  const batches = Array.from({ length: 18 }, (_, n) => [entry(2 * n + 1, segmentBytes / 8), entry(2 * n + 2, 10)]);
  const storage = new FileLogStorage({ directory: "/data", segmentBytes, fileSystem: disk });
  await storage.open();
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
  for (const entries of batches) await storage.append({ entries }, true);
  await storage.close();
  const { entries, segments } = await recoverLog(disk, "/data/log", 1);
  expect(plain(entries)).toEqual(plain(batches.flat()));
  expect(segments.length).toBeGreaterThanOrEqual(2);
  for (const segment of segments) expect(Object.keys(segment).toSorted()).toEqual(["maxIndex", "number", "path", "size"]);
  for (const { data } of entries) expect(data.buffer.byteLength).toBeLessThanOrEqual(Math.max(data.length, Buffer.poolSize));
});

test("a batch larger than a segment, after one that was torn where it opened the segment, leaves no empty segment behind it", async () => {
  const disk = new SimulatedDisk();
  const open = async (): Promise<{ storage: FileLogStorage; entries: readonly Entry[] }> => {
    const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
    return { storage, entries: (await storage.open()).entries };
  };
  const { storage } = await open();
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
  await storage.append({ entries: [entry(1, 40_000)] }, true);
  await storage.append({ entries: [entry(2, 40_000)] }, true);
  await storage.close();
  const torn = disk.content("/data/log/0000000000000002.log");
  expect(readHeader(torn, SECTOR_BYTES)).toBeDefined();
  torn.fill(0, SECTOR_BYTES + 20_480, SECTOR_BYTES + 50_000);

  const second = await open();
  expect(second.entries.map(({ index }) => index)).toEqual([1]);
  for (const next of [entry(2, 100_000), entry(3, 10)]) await second.storage.append({ entries: [next] }, true);
  await second.storage.close();
  const third = await open();
  expect(plain(third.entries as Entry[])).toEqual(plain([entry(1, 40_000), entry(2, 100_000), entry(3, 10)]));
  await third.storage.close();
});

describe("T27: recovery verdicts (etcd issues 5230, 6515, 14098)", () => {
  let disk: SimulatedDisk;
  /** 512-byte sectors: b1, the second batch, has one, b2 has three, b3 has five. */
  const first = [entry(1, 300)];
  const second = [entry(2, 700), entry(3, 500)];
  const third = [entry(4, 2000)];
  let b1: number, b2: number, b3: number, end: number;
  const content = () => disk.content(SEGMENT);
  const corrupt = (at: number) => (content()[at]! ^= 0x40);

  beforeEach(async () => {
    disk = new SimulatedDisk();
    [b1, b2, b3, end] = (await writeLog(disk, [first, second, third])) as [number, number, number, number];
    expect([b2 - b1, b3 - b2, end - b3]).toEqual([512, 1536, 2560]);
  });

  test("header, body and footer good: accept", async () => {
    expect(await recover(disk)).toEqual({ kind: "accepted", entries: plain([...first, ...second, ...third]), repairs: [] });
  });

  test("header absent, nothing later: end of the log, and the rest is cleared", async () => {
    content().fill(0, b3, b3 + SECTOR_BYTES);
    const outcome = await recover(disk);
    expect(outcome).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
    expect(
      content()
        .subarray(b3)
        .every((byte) => byte === 0),
    ).toBe(true);
    expect(outcome.kind === "accepted" && outcome.repairs.join()).toMatch(`${SEGMENT} at byte`);
  });

  test("header bad without its stamp, nothing later: end of the log", async () => {
    content().fill(0xa5, b3, end);
    expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
    expect(await recover(disk)).toEqual({ kind: "accepted", entries: plain([...first, ...second]), repairs: [] });
  });

  test("header good, body bad, footer absent: torn", async () => {
    content().fill(0, b3 + SECTOR_BYTES, end);
    const outcome = await recover(disk);
    expect(outcome).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
    expect(outcome.kind === "accepted" && outcome.repairs[0]).toBe(
      `cut off a torn write (batch 4, 4 of 5 sectors missing) in ${SEGMENT} at byte ${b3}`,
    );
  });

  test("header good, body bad, footer good, a stamp missing: torn", async () => {
    content().fill(0, b3 + SECTOR_BYTES, b3 + 2 * SECTOR_BYTES);
    expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
  });

  test("header good, body bad, footer good, a stamp of an older batch: torn", async () => {
    content().writeUInt16LE(stampOf(3), b3 + SECTOR_BYTES);
    corrupt(b3 + SECTOR_BYTES + 100);
    expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
  });

  test("header good, body bad, footer good, all stamps right: rot", async () => {
    corrupt(b3 + 700);
    expectRefused(await recover(disk), b3);
  });

  test("header good, footer bad, all stamps right: rot", async () => {
    corrupt(end - 10);
    expectRefused(await recover(disk), b3);
  });

  test("header bad with its stamp, footer good: rot of the header", async () => {
    corrupt(b3 + 20);
    expectRefused(await recover(disk), b3);
  });

  test("header bad with its stamp, footer bad: end of the log", async () => {
    corrupt(b3 + 20);
    corrupt(end - 10);
    expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
  });

  test("any damage before a whole later batch: refuse, even if it looks torn", async () => {
    for (const [from, to] of [
      [b2, b2 + SECTOR_BYTES],
      [b2 + SECTOR_BYTES, b3],
      [b2, b3],
    ] as const) {
      const before = Buffer.from(content());
      content().fill(0, from, to);
      expectRefused(await recover(disk), b2);
      before.copy(content());
    }
    content().fill(0, b1, b3);
    expectRefused(await recover(disk), b1);
  });

  test("a whole batch that does not continue the chain: refuse", async () => {
    const body = Buffer.alloc(4096);
    body.writeUInt16LE(0xff01, HEADER_BYTES); // a hard state: the records are good
    sealBatch(body, 20, { number: 5, prevEnd: end, prevCrc: 1 });
    body.copy(content(), end, 0, 512);
    expectRefused(await recover(disk), end);
  });

  test("the header of a segment is damaged: refuse", async () => {
    corrupt(12);
    expectRefused(await recover(disk), 0);
  });

  test("every single flipped bit in the last two batches is refused by name, or costs nothing", { timeout: 120_000 }, async () => {
    const whole = plain([...first, ...second, ...third]);
    let refused = 0;
    let harmless = 0;
    for (let at = b2; at < end; at++) {
      for (let bit = 0; bit < 8; bit++) {
        content()[at]! ^= 1 << bit;
        const outcome = await recover(disk);
        if (outcome.kind === "refused") {
          refused++;
          expect(outcome.error.details["offset"], `byte ${at} bit ${bit}`).toBe(at < b3 ? b2 : b3);
        } else {
          harmless++;
          expect(outcome.entries, `byte ${at} bit ${bit}`).toEqual(whole);
        }
        content()[at]! ^= 1 << bit;
      }
    }
    // Harmless are stamps and the zeros between table and footer; everything that carries meaning is refused.
    const meaning = 2 * (HEADER_BYTES - 2 + FOOTER_BYTES) + (24 + 4 + 700 + 4 + 500) + (24 + 4 + 2000);
    expect(refused).toBeGreaterThanOrEqual(8 * (meaning - 2 * 7));
    expect(refused + harmless).toBe(8 * (end - b2));
  });

  test("every subset of missing sectors of the last batch is cut off, of the one before refused", async () => {
    const image = Buffer.from(content());
    for (const [from, to] of [
      [b3, end],
      [b2, b3],
    ] as const) {
      const sectors = (to - from) / SECTOR_BYTES;
      for (let missing = 1; missing < 1 << sectors; missing++) {
        for (let n = 0; n < sectors; n++) {
          if (missing & (1 << n)) content().fill(0, from + n * SECTOR_BYTES, from + (n + 1) * SECTOR_BYTES);
        }
        const outcome = await recover(disk);
        if (from === b3) {
          expect(outcome).toMatchObject({ kind: "accepted", entries: plain([...first, ...second]) });
          expect(
            content()
              .subarray(b3)
              .every((byte) => byte === 0),
          ).toBe(true);
        } else {
          expectRefused(outcome, b2);
        }
        image.copy(content());
      }
    }
  });
});

describe("a log that lost what it is known to have had", () => {
  const options = (disk: SimulatedDisk) => ({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
  const files = (disk: SimulatedDisk) => disk.paths("/data").map((path) => [path, Buffer.from(disk.content(path))]);

  /** Everything behind `from` reads as zeros: opening refuses at `offset` and changes nothing. */
  async function expectLost(disk: SimulatedDisk, from: number, offset: number): Promise<void> {
    disk.content(SEGMENT).fill(0, from);
    const before = files(disk);
    await expect(new FileLogStorage(options(disk)).open()).rejects.toMatchObject({
      reason: "damaged",
      details: { file: SEGMENT, offset },
    });
    expect(files(disk)).toEqual(before);
  }

  test("no batch is left: refuse, though the log was opened once only", async () => {
    for (const batches of [[], [[entry(1, 300)]]]) {
      const disk = new SimulatedDisk();
      await writeLog(disk, batches);
      await expectLost(disk, SECTOR_BYTES, SECTOR_BYTES);
    }
  });

  test("no batch is left, and garbage where they were: refuse", async () => {
    const disk = new SimulatedDisk();
    const [, end] = (await writeLog(disk, [[entry(1, 300)]])) as [number, number];
    disk.content(SEGMENT).fill(0xa5, SECTOR_BYTES, end);
    await expect(new FileLogStorage(options(disk)).open()).rejects.toMatchObject({ details: { file: SEGMENT, offset: SECTOR_BYTES } });
  });

  test("a batch is gone that was there when the log was opened the last time: refuse", async () => {
    const disk = new SimulatedDisk();
    const [, b2] = (await writeLog(disk, [[entry(1, 300)], [entry(2, 300)]])) as [number, number];
    const storage = new FileLogStorage(options(disk));
    await storage.open();
    await storage.close();
    await expectLost(disk, b2, b2);
  });

  test("the file ends within the last batch: refuse, for its room was made before it was written", async () => {
    const disk = new SimulatedDisk();
    const [b1] = (await writeLog(disk, [[entry(1, 3000)]])) as [number];
    disk.replaceContent(SEGMENT, Buffer.from(disk.content(SEGMENT).subarray(0, b1 + 2 * SECTOR_BYTES)));
    await expect(new FileLogStorage(options(disk)).open()).rejects.toMatchObject({
      reason: "damaged",
      details: { file: SEGMENT, offset: b1 },
    });
  });
});

test("zeros in a value are not taken for missing sectors", async () => {
  const disk = new SimulatedDisk();
  const zeros = [entry(1, 5000, () => 0)];
  const places = await writeLog(disk, [zeros]);
  disk.content(SEGMENT)[places[0]! + 40]! ^= 1;
  expectRefused(await recover(disk), places[0]!);
  disk.content(SEGMENT)[places[0]! + 40]! ^= 1;
  expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain(zeros) });
});

test("a value that looks like a later batch does not turn a torn write into rot", async () => {
  for (const number of [4, 3 + 65_535]) {
    const forged = Buffer.alloc(1024);
    sealBatch(forged, 24, { number, prevEnd: 0, prevCrc: 0 });
    // The data of the entry begins 64 bytes into the batch: from its byte 448 on it lies on sector boundaries.
    const value = Buffer.alloc(2048);
    forged.copy(value, 448, 0, 512);
    const disk = new SimulatedDisk();
    const [, b2] = (await writeLog(disk, [[entry(1, 300)], [entry(2, 2048, (n) => value[n]!)]])) as [number, number, number];
    disk.content(SEGMENT).fill(0, b2, b2 + SECTOR_BYTES);
    expect(await recover(disk)).toMatchObject({ kind: "accepted", entries: plain([entry(1, 300)]) });
  }
});

test("garbage behind the end of the log, of any length, is cut off and the log goes on", async () => {
  for (const bytes of [1, 511, 512, 5000, 70_000]) {
    const disk = new SimulatedDisk();
    await writeLog(disk, [[entry(1, 300)], [entry(2, 300)]]);
    for (const path of disk.paths("/data/log")) {
      const garbage = Buffer.from(Array.from({ length: bytes }, (_, n) => (n * 31 + 17) & 255));
      disk.replaceContent(path, Buffer.concat([disk.content(path), garbage]));
    }
    const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
    const recovered = await storage.open();
    expect(plain(recovered.entries)).toEqual(plain([entry(1, 300), entry(2, 300)]));
    expect(recovered.repairs.length).toBeGreaterThan(0);
    for (let index = 3; index < 300; index++) await storage.append({ entries: [entry(index, 600)] }, true);
    await storage.close();
    const again = await new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk.afterCrash(() => false) }).open();
    expect(again.entries.length).toBe(299);
    expect(again.repairs).toEqual([]);
  }
});

test("damage anywhere in an older segment is refused", async () => {
  const disk = new SimulatedDisk();
  await writeLog(
    disk,
    Array.from({ length: 200 }, (_, n) => [entry(n + 1, 1000)]),
  );
  const paths = disk.paths("/data/log");
  expect(paths.length).toBeGreaterThan(3);
  for (const path of paths.slice(0, 3)) {
    const start = path === SEGMENT ? 2 * SECTOR_BYTES : SECTOR_BYTES; // behind the first batch, which has no entries
    for (const at of [0, 12, 25].map((n) => start + 1536 * n + 200)) {
      disk.content(path)[at]! ^= 4;
      expect(await recover(disk)).toMatchObject({ kind: "refused", error: { details: { file: path } } });
      disk.content(path)[at]! ^= 4;
    }
  }
  expect(await recover(disk)).toMatchObject({ kind: "accepted" });
  // The last batch of a segment, looking torn, before a whole one in the next segment.
  const first = disk.content(paths[0]!);
  let last = 2 * SECTOR_BYTES;
  while (readHeader(first, last + 1536) !== undefined) last += 1536;
  const image = Buffer.from(first);
  first.fill(0, last + SECTOR_BYTES, last + 1536);
  expectRefused(await recover(disk), last);
  first.fill(0, last, last + 1536);
  expectRefused(await recover(disk), last);
  image.copy(first);
  const middle = disk.afterCrash(() => false);
  await middle.remove(paths[1]!);
  expect(await recover(middle)).toMatchObject({ kind: "refused" });
  const headless = disk.afterCrash(() => false);
  await headless.remove(paths[0]!);
  const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: headless });
  await expect(storage.open()).rejects.toMatchObject({ reason: "damaged" });
});
