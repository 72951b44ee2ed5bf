/**
 * The version store in SQLite tables: nothing is held in memory but numbers, so that a wake-up costs the same however large the data is.
 *
 * The rows are those of the model in version-store-port.ts: every kept version of a key, ordered by key and revision, so that the newest
 * one, that of a revision and the history of a key are one seek each; the keys that are live now, for scans and counts; and what each
 * revision did. Pending writes are rows of the open revision: readers of a revision do not see them, readers of the newest state do.
 *
 * What a compaction frees is known without looking: each revision carries the bytes that go when it is compacted, as in the memory store.
 * A count over a range reads the keys in it (one row each, narrow), where the memory store reads none; the count of everything is a number.
 */
import { type Bytes, EMPTY, ZERO, successor } from "../../core/bytes/bytes.ts";
import { QuorateError, errCompacted, errFutureRevision } from "../../core/errors.ts";
import { assert } from "../../core/invariant.ts";
import { type KeyRange, type KeyValue, type LeaseId, NO_LEASE, type RangeRequest, type RangeResult } from "../../core/store/command.ts";
import { type KeyBounds, boundsOf } from "../../core/store/mvcc/key-range.ts";
import type { FrozenVersions, LoadedVersions } from "../../core/store/mvcc/memory-version-store.ts";
import { answerRange, answerSingle } from "../../core/store/mvcc/range-request.ts";
import { kvsOf, noteOf } from "../../core/store/mvcc/revision-log.ts";
import { KeyHistory, isLive, makeTombstone, makeVersion, versionBytes, versionHash } from "../../core/store/mvcc/version.ts";
import type { StateVersions } from "../../core/store/state-storage-port.ts";
import type { V2Note } from "../../core/store/v2-tree/v2-command.ts";
import type { RevisionRecord, ScanOptions } from "../../core/store/version-store-port.ts";
import { type StoredRevision, blob, bytesOf, decodeRevisions, writeRevision } from "./revision-records.ts";
import { ROW_BYTES_MAX, type SqlDatabase, type SqlTransactions, type SqlValue } from "./sql-database.ts";

/** Keys a step of a scan finds; their values are read one at a time, so that large ones do not gather. */
const PAGE_KEYS = 128;
/** The first step: most scans stop early. */
const FIRST_PAGE_KEYS = 8;
/** Revisions a step of reading history. */
const PAGE_REVISIONS = 64;

const COLUMNS = "key, mod, created, version, lease, type, value";

/** What is kept incrementally, and stored with each transaction. */
export interface VersionTotals {
  readonly revision: number;
  readonly compacted: number;
  /** See MemoryVersionStore. */
  readonly freedTo: number;
  readonly bytes: number;
  readonly unreachable: number;
  readonly hash: number;
  readonly keys: number;
}

export const NO_VERSIONS: VersionTotals = { revision: 1, compacted: -1, freedTo: 1, bytes: 0, unreachable: 0, hash: 0, keys: 0 };

/** The state that the store belongs to. */
export interface VersionStoreHost {
  /** Stores the totals, at the end of a transaction of the store's own. */
  saveTotals(): void;
  /** Reads them again, after such a transaction was rolled back. */
  loadTotals(): void;
}

type Row = Record<string, SqlValue>;

function versionOf({ key, mod, created, version, lease, type, value }: Row): KeyValue {
  if (version === 0) return makeTombstone(bytesOf(key), Number(mod));
  const contentType = type === null ? undefined : bytesOf(type);
  const owner = lease === null ? NO_LEASE : String(lease);
  return makeVersion(bytesOf(key), bytesOf(value), Number(created), Number(mod), Number(version), owner, contentType);
}

