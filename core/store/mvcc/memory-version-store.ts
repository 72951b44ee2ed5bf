/**
 * The version store in memory: a counted B+tree from key to its versions, and the revision log; both share the KeyValue objects.
 *
 * Compaction follows the log instead of walking the keys: the versions that a compaction from C to D makes unreachable are exactly
 * those that a revision in (C, D] replaced or deleted, so its cost is what was written since, whatever the number of keys. The
 * physical state is at every moment that of a store compacted at `#freedTo`, with #freedTo <= compactedRevision:
 *
 *     freedTo        compacted         revision     open
 *        |  to be freed  |   readable      |  pending |
 *
 * The count of a range at an old revision is the present count, corrected by what the log says was created and deleted since; where a
 * scan is cheaper, it scans. Counts found in this way are remembered for the rest of the range, which is what a reader that pages
 * through a pinned revision asks for next.
 */
import { type Bytes, EMPTY, successor } from "../../bytes/bytes.ts";
import { errCompacted, errFutureRevision } from "../../errors.ts";
import { assert } from "../../invariant.ts";
import type { KeyRange, KeyValue, LeaseId, RangeRequest, RangeResult } from "../command.ts";
import type { V2Note } from "../v2-tree/v2-command.ts";
import type { RevisionRecord, ScanOptions, VersionStore } from "../version-store-port.ts";
import { CountedTree } from "./counted-tree.ts";
import { type KeyBounds, boundsOf, isInRange } from "./key-range.ts";
import { answerRange, answerSingle } from "./range-request.ts";
import { LoggedRevision, type LogEntry, RevisionLog, kvsOf, noteOf } from "./revision-log.ts";
import {
  type KeyEntry,
  KeyHistory,
  isLive,
  makeTombstone,
  makeVersion,
  newestOf,
  versionAt,
  versionBytes,
  versionHash,
} from "./version.ts";

/** Counts at old revisions that are remembered: one for each reader that pages at the same time, about. */
const COUNTS_MAX = 16;

/** See `freeze`. */
export interface FrozenVersions {
  readonly revision: number;
  readonly compactedRevision: number;
  /**
   * Versions of `key` after revision `after`, then those of all keys behind it, by key and revision; tombstones too. Lazily; valid
   * until the next write: then ask again, from the last one given.
   */
  versionsFrom(key: Bytes, after: number): Iterable<KeyValue>;
  /** The first revision that `record` knows; one more than `revision` when there is none. */
  readonly firstRecord: number;
  record(revision: number): RevisionRecord;
  release(): void;
}

/** What a snapshot holds, as `adopt` takes it. */
export interface LoadedVersions {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Strictly ascending. */
  readonly keys: readonly Bytes[];
  /** One for each key. */
  readonly entries: readonly KeyEntry[];
  readonly log: RevisionLog;
  readonly bytes: number;
  readonly hash: number;
}

interface RememberedCount extends KeyRange {
  readonly revision: number;
  readonly count: number;
}

const entryIsLive = (entry: KeyEntry): boolean => newestOf(entry).version > 0;

export class MemoryVersionStore implements VersionStore {
  #tree = new CountedTree<KeyEntry>(entryIsLive);
  #log = new RevisionLog(2);
  #revision = 1;
  #compacted = -1;
  #freedTo = 1;
  /** Versions of the record after `#freedTo` that were looked at already. */
  #freedPart = 0;
  #pins = 0;
  #bytes = 0;
  /** Bytes in `#bytes` that the compaction made unreachable. */
  #unreachable = 0;
  /** Sum of the hashes of live versions, modulo 2^32. */
  #hash = 0;
  #pending: KeyValue[] = [];
  #pendingFreed = 0;
  /** A key was written twice in the pending revision, so that `version` alone does not tell whether it came or went. */
  #pendingTwice = false;
  #counts: RememberedCount[] = [];
  #logVisits = 0;

  get revision(): number {
    return this.#revision;
  }

  get compactedRevision(): number {
    return this.#compacted;
  }

  get openRevision(): number {
    return this.#revision + 1;
  }

