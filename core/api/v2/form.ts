/**
 * The fields of a v2 request, as Go's `Request.ParseForm` collects them (https://pkg.go.dev/net/http#Request.ParseForm): a body of the
 * form type first (PUT and POST only), then the query; of a field given twice the first counts. Everything is bytes: names and values
 * are percent-decoded to what was sent, never through UTF-16.
 *
 * The usual request has neither escapes nor `+`, and is cut up without decoding.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { parseMediaType } from "./media-type.ts";

const FORM_TYPE = "application/x-www-form-urlencoded";

/** The fields that v2 knows; others are parsed and dropped. */
export interface Fields {
  value?: Bytes;
  ttl?: Bytes;
  dir?: Bytes;
  recursive?: Bytes;
  sorted?: Bytes;
  quorum?: Bytes;
  wait?: Bytes;
  waitIndex?: Bytes;
  stream?: Bytes;
  prevValue?: Bytes;
  prevIndex?: Bytes;
  prevExist?: Bytes;
  refresh?: Bytes;
  noValueOnSuccess?: Bytes;
}

const KNOWN: ReadonlySet<string> = new Set<keyof Fields>([
  "value",
  "ttl",
  "dir",
  "recursive",
  "sorted",
  "quorum",
  "wait",
  "waitIndex",
  "stream",
  "prevValue",
  "prevIndex",
  "prevExist",
  "refresh",
  "noValueOnSuccess",
]);

export interface ParsedForm {
  readonly fields: Fields;
  /** The fault that ParseForm would report, in its words; null for none. */
  readonly fault: Bytes | null;
}

/** @param contentType undefined when the header was not sent */
export function parseForm(method: string, query: string, contentType: string | undefined, body: Bytes): ParsedForm {
  const fields: Fields = {};
  let fault: string | null = null;
  if (method === "PUT" || method === "POST") {
    if (contentType === FORM_TYPE) {
      if (body !== "") fault = addPairs(fields, body);
    } else if (contentType !== undefined && contentType !== "") {
      const media = parseMediaType(contentType);
      fault = media.fault;
      if (media.type === FORM_TYPE) {
        const found = addPairs(fields, body);
        fault ??= found;
      }
    }
  }
  if (query !== "") {
    const found = addPairs(fields, query);
    fault ??= found;
  }
  return { fields, fault: fault as Bytes | null };
}

/** Adds the pairs of `text`, earlier ones win. @returns what is wrong with it, in Go's words */
function addPairs(fields: Fields, text: string): string | null {
  let fault: string | null = null;
  for (let at = 0; at <= text.length;) {
    const ampersand = text.indexOf("&", at);
    const end = ampersand < 0 ? text.length : ampersand;
    if (end > at) fault = addPair(fields, text.slice(at, end), fault);
    at = end + 1;
  }
  return fault;
}

function addPair(fields: Fields, pair: string, fault: string | null): string | null {
  if (pair.includes(";")) return "invalid semicolon separator in query"; // also in place of an earlier fault
  const equals = pair.indexOf("=");
  const rawName = equals < 0 ? pair : pair.slice(0, equals);
  const name = unescape(rawName, true);
  if (name === undefined) return fault ?? badEscape(rawName);
  const rawValue = equals < 0 ? "" : pair.slice(equals + 1);
  const value = unescape(rawValue, true);
  if (value === undefined) return fault ?? badEscape(rawValue);
  if (KNOWN.has(name)) fields[name as keyof Fields] ??= value;
  return fault;
}

/**
 * Percent-decoding to bytes.
 * @param plus whether `+` means a space (in forms and queries, not in paths)
 * @returns undefined when an escape is not two hexadecimal digits
 */
export function unescape(text: string, plus: boolean): Bytes | undefined {
  const spaced = plus && text.includes("+") ? text.replaceAll("+", " ") : text;
  let percent = spaced.indexOf("%");
  if (percent < 0) return spaced as Bytes;
  let out = "";
  let from = 0;
  for (; percent >= 0; percent = spaced.indexOf("%", from)) {
    const high = hexDigit(spaced.charCodeAt(percent + 1));
    const low = hexDigit(spaced.charCodeAt(percent + 2));
    if (high < 0 || low < 0) return undefined;
    out += spaced.slice(from, percent) + String.fromCharCode(high * 16 + low);
    from = percent + 3;
  }
  return (out + spaced.slice(from)) as Bytes;
}

/** NaN, past the end of a string, is no digit either. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Names the first escape that is none: the percent sign and what follows, three characters at most. */
function badEscape(text: string): string {
  for (let at = text.indexOf("%"); at >= 0; at = text.indexOf("%", at + 3)) {
    if (hexDigit(text.charCodeAt(at + 1)) < 0 || hexDigit(text.charCodeAt(at + 2)) < 0) {
      return `invalid URL escape "${quoted(text.slice(at, at + 3))}"`;
    }
  }
  return "invalid URL escape";
}

/** As Go's `strconv.Quote` does it for a few bytes. */
function quoted(text: string): string {
  let out = "";
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (char === '"' || char === "\\") out += "\\" + char;
    else if (code < 0x20 || code > 0x7e) out += NAMED[char] ?? "\\x" + code.toString(16).padStart(2, "0");
    else out += char;
  }
  return out;
}

const NAMED: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
  "\v": "\\v",
  "\x07": "\\a",
};