export class SqlVersionStore implements StateVersions {
  readonly #db: SqlTransactions;
  readonly #sql: SqlDatabase;
  readonly #host: VersionStoreHost;
  #revision = 1;
  #compacted = -1;
  #freedTo = 1;
  #bytes = 0;
  #unreachable = 0;
  #hash = 0;
  #keys = 0;
  /** Versions of the record after `#freedTo` that were looked at already; looked at again after a restart. */
  #freedPart = 0;
  #pins = 0;
  #pending: KeyValue[] = [];
  #pendingFreed = 0;
  /** The newest version that was read last: a write of the same key often follows. Forgotten with each change. */
  #found: { readonly key: Bytes; readonly kv: KeyValue | undefined } | null = null;

  constructor(db: SqlTransactions, host: VersionStoreHost) {
    this.#db = db;
    this.#sql = db.sql;
    this.#host = host;
  }

  totals(): VersionTotals {
    const [revision, compacted, freedTo] = [this.#revision, this.#compacted, this.#freedTo];
    return { revision, compacted, freedTo, bytes: this.#bytes, unreachable: this.#unreachable, hash: this.#hash, keys: this.#keys };
  }

  /** Takes the totals as they are stored, and forgets what was pending. */
  setTotals(totals: VersionTotals): void {
    this.#revision = totals.revision;
    this.#compacted = totals.compacted;
    this.#freedTo = totals.freedTo;
    this.#bytes = totals.bytes;
    this.#unreachable = totals.unreachable;
    this.#hash = totals.hash;
    this.#keys = totals.keys;
    this.#freedPart = 0;
    this.#pending = [];
    this.#pendingFreed = 0;
    this.#found = null;
  }

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
    return this.#keys;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  // ---- reads

  get(key: Bytes, revision?: number): KeyValue | undefined {
    const kv = this.#newestAt(key, revision === undefined ? null : this.#past(revision));
    return kv !== undefined && isLive(kv) ? kv : undefined;
  }

  /** The newest version at or before a revision, null for all of them; tombstones too. */
  #newestAt(key: Bytes, past: number | null): KeyValue | undefined {
    if (past === null && this.#found?.key === key) return this.#found.kv;
    const [row] = this.#sql
      .exec(`SELECT ${COLUMNS} FROM versions WHERE key = ? AND mod <= ? ORDER BY mod DESC LIMIT 1`, blob(key), past ?? this.#revision + 1)
      .toArray();
    const kv = row === undefined ? undefined : versionOf(row);
    if (past === null) this.#found = { key, kv };
    return kv;
  }

  #version(key: ArrayBuffer, revision: number): KeyValue | undefined {
    const [row] = this.#sql.exec(`SELECT ${COLUMNS} FROM versions WHERE key = ? AND mod = ?`, key, revision).toArray();
    return row === undefined ? undefined : versionOf(row);
  }

  /** As in MemoryVersionStore. @throws QuorateError */
  #past(revision: number): number | null {
    if (revision > this.#revision) throw errFutureRevision({ wanted: revision, revision: this.#revision });
    if (revision < this.#compacted) throw errCompacted({ wanted: revision, compactRevision: this.#compacted });
    return revision === this.#revision && this.#pending.length === 0 ? null : revision;
  }

  scan(range: KeyRange, options: ScanOptions = {}): Iterable<KeyValue> {
    const past = options.revision === undefined ? null : this.#past(options.revision);
    return this.#scan(boundsOf(range), past, options.reverse ?? false);
  }

  *#scan(bounds: KeyBounds, past: number | null, reverse: boolean): Generator<KeyValue, void, void> {
    let { from, to } = bounds;
    for (let limit = FIRST_PAGE_KEYS; to === null || from < to; limit = PAGE_KEYS) {
      const rows = this.#places({ from, to }, past, reverse, limit);
      for (const { key, mod } of rows) yield this.#version(key as ArrayBuffer, Number(mod))!;
      if (rows.length < limit) return;
      const last = bytesOf(rows.at(-1)!["key"]);
      if (reverse) to = last;
      else from = successor(last);
    }
  }

  /** Keys that are live, and the revision of each. */
  #places({ from, to }: KeyBounds, past: number | null, reverse: boolean, limit: number): Row[] {
    const bindings: SqlValue[] = [blob(from), ...(to === null ? [] : [blob(to)]), ...(past === null ? [] : [past]), limit];
    const range = `key >= ?${to === null ? "" : " AND key < ?"}`;
    const order = `ORDER BY key ${reverse ? "DESC" : "ASC"} LIMIT ?`;
    const query =
      past === null
        ? `SELECT key, mod FROM live WHERE ${range} ${order}`
        : `SELECT key, max(mod) AS mod, version FROM versions WHERE ${range} AND mod <= ? GROUP BY key HAVING version > 0 ${order}`;
    return this.#sql.exec(query, ...bindings).toArray();
  }

  /** The first live versions of a range with their values, in one query. */
  #first({ from, to }: KeyBounds, past: number | null, max: number): KeyValue[] {
    if (max <= 0 || (to !== null && to <= from)) return [];
    const limit = Number.isFinite(max) ? max : -1;
    const bindings: SqlValue[] = [blob(from), ...(to === null ? [] : [blob(to)]), ...(past === null ? [] : [past]), limit];
    const query =
      past === null
        ? `SELECT v.key AS key, v.mod AS mod, created, version, lease, type, value FROM live l
             CROSS JOIN versions v ON v.key = l.key AND v.mod = l.mod
             WHERE l.key >= ?${to === null ? "" : " AND l.key < ?"} ORDER BY l.key LIMIT ?`
        : `SELECT key, max(mod) AS mod, created, version, lease, type, value FROM versions
             WHERE key >= ?${to === null ? "" : " AND key < ?"} AND mod <= ? GROUP BY key HAVING version > 0 ORDER BY key LIMIT ?`;
    return this.#sql
      .exec(query, ...bindings)
      .toArray()
      .map(versionOf);
  }

