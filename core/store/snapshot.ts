/**
 * A snapshot of the whole replicated state, as a stream of bytes: backup, restore, follower catch-up and the move between runtimes all
 * use this one form. Every byte: docs/formats/snapshot.md.
 *
 * The stream is a sequence of frames, each with its length and CRC; the last one, the trailer, has the number of everything and a hash
 * over all frames, so that a cut, a flip or a swap is named. Chunks are how the stream is handed over; a reader does not depend on where
 * it is cut. It is written lazily from a frozen view: a few milliseconds a chunk at most, while the store goes on.
 *
 * Versions come sorted by key, then revision, so that the index is built without a comparison. The revision log shares them; what it
 * needs beyond them follows: times, notes, and the order of keys within revisions that wrote several.
 */
import { type Bytes, EMPTY, ascii } from "../bytes/bytes.ts";
import { crc32 } from "../bytes/crc32.ts";
import { MsgpackReader, MsgpackWriter, errMalformed } from "../bytes/msgpack.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { QuorateError } from "../errors.ts";
import { AuthStore } from "./auth/auth-store.ts";
import { type Alarm, type KeyValue, type LeaseId, NO_LEASE } from "./command.ts";
import { LEASE_TTL_SECONDS_MAX, type Lease, MemoryLeaseTable } from "./lease/lease-table.ts";
import type { FrozenVersions, LoadedVersions } from "./mvcc/memory-version-store.ts";
import { VersionLoader } from "./mvcc/version-loader.ts";
import { stateHash } from "./hash.ts";
import { readNote, writeNote } from "./note-codec.ts";
import { MemorySessionTable, type SessionRow } from "./sessions.ts";

export const SNAPSHOT_FORMAT = 1;
/** With sessions, or with users and roles. */
const SNAPSHOT_FORMAT_2 = 2;
/** "QSNP" */
const MAGIC = ascii("QSNP");
/** Bytes a chunk, at most. */
export const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
/** A frame is closed when it has reached this; a single large value may make it larger. */
const FRAME_BYTES = 128 * 1024;
/** Above this a frame's length is taken as damage: far beyond the largest request. */
const FRAME_BYTES_MAX = 1024 * 1024 * 1024;
/** Tag, length, CRC. */
const FRAME_HEAD_BYTES = 9;
/** Revisions looked at in one frame. */
const FRAME_REVISIONS = 10_000;

const HEADER = 1;
const LEASES = 2;
const ALARMS = 3;
const VERSIONS = 4;
const REVISIONS = 5;
const TRAILER = 6;
const SESSIONS = 7;
const AUTH = 8;
/** Frames come in this order. */
const ORDER = [HEADER, LEASES, ALARMS, VERSIONS, REVISIONS, SESSIONS, AUTH, TRAILER];

const ALARM_NAMES = ["nospace", "corrupt"] as const;

/** Where in the life of a cluster the state stands. */
export interface SnapshotPlace {
  /** Decimal uint64. */
  readonly clusterId: string;
  /** Of the last entry applied. */
  readonly index: number;
  readonly term: number;
}

export interface SnapshotHeader extends SnapshotPlace {
  readonly revision: number;
  readonly compactedRevision: number;
  readonly clockMs: number;
  /** Of the state, as `StoreView.hash` gives it. */
  readonly hash: number;
}

/** What a snapshot is made from. The tables are copies: they must not change. */
export interface SnapshotSource {
  readonly place: SnapshotPlace;
  readonly versions: FrozenVersions;
  readonly leases: readonly Lease[];
  readonly alarms: readonly Alarm[];
  /** Least recently used first. */
  readonly sessions: readonly SessionRow[];
  /** What `AuthStore.dump` gave. */
  readonly auth: string | null;
  readonly clockMs: number;
  readonly hash: number;
}

export interface SnapshotState {
  readonly header: SnapshotHeader;
  readonly versions: LoadedVersions;
  readonly leases: MemoryLeaseTable;
  readonly alarms: Alarm[];
  readonly sessions: MemorySessionTable;
  readonly auth: string | null;
}

interface Counts {
  frames: number;
  versions: number;
  revisions: number;
  leases: number;
  alarms: number;
  /** CRC-32 over the CRCs of all frames so far, in order. */
  hash: number;
}

const noCounts = (): Counts => ({ frames: 0, versions: 0, revisions: 0, leases: 0, alarms: 0, hash: 0 });

