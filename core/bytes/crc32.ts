/** CRC-32 (IEEE 802.3, reflected polynomial 0xedb88320), the same as zlib's, so that a host may use its native one. */

const TABLE = new Int32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  TABLE[n] = c;
}

/**
 * @param previous the CRC of what came before, to go on from; 0 at the start
 * @param from first byte taken @param to byte behind the last one taken
 * @returns an unsigned 32-bit number
 */
export function crc32(data: Uint8Array, previous = 0, from = 0, to = data.length): number {
  let c = ~previous;
  for (let at = from; at < to; at++) c = (c >>> 8) ^ TABLE[(c ^ data[at]!) & 255]!;
  return ~c >>> 0;
}
