/**
 * Segments: the files of the log, numbered without a gap. Each is fresh, filled with zeros and synced under a temporary name before
 * it gets its own, so that a later write changes neither its length nor its extents and one durable write costs one flush.
 *
 *     0    "QUORLOG1" | version u32 | number u64 | crc32 of the bytes before it u32 | zeros to byte 512
 *     512  batches
 *
 * The length of the file is the size of the segment. The segment behind the last batch is the reserve: full disks are met while it
 * is filled, not while something is appended.
 */
import { crc32 } from "node:zlib";
import { readU64, writeU64, SECTOR_BYTES } from "./batch-frame.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";

export const SEGMENT_HEADER_BYTES = SECTOR_BYTES;
export const SPARE_NAME = "next.tmp";
const MAGIC = "QUORLOG1";
const VERSION = 1;
/** Zeros written at once, and synced at once: bounds what a sync of the log has to wait behind. */
const FILL_BYTES = 1 << 20;

/** A segment as the running log knows it. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  size: number;
  /** Highest index of an entry in it; 0 without entries. */
  maxIndex: number;
}

export function segmentName(number: number): string {
  return `${String(number).padStart(16, "0")}.log`;
}

/** @returns undefined when the name is not a segment's */
export function segmentNumber(name: string): number | undefined {
  return /^\d{16}\.log$/.test(name) ? Number(name.slice(0, 16)) : undefined;
}

/** @returns the number that the header tells, or undefined when it is damaged */
export function readSegmentHeader(buffer: Buffer): number | undefined {
  if (buffer.length < SEGMENT_HEADER_BYTES || buffer.toString("latin1", 0, 8) !== MAGIC) return undefined;
  if (buffer.readUInt32LE(20) !== crc32(buffer.subarray(0, 20)) || buffer.readUInt32LE(8) !== VERSION) return undefined;
  return readU64(buffer, 12);
}

export function segmentHeader(number: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  header.write(MAGIC, 0, "latin1");
  header.writeUInt32LE(VERSION, 8);
  writeU64(header, number, 12);
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
  return header;
}

/**
 * Writes all. A host that has room for a part only writes that part and says nothing; asked for the rest, it tells why: that the
 * disk is full, mostly, which is no failure of the device.
 */
export async function writeWhole(file: OpenFile, data: Uint8Array, position: number): Promise<void> {
  let done = await file.write(data, position);
  while (done < data.length) {
    const more = await file.write(data.subarray(done), position + done);
    if (more === 0) throw new Error(`short write: ${done} of ${data.length} bytes`);
    done += more;
  }
}

/**
 * Writes zeros over [from, to), durable when it resolves.
 * @param mayGoOn asked before each call that changes something; throws to stop
 */
export async function writeZeros(file: OpenFile, from: number, to: number, mayGoOn: () => void = () => undefined): Promise<void> {
  const zeros = Buffer.alloc(Math.min(FILL_BYTES, to - from));
  for (let at = from; at < to; at += zeros.length) {
    mayGoOn();
    await writeWhole(file, zeros.subarray(0, Math.min(zeros.length, to - at)), at);
    mayGoOn();
    await file.sync();
  }
}

/**
 * Makes a segment of `size` bytes: filled, synced, named, and the name synced.
 * @throws the host's error; what was made under the temporary name is left for the caller to remove
 */
export async function createSegment(
  fileSystem: FileSystem,
  directory: string,
  number: number,
  size: number,
  mayGoOn: () => void = () => undefined,
): Promise<Segment> {
  const path = `${directory}/${segmentName(number)}`;
  const file = await fileSystem.open(`${directory}/${SPARE_NAME}`, "create");
  try {
    await writeWhole(file, segmentHeader(number), 0);
    await writeZeros(file, SEGMENT_HEADER_BYTES, size, mayGoOn);
  } finally {
    await file.close();
  }
  mayGoOn();
  await fileSystem.rename(`${directory}/${SPARE_NAME}`, path);
  mayGoOn();
  await fileSystem.syncDirectory(directory);
  return { number, path, size, maxIndex: 0 };
}
