/**
 * Messages to and from protobuf, built once for each message from its table. Both forms are byte strings: a decoded key is a piece of
 * the request's text, an encoded reply is joined of pieces, and neither is copied byte by byte.
 *
 * Decoding is that of proto3: unknown fields are skipped, the last of several values counts, embedded messages are merged, lists of
 * numbers may be packed or not. Encoding writes fields in the order of their numbers, as other encoders do, and leaves out defaults.
 * Source: https://protobuf.dev/programming-guides/encoding/.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import { errBadProtobuf } from "../../errors.ts";
import { unreachable } from "../../invariant.ts";
import { type Field, MESSAGE_NESTING_MAX, type MessageTable, clearGroup, zeroOf } from "./message-table.ts";

/** @throws QuorateError badProtobuf */
export type ProtobufDecoder<T> = (body: Bytes) => T;
export type ProtobufEncoder<T> = (message: T) => Bytes;

type Values = Record<string, unknown>;

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const GROUP_BEGIN = 3;
const GROUP_END = 4;
const FIXED32 = 5;

const TWO_32 = 2 ** 32;

// ---- decoding

interface Slot {
  readonly field: Field;
  readonly property: string;
  readonly wireType: number;
  /** Of an embedded message; made when it is first met, because messages may contain each other. */
  plan: DecodePlan | null;
}

interface DecodePlan {
  readonly table: MessageTable<unknown>;
  readonly defaults: object;
  /** By field number. */
  readonly slots: readonly (Slot | undefined)[];
}

const decodePlans = new WeakMap<object, DecodePlan>();

export function protobufDecoder<T>(table: MessageTable<T>): ProtobufDecoder<T> {
  const plan = decodePlanOf(table as MessageTable<unknown>);
  return (body) => new Reader(body).message(plan, body.length, 1, null) as T;
}

function decodePlanOf(table: MessageTable<unknown>): DecodePlan {
  let plan = decodePlans.get(table);
  if (plan !== undefined) return plan;
  const slots: Slot[] = [];
  for (const field of table.fields) slots[field.number] = { field, property: field.property, wireType: wireTypeOf(field), plan: null };
  plan = { table, defaults: { ...(table.defaults as object) }, slots };
  decodePlans.set(table, plan);
  return plan;
}

function wireTypeOf({ kind }: Field): number {
  return kind === "bytes" || kind === "string" || kind === "message" ? DELIMITED : VARINT;
}

class Reader {
  readonly #text: Bytes;
  #at = 0;
  /** The two halves of the last varint, unsigned. */
  #low = 0;
  #high = 0;

  constructor(text: Bytes) {
    this.#text = text;
  }

  /** @param into what an earlier value of the same field gave, to be merged with */
  message(plan: DecodePlan, end: number, depth: number, into: Values | null): Values {
    if (depth > MESSAGE_NESTING_MAX) throw errBadProtobuf(`proto: messages are nested deeper than ${MESSAGE_NESTING_MAX}`);
    const out: Values = into ?? { ...(plan.defaults as Values) };
    while (this.#at < end) {
      this.#varint(end);
      const number = this.#low >>> 3;
      const wireType = this.#low & 7;
      if (number === 0 || this.#high !== 0) throw errBadProtobuf(`proto: illegal tag ${this.#low}`);
      const slot = plan.slots[number];
      if (slot === undefined) this.#skip(wireType, end);
      else this.#field(slot, wireType, { plan, end, depth, out });
    }
    return out;
  }

  #field(slot: Slot, wireType: number, at: { plan: DecodePlan; end: number; depth: number; out: Values }): void {
    const { field, property } = slot;
    const { plan, end, depth, out } = at;
    if (field.repeated) return this.#element(slot, wireType, end, depth, out);
    if (wireType !== slot.wireType) throw wrongWireType(field, wireType);
    if (field.oneOf !== null) clearGroup(plan.table, field.oneOf, out);
    if (field.kind === "message") {
      const before = field.oneOf === null ? (out[property] as Values | null) : null;
      out[property] = this.#embedded(slot, end, depth, before === null ? null : { ...before });
    } else if (wireType === DELIMITED) {
      const bytes = this.#bytes(end);
      out[property] = field.kind === "string" ? utf8Decode(bytes) : bytes;
    } else out[property] = this.#number(field, end);
  }

