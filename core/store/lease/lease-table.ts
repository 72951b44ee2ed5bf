/**
 * The leases, as replicated facts: who has which time to live, what is attached. No clock runs here; deadlines are the leader's own
 * (Gray and Cheriton, "Leases", 1989; etcd keeps the same split). The ends of v2 TTLs are leases of kind `v2`, granted by the v2 tree
 * under ids of its own.
 *
 * Memory: one key attached (the usual case) is held as a bare string, more as a Set.
 * Invariant: a key is attached to lease L exactly when its live version carries L (kept by LeasedKeys).
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { errLeaseExists, errLeaseNotFound, errLeaseTtlTooLarge } from "../../errors.ts";
import { must } from "../../invariant.ts";
import { type LeaseId, NO_LEASE } from "../command.ts";
import { leaseHash } from "../hash.ts";
import type { LeaseTable } from "../state-storage-port.ts";

/** In seconds; as etcd's. */
export const LEASE_TTL_SECONDS_MAX = 9_000_000_000;

/** Ids of leases that the state machine itself makes begin here (2^62), far from what clients usually choose. */
export const OWN_IDS_FROM = 0x4000_0000_0000_0000n;

/** The end of a v2 TTL. */
export interface V2Expiry {
  /** The node that ends, a clean absolute path. */
  readonly path: Bytes;
  /** Milliseconds since 1970, on the store's clock. */
  readonly expiresAt: number;
}

export interface Lease {
  readonly id: LeaseId;
  /** As granted. */
  readonly ttlSeconds: number;
  /** The last checkpoint: what a new leader counts from; null: the whole term. */
  readonly remainingMs: number | null;
  /** null: an ordinary lease. */
  readonly v2: V2Expiry | null;
}

/** Told of every change, after it was made: the leader's expiry clock. Must not call back into the table's writes. */
export interface LeaseListener {
  granted(id: LeaseId, ttlSeconds: number): void;
  revoked(id: LeaseId): void;
  checkpointed(id: LeaseId, remainingMs: number): void;
  /** The table was replaced as a whole (a snapshot): forget everything and read it again. */
  reset(): void;
}

interface Row extends Lease {
  remainingMs: number | null;
  keys: null | Bytes | Set<Bytes>;
}

export class MemoryLeaseTable implements LeaseTable {
  #rows = new Map<LeaseId, Row>();
  /** Sum of the hashes of all rows, modulo 2^32. */
  #hash = 0;
  #listener: LeaseListener | null = null;

  listen(listener: LeaseListener): void {
    this.#listener = listener;
  }

  /** Equal tables have equal hashes, in whatever order leases were granted. O(1). */
  get hash(): number {
    return this.#hash;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(id: LeaseId): Lease | undefined {
    return this.#rows.get(id);
  }

  /** Every lease, in the order of granting. Not to be changed while iterating. */
  all(): Iterable<Lease> {
    return this.#rows.values();
  }

  /** @throws QuorateError leaseNotFound (for id "0"), leaseTtlTooLarge, leaseExists, in this order, as etcd */
  grant(id: LeaseId, ttlSeconds: number, v2: V2Expiry | null): Lease {
    if (id === NO_LEASE) throw errLeaseNotFound();
    if (ttlSeconds > LEASE_TTL_SECONDS_MAX) throw errLeaseTtlTooLarge();
    if (this.#rows.has(id)) throw errLeaseExists();
    const row: Row = { id, ttlSeconds, remainingMs: null, v2, keys: null };
    this.#rows.set(id, row);
    this.#hash = (this.#hash + leaseHash(row)) >>> 0;
    this.#listener?.granted(id, ttlSeconds);
    return row;
  }

  /** An id that no lease has; the same state and seed give the same id everywhere. @param seed the store's open revision */
  unusedId(seed: number): LeaseId {
    for (let id = OWN_IDS_FROM + BigInt(seed); ; id++) {
      const text = id.toString();
      if (!this.#rows.has(text)) return text;
    }
  }

  /** The keys that were attached are the caller's to delete first. @throws QuorateError leaseNotFound */
  remove(id: LeaseId): void {
    const row = this.#rows.get(id);
    if (row === undefined) throw errLeaseNotFound();
    this.#rows.delete(id);
    this.#hash = (this.#hash - leaseHash(row)) >>> 0;
    this.#listener?.revoked(id);
  }

  /** @param remainingMs the whole term, or more, takes the checkpoint back. @returns false when there is no such lease */
  checkpoint(id: LeaseId, remainingMs: number): boolean {
    const row = this.#rows.get(id);
    if (row === undefined) return false;
    this.#hash = (this.#hash - leaseHash(row)) >>> 0;
    row.remainingMs = remainingMs < row.ttlSeconds * 1000 ? remainingMs : null;
    this.#hash = (this.#hash + leaseHash(row)) >>> 0;
    this.#listener?.checkpointed(id, remainingMs);
    return true;
  }

  /** The lease must exist (who writes has checked). Attaching twice is attaching once. */
  attach(id: LeaseId, key: Bytes): void {
    const row = must(this.#rows.get(id), () => `lease ${id} is attached to a key but was never granted`);
    if (row.keys === null) row.keys = key;
    else if (typeof row.keys !== "string") row.keys.add(key);
    else if (row.keys !== key) row.keys = new Set([row.keys, key]);
  }

  detach(id: LeaseId, key: Bytes): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.keys === null) return;
    if (typeof row.keys === "string") {
      if (row.keys === key) row.keys = null;
      return;
    }
    row.keys.delete(key);
    if (row.keys.size === 1) for (const last of row.keys) row.keys = last;
  }

  /** Keys attached, in byte order; a fresh array. Empty when there is no such lease. */
  keys(id: LeaseId): Bytes[] {
    const keys = this.#rows.get(id)?.keys ?? null;
    if (keys === null) return [];
    return typeof keys === "string" ? [keys] : [...keys].sort();
  }

  isAttached(id: LeaseId, key: Bytes): boolean {
    const keys = this.#rows.get(id)?.keys ?? null;
    return typeof keys === "string" ? keys === key : keys !== null && keys.has(key);
  }

  keyCount(id: LeaseId): number {
    const keys = this.#rows.get(id)?.keys ?? null;
    return keys === null ? 0 : typeof keys === "string" ? 1 : keys.size;
  }

  /** Recomputes what is kept incrementally and lists each fault. O(n). */
  check(): string[] {
    let hash = 0;
    for (const row of this.#rows.values()) hash = (hash + leaseHash(row)) >>> 0;
    return hash === this.#hash ? [] : [`the leases hash to ${hash} and the table says ${this.#hash}`];
  }

  /** Takes over the rows of another table, which must not be used afterwards: a snapshot was restored into it. */
  adopt(other: MemoryLeaseTable): void {
    this.#rows = other.#rows;
    this.#hash = other.#hash;
    other.#rows = new Map();
    other.#hash = 0;
    this.#listener?.reset();
    for (const row of this.#rows.values()) this.#listener?.granted(row.id, row.ttlSeconds);
  }
}
