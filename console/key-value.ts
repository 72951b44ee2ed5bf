/** Keys and values as people read them: text where the bytes are UTF-8, otherwise base64, so that nothing is changed by being looked at. */
import { type Bytes, prefixEnd } from "../core/bytes/bytes.ts";
import { decodeBase64, encodeBase64 } from "../core/bytes/base64.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";

/** As the gateway has it: bytes in base64, numbers as texts, what is zero left out. */
export interface KeyValueMessage {
  readonly key: string;
  readonly value?: string;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease?: string;
}

export interface RangeMessage {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly KeyValueMessage[];
  readonly more?: boolean;
  readonly count?: string;
}

/** @throws Error for text that is no base64 */
export function bytesOf(base64: string): Bytes {
  const bytes = decodeBase64(base64);
  if (bytes === undefined || bytes === null) throw new Error("this is no base64");
  return bytes;
}

export const base64Of = (bytes: Bytes): string => encodeBase64(bytes);

/** undefined: the bytes are no text. */
export function textOf(bytes: Bytes): string | undefined {
  const text = utf8Decode(bytes);
  return utf8Encode(text) === bytes ? text : undefined;
}

/** For a list: what is no text has its bytes as `\xNN`. */
export function shown(bytes: Bytes): string {
  return textOf(bytes) ?? bytes.replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A key in an address: text as it is, other bytes in hexadecimal digits after a `~`. */
export function placeOf(key: Bytes): string {
  const text = textOf(key);
  if (text !== undefined && !text.startsWith("~")) return encodeURIComponent(text);
  return `~${[...key].map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("")}`;
}

/** @param rest decoded */
export function keyAt(rest: string): Bytes {
  if (!/^~([0-9a-f]{2})*$/.test(rest)) return utf8Encode(rest);
  return (rest.slice(1).match(/../g) ?? []).map((digits) => String.fromCharCode(Number.parseInt(digits, 16))).join("") as Bytes;
}

/** All keys that begin so; none: all there are. */
export function rangeUnder(prefix: Bytes): { readonly key: string; readonly range_end: string } {
  if (prefix === "") return { key: base64Of("\0" as Bytes), range_end: base64Of("\0" as Bytes) };
  return { key: base64Of(prefix), range_end: base64Of(prefixEnd(prefix)) };
}
