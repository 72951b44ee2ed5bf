/**
 * Base64 as Go's `encoding/base64.StdEncoding` reads it, since that is what etcd's gateway accepts (RFC 4648 §4): padded, the
 * standard alphabet, line breaks ignored, anything else refused. `atob` alone is more lenient.
 */
import type { Bytes } from "./bytes.ts";

/** @returns the bytes, or undefined when the text is not padded standard base64 */
export function decodeBase64(text: string): Bytes | undefined {
  return decodeStrictly(text) ?? (LINE_BREAK.test(text) ? decodeStrictly(text.replace(LINE_BREAKS, "")) : undefined);
}

const LINE_BREAK = /[\r\n]/;
const LINE_BREAKS = /[\r\n]/g;

/**
 * `atob` checks the alphabet faster than a pattern does. What it would let pass gives itself away: without padding the length is no
 * multiple of four, and with white space the result is too short.
 */
function decodeStrictly(text: string): Bytes | undefined {
  const { length } = text;
  if (length % 4 !== 0) return undefined;
  let padding = 0;
  if (text.charCodeAt(length - 1) === EQUALS) padding = text.charCodeAt(length - 2) === EQUALS ? 2 : 1;
  try {
    const bytes = atob(text) as Bytes;
    return bytes.length === (length / 4) * 3 - padding ? bytes : undefined;
  } catch {
    return undefined; // not of the alphabet
  }
}

const EQUALS = 0x3d;

export function encodeBase64(bytes: Bytes): string {
  return btoa(bytes);
}