  count(range: KeyRange, revision?: number): number {
    return this.#count(boundsOf(range), revision === undefined ? null : this.#past(revision));
  }

  #count({ from, to }: KeyBounds, past: number | null): number {
    if (to !== null && to <= from) return 0;
    if (past === null && to === null && from <= ZERO) return this.#keys;
    const bindings: SqlValue[] = [blob(from), ...(to === null ? [] : [blob(to)]), ...(past === null ? [] : [past])];
    const range = `key >= ?${to === null ? "" : " AND key < ?"}`;
    const query =
      past === null
        ? `SELECT count(*) AS keys FROM live WHERE ${range}`
        : `SELECT count(*) AS keys FROM
             (SELECT max(mod), version FROM versions WHERE ${range} AND mod <= ? GROUP BY key HAVING version > 0)`;
    return Number(this.#sql.exec(query, ...bindings).toArray()[0]!["keys"]);
  }

  range(request: RangeRequest): RangeResult {
    const past = request.revision > 0 ? this.#past(request.revision) : null;
    if (request.end === EMPTY) {
      const kv = this.#newestAt(request.key, past);
      return answerSingle(request, kv !== undefined && isLive(kv) ? kv : undefined);
    }
    const bounds = boundsOf(request);
    return answerRange(request, {
      count: () => this.#count(bounds, past),
      first: (max) => this.#first(bounds, past, max),
      scan: (reverse) => this.#scan(bounds, past, reverse),
    });
  }

  // ---- writes

  put(key: Bytes, value: Bytes, lease: LeaseId, contentType?: Bytes): KeyValue {
    refuseTooLarge(key.length + value.length + (contentType?.length ?? 0));
    const open = this.#revision + 1;
    const old = this.#newestAt(key, null);
    const again = old?.modRevision === open;
    const kv =
      old !== undefined && isLive(old)
        ? makeVersion(key, value, old.createRevision, open, again ? old.version : old.version + 1, lease, contentType)
        : makeVersion(key, value, open, open, 1, lease, contentType);
    this.#write(old, kv);
    return kv;
  }

  delete(key: Bytes): KeyValue | undefined {
    const old = this.#newestAt(key, null);
    if (old === undefined || !isLive(old)) return undefined;
    this.#write(old, makeTombstone(key, this.#revision + 1));
    return old;
  }