  #element(slot: Slot, wireType: number, end: number, depth: number, out: Values): void {
    const { field, property } = slot;
    // The default list is shared and frozen: the first element begins one of this message's own.
    let list = out[property] as unknown[];
    if (list.length === 0) out[property] = list = [];
    if (wireType === slot.wireType) {
      if (field.kind === "message") list.push(this.#embedded(slot, end, depth, null));
      else if (field.kind === "bytes") list.push(this.#bytes(end));
      else if (field.kind === "string") list.push(utf8Decode(this.#bytes(end)));
      else list.push(this.#number(field, end));
      return;
    }
    if (slot.wireType !== VARINT || wireType !== DELIMITED) throw wrongWireType(field, wireType);
    const packedEnd = this.#lengthEnd(end);
    while (this.#at < packedEnd) list.push(this.#number(field, packedEnd));
  }

  #embedded(slot: Slot, end: number, depth: number, into: Values | null): Values {
    slot.plan ??= decodePlanOf(slot.field.message!() as MessageTable<unknown>);
    return this.message(slot.plan, this.#lengthEnd(end), depth + 1, into);
  }

  #bytes(end: number): Bytes {
    const to = this.#lengthEnd(end);
    const from = this.#at;
    this.#at = to;
    return this.#text.slice(from, to) as Bytes;
  }

  /** Reads a length. @returns where what it is the length of ends */
  #lengthEnd(end: number): number {
    this.#varint(end);
    const to = this.#at + this.#low;
    if (this.#high !== 0 || to > end) throw truncated();
    return to;
  }

  #number(field: Field, end: number): unknown {
    this.#varint(end);
    const low = this.#low;
    const high = this.#high;
    switch (field.kind) {
      case "bool":
        return low !== 0 || high !== 0;
      case "enum":
      case "int32":
        return low | 0;
      case "uint32":
        return low;
      case "uint64":
        return high * TWO_32 + low;
      case "int64":
        return high < 0x80000000 ? high * TWO_32 + low : (high - TWO_32) * TWO_32 + low;
      case "uint64Text":
        return high < 0x200000 ? String(high * TWO_32 + low) : exact(high, low).toString();
      case "int64Text":
        return high < 0x200000 ? String(high * TWO_32 + low) : BigInt.asIntN(64, exact(high, low)).toString();
      case "bytes":
      case "string":
      case "message":
        throw wrongWireType(field, VARINT);
      default:
        return unreachable(field.kind);
    }
  }

  #varint(end: number): void {
    const text = this.#text;
    let at = this.#at;
    let byte = at < end ? text.charCodeAt(at++) : this.#cut();
    if (byte < 128) {
      this.#low = byte;
      this.#high = 0;
      this.#at = at;
      return;
    }
    let low = byte & 127;
    let high = 0;
    for (let shift = 7; ; shift += 7) {
      if (shift > 63) throw errBadProtobuf("proto: integer overflow");
      byte = at < end ? text.charCodeAt(at++) : this.#cut();
      const seven = byte & 127;
      if (shift < 28) low |= seven << shift;
      else if (shift === 28) {
        low |= seven << 28;
        high = seven >>> 4;
      } else high |= seven << (shift - 32);
      if (byte < 128) break;
    }
    this.#low = low >>> 0;
    this.#high = high >>> 0;
    this.#at = at;
  }

  #cut(): never {
    throw truncated();
  }

  #skip(wireType: number, end: number): void {
    switch (wireType) {
      case VARINT:
        return this.#varint(end);
      case FIXED64:
        return this.#skipBytes(8, end);
      case DELIMITED:
        this.#at = this.#lengthEnd(end);
        return;
      case FIXED32:
        return this.#skipBytes(4, end);
      case GROUP_BEGIN:
        return this.#skipGroup(end);
      default:
        throw errBadProtobuf(`proto: illegal wireType ${wireType}`);
    }
  }

  /** Groups are no part of proto3, but a newer client's unknown field might be one. However deep they are nested, this does not recurse. */
  #skipGroup(end: number): void {
    for (let depth = 1; depth > 0;) {
      this.#varint(end);
      const wireType = this.#low & 7;
      if (wireType === GROUP_BEGIN) depth++;
      else if (wireType === GROUP_END) depth--;
      else this.#skip(wireType, end);
    }
  }

  #skipBytes(count: number, end: number): void {
    if (this.#at + count > end) throw truncated();
    this.#at += count;
  }
}

