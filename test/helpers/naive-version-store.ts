/**
 * A second version store, made to be obviously right instead of fast: one list of everything ever written, and every question answered
 * by going through all of it. Shares no code with the real ones.
 */
import type { Bytes } from "../../core/bytes/bytes.ts";
import { QuorateError } from "../../core/errors.ts";
import type { KeyRange, KeyValue, RangeRequest, RangeResult } from "../../core/store/command.ts";
import type { V2Note } from "../../core/store/v2-tree/v2-command.ts";
import type { RevisionRecord, ScanOptions, VersionStore } from "../../core/store/version-store-port.ts";

const EMPTY = "" as Bytes;
const OVERHEAD = 128;

const inside = (key: Bytes, { key: from, end }: KeyRange): boolean =>
  end === "" ? key === from : key >= from && (end === "\0" || key < end);

const refuse = (reason: string) => new QuorateError("outOfRange", reason, reason);

export class NaiveVersionStore implements VersionStore {
  /** In the order of writing; one entry a key and revision. */
  #written: KeyValue[] = [];
  #notes = new Map<number, { note: V2Note | null; time: number }>();
  revision = 1;
  compactedRevision = -1;
  #pins = 0;
  /** What a compaction would have freed so far. */
  #freed = true;
  #heldBytes = 0;

  get openRevision(): number {
    return this.revision + 1;
  }

  get keyCount(): number {
    return this.#liveAt(Infinity).length;
  }

  get hasPending(): boolean {
    return this.#written.some((kv) => kv.modRevision === this.openRevision);
  }

  /** All live versions at a revision, by key. */
  #liveAt(revision: number): KeyValue[] {
    const newest = new Map<Bytes, KeyValue>();
    for (const kv of this.#written) if (kv.modRevision <= revision) newest.set(kv.key, kv);
    return [...newest.values()].filter((kv) => kv.version > 0).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #at(revision: number | undefined): number {
    if (revision === undefined) return Infinity;
    if (revision > this.revision) throw refuse("futureRevision");
    if (revision < this.compactedRevision) throw refuse("compacted");
    return revision;
  }

  get(key: Bytes, revision?: number): KeyValue | undefined {
    const at = this.#at(revision);
    const newest = this.#written.findLast((kv) => kv.key === key && kv.modRevision <= at);
    return newest !== undefined && newest.version > 0 ? newest : undefined;
  }

  scan(range: KeyRange, options: ScanOptions = {}): Iterable<KeyValue> {
    const found = this.#liveAt(this.#at(options.revision)).filter((kv) => inside(kv.key, range));
    return options.reverse ? found.reverse() : found;
  }

  count(range: KeyRange, revision?: number): number {
    return [...this.scan(range, revision === undefined ? {} : { revision })].length;
  }

  range(request: RangeRequest): RangeResult {
    const all = this.#liveAt(request.revision > 0 ? this.#at(request.revision) : Infinity).filter((kv) => inside(kv.key, request));
    if (request.countOnly) return { kvs: [], more: false, count: all.length };
    const limit = request.limit > 0 ? request.limit : Infinity;
    const { minModRevision: minMod, maxModRevision: maxMod, minCreateRevision: minNew, maxCreateRevision: maxNew } = request;
    const isFiltered = minMod !== 0 || maxMod !== 0 || minNew !== 0 || maxNew !== 0;
    let kvs = all.filter((kv) => !(maxMod !== 0 && kv.modRevision > maxMod) && !(minMod !== 0 && kv.modRevision < minMod));
    kvs = kvs.filter((kv) => !(maxNew !== 0 && kv.createRevision > maxNew) && !(minNew !== 0 && kv.createRevision < minNew));
    if (request.sortOrder === "none" && !isFiltered) kvs = kvs.slice(0, limit + 1);
    const field = (kv: KeyValue) =>
      ({ key: kv.key, version: kv.version, create: kv.createRevision, mod: kv.modRevision, value: kv.value })[request.sortTarget];
    const sign = request.sortOrder === "descend" ? -1 : 1;
    kvs = kvs.toSorted((a, b) => (field(a) < field(b) ? -sign : field(a) > field(b) ? sign : 0));
    const more = kvs.length > limit;
    kvs = kvs.slice(0, limit);
    return { kvs: request.keysOnly ? kvs.map((kv) => ({ ...kv, value: EMPTY })) : kvs, more, count: all.length };
  }

