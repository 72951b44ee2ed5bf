/** Byte strings in quotes as Go's `%q` writes them, and the other way round. Source: https://pkg.go.dev/strconv#Quote */
import { type Bytes, fromUint8Array } from "../../core/bytes/bytes.ts";

const SHORT: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};
const MEANT: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(SHORT).map(([one, written]) => [written[1]!, one]));

/** A character of UTF-8, or a byte that is part of none. */
// oxlint-disable-next-line no-control-regex -- bytes of every kind are told apart
const CHARACTER =
  /[\0-\x7f]|[\xc2-\xdf][\x80-\xbf]|(?:\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f])[\x80-\xbf]|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}|[^]/g;

/** @returns text, with quotes */
export function goQuote(bytes: Bytes): string {
  const parts = bytes.match(CHARACTER) ?? [];
  return `"${parts.map(quoted).join("")}"`;
}

function quoted(one: string): string {
  const hex = (digits: number, code: number): string => code.toString(16).padStart(digits, "0");
  if (one.length === 1) {
    if (one === '"' || one === "\\") return `\\${one}`;
    const code = one.charCodeAt(0);
    return SHORT[one] ?? (code < 0x20 || code > 0x7e ? `\\x${hex(2, code)}` : one);
  }
  const text = Buffer.from(one, "latin1").toString("utf8");
  if (/^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(text)) return text;
  const code = text.codePointAt(0)!;
  return code > 0xffff ? `\\U${hex(8, code)}` : `\\u${hex(4, code)}`;
}

/** What stands in quotes, as bytes. @returns undefined when it cannot be read */
export function goUnquote(text: string): Bytes | undefined {
  const body = /^"((?:[^"\\\n]|\\.)*)"$/u.exec(text)?.[1];
  if (body === undefined) return undefined;
  const bytes: Bytes[] = [];
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv"\\]))|\\|([^\\]+)/gu;
  for (const [whole, byte, short, long, octal, letter, plain] of body.matchAll(pattern)) {
    if (whole === "\\") return undefined;
    if (byte !== undefined) bytes.push(String.fromCharCode(parseInt(byte, 16)) as Bytes);
    else if (octal !== undefined) bytes.push(String.fromCharCode(parseInt(octal, 8) & 255) as Bytes);
    else bytes.push(fromUint8Array(Buffer.from(plain ?? characterOf(short ?? long, letter), "utf8")));
  }
  return bytes.join("") as Bytes;
}

function characterOf(code: string | undefined, letter: string | undefined): string {
  if (code !== undefined) return String.fromCodePoint(parseInt(code, 16));
  return MEANT[letter!] ?? letter!;
}