  get keyCount(): number {
    return this.#tree.counted;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Entries of index and log looked at by scans and counts since the start: effort, for tests. */
  get visited(): number {
    return this.#tree.visited + this.#logVisits;
  }

  // ---- reads

  get(key: Bytes, revision?: number): KeyValue | undefined {
    return this.#newestOrAt(key, revision === undefined ? null : this.#past(revision));
  }

  #newestOrAt(key: Bytes, past: number | null): KeyValue | undefined {
    const entry = this.#tree.find(key); // and not `get`: a write of the same key often follows
    if (entry === undefined) return undefined;
    const kv = past === null ? newestOf(entry) : versionAt(entry, past);
    return kv !== undefined && kv.version > 0 ? kv : undefined;
  }

  /** The revision when it has to be read as the past; null when the newest state is the same. @throws QuorateError */
  #past(revision: number): number | null {
    if (revision > this.#revision) throw errFutureRevision({ wanted: revision, revision: this.#revision });
    if (revision < this.#compacted) throw errCompacted({ wanted: revision, compactRevision: this.#compacted });
    return revision === this.#revision && this.#pending.length === 0 ? null : revision;
  }

  scan(range: KeyRange, options: ScanOptions = {}): Iterable<KeyValue> {
    const past = options.revision === undefined ? null : this.#past(options.revision);
    return this.#scan(boundsOf(range), past, options.reverse ?? false);
  }

  *#scan({ from, to }: KeyBounds, past: number | null, reverse: boolean): Generator<KeyValue, void, void> {
    if (to !== null && to <= from) return;
    const cursor = reverse ? this.#tree.seekBefore(to) : this.#tree.seek(from);
    for (let entry = cursor.step(past === null); entry !== undefined; entry = cursor.step(past === null)) {
      if (reverse ? cursor.key < from : to !== null && cursor.key >= to) return;
      const kv = past === null ? newestOf(entry) : versionAt(entry, past);
      if (kv !== undefined && kv.version > 0) yield kv;
    }
  }

