/**
 * Byte strings: JS strings whose char codes are 0 to 255, one byte each. V8 stores them at one byte a character, compares and
 * hashes them natively, and `<` on them is exactly the byte order of etcd. Conversion happens once, at the edge of a process.
 */

/** A string of char codes 0 to 255. Made by the functions of this folder, so that text is not taken for bytes by mistake. */
export type Bytes = string & { readonly __bytes: true };

export const EMPTY = "" as Bytes;

/** The key after which nothing sorts but by this mark: as a `range_end`, one zero byte means "to the end of the keyspace". */
export const ZERO = "\0" as Bytes;

/** For literals and values known to be ASCII. */
export function ascii(text: string): Bytes {
  return text as Bytes;
}

/** -1, 0 or 1 by byte order. */
export function compareBytes(a: Bytes, b: Bytes): -1 | 0 | 1 {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The smallest key after `key`. */
export function successor(key: Bytes): Bytes {
  return (key + "\0") as Bytes;
}

/**
 * The end of the range of all keys that begin with `prefix`, exclusive; `ZERO` (to the end of the keyspace) when there is none,
 * that is when the prefix is empty or all 0xff. Same rule as etcd's clients.
 */
export function prefixEnd(prefix: Bytes): Bytes {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at);
    if (code < 255) return (prefix.slice(0, at) + String.fromCharCode(code + 1)) as Bytes;
  }
  return ZERO;
}

/** A fresh array for the caller to keep. */
export function toUint8Array(bytes: Bytes): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) out[at] = bytes.charCodeAt(at);
  return out;
}

/** Arguments a call: well below the limit of every engine. */
const CHUNK = 8192;
/** Up to this many characters, V8 joins strings by copying instead of keeping both halves. */
const SHORT = 12;

const asciiDecoder = new TextDecoder();

export function fromUint8Array(data: Uint8Array): Bytes {
  return bytesFrom(data, 0, data.length);
}

/**
 * The bytes [from, to) of an array, as a flat string of its own: short ones joined by hand, ASCII by the host's decoder, which is the
 * fastest there is, the rest in pieces.
 */
export function bytesFrom(data: Uint8Array, from: number, to: number): Bytes {
  let out = "";
  if (to - from <= SHORT) {
    for (let at = from; at < to; at++) out += String.fromCharCode(data[at]!);
    return out as Bytes;
  }
  let high = 0;
  for (let at = from; at < to; at++) high |= data[at]!;
  if (high < 128) return asciiDecoder.decode(data.subarray(from, to)) as Bytes;
  for (let at = from; at < to; at += CHUNK) {
    out += String.fromCharCode.apply(null, data.subarray(at, Math.min(to, at + CHUNK)) as unknown as number[]);
  }
  return out as Bytes;
}
