/**
 * One batch as it lies on the disk: header, records, displaced bytes, footer, in whole 512-byte sectors that no other batch shares.
 *
 * The device writes a sector whole or not at all, but the sectors of one write in any order. So the first two bytes of every sector
 * are a stamp made from the batch number: a wrong stamp tells that the sector never arrived (torn), right stamps around wrong
 * contents tell that it did arrive and changed later (rot). Records are laid out as if there were no stamps; the bytes a stamp
 * covers are kept in a table behind the records and put back on reading, so that entries are contiguous in the file and in memory.
 *
 *     0    stamp u16 | "QB" | version u8 | 0 0 0 | number u64 | prevEnd u32 | prevCrc u32 | length u32 | bodyLength u32 | crc u32
 *     36   records (bodyLength bytes), a zero byte to make the end even
 *          displaced bytes: 2 for each sector that begins within the records; zeros up to the footer
 *     -40  "QF" | copy of header bytes 2..35 | bodyCrc u32
 *
 * All numbers are little-endian. No CRC covers a stamp: a changed stamp with everything else whole has cost nothing.
 * Every byte with a worked example: docs/formats/log.md.
 */
import { crc32 as nativeCrc32 } from "node:zlib";
import { crc32 as shortCrc32 } from "../../core/bytes/crc32.ts";

export const SECTOR_BYTES = 512;
export const HEADER_BYTES = 36;
export const FOOTER_BYTES = 40;
export const FORMAT_VERSION = 1;
/** A length beyond this is damage, whatever the CRC says: no request may be so large. */
export const BATCH_BYTES_MAX = 1 << 30;

const MAGIC_HEADER = 0x4251; // "QB"
const MAGIC_FOOTER = 0x4651; // "QF"
const STAMPS = 65_535;

export interface BatchHeader {
  readonly version: number;
  /** Counts batches from 1, without a gap. */
  readonly number: number;
  /** Where the previous batch ended in its own segment, and the CRC of its body; 0 and 0 for the very first. */
  readonly prevEnd: number;
  readonly prevCrc: number;
  /** Bytes of the whole batch, a multiple of 512. */
  readonly length: number;
  /** Bytes of the records. */
  readonly bodyLength: number;
}

/** Never zero, so that a fresh sector has no right stamp; differs for any 65,535 batches in a row. */
export function stampOf(number: number): number {
  return 1 + (number % STAMPS);
}

