/**
 * Snapshot files: chunks, each with its length and CRC, between a header that names the snapshot and a trailer that proves the end.
 *
 *     0   "QSNP" | version u32 | bytes of the meta u32 | crc32 of the meta u32 | meta, JSON in UTF-8 (its `size` is 0)
 *         for each chunk: bytes u32 (1 … 1 MiB) | crc32 u32 | the chunk
 *     -28 0xffffffff u32 | chunks u64 | bytes of all chunks u64 | crc32 over the chunks' CRCs u32 | crc32 of the 24 bytes before u32
 *
 * Written under a temporary name, synced, renamed, the directory synced; only then does the log name it. Any damage makes the whole
 * file unusable: a snapshot is never served in part.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../core/invariant.ts";
import { errDataLoss } from "../../core/errors.ts";
import type { Index, SnapshotMeta } from "../../core/raft/types.ts";
import { readU64, writeU64 } from "./batch-frame.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import { writeWhole } from "./segment.ts";

export const CHUNK_BYTES_MAX = 1 << 20;
const MAGIC = 0x504e5351; // "QSNP"
const VERSION = 1;
const HEADER_BYTES = 16;
const CHUNK_HEADER_BYTES = 8;
const TRAILER_BYTES = 28;
const TRAILER_MARK = 0xffff_ffff;
const META_BYTES_MAX = 16 << 20;
/** Written before a sync is asked for: a sync of the log never waits behind much more than this. */
const SYNC_EVERY_BYTES = 4 << 20;

/** Names sort by index; the CRC of the id keeps two snapshots at one index apart. */
export function snapshotName(meta: { readonly index: Index; readonly id: string }): string {
  return `${String(meta.index).padStart(16, "0")}-${crc32(meta.id).toString(16).padStart(8, "0")}.snap`;
}

export class SnapshotFileWriter {
  readonly #file: OpenFile;
  readonly #chunkHeader = Buffer.alloc(CHUNK_HEADER_BYTES);
  #at = 0;
  #unsynced = 0;
  #chunks = 0;
  #bytes = 0;
  #crcs = 0;

  private constructor(file: OpenFile) {
    this.#file = file;
  }

  /** @throws the host's error */
  static async create(fileSystem: FileSystem, path: string, meta: SnapshotMeta): Promise<SnapshotFileWriter> {
    const writer = new SnapshotFileWriter(await fileSystem.open(path, "create"));
    const text = Buffer.from(JSON.stringify({ ...meta, size: 0 }));
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(MAGIC, 0);
    header.writeUInt32LE(VERSION, 4);
    header.writeUInt32LE(text.length, 8);
    header.writeUInt32LE(crc32(text), 12);
    try {
      await writer.#write(Buffer.concat([header, text]));
    } catch (error) {
      await writer.#file.close();
      throw error;
    }
    return writer;
  }

  /** Chunks in the order of the calls; await each. */
  async write(chunk: Uint8Array): Promise<void> {
    assert(chunk.length <= CHUNK_BYTES_MAX, () => `snapshot chunk of ${chunk.length} bytes`);
    if (chunk.length === 0) return;
    const header = this.#chunkHeader;
    header.writeUInt32LE(chunk.length, 0);
    header.writeUInt32LE(crc32(chunk), 4);
    this.#crcs = crc32(header.subarray(4), this.#crcs);
    this.#chunks++;
    this.#bytes += chunk.length;
    await this.#write(header);
    await this.#write(chunk);
  }

  /** Writes the trailer and syncs. @returns bytes of all chunks and of the file */
  async finish(): Promise<{ size: number; fileBytes: number }> {
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32LE(TRAILER_MARK, 0);
    writeU64(trailer, this.#chunks, 4);
    writeU64(trailer, this.#bytes, 12);
    trailer.writeUInt32LE(this.#crcs, 20);
    trailer.writeUInt32LE(crc32(trailer.subarray(0, 24)), 24);
    await this.#write(trailer);
    await this.#file.sync();
    await this.#file.close();
    return { size: this.#bytes, fileBytes: this.#at };
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(data: Uint8Array): Promise<void> {
    await writeWhole(this.#file, data, this.#at);
    this.#at += data.length;
    this.#unsynced += data.length;
    if (this.#unsynced < SYNC_EVERY_BYTES) return;
    this.#unsynced = 0;
    await this.#file.sync();
  }
}

/**
 * The chunks of a snapshot, checked one by one; the end is reached only if the whole file is good. Closes the file in any case.
 * @param meta what the log says of it
 * @throws QuorateError `damaged`; the host's error when the file cannot be opened or read
 */
export async function* readSnapshotFile(fileSystem: FileSystem, path: string, meta: SnapshotMeta): AsyncGenerator<Buffer, void, undefined> {
  const file = await fileSystem.open(path, "read");
  try {
    let at = await checkHeader(file, path, meta);
    let bytes = 0;
    let crcs = 0;
    for (let chunks = 0; ; chunks++) {
      const header = await readExactly(file, path, at, CHUNK_HEADER_BYTES);
      const length = header.readUInt32LE(0);
      if (length === TRAILER_MARK) {
        const trailer = await readExactly(file, path, at, TRAILER_BYTES);
        const whole =
          trailer.readUInt32LE(24) === crc32(trailer.subarray(0, 24)) &&
          readU64(trailer, 4) === chunks &&
          readU64(trailer, 12) === bytes &&
          trailer.readUInt32LE(20) === crcs &&
          bytes === meta.size &&
          (await file.size()) === at + TRAILER_BYTES;
        if (!whole) throw errDataLoss(path, at, "the end of a snapshot is damaged");
        return;
      }
      if (length === 0 || length > CHUNK_BYTES_MAX) throw errDataLoss(path, at, "a snapshot is damaged");
      const chunk = await readExactly(file, path, at + CHUNK_HEADER_BYTES, length);
      if (crc32(chunk) !== header.readUInt32LE(4)) throw errDataLoss(path, at, "a snapshot is damaged");
      crcs = crc32(header.subarray(4), crcs);
      bytes += length;
      at += CHUNK_HEADER_BYTES + length;
      yield chunk;
    }
  } finally {
    await file.close();
  }
}

async function checkHeader(file: OpenFile, path: string, meta: SnapshotMeta): Promise<number> {
  const header = await readExactly(file, path, 0, HEADER_BYTES);
  const length = header.readUInt32LE(8);
  if (header.readUInt32LE(0) !== MAGIC || header.readUInt32LE(4) !== VERSION || length > META_BYTES_MAX) {
    throw errDataLoss(path, 0, "the header of a snapshot is damaged");
  }
  const text = await readExactly(file, path, HEADER_BYTES, length);
  if (crc32(text) !== header.readUInt32LE(12)) throw errDataLoss(path, HEADER_BYTES, "the header of a snapshot is damaged");
  const found = JSON.parse(text.toString()) as SnapshotMeta;
  if (found.id !== meta.id || found.index !== meta.index || found.term !== meta.term) {
    throw errDataLoss(path, HEADER_BYTES, `snapshot "${found.id}" lies where "${meta.id}" should be`);
  }
  return HEADER_BYTES + length;
}

async function readExactly(file: OpenFile, path: string, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  const got = await file.read(buffer, at);
  if (got !== bytes) throw errDataLoss(path, at + got, "a snapshot ends early");
  return buffer;
}