/** A snapshot in a format of a newer release. */
export function errUnknownSnapshot(format: number): QuorateError {
  return new QuorateError("unimplemented", "unknownSnapshot", `snapshot format ${format}: written by a newer release`, { format });
}

// ---- writing

/** @returns chunks of at most 256 KiB, made one at a time as they are asked for */
export function* writeSnapshot(source: SnapshotSource): Generator<Uint8Array, void, void> {
  const counts = noCounts();
  // Small frames travel together: a chunk costs its carrier a record or a message each.
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  for (const frame of frames(source, counts)) {
    if (bytes + frame.length > SNAPSHOT_CHUNK_BYTES && bytes > 0) {
      yield joined(gathered, bytes);
      [gathered, bytes] = [[], 0];
    }
    if (frame.length > SNAPSHOT_CHUNK_BYTES) {
      for (let at = 0; at < frame.length; at += SNAPSHOT_CHUNK_BYTES) yield frame.subarray(at, at + SNAPSHOT_CHUNK_BYTES);
    } else {
      gathered.push(frame);
      bytes += frame.length;
    }
  }
  if (bytes > 0) yield joined(gathered, bytes);
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function* frames(source: SnapshotSource, counts: Counts): Generator<Uint8Array, void, void> {
  const header = startFrame();
  header.bytes(MAGIC);
  header.number(source.sessions.length > 0 || source.auth !== null ? SNAPSHOT_FORMAT_2 : SNAPSHOT_FORMAT);
  header.bytes(ascii(source.place.clusterId));
  header.number(source.place.index);
  header.number(source.place.term);
  header.number(source.versions.revision);
  header.number(source.versions.compactedRevision);
  header.number(source.versions.firstRecord);
  header.number(source.clockMs);
  header.number(source.hash);
  yield endFrame(HEADER, header, counts);
  yield* leaseFrames(source.leases, counts);
  const alarms = startFrame();
  for (const { memberId, alarm } of source.alarms) {
    alarms.number(ALARM_NAMES.indexOf(alarm));
    alarms.bytes(ascii(memberId));
    counts.alarms++;
  }
  yield endFrame(ALARMS, alarms, counts);
  yield* versionFrames(source.versions, counts);
  yield* revisionFrames(source.versions, counts);
  yield* sessionFrames(source.sessions, counts);
  if (source.auth !== null) {
    const auth = startFrame();
    auth.bytes(utf8Encode(source.auth));
    yield endFrame(AUTH, auth, counts);
  }
  const trailer = startFrame();
  const { versions, revisions, leases, alarms: alarmCount, frames: frameCount, hash } = counts;
  for (const number of [frameCount, versions, revisions, leases, alarmCount, hash]) trailer.number(number);
  yield endFrame(TRAILER, trailer, counts);
}

function startFrame(): MsgpackWriter {
  const writer = new MsgpackWriter(FRAME_BYTES + 4096);
  for (let at = 0; at < FRAME_HEAD_BYTES; at++) writer.byte(0);
  return writer;
}

function endFrame(tag: number, writer: MsgpackWriter, counts: Counts): Uint8Array {
  const frame = writer.finish();
  const body = frame.subarray(FRAME_HEAD_BYTES);
  const view = new DataView(frame.buffer, frame.byteOffset);
  const crc = crc32(body, crc32(Uint8Array.of(tag)));
  view.setUint8(0, tag);
  view.setUint32(1, body.length);
  view.setUint32(5, crc);
  counts.frames++;
  counts.hash = crc32(frame.subarray(5, 9), counts.hash);
  return frame;
}

function* leaseFrames(leases: readonly Lease[], counts: Counts): Generator<Uint8Array, void, void> {
  let frame = startFrame();
  for (const lease of leases) {
    frame.bytes(ascii(lease.id));
    frame.number(lease.ttlSeconds);
    if (lease.remainingMs === null) frame.nil();
    else frame.number(lease.remainingMs);
    if (lease.v2 === null) frame.nil();
    else {
      frame.bytes(lease.v2.path);
      frame.number(lease.v2.expiresAt);
    }
    counts.leases++;
    if (frame.length >= FRAME_BYTES) {
      yield endFrame(LEASES, frame, counts);
      frame = startFrame();
    }
  }
  yield endFrame(LEASES, frame, counts);
}

function* sessionFrames(sessions: readonly SessionRow[], counts: Counts): Generator<Uint8Array, void, void> {
  for (let at = 0; at < sessions.length;) {
    const frame = startFrame();
    for (; at < sessions.length && frame.length < FRAME_BYTES; at++) {
      const { client, sequence, usedAt, revision, outcome } = sessions[at]!;
      frame.bytes(ascii(client));
      frame.number(sequence);
      frame.number(usedAt);
      frame.number(revision);
      if (outcome === null) frame.nil();
      else frame.bytes(utf8Encode(outcome));
    }
    yield endFrame(SESSIONS, frame, counts);
  }
}

function* versionFrames(versions: FrozenVersions, counts: Counts): Generator<Uint8Array, void, void> {
  let next = EMPTY;
  let after = -1;
  for (let more = true; more;) {
    const frame = startFrame();
    let last: KeyValue | null = null;
    more = false;
    // The iteration is good until the store changes, which it may at each `yield`: every frame seeks anew.
    for (const kv of versions.versionsFrom(next, after)) {
      if (frame.length >= FRAME_BYTES) {
        more = true;
        break;
      }
      writeVersion(frame, kv, last !== null ? last.key === kv.key : after >= 0 && kv.key === next);
      last = kv;
      counts.versions++;
    }
    if (last !== null) {
      next = last.key;
      after = last.modRevision;
      yield endFrame(VERSIONS, frame, counts);
    }
  }
}

/** @param again the key is that of the version before */
function writeVersion(frame: MsgpackWriter, kv: KeyValue, again: boolean): void {
  if (again) frame.nil();
  else frame.bytes(kv.key);
  frame.number(kv.modRevision);
  frame.number(kv.version);
  if (kv.version === 0) return;
  frame.number(kv.modRevision - kv.createRevision);
  frame.bytes(kv.value);
  if (kv.contentType !== undefined) frame.array(2);
  if (kv.lease === NO_LEASE) frame.nil();
  else frame.bytes(ascii(kv.lease));
  if (kv.contentType !== undefined) frame.bytes(kv.contentType);
}

function* revisionFrames(versions: FrozenVersions, counts: Counts): Generator<Uint8Array, void, void> {
  let time = 0;
  for (let revision = versions.firstRecord; revision <= versions.revision;) {
    const frame = startFrame();
    for (let left = FRAME_REVISIONS; left > 0 && revision <= versions.revision && frame.length < FRAME_BYTES; left--) {
      const record = versions.record(revision++);
      counts.revisions++;
      const plain = record.kvs.length === 1 && record.note === null;
      if (!plain) frame.nil();
      frame.number(record.time - time);
      time = record.time;
      if (plain) continue;
      const order = record.kvs.map((_, at) => at).sort((a, b) => (record.kvs[a]!.key < record.kvs[b]!.key ? -1 : 1));
      frame.array(order.length);
      for (const place of order) frame.number(place);
      if (record.note === null) frame.nil();
      else writeNote(frame, record.note);
    }
    yield endFrame(REVISIONS, frame, counts);
  }
}

// ---- reading

/**
 * Reads a snapshot to its end and verifies it: every frame's CRC, the counts, the hash over all frames, the hash of the state.
 * @throws QuorateError malformed, naming the byte; unknownSnapshot for a newer format
 */
export async function readSnapshot(chunks: AsyncIterable<Uint8Array>): Promise<SnapshotState> {
  const reader = new StateReader();
  const cutter = new FrameCutter();
  for await (const chunk of chunks) {
    cutter.add(chunk);
    for (let frame = cutter.next(); frame !== undefined; frame = cutter.next()) reader.frame(frame);
  }
  if (cutter.rest > 0) throw errMalformed(`the snapshot ends within a frame, at byte ${cutter.position}`);
  return reader.finish();
}

interface Frame {
  readonly tag: number;
  readonly body: Uint8Array;
  readonly crc: number;
  /** Where it begins in the stream. */
  readonly position: number;
}

/** Cuts a stream of bytes, however it arrives, into frames. Holds one frame and one chunk at most. */
class FrameCutter {
  #held: Uint8Array = new Uint8Array(0);
  /** Of the first held byte in the stream. */
  position = 0;

  get rest(): number {
    return this.#held.length;
  }

  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #wanted = FRAME_HEAD_BYTES;

  add(chunk: Uint8Array): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#held.length + this.#waitingBytes < this.#wanted) return; // joined once, when there is enough
    const joined = new Uint8Array(this.#held.length + this.#waitingBytes);
    joined.set(this.#held);
    let at = this.#held.length;
    for (const part of this.#waiting) {
      joined.set(part, at);
      at += part.length;
    }
    this.#held = joined;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  next(): Frame | undefined {
    const held = this.#held;
    if (held.length < FRAME_HEAD_BYTES) {
      this.#wanted = FRAME_HEAD_BYTES;
      return undefined;
    }
    const view = new DataView(held.buffer, held.byteOffset, held.length);
    const length = view.getUint32(1);
    if (length > FRAME_BYTES_MAX) throw errMalformed(`a frame of ${length} bytes at byte ${this.position} of the snapshot`);
    this.#wanted = FRAME_HEAD_BYTES + length;
    if (held.length < this.#wanted) return undefined;
    const frame = {
      tag: view.getUint8(0),
      body: held.subarray(FRAME_HEAD_BYTES, this.#wanted),
      crc: view.getUint32(5),
      position: this.position,
    };
    if (crc32(frame.body, crc32(Uint8Array.of(frame.tag))) !== frame.crc) {
      throw errMalformed(`the CRC of the frame at byte ${this.position} of the snapshot does not match`);
    }
    this.#held = held.subarray(this.#wanted);
    this.position += this.#wanted;
    return frame;
  }
}

class StateReader {
  readonly #counts = noCounts();
  readonly #leases = new MemoryLeaseTable();
  readonly #alarms: Alarm[] = [];
  #header: SnapshotHeader | null = null;
  #loader: VersionLoader | null = null;
  #time = 0;
  #ended = false;
  #place = 0;
  readonly #sessions = new MemorySessionTable();
  #auth: string | null = null;

  frame(frame: Frame): void {
    const fault = (what: string) => errMalformed(`${what} at byte ${frame.position} of the snapshot`);
    if (this.#ended) throw fault("more after the trailer");
    const place = ORDER.indexOf(frame.tag);
    if (place < 0) throw fault(`frame ${frame.tag} is not known`);
    if ((this.#header === null) !== (frame.tag === HEADER) || place < this.#place) throw fault(`frame ${frame.tag} is out of place`);
    this.#place = place;
    const reader = new MsgpackReader(frame.body);
    switch (frame.tag) {
      case HEADER:
        this.#readHeader(reader);
        break;
      case LEASES:
        while (!reader.atEnd) this.#readLease(reader);
        break;
      case ALARMS:
        while (!reader.atEnd) this.#readAlarm(reader);
        break;
      case VERSIONS:
        while (!reader.atEnd) this.#readVersion(reader, fault);
        break;
      case REVISIONS:
        while (!reader.atEnd) this.#readRevision(reader);
        break;
      case SESSIONS:
        while (!reader.atEnd) this.#readSession(reader);
        break;
      case AUTH:
        this.#auth = utf8Decode(reader.bytes());
        break;
      case TRAILER:
        this.#readTrailer(reader, fault);
        break;
    }
    if (!reader.atEnd) throw fault("a frame longer than what it holds");
    const crc = new Uint8Array(4);
    new DataView(crc.buffer).setUint32(0, frame.crc);
    this.#counts.frames++;
    this.#counts.hash = crc32(crc, this.#counts.hash);
  }

  #readHeader(reader: MsgpackReader): void {
    if (reader.bytes() !== MAGIC) throw errMalformed("no snapshot: it does not begin with QSNP");
    const format = reader.number();
    if (format !== SNAPSHOT_FORMAT && format !== SNAPSHOT_FORMAT_2) throw errUnknownSnapshot(format);
    const place = { clusterId: reader.bytes() as string, index: reader.number(), term: reader.number() };
    const revision = reader.number();
    const compactedRevision = reader.number();
    const firstRecord = reader.number();
    this.#loader = new VersionLoader({ revision, compactedRevision, firstRecord, leases: this.#leases });
    this.#header = { ...place, revision, compactedRevision, clockMs: reader.number(), hash: reader.number() };
  }

  #readLease(reader: MsgpackReader): void {
    const id = reader.bytes();
    const ttlSeconds = reader.number();
    const remainingMs = reader.isNil() ? null : reader.number();
    const v2 = reader.isNil() ? null : { path: reader.bytes(), expiresAt: reader.number() };
    if (id === NO_LEASE || this.#leases.get(id) !== undefined) throw errMalformed(`lease ${id} stands in the snapshot twice`);
    if (ttlSeconds > LEASE_TTL_SECONDS_MAX) throw errMalformed(`lease ${id} of ${ttlSeconds} seconds`);
    this.#leases.grant(id, ttlSeconds, v2);
    if (remainingMs !== null) this.#leases.checkpoint(id, remainingMs);
    this.#counts.leases++;
  }

  #readAlarm(reader: MsgpackReader): void {
    const alarm = ALARM_NAMES[reader.number()];
    if (alarm === undefined) throw errMalformed("an alarm that is not known");
    this.#alarms.push({ memberId: reader.bytes(), alarm }); // in the order of commands, so that kept outcomes are the same text
    this.#counts.alarms++;
  }

  #readVersion(reader: MsgpackReader, fault: (what: string) => QuorateError): void {
    const key = reader.isNil() ? null : reader.bytes();
    const modRevision = reader.number();
    const version = reader.number();
    const created = version === 0 ? 0 : modRevision - reader.number();
    const value = version === 0 ? EMPTY : reader.bytes();
    const { lease, contentType } = version === 0 ? UNBOUND : readOwner(reader);
    const wrong = this.#loader!.version({ key, value, created, modified: modRevision, version, lease, contentType });
    if (wrong !== null) throw fault(wrong);
    this.#counts.versions++;
  }

  #readRevision(reader: MsgpackReader): void {
    const plain = !reader.isNil();
    this.#time += reader.number();
    if (plain) this.#loader!.revision(this.#time, null, null);
    else {
      const order: number[] = [];
      for (let left = reader.array(); left > 0; left--) order.push(reader.number());
      this.#loader!.revision(this.#time, order, reader.isNil() ? null : readNote(reader));
    }
    this.#counts.revisions++;
  }

  #readSession(reader: MsgpackReader): void {
    const [client, sequence, usedAt, revision] = [reader.bytes() as string, reader.number(), reader.number(), reader.number()];
    this.#sessions.add({ client, sequence, usedAt, revision, outcome: reader.isNil() ? null : utf8Decode(reader.bytes()) });
  }

  #readTrailer(reader: MsgpackReader, fault: (what: string) => QuorateError): void {
    const { frames: frameCount, versions, revisions, leases, alarms, hash } = this.#counts;
    const names = ["frames", "versions", "revisions", "leases", "alarms", "hash"];
    [frameCount, versions, revisions, leases, alarms, hash].forEach((found, at) => {
      const said = reader.number();
      if (said !== found) throw fault(`the trailer says ${names[at]} ${said}, found were ${found},`);
    });
    this.#ended = true;
  }

  finish(): SnapshotState {
    const header = this.#header;
    if (header === null || this.#loader === null) throw errMalformed("the snapshot is empty");
    if (!this.#ended) throw errMalformed("the snapshot ends without a trailer");
    const versions = this.#loader.finish();
    const { revision, compactedRevision, clockMs } = header;
    const [leases, alarms, sessions] = [this.#leases, this.#alarms, this.#sessions];
    const users = new AuthStore();
    users.load(this.#auth);
    const auth = users.hash();
    const hash = stateHash({
      versions: versions.hash >>> 0,
      revision,
      compactedRevision,
      clockMs,
      leases: leases.all(),
      alarms,
      sessions,
      auth,
    });
    if (hash !== header.hash) throw errMalformed(`the state hashes to ${hash} and the snapshot says ${header.hash}`);
    return { header, versions, leases, alarms, sessions, auth: this.#auth };
  }
}

interface Owner {
  readonly lease: LeaseId;
  readonly contentType: Bytes | undefined;
}

const UNBOUND: Owner = { lease: NO_LEASE, contentType: undefined };

/** The lease of a version, or an array of it and the content type. */
function readOwner(reader: MsgpackReader): Owner {
  if (reader.isNil()) return UNBOUND;
  if (reader.nextIsBytes()) return { lease: reader.bytes(), contentType: undefined };
  if (reader.array() !== 2) throw errMalformed("a version has a lease and a content type");
  return { lease: reader.isNil() ? NO_LEASE : reader.bytes(), contentType: reader.bytes() };
}
