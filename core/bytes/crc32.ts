/**
 * CRC-32 (IEEE 802.3, reflected polynomial 0xedb88320), the same as zlib's, so that a host may use its native one. Eight bytes a step by
 * eight tables (Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based CRC Generators", 2005).
 */

/** TABLES[k * 256 + n]: the CRC of byte n followed by k zero bytes. */
const TABLES = new Int32Array(8 * 256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  TABLES[n] = c;
}
for (let n = 256; n < TABLES.length; n++) {
  const before = TABLES[n - 256]!;
  TABLES[n] = (before >>> 8) ^ TABLES[before & 255]!;
}

/**
 * @param previous the CRC of what came before, to go on from; 0 at the start
 * @param from first byte taken @param to byte behind the last one taken
 * @returns an unsigned 32-bit number
 */
export function crc32(data: Uint8Array, previous = 0, from = 0, to = data.length): number {
  const t = TABLES;
  let c = ~previous;
  let at = from;
  for (const end = to - 7; at < end; at += 8) {
    const low = c ^ (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24));
    c =
      t[1792 + (low & 255)]! ^
      t[1536 + ((low >>> 8) & 255)]! ^
      t[1280 + ((low >>> 16) & 255)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + data[at + 4]!]! ^
      t[512 + data[at + 5]!]! ^
      t[256 + data[at + 6]!]! ^
      t[data[at + 7]!]!;
  }
  for (; at < to; at++) c = (c >>> 8) ^ t[(c ^ data[at]!) & 255]!;
  return ~c >>> 0;
}