  /** As `scan`, into an array, for the usual case: up, at most `max`. */
  #collect({ from, to }: KeyBounds, past: number | null, max: number): KeyValue[] {
    const found: KeyValue[] = [];
    if (max <= 0 || (to !== null && to <= from)) return found;
    const cursor = this.#tree.seek(from);
    for (let entry = cursor.step(past === null); entry !== undefined; entry = cursor.step(past === null)) {
      if (to !== null && cursor.key >= to) break;
      const kv = past === null ? newestOf(entry) : versionAt(entry, past);
      if (kv !== undefined && kv.version > 0 && found.push(kv) === max) break;
    }
    return found;
  }

  count(range: KeyRange, revision?: number): number {
    return this.#count(range, revision === undefined ? null : this.#past(revision));
  }

  #count(range: KeyRange, past: number | null): number {
    const { from, to } = boundsOf(range);
    if (to !== null && to <= from) return 0;
    const present = this.#tree.countBetween(from, to);
    if (past === null) return present;
    const known = this.#counts.find((one) => one.revision === past && one.key === range.key && one.end === range.end);
    if (known !== undefined) return known.count;
    let count: number;
    if (this.#revision - past <= present && past >= this.#log.first - 1) {
      count = present - this.#changeSince(past, range);
    } else {
      count = 0;
      for (const _ of this.#scan({ from, to }, past, false)) count++;
    }
    this.#remember({ key: range.key, end: range.end, revision: past, count });
    return count;
  }

  #remember(count: RememberedCount): void {
    if (this.#counts.length === COUNTS_MAX) this.#counts.shift();
    this.#counts.push(count);
  }

  /** By how many keys a range has grown from the revision `past` to the newest state. */
  #changeSince(past: number, range: KeyRange): number {
    let change = 0;
    const add = (kvs: readonly KeyValue[], twice: boolean) => {
      this.#logVisits += kvs.length;
      for (const kv of kvs) {
        if (kv.version > 1 || !isInRange(kv.key, range)) continue;
        if (!twice) change += kv.version === 1 ? 1 : -1;
        else change += (kv.version > 0 ? 1 : 0) - (this.before(kv) === undefined ? 0 : 1);
      }
    };
    for (let revision = past + 1; revision <= this.#revision; revision++) {
      const entry = this.#log.entry(revision);
      if (entry instanceof LoggedRevision) add(entry.kvs, entry.twice);
      else add([entry], false);
    }
    add(this.#pending, this.#pendingTwice);
    return change;
  }

  range(request: RangeRequest): RangeResult {
    const past = request.revision > 0 ? this.#past(request.revision) : null;
    if (request.end === EMPTY) return answerSingle(request, this.#newestOrAt(request.key, past));
    const bounds = boundsOf(request);
    const result = answerRange(request, {
      count: () => this.#count(request, past),
      first: (max) => this.#collect(bounds, past, max),
      scan: (reverse) => this.#scan(bounds, past, reverse),
    });
    if (past !== null && result.more && request.sortOrder !== "descend") {
      const last = result.kvs[result.kvs.length - 1]!;
      const rest = { key: successor(last.key), end: request.end, revision: past, count: result.count - result.kvs.length };
      if (request.sortTarget === "key") this.#remember(rest);
    }
    return result;
  }

  // ---- writes

  put(key: Bytes, value: Bytes, lease: LeaseId, contentType?: Bytes): KeyValue {
    const entry = this.#tree.find(key);
    const open = this.#revision + 1;
    if (entry === undefined) {
      const kv = makeVersion(key, value, open, open, 1, lease, contentType);
      this.#tree.setFound(key, kv);
      this.#added(kv);
      this.#pending.push(kv);
      return kv;
    }
    const old = newestOf(entry);
    const again = old.modRevision === open;
    const kv = isLive(old)
      ? makeVersion(old.key, value, old.createRevision, open, again ? old.version : old.version + 1, lease, contentType)
      : makeVersion(old.key, value, open, open, 1, lease, contentType);
    this.#write(entry, old, kv);
    return kv;
  }

  delete(key: Bytes): KeyValue | undefined {
    const entry = this.#tree.find(key);
    if (entry === undefined) return undefined;
    const old = newestOf(entry);
    if (!isLive(old)) return undefined;
    this.#write(entry, old, makeTombstone(old.key, this.#revision + 1));
    return old;
  }

  /** Puts `kv` behind `old`, or in its place when both are of the open revision; the tree has just found the key. */
  #write(entry: KeyEntry, old: KeyValue, kv: KeyValue): void {
    const change = (isLive(kv) ? 1 : 0) - (isLive(old) ? 1 : 0);
    const again = old.modRevision === kv.modRevision;
    if (!(entry instanceof KeyHistory)) this.#tree.setFound(kv.key, again ? kv : new KeyHistory([old, kv]));
    else {
      if (again) entry.replaceNewest(kv);
      else entry.push(kv);
      if (change !== 0) this.#tree.recountFound(change as 1 | -1);
    }
    if (again) {
      this.#pendingTwice = true;
      this.#pending[this.#pending.lastIndexOf(old)] = kv;
      this.#bytes -= versionBytes(old);
      if (!isLive(old)) this.#pendingFreed -= versionBytes(old);
    } else {
      this.#pending.push(kv);
      if (isLive(old)) this.#pendingFreed += versionBytes(old);
    }
    if (isLive(old)) this.#hash = (this.#hash - versionHash(old)) | 0;
    if (!isLive(kv)) this.#pendingFreed += versionBytes(kv);
    this.#added(kv);
  }

  #added(kv: KeyValue): void {
    this.#bytes += versionBytes(kv);
    if (isLive(kv)) this.#hash = (this.#hash + versionHash(kv)) | 0;
  }

  commit(note: V2Note | null, time: number): RevisionRecord | null {
    const kvs = this.#pending;
    if (kvs.length === 0) return null;
    const revision = ++this.#revision;
    const plain = kvs.length === 1 && note === null && !this.#pendingTwice;
    this.#log.append(plain ? kvs[0]! : new LoggedRevision(kvs, note, this.#pendingTwice), time, this.#pendingFreed);
    this.#pending = [];
    this.#pendingFreed = 0;
    this.#pendingTwice = false;
    return { revision, kvs, note, time };
  }

  // ---- history

  revisions(from: number, bytesMax: number): RevisionRecord[] {
    if (from < this.#compacted) throw errCompacted({ wanted: from, compactRevision: this.#compacted });
    const records: RevisionRecord[] = [];
    let bytes = 0;
    for (
      let revision = Math.max(from, this.#log.first);
      revision <= this.#revision && (bytes < bytesMax || records.length === 0);
      revision++
    ) {
      const record = this.#record(revision, this.#log.entry(revision));
      if (record.kvs.length === 0) continue;
      records.push(record);
      for (const kv of record.kvs) bytes += kv.key.length + kv.value.length;
    }
    return records;
  }

  #record(revision: number, entry: LogEntry): RevisionRecord {
    const time = this.#log.time(revision);
    if (revision > this.#compacted) return { revision, kvs: kvsOf(entry), note: noteOf(entry), time };
    return { revision, kvs: kvsOf(entry).filter(isLive), note: null, time };
  }

  before(kv: KeyValue): KeyValue | undefined {
    const entry = this.#tree.get(kv.key);
    const old = entry === undefined ? undefined : versionAt(entry, kv.modRevision - 1);
    // Nothing below the compaction but what was visible at it: a version that a compacted revision replaced is not told of.
    if (old === undefined || !isLive(old) || kv.modRevision <= this.#compacted) return undefined;
    return old;
  }

  // ---- compaction

  compact(revision: number): void {
    if (revision <= this.#compacted) throw errCompacted({ wanted: revision, compactRevision: this.#compacted });
    if (revision > this.#revision) throw errFutureRevision({ wanted: revision, revision: this.#revision });
    const from = Math.max(this.#compacted + 1, this.#log.first);
    this.#unreachable += this.#log.freedBetween(from, revision);
    this.#compacted = revision;
  }

  compactStep(budget: number): boolean {
    let left = budget;
    while (this.#pins === 0 && this.#freedTo < this.#compacted) {
      const revision = this.#freedTo + 1;
      const kvs = kvsOf(this.#log.entry(revision));
      for (; this.#freedPart < kvs.length; this.#freedPart++) {
        if (left-- <= 0) return false;
        this.#free(kvs[this.#freedPart]!);
      }
      this.#freedPart = 0;
      this.#freedTo = revision;
      this.#log.dropBefore(revision); // the record of the compaction's own revision stays readable
    }
    return true;
  }

  /** Frees what a version that is now at or below the compaction made unreachable: those before it, and itself if a tombstone. */
  #free(kv: KeyValue): void {
    const entry = this.#tree.find(kv.key);
    if (entry === undefined) return;
    if (!(entry instanceof KeyHistory)) {
      if (entry === kv && !isLive(kv)) {
        this.#freed(kv);
        this.#tree.removeFound();
      }
      return;
    }
    while (entry.oldest.modRevision < kv.modRevision || (entry.oldest === kv && !isLive(kv))) {
      this.#freed(entry.oldest);
      if (entry.length === 1) return this.#tree.removeFound();
      entry.dropOldest();
    }
    if (entry.length === 1) this.#tree.setFound(kv.key, entry.newest);
  }

  #freed(kv: KeyValue): void {
    this.#bytes -= versionBytes(kv);
    this.#unreachable -= versionBytes(kv);
  }

  pin(): () => void {
    this.#pins++;
    let held = true;
    return () => {
      if (held) this.#pins--;
      held = false;
    };
  }

  /**
   * A view of the committed state that stays as it is while the store goes on: for snapshots. Physical compaction waits until it is
   * released. Nothing may be pending.
   */
  freeze(): FrozenVersions {
    assert(this.#pending.length === 0, () => "the store is frozen while something is pending");
    const [revision, compactedRevision] = [this.#revision, this.#compacted];
    const release = this.pin();
    return {
      revision,
      compactedRevision,
      versionsFrom: (key, after) => this.#keptFrom(key, after, compactedRevision, revision),
      record: (at) => {
        const kvs = kvsOf(this.#log.entry(at));
        const kept = at > compactedRevision ? kvs : kvs.filter(isLive);
        return { revision: at, kvs: kept, note: at > compactedRevision ? noteOf(this.#log.entry(at)) : null, time: this.#log.time(at) };
      },
      firstRecord: Math.max(compactedRevision, this.#log.first),
      release,
    };
  }

  /**
   * Versions from a key on, by key and then revision, that are visible at `compacted` or came after it and until `revision`; of the
   * first key only those after revision `after`.
   */
  *#keptFrom(key: Bytes, after: number, compacted: number, revision: number): Generator<KeyValue, void, void> {
    const cursor = this.#tree.seek(key);
    for (let entry = cursor.step(false); entry !== undefined; entry = cursor.step(false)) {
      const from = cursor.key === key ? after : -1;
      const base = versionAt(entry, compacted);
      if (base !== undefined && base.modRevision > from && isLive(base)) yield base;
      if (entry instanceof KeyHistory) {
        for (const kv of entry.after(Math.max(from, compacted))) {
          if (kv.modRevision > revision) break;
          yield kv;
        }
      } else if (entry !== base && entry.modRevision > Math.max(from, compacted) && entry.modRevision <= revision) yield entry;
    }
  }

  /** Replaces everything by what a loader gathered, which must not be used afterwards. */
  adopt(loaded: LoadedVersions): void {
    this.#tree = new CountedTree<KeyEntry>(entryIsLive);
    this.#tree.load(loaded.keys, loaded.entries);
    this.#log = loaded.log;
    this.#revision = loaded.revision;
    this.#compacted = loaded.compactedRevision;
    this.#freedTo = Math.max(1, loaded.compactedRevision);
    this.#freedPart = 0;
    this.#bytes = loaded.bytes;
    this.#unreachable = 0;
    this.#hash = loaded.hash;
    this.#pending = [];
    this.#pendingFreed = 0;
    this.#pendingTwice = false;
    this.#counts = [];
  }

  raiseRevision(revision: number): void {
    assert(this.#pending.length === 0 && this.#pins === 0, () => "the revision is raised while something is pending or pinned");
    assert(revision >= this.#revision, () => `the revision would go back from ${this.#revision} to ${revision}`);
    if (this.#compacted < this.#revision) this.compact(this.#revision);
    this.compactStep(Infinity);
    this.#revision = this.#compacted = this.#freedTo = revision;
    this.#log = new RevisionLog(revision + 1);
    this.#counts = [];
  }

  // ---- what it is

  sizeBytes(): number {
    return this.#bytes;
  }

  sizeInUseBytes(): number {
    return this.#bytes - this.#unreachable;
  }

  hash(): number {
    return this.#hash >>> 0;
  }

  check(): string[] {
    const faults = this.#tree.check();
    let bytes = 0;
    let hash = 0;
    for (const kv of this.#keptFrom(EMPTY, -1, this.#freedTo, Infinity)) {
      bytes += versionBytes(kv);
      const entry = this.#tree.get(kv.key);
      if (entry !== undefined && newestOf(entry) === kv && isLive(kv)) hash = (hash + versionHash(kv)) | 0;
      if (kv.modRevision > Math.max(this.#compacted, this.#log.first)) this.#checkLogged(kv, faults);
    }
    if (bytes !== this.#bytes) faults.push(`the store has ${bytes} bytes and says ${this.#bytes}`);
    if (hash !== this.#hash) faults.push(`the live versions hash to ${hash} and the store says ${this.#hash}`);
    if (this.#freedTo >= this.#compacted && this.#unreachable !== 0) faults.push(`${this.#unreachable} bytes are said to be unreachable`);
    if (this.#log.end !== this.#revision + 1) faults.push(`the log ends before ${this.#log.end} at revision ${this.#revision}`);
    return faults;
  }

  #checkLogged(kv: KeyValue, faults: string[]): void {
    const kvs = kv.modRevision > this.#revision ? this.#pending : kvsOf(this.#log.entry(kv.modRevision));
    if (!kvs.includes(kv)) faults.push(`version ${kv.modRevision} of ${JSON.stringify(kv.key)} is not in the log`);
  }
}