  /** Puts `kv` behind `old`, or in its place when both are of the open revision. The sums are those of MemoryVersionStore. */
  #write(old: KeyValue | undefined, kv: KeyValue): void {
    const [was, is] = [old !== undefined && isLive(old), isLive(kv)];
    const again = old?.modRevision === kv.modRevision;
    const key = blob(kv.key);
    this.#found = null;
    if (is) {
      const place = was ? "UPDATE live SET mod = ?2 WHERE key = ?1" : "INSERT INTO live (key, mod) VALUES (?1, ?2)";
      if (!was || !again) this.#sql.exec(place, key, kv.modRevision);
    } else if (was) this.#sql.exec("DELETE FROM live WHERE key = ?", key);
    this.#insert(kv, key);
    this.#keys += (is ? 1 : 0) - (was ? 1 : 0);
    if (old !== undefined && again) {
      this.#pending[this.#pending.findIndex((one) => one.key === kv.key)] = kv;
      this.#bytes -= versionBytes(old);
      if (!was) this.#pendingFreed -= versionBytes(old);
    } else {
      this.#pending.push(kv);
      if (old !== undefined && was) this.#pendingFreed += versionBytes(old);
    }
    if (old !== undefined && was) this.#hash = (this.#hash - versionHash(old)) | 0;
    if (!is) this.#pendingFreed += versionBytes(kv);
    this.#bytes += versionBytes(kv);
    if (is) this.#hash = (this.#hash + versionHash(kv)) | 0;
  }

  #insert({ modRevision, createRevision, version, lease, contentType, value }: KeyValue, key: ArrayBuffer): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO versions (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      key,
      modRevision,
      createRevision,
      version,
      lease === NO_LEASE ? null : lease,
      contentType === undefined ? null : blob(contentType),
      blob(value),
    );
  }

  commit(note: V2Note | null, time: number): RevisionRecord | null {
    const kvs = this.#pending;
    if (kvs.length === 0) return null;
    const revision = ++this.#revision;
    writeRevision(this.#sql, { revision, time, keys: kvs.map(({ key }) => key), note }, this.#pendingFreed);
    this.#pending = [];
    this.#pendingFreed = 0;
    return { revision, kvs, note, time };
  }

  // ---- history

  revisions(from: number, bytesMax: number): RevisionRecord[] {
    if (from < this.#compacted) throw errCompacted({ wanted: from, compactRevision: this.#compacted });
    const records: RevisionRecord[] = [];
    let bytes = 0;
    for (let at = Math.max(from, 2); at <= this.#revision; at += PAGE_REVISIONS) {
      for (const stored of this.#stored(at, Math.min(at + PAGE_REVISIONS - 1, this.#revision))) {
        if (bytes >= bytesMax && records.length > 0) return records;
        const record = this.#record(stored, this.#compacted);
        if (record.kvs.length === 0) continue;
        records.push(record);
        for (const kv of record.kvs) bytes += kv.key.length + kv.value.length;
      }
    }
    return records;
  }

  #stored(from: number, to: number): StoredRevision[] {
    const query = "SELECT revision, time, body FROM revisions WHERE revision BETWEEN ? AND ? ORDER BY revision, piece";
    return decodeRevisions(this.#sql.exec(query, from, to).toArray());
  }

  /** As a reader sees it when the store is compacted there. */
  #record({ revision, time, keys, note }: StoredRevision, compacted: number): RevisionRecord {
    const kept = keys.map((key) => this.#version(blob(key), revision)).filter((kv) => kv !== undefined);
    if (revision > compacted) return { revision, kvs: kept, note, time };
    return { revision, kvs: kept.filter(isLive), note: null, time };
  }

  before(kv: KeyValue): KeyValue | undefined {
    if (kv.modRevision <= this.#compacted) return undefined;
    const old = this.#newestAt(kv.key, kv.modRevision - 1);
    return old !== undefined && isLive(old) ? old : undefined;
  }

  // ---- compaction

  compact(revision: number): void {
    if (revision <= this.#compacted) throw errCompacted({ wanted: revision, compactRevision: this.#compacted });
    if (revision > this.#revision) throw errFutureRevision({ wanted: revision, revision: this.#revision });
    const query = "SELECT total(freed) AS freed FROM revisions WHERE piece = 0 AND revision > ? AND revision <= ?";
    this.#unreachable += Number(this.#sql.exec(query, this.#compacted, revision).toArray()[0]!["freed"]);
    this.#compacted = revision;
  }

  compactStep(budget: number): boolean {
    if (this.#pins > 0 || this.#freedTo >= this.#compacted) return true;
    try {
      return this.#db.transactionSync(() => {
        const done = this.#freeSome(budget);
        this.#host.saveTotals();
        return done;
      });
    } catch (error) {
      this.#host.loadTotals();
      throw error;
    }
  }

  #freeSome(budget: number): boolean {
    this.#found = null;
    let left = budget;
    while (this.#freedTo < this.#compacted) {
      const revision = this.#freedTo + 1;
      const keys = this.#stored(revision, revision)[0]?.keys ?? [];
      for (; this.#freedPart < keys.length; this.#freedPart++) {
        if (left-- <= 0) return false;
        this.#free(keys[this.#freedPart]!, revision);
      }
      this.#freedPart = 0;
      this.#freedTo = revision;
      // The record of the compaction's own revision stays readable.
      this.#sql.exec("DELETE FROM revisions WHERE revision < ?", revision);
    }
    return true;
  }

  /** Frees what a version at or below the compaction made unreachable: those before it, and itself if a tombstone. */
  #free(key: Bytes, revision: number): void {
    const gone = "key = ?1 AND (mod < ?2 OR (mod = ?2 AND version = 0))";
    const sizes = `SELECT mod, length(key) + length(value) + ifnull(length(type), 0) AS bytes FROM versions WHERE ${gone}`;
    const rows = this.#sql.exec(sizes, blob(key), revision).toArray();
    if (rows.length === 0) return;
    this.#sql.exec(`DELETE FROM versions WHERE ${gone}`, blob(key), revision);
    for (const { bytes } of rows) {
      this.#bytes -= Number(bytes) + OVERHEAD;
      this.#unreachable -= Number(bytes) + OVERHEAD;
    }
  }

  pin(): () => void {
    this.#pins++;
    let held = true;
    return () => {
      if (held) this.#pins--;
      held = false;
    };
  }

  // ---- snapshots

  freeze(): FrozenVersions {
    assert(this.#pending.length === 0, () => "the store is frozen while something is pending");
    const [revision, compactedRevision] = [this.#revision, this.#compacted];
    const [oldest] = this.#sql.exec("SELECT revision FROM revisions ORDER BY revision LIMIT 1").toArray();
    return {
      revision,
      compactedRevision,
      versionsFrom: (key, after) => this.#keptFrom(key, after, compactedRevision, revision),
      record: (at) => this.#record(this.#stored(at, at)[0]!, compactedRevision),
      firstRecord: Math.max(compactedRevision, Number(oldest?.["revision"] ?? revision + 1)),
      release: this.pin(),
    };
  }

  /** As in MemoryVersionStore: what is visible at `compacted` or came after it, until `revision`. */
  *#keptFrom(key: Bytes, after: number, compacted: number, revision: number): Generator<KeyValue, void, void> {
    const query = `SELECT key, mod FROM versions v WHERE (key, mod) > (?1, ?2) AND mod <= ?4
      AND (mod > ?3 OR (version > 0 AND mod = (SELECT max(mod) FROM versions b WHERE b.key = v.key AND b.mod <= ?3)))
      ORDER BY key, mod LIMIT ?5`;
    let [from, mod] = [blob(key), after];
    for (;;) {
      const rows = this.#sql.exec(query, from, mod, compacted, revision, PAGE_KEYS).toArray();
      for (const row of rows) yield this.#version(row["key"] as ArrayBuffer, Number(row["mod"]))!;
      if (rows.length < PAGE_KEYS) return;
      const last = rows.at(-1)!;
      [from, mod] = [last["key"] as ArrayBuffer, Number(last["mod"])];
    }
  }

  adopt({ revision, compactedRevision, keys, entries, log, bytes, hash }: LoadedVersions): void {
    for (const table of ["versions", "live", "revisions"]) this.#sql.exec(`DELETE FROM ${table}`);
    let live = 0;
    keys.forEach((key, at) => {
      const entry = entries[at]!;
      let newest: KeyValue | undefined;
      for (const kv of entry instanceof KeyHistory ? entry.after(-1) : [entry]) this.#insert((newest = kv), blob(kv.key));
      if (newest === undefined || !isLive(newest)) return;
      live++;
      this.#sql.exec("INSERT INTO live (key, mod) VALUES (?, ?)", blob(key), newest.modRevision);
    });
    for (let at = log.first; at < log.end; at++) {
      const entry = log.entry(at);
      const record = { revision: at, time: log.time(at), keys: kvsOf(entry).map((kv) => kv.key), note: noteOf(entry) };
      writeRevision(this.#sql, record, log.freedBetween(at, at));
    }
    const freedTo = Math.max(1, compactedRevision);
    this.setTotals({ revision, compacted: compactedRevision, freedTo, bytes, unreachable: 0, hash, keys: live });
  }

  raiseRevision(revision: number): void {
    assert(this.#pending.length === 0 && this.#pins === 0, () => "the revision is raised while something is pending or pinned");
    assert(revision >= this.#revision, () => `the revision would go back from ${this.#revision} to ${revision}`);
    if (this.#compacted < this.#revision) this.compact(this.#revision);
    this.compactStep(Infinity);
    this.#sql.exec("DELETE FROM revisions");
    this.#revision = this.#compacted = this.#freedTo = revision;
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
    const faults: string[] = [];
    let [bytes, hash, keys] = [0, 0, 0];
    let newest: KeyValue | undefined;
    const close = (): void => {
      if (newest === undefined) return;
      const [place] = this.#sql.exec("SELECT mod FROM live WHERE key = ?", blob(newest.key)).toArray();
      const known = isLive(newest) ? newest.modRevision : undefined;
      if (place?.["mod"] !== known)
        faults.push(`${JSON.stringify(newest.key)} is live at ${String(place?.["mod"])}, and its newest is ${known}`);
      if (known === undefined) return;
      hash = (hash + versionHash(newest)) | 0;
      keys++;
    };
    for (const row of this.#sql.exec(`SELECT ${COLUMNS} FROM versions ORDER BY key, mod`).toArray()) {
      const kv = versionOf(row);
      bytes += versionBytes(kv);
      if (newest?.key !== kv.key) close();
      newest = kv;
    }
    close();
    const listed = Number(this.#sql.exec("SELECT count(*) AS keys FROM live").toArray()[0]!["keys"]);
    if (bytes !== this.#bytes) faults.push(`the store has ${bytes} bytes and says ${this.#bytes}`);
    if (hash !== this.#hash) faults.push(`the live versions hash to ${hash} and the store says ${this.#hash}`);
    if (keys !== this.#keys || listed !== keys)
      faults.push(`${keys} keys are live, ${listed} are listed, and the store says ${this.#keys}`);
    if (this.#freedTo >= this.#compacted && this.#unreachable !== 0) faults.push(`${this.#unreachable} bytes are said to be unreachable`);
    return faults;
  }
}

/** What `versionBytes` adds. */
const OVERHEAD = versionBytes(makeTombstone(EMPTY, 0));

/** @throws QuorateError requestTooLarge, with the limit */
function refuseTooLarge(bytes: number): void {
  if (bytes <= ROW_BYTES_MAX) return;
  const message = `etcdserver: request is too large: key and value have ${bytes} bytes, and a row of a Durable Object takes ${ROW_BYTES_MAX}`;
  throw new QuorateError("invalidArgument", "requestTooLarge", message, { bytes, bytesMax: ROW_BYTES_MAX });
}
