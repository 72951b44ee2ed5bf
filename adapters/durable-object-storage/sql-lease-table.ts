/** The leases in SQLite tables; the same answers and hashes as MemoryLeaseTable. Nothing is held in memory but numbers. */
import type { Bytes } from "../../core/bytes/bytes.ts";
import { errLeaseExists, errLeaseNotFound, errLeaseTtlTooLarge } from "../../core/errors.ts";
import { type LeaseId, NO_LEASE } from "../../core/store/command.ts";
import { leaseHash } from "../../core/store/hash.ts";
import {
  LEASE_TTL_SECONDS_MAX,
  type Lease,
  type LeaseListener,
  type MemoryLeaseTable,
  OWN_IDS_FROM,
  type V2Expiry,
} from "../../core/store/lease/lease-table.ts";
import type { LeaseTable } from "../../core/store/state-storage-port.ts";
import { blob, bytesOf } from "./revision-records.ts";
import type { SqlDatabase, SqlValue } from "./sql-database.ts";

export interface LeaseTotals {
  readonly count: number;
  readonly hash: number;
  /** Of the next lease in the order of granting. */
  readonly next: number;
}

export const NO_LEASES: LeaseTotals = { count: 0, hash: 0, next: 0 };

const COLUMNS = "id, ttl, remaining, path, expires";

function leaseOf({ id, ttl, remaining, path, expires }: Record<string, SqlValue>): Lease {
  return {
    id: String(id),
    ttlSeconds: Number(ttl),
    remainingMs: remaining === null ? null : Number(remaining),
    v2: path === null ? null : { path: bytesOf(path), expiresAt: Number(expires) },
  };
}

export class SqlLeaseTable implements LeaseTable {
  readonly #sql: SqlDatabase;
  #count = 0;
  #hash = 0;
  #next = 0;
  #listener: LeaseListener | null = null;

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
  }

  totals(): LeaseTotals {
    return { count: this.#count, hash: this.#hash, next: this.#next };
  }

  setTotals({ count, hash, next }: LeaseTotals): void {
    this.#count = count;
    this.#hash = hash;
    this.#next = next;
  }

  listen(listener: LeaseListener): void {
    this.#listener = listener;
  }

  get hash(): number {
    return this.#hash;
  }

  get size(): number {
    return this.#count;
  }

  get(id: LeaseId): Lease | undefined {
    const [row] = this.#sql.exec(`SELECT ${COLUMNS} FROM leases WHERE id = ?`, id).toArray();
    return row === undefined ? undefined : leaseOf(row);
  }

  all(): Iterable<Lease> {
    return this.#sql.exec(`SELECT ${COLUMNS} FROM leases ORDER BY place`).toArray().map(leaseOf);
  }

  grant(id: LeaseId, ttlSeconds: number, v2: V2Expiry | null): Lease {
    if (id === NO_LEASE) throw errLeaseNotFound();
    if (ttlSeconds > LEASE_TTL_SECONDS_MAX) throw errLeaseTtlTooLarge();
    if (this.get(id) !== undefined) throw errLeaseExists();
    const lease: Lease = { id, ttlSeconds, remainingMs: null, v2 };
    this.#insert(lease);
    this.#listener?.granted(id, ttlSeconds);
    return lease;
  }

  #insert(lease: Lease): void {
    const { id, ttlSeconds, remainingMs, v2 } = lease;
    this.#sql.exec(
      "INSERT INTO leases (id, place, ttl, remaining, path, expires) VALUES (?, ?, ?, ?, ?, ?)",
      id,
      this.#next++,
      ttlSeconds,
      remainingMs,
      v2 === null ? null : blob(v2.path),
      v2 === null ? null : v2.expiresAt,
    );
    this.#count++;
    this.#hash = (this.#hash + leaseHash(lease)) >>> 0;
  }

  unusedId(seed: number): LeaseId {
    for (let id = OWN_IDS_FROM + BigInt(seed); ; id++) {
      const text = id.toString();
      if (this.get(text) === undefined) return text;
    }
  }

  remove(id: LeaseId): void {
    const lease = this.get(id);
    if (lease === undefined) throw errLeaseNotFound();
    this.#sql.exec("DELETE FROM leases WHERE id = ?", id);
    this.#sql.exec("DELETE FROM lease_keys WHERE lease = ?", id);
    this.#count--;
    this.#hash = (this.#hash - leaseHash(lease)) >>> 0;
    this.#listener?.revoked(id);
  }

  checkpoint(id: LeaseId, remainingMs: number): boolean {
    const lease = this.get(id);
    if (lease === undefined) return false;
    const left = remainingMs < lease.ttlSeconds * 1000 ? remainingMs : null;
    this.#sql.exec("UPDATE leases SET remaining = ? WHERE id = ?", left, id);
    this.#hash = (this.#hash - leaseHash(lease) + leaseHash({ ...lease, remainingMs: left })) >>> 0;
    this.#listener?.checkpointed(id, remainingMs);
    return true;
  }

  attach(id: LeaseId, key: Bytes): void {
    this.#sql.exec("INSERT OR IGNORE INTO lease_keys (lease, key) VALUES (?, ?)", id, blob(key));
  }

  detach(id: LeaseId, key: Bytes): void {
    this.#sql.exec("DELETE FROM lease_keys WHERE lease = ? AND key = ?", id, blob(key));
  }

  keys(id: LeaseId): Bytes[] {
    const rows = this.#sql.exec("SELECT key FROM lease_keys WHERE lease = ? ORDER BY key", id).toArray();
    return rows.map(({ key }) => bytesOf(key));
  }

  isAttached(id: LeaseId, key: Bytes): boolean {
    return this.#sql.exec("SELECT 1 FROM lease_keys WHERE lease = ? AND key = ?", id, blob(key)).toArray().length > 0;
  }

  keyCount(id: LeaseId): number {
    return Number(this.#sql.exec("SELECT count(*) AS keys FROM lease_keys WHERE lease = ?", id).toArray()[0]!["keys"]);
  }

  adopt(read: MemoryLeaseTable): void {
    this.#sql.exec("DELETE FROM leases");
    this.#sql.exec("DELETE FROM lease_keys");
    this.setTotals(NO_LEASES);
    this.#listener?.reset();
    for (const lease of read.all()) {
      this.#insert(lease);
      for (const key of read.keys(lease.id)) this.attach(lease.id, key);
      this.#listener?.granted(lease.id, lease.ttlSeconds);
    }
  }

  check(): string[] {
    let [hash, count] = [0, 0];
    for (const lease of this.all()) {
      hash = (hash + leaseHash(lease)) >>> 0;
      count++;
    }
    const faults = hash === this.#hash ? [] : [`the leases hash to ${hash} and the table says ${this.#hash}`];
    if (count !== this.#count) faults.push(`there are ${count} leases and the table says ${this.#count}`);
    return faults;
  }
}
