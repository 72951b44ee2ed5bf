/**
 * Reads a message from JSON exactly as etcd 3.4's gateway does, and says what is wrong in its words. This is what the fast decoder of
 * `json-codec.ts` must agree with, and what it falls back to for anything out of the ordinary.
 *
 * The rules, as observed and as of golang/protobuf 1.3's jsonpb: nothing but white space is an empty message; what follows the first value
 * is ignored; unknown fields are ignored; a field may be spelled as in the proto file or in camelCase, which wins when both are given; null
 * leaves a field alone; 64-bit numbers may be quoted, and what is in the quotes is JSON again; numbers with a point or an exponent
 * are refused; enumerations by exact name or any 32-bit number; bytes in padded standard base64, or as a list of numbers.
 * Faults are reported in the order of the fields in the table, not of the text, and in groups last.
 */
import { decodeBase64 } from "../../bytes/base64.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { fromUint8Array } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import { errBadJson } from "../../errors.ts";
import { JsonScanner, isSpace } from "./json-scanner.ts";
import { type JsonTree, jsonTree, textOf } from "./json-tree.ts";
import { type Field, MESSAGE_NESTING_MAX, type MessageTable, clearGroup, zeroOf } from "./message-table.ts";

/** @throws QuorateError badJson */
export function readExactly<T>(table: MessageTable<T>, body: Bytes): T {
  const scanner = new JsonScanner();
  const end = scanner.scan(body, 0);
  if (end === "failed") throw errBadJson(scanner.error);
  if (end === "more" && !scanner.finish()) {
    if (scanner.started) throw errBadJson("unexpected EOF");
    return { ...table.defaults };
  }
  return readMessage(table, jsonTree(end === "more" ? body : (body.slice(0, end) as Bytes)), 1) as T;
}

function readMessage(table: MessageTable<unknown>, tree: JsonTree, depth: number): object {
  if (depth > MESSAGE_NESTING_MAX) throw errBadJson(`messages are nested deeper than ${MESSAGE_NESTING_MAX}`);
  const out: Record<string, unknown> = { ...(table.defaults as object) };
  if (tree === "null") return out;
  if (!(tree instanceof Map)) throw wrongType(tree, "map[string]json.RawMessage");
  for (const field of inReadingOrder(table)) {
    const given = tree.get(field.jsonName) ?? tree.get(field.name);
    if (given === undefined) continue;
    const value = field.repeated ? readList(field, given, depth) : readOne(field, given, depth);
    if (field.oneOf !== null && value !== null) clearGroup(table, field.oneOf, out);
    out[field.property] = value;
  }
  return out;
}

/** Members of groups come after the other fields: it decides which of two faults is told. */
function inReadingOrder(table: MessageTable<unknown>): Field[] {
  const { fields } = table;
  return [...fields.filter((field) => field.oneOf === null), ...fields.filter((field) => field.oneOf !== null)];
}

function readList(field: Field, tree: JsonTree, depth: number): unknown[] {
  if (tree === "null") return [];
  if (!Array.isArray(tree)) throw wrongType(tree, "[]json.RawMessage");
  return tree.map((item) => {
    // etcd crashes on a null in a list of messages; an empty message is the nearest thing to it
    if (field.kind === "message" && item === "null") return { ...(messageOf(field).defaults as object) };
    return readOne(field, item, depth);
  });
}

function messageOf(field: Field): MessageTable<unknown> {
  return field.message!() as MessageTable<unknown>;
}

function readOne(field: Field, tree: JsonTree, depth: number): unknown {
  switch (field.kind) {
    case "message":
      return tree === "null" ? null : readMessage(messageOf(field), tree, depth + 1);
    case "enum":
      return readEnum(field, tree);
    case "bytes":
      return readBytes(tree);
    case "string":
      return tree === "null" ? "" : textOf(expectScalar(tree, "string", "string"));
    case "bool":
      return tree !== "null" && expectScalar(tree, "bool", "bool") === "true";
    case "int64":
      return Number(readInteger(tree, "int64", INT64));
    case "uint64":
      return Number(readInteger(tree, "uint64", UINT64));
    case "uint32":
      return Number(readInteger(tree, "uint32", UINT32));
    case "int32":
      return Number(readInteger(tree, "int32", INT32));
    case "int64Text":
      return readInteger(tree, "int64", INT64).toString();
    case "uint64Text":
      return readInteger(tree, "uint64", UINT64).toString();
  }
}

type Span = { readonly min: bigint; readonly max: bigint };
const INT64: Span = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const UINT64: Span = { min: 0n, max: 2n ** 64n - 1n };
const UINT32: Span = { min: 0n, max: 2n ** 32n - 1n };
const INT32: Span = { min: -(2n ** 31n), max: 2n ** 31n - 1n };
const UINT8: Span = { min: 0n, max: 255n };

