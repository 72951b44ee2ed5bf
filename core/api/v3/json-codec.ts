/**
 * Messages to and from the JSON of etcd's gateway, built once for each message from its table.
 *
 * Decoding has two ways that agree on every input: the fast one asks JSON.parse and takes only what is regular (base64 texts, plain
 * integers, known names); at the first thing that is not, it gives up without an answer and `readExactly` decides, slowly and by
 * etcd's letter, what the message is or what is wrong with it.
 *
 * Encoding writes the fields in the order of the table and leaves out what has its default; 64-bit numbers are texts, enumerations
 * names, bytes base64. Output is UTF-8, escaped as Go does (<, > and & too).
 * Source: proto3 JSON mapping, https://protobuf.dev/programming-guides/json/, as golang/protobuf 1.3 has it.
 */
import { decodeBase64, encodeBase64 } from "../../bytes/base64.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import { unreachable } from "../../invariant.ts";
import { type KeyValue, NO_LEASE } from "../../store/command.ts";
import { readExactly } from "./json-exact.ts";
import { type Field, MESSAGE_NESTING_MAX, type MessageTable, clearGroup, defaultOf, zeroOf } from "./message-table.ts";
import { KEY_VALUE, RESPONSE_HEADER, type ResponseHeader } from "./messages.ts";

/** @throws QuorateError badJson */
export type JsonDecoder<T> = (body: Bytes) => T;
export type JsonEncoder<T> = (message: T) => Bytes;

// ---- decoding

/** Thrown to leave the fast way; one for all, so that it costs nothing. Never seen outside. */
const IRREGULAR = new Error("not regular");

/** What one decoding has met that JSON.parse alone cannot vouch for; looked at once, at the end. */
interface Doubts {
  /** A bare number in a field: `1.0` and `1` look the same after JSON.parse. */
  number: boolean;
  /** A quoted number or name: etcd does not undo escapes in these. */
  quoted: boolean;
}

type Read = (json: unknown, doubts: Doubts, depth: number) => unknown;

interface Slot {
  readonly property: string;
  readonly read: Read;
  readonly group: string | null;
  /** What a JSON null makes of it: scalars of a group become set, to zero; everything else stays as it was. */
  readonly ofNull: unknown;
  /** The camelCase spelling when this slot is that of another one, which then wins; else null. */
  readonly betterName: string | null;
}

export function jsonDecoder<T>(table: MessageTable<T>): JsonDecoder<T> {
  const read = messageReader(table as MessageTable<unknown>, new Map());
  const hasText = containsText(table as MessageTable<unknown>, new Set());
  return (body) => {
    try {
      const doubts: Doubts = { number: false, quoted: false };
      const message = read(JSON.parse(hasText ? utf8Decode(body) : body), doubts, 1) as T;
      const doubtful = (doubts.number && ODD_NUMBER.test(body)) || (doubts.quoted && body.includes("\\"));
      if (!doubtful) return message;
    } catch (error) {
      if (error !== IRREGULAR && !(error instanceof SyntaxError)) throw error;
    }
    return readExactly(table, body);
  };
}