  #write(kv: KeyValue): void {
    const at = this.#written.findLastIndex((one) => one.key === kv.key && one.modRevision === kv.modRevision);
    if (at >= 0) this.#written[at] = kv;
    else this.#written.push(kv);
  }

  put(key: Bytes, value: Bytes, lease: string, contentType?: Bytes): KeyValue {
    const old = this.get(key);
    const modRevision = this.openRevision;
    const again = old?.modRevision === modRevision;
    const version = old === undefined ? 1 : again ? old.version : old.version + 1;
    const kind = contentType === undefined ? {} : { contentType };
    const kv = { key, value, createRevision: old?.createRevision ?? modRevision, modRevision, version, lease, ...kind };
    this.#write(kv);
    return kv;
  }

  delete(key: Bytes): KeyValue | undefined {
    const old = this.get(key);
    if (old === undefined) return undefined;
    this.#write({ key, value: EMPTY, createRevision: 0, modRevision: this.openRevision, version: 0, lease: "0" });
    return old;
  }

  commit(note: V2Note | null, time: number): RevisionRecord | null {
    if (!this.hasPending) return null;
    this.revision++;
    this.#notes.set(this.revision, { note, time });
    return this.#record(this.revision);
  }

  #record(revision: number): RevisionRecord {
    const compacted = revision <= this.compactedRevision;
    const { note, time } = this.#notes.get(revision)!;
    const kvs = this.#written.filter((kv) => kv.modRevision === revision && (!compacted || kv.version > 0));
    return { revision, kvs, note: compacted ? null : note, time };
  }

  revisions(from: number, bytesMax: number): RevisionRecord[] {
    if (from < this.compactedRevision) throw refuse("compacted");
    const records: RevisionRecord[] = [];
    let bytes = 0;
    for (let at = from; at <= this.revision && (bytes < bytesMax || records.length === 0); at++) {
      if (!this.#notes.has(at)) continue;
      const record = this.#record(at);
      if (record.kvs.length === 0) continue;
      records.push(record);
      bytes += record.kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
    }
    return records;
  }

  before(kv: KeyValue): KeyValue | undefined {
    if (kv.modRevision <= this.compactedRevision) return undefined;
    return this.#liveAt(kv.modRevision - 1).find((one) => one.key === kv.key);
  }

  compact(revision: number): void {
    if (revision <= this.compactedRevision) throw refuse("compacted");
    if (revision > this.revision) throw refuse("futureRevision");
    if (this.#freed) this.#heldBytes = this.#bytes();
    const kept = new Set(this.#liveAt(revision));
    this.#written = this.#written.filter((kv) => kv.modRevision > revision || kept.has(kv));
    this.compactedRevision = revision;
    this.#freed = false;
  }

  compactStep(): boolean {
    if (this.#pins === 0) this.#freed = true;
    return true;
  }

  pin(): () => void {
    this.#pins++;
    let held = true;
    return () => {
      if (held) this.#pins--;
      held = false;
    };
  }

  #bytes(): number {
    return this.#written.reduce((sum, kv) => sum + kv.key.length + kv.value.length + (kv.contentType?.length ?? 0) + OVERHEAD, 0);
  }

  sizeBytes(): number {
    return this.#freed ? this.#bytes() : this.#heldBytes;
  }

  sizeInUseBytes(): number {
    return this.#bytes();
  }

  hash(): number {
    let hash = 0;
    for (const kv of this.#liveAt(Infinity)) for (const char of JSON.stringify(kv)) hash = (hash * 31 + char.charCodeAt(0)) % 4294967291;
    return hash;
  }

  raiseRevision(revision: number): void {
    if (this.compactedRevision < this.revision) this.compact(this.revision);
    this.#freed = true;
    this.revision = this.compactedRevision = revision;
    this.#notes.clear();
  }

  check(): string[] {
    return [];
  }
}