/** A number, or a text whose inside is JSON of a number (or null). Escapes in it are not undone. */
function readInteger(tree: JsonTree, type: string, span: Span): bigint {
  const value = typeof tree === "string" && tree.startsWith('"') ? innerValue(tree.slice(1, -1) as Bytes) : tree;
  if (value === "null") return 0n;
  if (kindOf(value) !== "number") throw wrongType(value, type);
  return integerIn(value as string, type, span);
}

function integerIn(text: string, type: string, span: Span): bigint {
  // A minus is no part of an unsigned number, whatever follows it.
  const pattern = span.min === 0n ? /^\d+$/ : /^-?\d+$/;
  const value = pattern.test(text) && text.length <= DIGITS_MAX ? BigInt(text) : null;
  if (value === null || value < span.min || value > span.max) {
    throw errBadJson(`json: cannot unmarshal number ${text} into Go value of type ${type}`);
  }
  return value;
}

/** No integer type needs more characters; it keeps a text of a million digits from being multiplied out. */
const DIGITS_MAX = 20;

function innerValue(text: Bytes): JsonTree {
  const scanner = new JsonScanner();
  const end = scanner.scan(text, 0);
  if (end === "failed") throw errBadJson(scanner.error);
  if (end === "more") {
    if (!scanner.finish()) throw errBadJson(scanner.error === "" ? "unexpected end of JSON input" : scanner.error);
    return jsonTree(text);
  }
  for (let at = end; at < text.length; at++) {
    if (!isSpace(text.charCodeAt(at))) throw errBadJson(`invalid character '${text[at]}' after top-level value`);
  }
  return jsonTree(text.slice(0, end) as Bytes);
}

function readEnum(field: Field, tree: JsonTree): number {
  const table = field.enumeration!;
  if (tree === "null") return 0;
  if (kindOf(tree) === "string") {
    const name = utf8Decode((tree as string).slice(1, -1) as Bytes);
    const number = table.values.indexOf(name);
    if (number < 0) throw errBadJson(`unknown value ${JSON.stringify(name)} for enum ${table.name}`);
    return number;
  }
  if (kindOf(tree) !== "number") throw wrongType(tree, table.name);
  return Number(integerIn(tree as string, table.name, INT32));
}

function readBytes(tree: JsonTree): Bytes {
  if (tree === "null") return zeroOf({ kind: "bytes" } as Field) as Bytes;
  if (Array.isArray(tree)) {
    const items = tree.map((item) => {
      if (item === "null") return 0;
      if (kindOf(item) !== "number") throw wrongType(item, "uint8");
      return Number(integerIn(item as string, "uint8", UINT8));
    });
    return fromUint8Array(Uint8Array.from(items));
  }
  const text = textOf(expectScalar(tree, "string", "[]uint8"));
  const value = decodeBase64(text);
  if (value === undefined) throw errBadJson(`illegal base64 data at input byte ${base64Fault(utf8Encode(text))}`);
  return value;
}

function expectScalar(tree: JsonTree, kind: "string" | "bool", type: string): string {
  if (kindOf(tree) !== kind) throw wrongType(tree, type);
  return tree as string;
}

type Kind = "array" | "object" | "string" | "bool" | "null" | "number";

function kindOf(tree: JsonTree): Kind {
  if (Array.isArray(tree)) return "array";
  if (typeof tree !== "string") return "object";
  switch (tree[0]) {
    case '"':
      return "string";
    case "t":
    case "f":
      return "bool";
    case "n":
      return "null";
    default:
      return "number";
  }
}

function wrongType(tree: JsonTree, type: string) {
  return errBadJson(`json: cannot unmarshal ${kindOf(tree)} into Go value of type ${type}`);
}

const ALPHABET = /[A-Za-z0-9+/]/;

/** Where Go's reader of padded base64 stops: in groups of four, line breaks left out. @param text is not valid base64 */
export function base64Fault(text: Bytes): number {
  let at = 0;
  const skipBreaks = () => {
    while (text[at] === "\n" || text[at] === "\r") at++;
  };
  for (;;) {
    for (let place = 0; place < 4; place++) {
      skipBreaks();
      if (at === text.length) return at - place;
      const char = text[at++]!;
      if (ALPHABET.test(char)) continue;
      if (char !== "=" || place < 2) return at - 1;
      skipBreaks();
      if (place === 2) {
        if (at === text.length) return at;
        if (text[at] !== "=") return at - 1;
        at++;
        skipBreaks();
      }
      return at; // what follows the padding
    }
  }
}