/** A number with a point or an exponent; it may also match within a text, which only costs time. */
const ODD_NUMBER = /[:,[]\s*-?\d+[.eE]/;

function containsText(table: MessageTable<unknown>, seen: Set<object>): boolean {
  if (seen.has(table)) return false;
  seen.add(table);
  return table.fields.some((field) => field.kind === "string" || (field.message !== null && containsText(field.message(), seen)));
}

function messageReader(table: MessageTable<unknown>, made: Map<object, Read>): Read {
  const slots = new Map<string, Slot>();
  const defaults = { ...(table.defaults as object) };
  const groups = new Set(table.fields.map((field) => field.oneOf).filter((group) => group !== null));
  const read: Read = (json, doubts, depth) => {
    if (typeof json !== "object" || json === null || Array.isArray(json) || depth > MESSAGE_NESTING_MAX) throw IRREGULAR;
    const out: Record<string, unknown> = { ...defaults };
    const given = json as Record<string, unknown>;
    let grouped = 0;
    for (const name in given) {
      const slot = slots.get(name);
      if (slot === undefined) continue;
      if (slot.betterName !== null && slot.betterName in given) continue;
      const value = given[name];
      out[slot.property] = value === null ? slot.ofNull : slot.read(value, doubts, depth);
      if (slot.group !== null) grouped++;
    }
    if (grouped > 1) for (const group of groups) keepLastOfGroup(table, group, out);
    return out;
  };
  made.set(table, read);
  for (const field of table.fields) {
    const slot = { property: field.property, read: fieldReader(field, made), group: field.oneOf, ofNull: nullOf(field) };
    slots.set(field.jsonName, { ...slot, betterName: null });
    if (field.name !== field.jsonName) slots.set(field.name, { ...slot, betterName: field.jsonName });
  }
  return read;
}

function keepLastOfGroup(table: MessageTable<unknown>, group: string, out: Record<string, unknown>): void {
  let last: string | null = null;
  let several = false;
  for (const field of table.fields) {
    if (field.oneOf !== group || out[field.property] === null) continue;
    several = last !== null;
    last = field.property;
  }
  if (!several) return;
  const value = out[last!];
  clearGroup(table, group, out);
  out[last!] = value;
}

function nullOf(field: Field): unknown {
  return field.oneOf !== null && field.kind !== "message" ? zeroOf(field) : defaultOf(field);
}

function fieldReader(field: Field, made: Map<object, Read>): Read {
  const read = valueReader(field, made);
  if (!field.repeated) return read;
  return (json, doubts, depth) => {
    if (!Array.isArray(json)) throw IRREGULAR;
    return json.map((item) => read(item, doubts, depth));
  };
}

const HALF_PAIR = /\p{Surrogate}/gu;
const PLAIN_INT = /^(?:0|-?[1-9]\d{0,17})$/; // 18 digits: surely within 64 bits
const PLAIN_UINT = /^(?:0|[1-9]\d{0,17})$/;
const UINT32_MAX = 0xffff_ffff;
const INT32_MAX = 0x7fff_ffff;

function valueReader(field: Field, made: Map<object, Read>): Read {
  switch (field.kind) {
    case "message": {
      const table = field.message!() as MessageTable<unknown>;
      const read = made.get(table) ?? messageReader(table, made);
      return (json, doubts, depth) => read(json, doubts, depth + 1);
    }
    case "enum":
      return enumReader(field);
    case "bytes":
      return readBytes;
    case "string":
      return (json) => {
        if (typeof json !== "string" || json.search(HALF_PAIR) >= 0) throw IRREGULAR;
        return json;
      };
    case "bool":
      return (json) => {
        if (typeof json !== "boolean") throw IRREGULAR;
        return json;
      };
    case "int64":
      return (json, doubts) => Number(readInteger(json, doubts, PLAIN_INT, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER));
    case "uint64":
      return (json, doubts) => Number(readInteger(json, doubts, PLAIN_UINT, 0, Number.MAX_SAFE_INTEGER));
    case "uint32":
      return (json, doubts) => {
        const value = Number(readInteger(json, doubts, PLAIN_UINT, 0, UINT32_MAX));
        if (value > UINT32_MAX) throw IRREGULAR;
        return value;
      };
    case "int32":
      return (json, doubts) => {
        const value = Number(readInteger(json, doubts, PLAIN_INT, -INT32_MAX, INT32_MAX));
        if (Math.abs(value) > INT32_MAX) throw IRREGULAR;
        return value;
      };
    case "int64Text":
      return (json, doubts) => String(readInteger(json, doubts, PLAIN_INT, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER));
    case "uint64Text":
      return (json, doubts) => String(readInteger(json, doubts, PLAIN_UINT, 0, Number.MAX_SAFE_INTEGER));
  }
}

function readBytes(json: unknown): Bytes {
  if (typeof json !== "string") throw IRREGULAR;
  if (json === "") return json as Bytes;
  const value = decodeBase64(json);
  if (value === undefined) throw IRREGULAR;
  return value;
}

/** @returns plain decimal text, or a safe integer */
function readInteger(json: unknown, doubts: Doubts, plain: RegExp, min: number, max: number): string | number {
  if (typeof json === "string") {
    if (!plain.test(json)) throw IRREGULAR;
    doubts.quoted = true;
    return json;
  }
  if (typeof json !== "number" || !Number.isInteger(json) || json < min || json > max || Object.is(json, -0)) throw IRREGULAR;
  doubts.number = true;
  return json;
}

function enumReader(field: Field): Read {
  const table = field.enumeration!;
  const numbers = new Map(table.values.map((name, number) => [name, number]));
  return (json, doubts) => {
    if (typeof json === "string") {
      const number = numbers.get(json);
      if (number === undefined) throw IRREGULAR;
      doubts.quoted = true;
      return number;
    }
    if (typeof json !== "number" || !Number.isInteger(json) || Math.abs(json) > INT32_MAX) throw IRREGULAR;
    doubts.number = true;
    return json + 0;
  };
}

// ---- encoding

/** Appends a field with its name and a comma before it, or nothing when it has its default. */
type Write = (message: Record<string, unknown>) => string;
/** Writes one value, without its name. */
type WriteValue = (value: unknown) => string;

/** @returns a function that gives one line of JSON without a line break at its end */
export function jsonEncoder<T>(table: MessageTable<T>): JsonEncoder<T> {
  return messageWriter(table as MessageTable<unknown>, new Map()) as JsonEncoder<T>;
}

function messageWriter(table: MessageTable<unknown>, made: Map<object, WriteValue>): WriteValue {
  if ((table as object) === KEY_VALUE) return keyValueWriter();
  if ((table as object) === RESPONSE_HEADER) return headerWriter();
  return tableWriter(table, made);
}

function tableWriter(table: MessageTable<unknown>, made: Map<object, WriteValue>): WriteValue {
  const writers: Write[] = [];
  const write: WriteValue = (message) => {
    let out = "";
    for (const writer of writers) out += writer(message as Record<string, unknown>);
    return out === "" ? "{}" : `{${out.slice(1)}}`;
  };
  made.set(table, write);
  for (const field of table.fields) writers.push(fieldWriter(field, made));
  return write;
}

function fieldWriter(field: Field, made: Map<object, WriteValue>): Write {
  const { property, name } = field;
  const write = valueWriter(field, made);
  const lead = `,"${name}":`;
  if (field.repeated) {
    return (message) => {
      const list = message[property] as readonly unknown[] | undefined;
      if (list === undefined || list.length === 0) return "";
      let out = write(list[0]);
      for (let at = 1; at < list.length; at++) out += "," + write(list[at]);
      return `${lead}[${out}]`;
    };
  }
  const left = defaultOf(field);
  return (message) => {
    const value = message[property];
    return value === left || value === undefined || value === null ? "" : lead + write(value);
  };
}

function valueWriter(field: Field, made: Map<object, WriteValue>): WriteValue {
  switch (field.kind) {
    case "message": {
      const table = field.message!() as MessageTable<unknown>;
      return made.get(table) ?? messageWriter(table, made);
    }
    case "enum": {
      const { values } = field.enumeration!;
      return (value) => {
        const name = values[value as number];
        return name === undefined ? String(value) : `"${name}"`;
      };
    }
    case "bytes":
      return (value) => `"${encodeBase64(value as Bytes)}"`;
    case "string":
      return (value) => quoteText(value as string);
    case "bool":
    case "uint32":
    case "int32":
      return String;
    case "int64":
    case "uint64":
    case "int64Text":
    case "uint64Text":
      return (value) => `"${value as string}"`;
    default:
      return unreachable(field.kind);
  }
}

/** This and the next: the two messages that nearly every reply is made of, by hand, several times faster than from the table. */
function keyValueWriter(): WriteValue {
  const rare = tableWriter(KEY_VALUE as MessageTable<unknown>, new Map());
  return (value) => {
    const kv = value as KeyValue;
    if (kv.key === "") return rare(value);
    let out = `{"key":"${encodeBase64(kv.key)}"`;
    if (kv.createRevision !== 0) out += `,"create_revision":"${kv.createRevision}"`;
    if (kv.modRevision !== 0) out += `,"mod_revision":"${kv.modRevision}"`;
    if (kv.version !== 0) out += `,"version":"${kv.version}"`;
    if (kv.value !== "") out += `,"value":"${encodeBase64(kv.value)}"`;
    if (kv.lease !== NO_LEASE) out += `,"lease":"${kv.lease}"`;
    return out + "}";
  };
}

function headerWriter(): WriteValue {
  let of: Pick<ResponseHeader, "clusterId" | "memberId"> = { clusterId: "", memberId: "" };
  let ids = ""; // of the last header: a process serves one member, so it is the same again and again
  const rare = tableWriter(RESPONSE_HEADER as MessageTable<unknown>, new Map());
  return (value) => {
    const header = value as ResponseHeader;
    if (header.memberId === "0" || header.revision === 0 || header.raftTerm === 0) return rare(value);
    if (header.memberId !== of.memberId || header.clusterId !== of.clusterId) {
      of = header;
      ids = `{"cluster_id":"${header.clusterId}","member_id":"${header.memberId}","revision":"`;
    }
    return `${ids}${header.revision}","raft_term":"${header.raftTerm}"}`;
  };
}

/** A text as Go's JSON writes it: in UTF-8, with <, >, & and the two line separators of Unicode as escapes. */
export function quoteText(text: string): Bytes {
  const quoted = JSON.stringify(text.replace(HALF_PAIR, "\ufffd"));
  return utf8Encode(quoted.replace(/\\[^]|[<>&\u2028\u2029]/g, escapeOf));
}

function escapeOf(found: string): string {
  if (found === "\\b") return "\\u0008";
  if (found === "\\f") return "\\u000c";
  if (found[0] === "\\") return found;
  return "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0");
}
