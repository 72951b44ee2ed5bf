/**
 * The files of a stopped server, and what a test does to them. Written from docs/formats: segments of the log have their order in their
 * names and are zero after the last batch; batches are whole sectors.
 */
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from "node:fs";
import { basename, join } from "node:path";

const SECTOR_BYTES = 512;

/** Segments of the log that hold batches, oldest first. */
export function logFiles(dataDir: string): string[] {
  return segmentFiles(dataDir).filter((file) => usedBytes(file) > SECTOR_BYTES);
}

/** All segments, also those prepared for later: each begins with a header of one sector. */
export function segmentFiles(dataDir: string): string[] {
  return files(dataDir).filter((file) => /^\d+\.log$/.test(basename(file)));
}

/** Finished snapshots, oldest first. */
export function snapshotFiles(dataDir: string): string[] {
  return files(dataDir).filter((file) => file.endsWith(".snap"));
}

function files(dataDir: string): string[] {
  return readdirSync(dataDir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dataDir, name))
    .filter((file) => statSync(file).isFile())
    .toSorted();
}

/** Up to the end of the last sector that is not all zero. */
export function usedBytes(file: string): number {
  const bytes = readFileSync(file);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES;
}

/** Writes `garbage` behind the last batch: what a torn write leaves. */
export function writeGarbageAfterData(file: string, garbage: Uint8Array): void {
  writeAt(file, garbage, usedBytes(file));
}

/** Writes `garbage` at the end of the file: what a lost truncation leaves. */
export function appendGarbage(file: string, garbage: Uint8Array): void {
  writeAt(file, garbage, statSync(file).size);
}

/** Changes one bit. */
export function flipBit(file: string, offset: number): void {
  const byte = readFileSync(file)[offset];
  if (byte === undefined) throw new Error(`${file} has no byte ${offset}`);
  writeAt(file, Uint8Array.of(byte ^ 4), offset);
}

function writeAt(file: string, bytes: Uint8Array, offset: number): void {
  const handle = openSync(file, "r+");
  try {
    writeSync(handle, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(handle);
  }
}
