/** The worked example of docs/formats/log.md is what the storage writes, and what it reads. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { SimulatedDisk } from "../../test/helpers/simulated-disk.ts";
import { crc32 } from "../../core/bytes/crc32.ts";
import { HEADER_BYTES, SECTOR_BYTES, batchLength, readHeader, sealBatch, unsealBatch } from "./batch-frame.ts";
import { FileLogStorage } from "./file-log-storage.ts";
import { formatIdentity, parseIdentity } from "./identity-file.ts";

const DOCUMENT = readFileSync(new URL("../../docs/formats/log.md", import.meta.url), "utf8");
const SEGMENT = "/data/log/0000000000000001.log";

function documented(): Buffer {
  const bytes = Buffer.alloc(64 << 10);
  const block = /```hex\n([^`]+)```/.exec(DOCUMENT)![1]!;
  for (const line of block.trim().split("\n")) {
    const [offset, hex] = line.split("  ") as [string, string];
    Buffer.from(hex.replaceAll(" ", ""), "hex").copy(bytes, Number.parseInt(offset, 16));
  }
  return bytes;
}

test("the example of the format document is written byte for byte, and read back", async () => {
  const disk = new SimulatedDisk();
  const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
  await storage.open();
  await storage.initialise({ clusterId: "11", memberId: "22", diskId: "33" });
  const hard = { term: 1, vote: "22", commit: 0 };
  const hi = { term: 1, index: 1, kind: "data", data: new TextEncoder().encode("hi") } as const;
  const noop = { term: 1, index: 2, kind: "noop", data: new Uint8Array(0) } as const;
  await storage.append({ hard, entries: [hi, noop] }, true);
  await storage.close();
  expect(disk.content(SEGMENT).equals(documented())).toBe(true);
  const identity = disk.content("/data/identity").toString();
  expect(DOCUMENT).toContain(identity);
  expect(parseIdentity(identity)).toEqual({ identity: { clusterId: "11", memberId: "22", diskId: "33" }, boot: 1, batches: 1 });

  disk.replaceContent(SEGMENT, documented());
  const again = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk });
  const { entries, hard: found } = await again.open();
  expect(found).toEqual(hard);
  expect(entries.map(({ kind, data }) => [kind, Buffer.from(data).toString()])).toEqual([
    ["data", "hi"],
    ["noop", ""],
  ]);
  await again.close();
});

test("an identity of the first version is read, and stays of that version", () => {
  const text = "quorate identity 1\ncluster 11\nmember 22\nboot 3\nbatches 9\n";
  const whole = `${text}crc32 ${crc32(Buffer.from(text)).toString(16).padStart(8, "0")}\n`;
  const parsed = parseIdentity(whole);
  expect(parsed).toEqual({ identity: { clusterId: "11", memberId: "22", diskId: "0" }, boot: 3, batches: 9 });
  expect(formatIdentity(parsed!)).toBe(whole);
});

test("a batch of any length is sealed into whole sectors, all stamped, and unsealed to the same records", () => {
  const lengths = Array.from({ length: 1600 }, (_, n) => n).concat([130_000, 131_071, 131_072, 200_001, 700_000]);
  for (const bodyLength of lengths) {
    const length = batchLength(bodyLength);
    const buffer = Buffer.alloc(length, 0xee);
    for (let n = 0; n < bodyLength; n++) buffer[HEADER_BYTES + n] = (n * 31 + (n >> 8) + bodyLength) & 255;
    const records = Buffer.from(buffer.subarray(HEADER_BYTES, HEADER_BYTES + bodyLength));
    const sealed = sealBatch(buffer, bodyLength, { number: 70_000, prevEnd: 5, prevCrc: 6 });
    expect([sealed.length, sealed.length % SECTOR_BYTES, sealed.bodyCrc]).toEqual([length, 0, crc32(records)]);
    for (let at = 0; at < length; at += SECTOR_BYTES) expect(buffer.readUInt16LE(at)).toBe(1 + (70_000 % 65_535));
    const header = readHeader(buffer, 0)!;
    expect(header).toEqual({ version: 1, number: 70_000, prevEnd: 5, prevCrc: 6, length, bodyLength });
    expect(unsealBatch(buffer, 0, header)).toEqual({ whole: true, bodyCrc: sealed.bodyCrc, wrongStamps: 0 });
    expect(buffer.subarray(HEADER_BYTES, HEADER_BYTES + bodyLength).equals(records)).toBe(true);
  }
});