export function writeU64(into: Buffer, value: number, at: number): void {
  into.writeUInt32LE(value >>> 0, at);
  into.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export function readU64(from: Buffer, at: number): number {
  return from.readUInt32LE(at) + from.readUInt32LE(at + 4) * 2 ** 32;
}

/** Where the table of displaced bytes begins: even, so that a stamp lies wholly inside the records or wholly outside. */
function tableStart(bodyLength: number): number {
  return (HEADER_BYTES + bodyLength + 1) & ~1;
}

/** Sectors after the first that begin within the records: each has two bytes in the table. */
function displacedCount(bodyLength: number): number {
  return Math.floor((tableStart(bodyLength) - 1) / SECTOR_BYTES);
}

/** Bytes a batch with `bodyLength` bytes of records takes on the disk. */
export function batchLength(bodyLength: number): number {
  const start = tableStart(bodyLength);
  const bytes = 2 * displacedCount(bodyLength);
  // The table steps over two bytes at each sector it meets.
  let end = start;
  let left = bytes;
  while (left > 0) {
    if (end % SECTOR_BYTES === 0) end += 2;
    const room = Math.min(left, SECTOR_BYTES - (end % SECTOR_BYTES));
    end += room;
    left -= room;
  }
  return Math.ceil((end + FOOTER_BYTES) / SECTOR_BYTES) * SECTOR_BYTES;
}

export interface SealedBatch {
  /** The first `length` bytes of the buffer are the batch. */
  readonly length: number;
  readonly bodyCrc: number;
}

/**
 * Makes a batch of a buffer that holds the records from byte 36 on.
 * @param buffer at least `batchLength(bodyLength)` bytes; what lies behind the records is overwritten
 */
export function sealBatch(buffer: Buffer, bodyLength: number, header: { number: number; prevEnd: number; prevCrc: number }): SealedBatch {
  const length = batchLength(bodyLength);
  const bodyCrc = nativeCrc32(buffer.subarray(HEADER_BYTES, HEADER_BYTES + bodyLength));
  buffer.fill(0, HEADER_BYTES + bodyLength, length);

  const stamp = stampOf(header.number);
  buffer.writeUInt16LE(stamp, 0);
  buffer.writeUInt16LE(MAGIC_HEADER, 2);
  buffer.writeUInt32LE(FORMAT_VERSION, 4);
  writeU64(buffer, header.number, 8);
  buffer.writeUInt32LE(header.prevEnd, 16);
  buffer.writeUInt32LE(header.prevCrc, 20);
  buffer.writeUInt32LE(length, 24);
  buffer.writeUInt32LE(bodyLength, 28);
  buffer.writeUInt32LE(shortCrc32(buffer.subarray(2, 32)), 32);

  let table = tableStart(bodyLength);
  const displaced = displacedCount(bodyLength);
  for (let sector = 1; sector * SECTOR_BYTES < length; sector++) {
    const at = sector * SECTOR_BYTES;
    if (sector <= displaced) {
      if (table % SECTOR_BYTES === 0) table += 2;
      buffer[table] = buffer[at]!;
      buffer[table + 1] = buffer[at + 1]!;
      table += 2;
    }
    buffer[at] = stamp & 255;
    buffer[at + 1] = stamp >>> 8;
  }

  const footer = length - FOOTER_BYTES;
  buffer.writeUInt16LE(MAGIC_FOOTER, footer);
  buffer.copy(buffer, footer + 2, 2, HEADER_BYTES);
  buffer.writeUInt32LE(bodyCrc, footer + 36);
  return { length, bodyCrc };
}

/** Reads the 34 bytes that header and footer have in common. @returns undefined when they are not whole */
function readCommon(buffer: Buffer, at: number): BatchHeader | undefined {
  if (buffer.readUInt16LE(at) !== MAGIC_HEADER) return undefined;
  if (buffer.readUInt32LE(at + 30) !== shortCrc32(buffer.subarray(at, at + 30))) return undefined;
  return {
    version: buffer.readUInt32LE(at + 2),
    number: readU64(buffer, at + 6),
    prevEnd: buffer.readUInt32LE(at + 14),
    prevCrc: buffer.readUInt32LE(at + 18),
    length: buffer.readUInt32LE(at + 22),
    bodyLength: buffer.readUInt32LE(at + 26),
  };
}

/** Its CRC is right and its lengths agree; whether it belongs here is for the caller to judge. */
export function readHeader(buffer: Buffer, at: number): BatchHeader | undefined {
  if (at + SECTOR_BYTES > buffer.length) return undefined;
  const header = readCommon(buffer, at + 2);
  if (header === undefined || header.version !== FORMAT_VERSION) return header;
  return header.bodyLength <= BATCH_BYTES_MAX && header.length === batchLength(header.bodyLength) ? header : undefined;
}

/** The stamp at the start of the sector at `at` is that of batch `number`. */
export function hasStamp(buffer: Buffer, at: number, number: number): boolean {
  return at + 2 <= buffer.length && buffer.readUInt16LE(at) === stampOf(number);
}

/** The footer that ends at `end`, when it is whole. */
export function readFooter(buffer: Buffer, end: number): { header: BatchHeader; bodyCrc: number } | undefined {
  const at = end - FOOTER_BYTES;
  if (at < 0 || end > buffer.length || buffer.readUInt16LE(at) !== MAGIC_FOOTER) return undefined;
  const header = readCommon(buffer, at + 2);
  return header && { header, bodyCrc: buffer.readUInt32LE(at + 36) };
}

export interface BatchCheck {
  /** Header, body and footer are whole; the records lie bare in the buffer from `at + 36` on. */
  readonly whole: boolean;
  readonly bodyCrc: number;
  /** Sectors whose stamp is not that of this batch. */
  readonly wrongStamps: number;
}

/**
 * Puts the displaced bytes back and checks the body. When it is not whole the buffer is left as it was read, so that a search for
 * other batches in it sees what is on the disk, stamps included.
 * @param header what `readHeader(buffer, at)` gave
 */
export function unsealBatch(buffer: Buffer, at: number, header: BatchHeader): BatchCheck {
  const { length, bodyLength, number } = header;
  const stamp = stampOf(number);
  const end = Math.min(at + length, buffer.length);
  let wrongStamps = Math.ceil((at + length - end) / SECTOR_BYTES);
  for (let sector = at; sector < end; sector += SECTOR_BYTES) if (buffer.readUInt16LE(sector) !== stamp) wrongStamps++;

  const footer = readFooter(buffer, at + length);
  const sameHeader =
    footer !== undefined && buffer.compare(buffer, at + 2, at + HEADER_BYTES, at + length - FOOTER_BYTES + 2, at + length - 4) === 0;
  if (!sameHeader) return { whole: false, bodyCrc: 0, wrongStamps };

  const saved = swapDisplaced(buffer, at, bodyLength);
  const bodyCrc = nativeCrc32(buffer.subarray(at + HEADER_BYTES, at + HEADER_BYTES + bodyLength));
  if (bodyCrc === footer.bodyCrc) return { whole: true, bodyCrc, wrongStamps };
  for (let n = 0; n < saved.length; n++) buffer.writeUInt16LE(saved[n]!, at + (n + 1) * SECTOR_BYTES);
  return { whole: false, bodyCrc, wrongStamps };
}

const NONE = new Uint16Array(0);

/** @returns what stood at the sectors' beginnings before */
function swapDisplaced(buffer: Buffer, at: number, bodyLength: number): Uint16Array {
  const displaced = displacedCount(bodyLength);
  if (displaced === 0) return NONE;
  const saved = new Uint16Array(displaced);
  let table = tableStart(bodyLength);
  for (let n = 0; n < displaced; n++) {
    if (table % SECTOR_BYTES === 0) table += 2;
    const sector = at + (n + 1) * SECTOR_BYTES;
    saved[n] = buffer.readUInt16LE(sector);
    buffer[sector] = buffer[at + table]!;
    buffer[sector + 1] = buffer[at + table + 1]!;
    table += 2;
  }
  return saved;
}
