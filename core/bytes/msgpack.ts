/**
 * The part of MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) that commands and snapshots are written in: nil,
 * booleans, safe integers, doubles, byte strings (`bin`) and arrays. Values are written and read one by one, in an order both sides
 * know, so that nothing is built but what is wanted; byte strings go in and out without a detour through Uint8Arrays.
 */
import { QuorateError } from "../errors.ts";
import { type Bytes, EMPTY, bytesFrom } from "./bytes.ts";

const TWO_32 = 0x1_0000_0000;

/** From this length on, the host's encoder is faster than going through the characters. */
const LONG = 48;
const encoder = new TextEncoder();

/** What was read is not what was written: cut short, damaged, or of another format. */
export function errMalformed(what: string): QuorateError {
  return new QuorateError("dataLoss", "malformed", `malformed data: ${what}`);
}

export class MsgpackWriter {
  #data: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param capacity a guess at the size in bytes; it grows when needed */
  constructor(capacity: number) {
    this.#data = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#data.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#data.length) return;
    const larger = new Uint8Array(Math.max(this.#data.length * 2, this.#length + bytes));
    larger.set(this.#data.subarray(0, this.#length));
    this.#data = larger;
  }

  /** One byte as it stands, outside of MessagePack: a version, a tag. */
  byte(value: number): void {
    this.#reserve(1);
    this.#data[this.#length++] = value;
  }

  #tagged32(tag: number, value: number): void {
    this.#data[this.#length++] = tag;
    this.#raw32(value);
  }

  #raw32(value: number): void {
    const data = this.#data;
    data[this.#length++] = value >>> 24;
    data[this.#length++] = value >>> 16;
    data[this.#length++] = value >>> 8;
    data[this.#length++] = value;
  }

  nil(): void {
    this.byte(0xc0);
  }

  boolean(value: boolean): void {
    this.byte(value ? 0xc3 : 0xc2);
  }

  /** Integers up to 2^53 in the shortest form; any other number as a double. */
  number(value: number): void {
    this.#reserve(9);
    if (!Number.isSafeInteger(value)) return this.#double(value);
    const data = this.#data;
    if (value >= 0) {
      if (value < 128) data[this.#length++] = value;
      else if (value < 256) {
        data[this.#length++] = 0xcc;
        data[this.#length++] = value;
      } else if (value < 65536) {
        data[this.#length++] = 0xcd;
        data[this.#length++] = value >>> 8;
        data[this.#length++] = value;
      } else if (value < TWO_32) this.#tagged32(0xce, value);
      else {
        this.#tagged32(0xcf, Math.floor(value / TWO_32));
        this.#raw32(value);
      }
    } else if (value >= -32) data[this.#length++] = value;
    else {
      this.#tagged32(0xd3, Math.floor(value / TWO_32));
      this.#raw32(value);
    }
  }

  #double(value: number): void {
    this.#data[this.#length++] = 0xcb;
    new DataView(this.#data.buffer).setFloat64(this.#length, value);
    this.#length += 8;
  }

  bytes(value: Bytes): void {
    const { length } = value;
    this.#reserve(length + 5);
    if (length < 256) {
      this.#data[this.#length++] = 0xc4;
      this.#data[this.#length++] = length;
    } else if (length < 65536) {
      this.#data[this.#length++] = 0xc5;
      this.#data[this.#length++] = length >>> 8;
      this.#data[this.#length++] = length;
    } else this.#tagged32(0xc6, length);
    const data = this.#data;
    let to = this.#length;
    this.#length += length;
    if (length >= LONG) {
      const { read, written } = encoder.encodeInto(value, data.subarray(to, to + length));
      if (read === length && written === length) return; // it was ASCII, so that UTF-8 is the same
    }
    for (let at = 0; at < length; at++) data[to++] = value.charCodeAt(at);
  }

  /** The head of an array: its items follow. */
  array(length: number): void {
    this.#reserve(5);
    if (length < 16) this.#data[this.#length++] = 0x90 | length;
    else if (length < 65536) {
      this.#data[this.#length++] = 0xdc;
      this.#data[this.#length++] = length >>> 8;
      this.#data[this.#length++] = length;
    } else this.#tagged32(0xdd, length);
  }
}

/** Reads what `MsgpackWriter` wrote. Every method throws QuorateError `malformed` where something else stands. */
export class MsgpackReader {
  readonly #data: Uint8Array;
  #at: number;

  /** @param data not copied: must not change while it is read */
  constructor(data: Uint8Array, from = 0) {
    this.#data = data;
    this.#at = from;
  }

  get position(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at === this.#data.length;
  }

  /** One byte as it stands. */
  byte(): number {
    if (this.#at >= this.#data.length) throw errMalformed(`it ends at byte ${this.#at}`);
    return this.#data[this.#at++]!;
  }

  #unsigned(size: 1 | 2 | 4): number {
    if (this.#at + size > this.#data.length) throw errMalformed(`it ends at byte ${this.#data.length}`);
    let value = 0;
    for (let left = size; left > 0; left--) value = value * 256 + this.#data[this.#at++]!;
    return value;
  }

  #unexpected(tag: number, wanted: string): QuorateError {
    return errMalformed(`0x${tag.toString(16).padStart(2, "0")} at byte ${this.#at - 1} where ${wanted} was expected`);
  }

  /** True, and the nil is taken, when one comes next. */
  isNil(): boolean {
    if (this.#data[this.#at] !== 0xc0) return false;
    this.#at++;
    return true;
  }

  nextIsBytes(): boolean {
    const tag = this.#data[this.#at];
    return tag === 0xc4 || tag === 0xc5 || tag === 0xc6;
  }

  boolean(): boolean {
    const tag = this.byte();
    if (tag !== 0xc2 && tag !== 0xc3) throw this.#unexpected(tag, "a boolean");
    return tag === 0xc3;
  }

  number(): number {
    const tag = this.byte();
    if (tag < 128) return tag;
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xcc:
        return this.#unsigned(1);
      case 0xcd:
        return this.#unsigned(2);
      case 0xce:
        return this.#unsigned(4);
      case 0xcf:
        return this.#safe(this.#unsigned(4) * TWO_32 + this.#unsigned(4));
      case 0xd3:
        return this.#safe((this.#unsigned(4) | 0) * TWO_32 + this.#unsigned(4));
      case 0xcb: {
        if (this.#at + 8 > this.#data.length) throw errMalformed(`it ends at byte ${this.#data.length}`);
        const value = new DataView(this.#data.buffer, this.#data.byteOffset + this.#at, 8).getFloat64(0);
        this.#at += 8;
        return value;
      }
      default:
        throw this.#unexpected(tag, "a number");
    }
  }

  #safe(value: number): number {
    if (!Number.isSafeInteger(value)) throw errMalformed(`an integer beyond 2^53 before byte ${this.#at}`);
    return value;
  }

  bytes(): Bytes {
    const tag = this.byte();
    const length = tag === 0xc4 ? this.#unsigned(1) : tag === 0xc5 ? this.#unsigned(2) : tag === 0xc6 ? this.#unsigned(4) : -1;
    if (length < 0) throw this.#unexpected(tag, "a byte string");
    if (length === 0) return EMPTY;
    const from = this.#at;
    if (from + length > this.#data.length) throw errMalformed(`a byte string of ${length} bytes at byte ${from} is cut short`);
    this.#at = from + length;
    return bytesFrom(this.#data, from, this.#at);
  }

  /** @returns the number of items that follow */
  array(): number {
    const tag = this.byte();
    if (tag >= 0x90 && tag < 0xa0) return tag & 15;
    if (tag === 0xdc) return this.#unsigned(2);
    if (tag === 0xdd) return this.#unsigned(4);
    throw this.#unexpected(tag, "an array");
  }
}
