/** Text (UTF-16 JS strings) to byte strings of UTF-8 and back. */
import { type Bytes, fromUint8Array, toUint8Array } from "./bytes.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
// oxlint-disable-next-line no-control-regex -- the test is for plain ASCII, control characters included
const ASCII = /^[\0-\x7f]*$/;

export function utf8Encode(text: string): Bytes {
  return ASCII.test(text) ? (text as Bytes) : fromUint8Array(encoder.encode(text));
}

/** Invalid sequences become U+FFFD, as Go's JSON encoder does. */
export function utf8Decode(bytes: Bytes): string {
  return ASCII.test(bytes) ? bytes : decoder.decode(toUint8Array(bytes));
}
