/**
 * One version of a key: how it is made, measured and hashed; and the history of a key that has more than one.
 *
 * Every KeyValue is made here, so that all have one hidden class; those with a content type have another, so that the others do not pay. A key with one version costs that object alone; the history object
 * exists only while there are older versions that a reader may still ask for.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { type KeyValue, type LeaseId, NO_LEASE } from "../command.ts";

/** What a version costs beside its key and value: object, string headers, places in the index and in the revision log. */
export const VERSION_OVERHEAD_BYTES = 128;

export function makeVersion(
  key: Bytes,
  value: Bytes,
  createRevision: number,
  modRevision: number,
  version: number,
  lease: LeaseId,
  contentType?: Bytes,
): KeyValue {
  if (contentType !== undefined) return { key, value, createRevision, modRevision, version, lease, contentType };
  return { key, value, createRevision, modRevision, version, lease };
}

export function makeTombstone(key: Bytes, modRevision: number): KeyValue {
  return makeVersion(key, EMPTY, 0, modRevision, 0, NO_LEASE);
}

export const isLive = (kv: KeyValue): boolean => kv.version > 0;

export const versionBytes = (kv: KeyValue): number =>
  kv.key.length + kv.value.length + (kv.contentType === undefined ? 0 : kv.contentType.length) + VERSION_OVERHEAD_BYTES;

/** Mixes four bytes into a hash: a round of MurmurHash3 (Appleby, public domain). */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

/** From this length on, the host's encoder and words of its output are faster than asking for each character. */
const LONG = 64;
// Scratch: written and read within one call, never kept.
const encoder = new TextEncoder();
const scratch = new Uint8Array(16 * 1024);
const scratchView = new DataView(scratch.buffer);

/** Continues a 32-bit hash with the bytes of a string, and its length. */
export function hashBytes(hash: number, bytes: string): number {
  return bytes.length < LONG ? hashShort(hash, bytes) : hashLong(hash, bytes);
}

function hashShort(hash: number, bytes: string): number {
  const { length } = bytes;
  let h = hash;
  let at = 0;
  for (; at + 3 < length; at += 4) {
    const word =
      bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8) | (bytes.charCodeAt(at + 2) << 16) | (bytes.charCodeAt(at + 3) << 24);
    h = mix(h, word);
  }
  let rest = length;
  for (; at < length; at++) rest = Math.imul(rest, 257) + bytes.charCodeAt(at);
  return mix(h, rest);
}

/** Over the UTF-8 form of the characters, which tells byte strings apart as well as they do themselves. */
function hashLong(hash: number, bytes: string): number {
  let h = hash;
  for (let left = bytes; left.length > 0;) {
    const { read, written } = encoder.encodeInto(left, scratch);
    let at = 0;
    for (; at + 3 < written; at += 4) h = mix(h, scratchView.getInt32(at, true));
    let rest = written;
    for (; at < written; at++) rest = Math.imul(rest, 257) + scratch[at]!;
    h = mix(h, rest);
    left = left.slice(read);
  }
  return mix(h, bytes.length);
}

/** Continues a 32-bit hash with a safe integer. */
export function hashNumber(hash: number, value: number): number {
  return mix(mix(hash, value | 0), Math.floor(value / 0x1_0000_0000));
}

/** Ends a hash so that each bit of the input reaches every bit of the output (MurmurHash3's finalizer). */
export function finishHash(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** 32-bit hash of one version and all its fields; sums of these do not depend on an order. */
export function versionHash(kv: KeyValue): number {
  let h = hashBytes(0x51ed270b, kv.key);
  h = hashBytes(h, kv.value);
  h = hashNumber(h, kv.createRevision);
  h = hashNumber(h, kv.modRevision);
  h = hashNumber(h, kv.version);
  if (kv.contentType !== undefined) h = hashBytes(h, kv.contentType);
  return finishHash(kv.lease === NO_LEASE ? h : hashBytes(h, kv.lease));
}

/** The versions of one key, ascending by modRevision, tombstones among them. At least one. */
export class KeyHistory {
  #versions: KeyValue[];
  /** Versions before this place are gone; they are cut off when they are half of the array, so that a cut is O(1) in the mean. */
  #head = 0;

  constructor(versions: KeyValue[]) {
    this.#versions = versions;
  }

  get length(): number {
    return this.#versions.length - this.#head;
  }

  get newest(): KeyValue {
    return this.#versions[this.#versions.length - 1]!;
  }

  get oldest(): KeyValue {
    return this.#versions[this.#head]!;
  }

  push(kv: KeyValue): void {
    this.#versions.push(kv);
  }

  replaceNewest(kv: KeyValue): void {
    this.#versions[this.#versions.length - 1] = kv;
  }

  /** The newest version whose modRevision is <= `revision`: a put, a tombstone, or undefined. */
  at(revision: number): KeyValue | undefined {
    const end = this.#endOf(revision);
    return end > this.#head ? this.#versions[end - 1] : undefined;
  }

  /** Those with a modRevision > `revision`, ascending. */
  *after(revision: number): Generator<KeyValue, void, void> {
    for (let at = this.#endOf(revision); at < this.#versions.length; at++) yield this.#versions[at]!;
  }

  /** Place of the first version whose modRevision is > `revision`. */
  #endOf(revision: number): number {
    let low = this.#head;
    let high = this.#versions.length;
    if (this.#versions[high - 1]!.modRevision <= revision) return high; // the usual question
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#versions[middle]!.modRevision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  dropOldest(): void {
    this.#head++;
    if (this.#head * 2 >= this.#versions.length) {
      this.#versions = this.#versions.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** What the index holds for a key. */
export type KeyEntry = KeyValue | KeyHistory;

export const newestOf = (entry: KeyEntry): KeyValue => (entry instanceof KeyHistory ? entry.newest : entry);

/** The newest version at or before a revision, tombstones included. */
export function versionAt(entry: KeyEntry, revision: number): KeyValue | undefined {
  if (entry instanceof KeyHistory) return entry.at(revision);
  return entry.modRevision <= revision ? entry : undefined;
}