const exact = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);
const truncated = () => errBadProtobuf("unexpected EOF");
const wrongWireType = (field: Field, wireType: number) => errBadProtobuf(`proto: wrong wireType = ${wireType} for field ${field.name}`);

// ---- encoding

interface Piece {
  readonly field: Field;
  readonly property: string;
  readonly default: unknown;
  readonly tag: string;
  /** Of an embedded message; made when it is first met. */
  plan: readonly Piece[] | null;
}

const encodePlans = new WeakMap<object, readonly Piece[]>();

export function protobufEncoder<T>(table: MessageTable<T>): ProtobufEncoder<T> {
  const plan = encodePlanOf(table as MessageTable<unknown>);
  return (message) => encode(plan, message as Values) as Bytes;
}

/** A field of a message as it stands in it: for what is put together of parts that were encoded before. @param wireType 2 */
export function delimitedField(number: number, value: Bytes): Bytes {
  return (varint((number << 3) | DELIMITED) + varint(value.length) + value) as Bytes;
}

function encodePlanOf(table: MessageTable<unknown>): readonly Piece[] {
  let plan = encodePlans.get(table);
  if (plan !== undefined) return plan;
  plan = table.fields
    .toSorted((a, b) => a.number - b.number)
    .map((field) => {
      const packed = field.repeated && wireTypeOf(field) === VARINT;
      const tag = varint((field.number << 3) | (packed ? DELIMITED : wireTypeOf(field)));
      // A member of a group that is set is written, whatever its value; of messages null alone is left out.
      return { field, property: field.property, default: field.oneOf === null ? zeroOf(field) : null, tag, plan: null };
    });
  encodePlans.set(table, plan);
  return plan;
}

function encode(plan: readonly Piece[], message: Values): string {
  let out = "";
  for (const piece of plan) {
    const value = message[piece.property];
    if (piece.field.repeated) out += list(piece, value as readonly unknown[]);
    else if (value !== piece.default) out += piece.tag + scalar(piece, value);
  }
  return out;
}

function list(piece: Piece, values: readonly unknown[]): string {
  let out = "";
  if (wireTypeOf(piece.field) === DELIMITED) {
    for (const value of values) out += piece.tag + scalar(piece, value);
    return out;
  }
  for (const value of values) out += scalar(piece, value);
  return out === "" ? "" : piece.tag + varint(out.length) + out;
}

function scalar(piece: Piece, value: unknown): string {
  switch (piece.field.kind) {
    case "message": {
      piece.plan ??= encodePlanOf(piece.field.message!() as MessageTable<unknown>);
      const text = encode(piece.plan, value as Values);
      return varint(text.length) + text;
    }
    case "bytes":
      return varint((value as Bytes).length) + (value as Bytes);
    case "string": {
      const text = utf8Encode(value as string);
      return varint(text.length) + text;
    }
    case "bool":
      return value === true ? "\x01" : "\0";
    case "int64":
    case "uint64":
    case "uint32":
    case "int32":
    case "enum":
      return varint(value as number);
    case "int64Text":
    case "uint64Text":
      return idText(value as string);
    default:
      return unreachable(piece.field.kind);
  }
}

/** Chars of one byte each. */
const CHARS = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));

/** @param value an integer; negative ones take ten bytes, those beyond 2^53 are written as the double that they are */
function varint(value: number): string {
  if (value >= 0 && value < 128) return CHARS[value]!;
  if (value < 0 || value > Number.MAX_SAFE_INTEGER) return bigVarint(BigInt.asUintN(64, BigInt(value)));
  let out = "";
  let rest = value;
  while (rest >= 128) {
    out += CHARS[(rest % 128) | 128];
    rest = Math.floor(rest / 128);
  }
  return out + CHARS[rest];
}

function bigVarint(value: bigint): string {
  let out = "";
  let rest = value;
  while (rest >= 128n) {
    out += CHARS[Number(rest & 127n) | 128];
    rest >>= 7n;
  }
  return out + CHARS[Number(rest)];
}

/** Ids of members, clusters and leases come again and again: those seen last are remembered. */
const ID_TEXTS_MAX = 4096;
const idTexts = new Map<string, string>();

function idText(id: string): string {
  let text = idTexts.get(id);
  if (text !== undefined) return text;
  text = bigVarint(BigInt.asUintN(64, BigInt(id)));
  if (idTexts.size >= ID_TEXTS_MAX) idTexts.clear();
  idTexts.set(id, text);
  return text;
}
