/** Writes to the version store that keep the lease table in step: the one way to write a key (lease-table.ts, invariant). */
import type { Bytes } from "../../bytes/bytes.ts";
import { type KeyValue, type LeaseId, NO_LEASE } from "../command.ts";
import type { VersionStore } from "../version-store-port.ts";
import type { LeaseTable } from "../state-storage-port.ts";

interface NewVersion {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly lease: LeaseId;
  readonly contentType: Bytes | undefined;
}

export class LeasedKeys {
  readonly #store: VersionStore;
  readonly #leases: LeaseTable;

  constructor(store: VersionStore, leases: LeaseTable) {
    this.#store = store;
    this.#leases = leases;
  }

  /** @param lease "0" or a lease that exists. @returns the new version */
  put(key: Bytes, value: Bytes, lease: LeaseId, contentType?: Bytes): KeyValue {
    return this.replace(this.#store.get(key), { key, value, lease, contentType });
  }

  /** As `put`, for a caller that has just read the live version. */
  replace(old: KeyValue | undefined, { key, value, lease, contentType }: NewVersion): KeyValue {
    if (old !== undefined && old.lease !== NO_LEASE && old.lease !== lease) this.#leases.detach(old.lease, key);
    // The table's own string for the id: one object shared by all keys of a lease.
    const shared = lease === NO_LEASE ? NO_LEASE : (this.#leases.get(lease)?.id ?? lease);
    if (shared !== NO_LEASE) this.#leases.attach(shared, key);
    return this.#store.put(key, value, shared, contentType);
  }

  /** @returns the version that was live, undefined when the key was not there */
  delete(key: Bytes): KeyValue | undefined {
    const old = this.#store.delete(key);
    if (old !== undefined && old.lease !== NO_LEASE) this.#leases.detach(old.lease, key);
    return old;
  }
}
