/**
 * Gathers versions, sorted by key and then revision, and what the revision log needs beside them, into the parts of a memory store.
 * What it is given comes from outside and is validated: a fault is named, never asserted.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { errMalformed } from "../../bytes/msgpack.ts";
import { type KeyValue, type LeaseId, NO_LEASE } from "../command.ts";
import type { MemoryLeaseTable } from "../lease/lease-table.ts";
import type { V2Note } from "../v2-tree/v2-command.ts";
import type { LoadedVersions } from "./memory-version-store.ts";
import { LoggedRevision, RevisionLog } from "./revision-log.ts";
import { type KeyEntry, KeyHistory, isLive, makeTombstone, makeVersion, versionBytes, versionHash } from "./version.ts";

export interface VersionLoaderOptions {
  readonly revision: number;
  readonly compactedRevision: number;
  /** The first revision that `revision` is called for. */
  readonly firstRecord: number;
  /** Already read: keys are attached here. */
  readonly leases: MemoryLeaseTable;
}

export interface LoadedVersion {
  /** null: that of the version before. */
  readonly key: Bytes | null;
  readonly value: Bytes;
  readonly created: number;
  readonly modified: number;
  readonly version: number;
  readonly lease: LeaseId;
  readonly contentType: Bytes | undefined;
}

export class VersionLoader {
  readonly #options: VersionLoaderOptions;
  readonly #keys: Bytes[] = [];
  readonly #entries: KeyEntry[] = [];
  /** By revision, from `firstRecord`: what it wrote, in key order. */
  readonly #written: (KeyValue | KeyValue[] | undefined)[] = [];
  /** By revision, from `firstRecord`: see RevisionLog. */
  readonly #freed: number[] = [];
  /** Revisions in which a key was written twice: what came before does not fit to its version number. */
  readonly #twice = new Set<number>();
  readonly #log: RevisionLog;
  #newest: KeyValue | null = null;
  #bytes = 0;
  #hash = 0;

  constructor(options: VersionLoaderOptions) {
    const { revision, compactedRevision, firstRecord } = options;
    if (revision < 1 || compactedRevision > revision || compactedRevision < -1) {
      throw errMalformed(`revision ${revision} with a compaction at ${compactedRevision}`);
    }
    if (firstRecord < Math.max(2, compactedRevision) || firstRecord > Math.max(2, compactedRevision + 1)) {
      throw errMalformed(`a log from ${firstRecord} with a compaction at ${compactedRevision}`);
    }
    this.#options = options;
    this.#log = new RevisionLog(firstRecord);
  }

  /**
   * The next version.
   * @returns what is wrong with it, or null
   */
  version({ key, value, created, modified, version, lease, contentType }: LoadedVersion): string | null {
    const { revision, compactedRevision, leases } = this.#options;
    const last = this.#newest;
    const again = key === null;
    if (again ? last === null : last !== null && key <= last.key) return "a key out of order";
    if (modified > revision || created < 0 || created > modified) return `a version of revision ${modified}`;
    if (again && last !== null && modified <= last.modRevision) return "versions out of order";
    if (version === 0 && modified <= compactedRevision) return "a tombstone that was compacted";
    // A version that was replaced may name a lease that is gone since; what is live must not (see #closeKey).
    const owner = lease === NO_LEASE ? NO_LEASE : (leases.get(lease)?.id ?? lease);
    const name = again ? last!.key : key;
    const kv = version === 0 ? makeTombstone(name, modified) : makeVersion(name, value, created, modified, version, owner, contentType);
    const fault = again ? null : this.#closeKey();
    this.#add(kv, again ? last : null);
    return fault;
  }

  #add(kv: KeyValue, before: KeyValue | null): void {
    if (before === null) {
      this.#keys.push(kv.key);
      this.#entries.push(kv);
    } else {
      const at = this.#entries.length - 1;
      const entry = this.#entries[at]!;
      if (entry instanceof KeyHistory) entry.push(kv);
      else this.#entries[at] = new KeyHistory([entry, kv]);
    }
    this.#newest = kv;
    this.#bytes += versionBytes(kv);
    const place = kv.modRevision - this.#options.firstRecord;
    if (place < 0) return;
    const written = this.#written[place];
    if (written === undefined) this.#setWritten(place, kv);
    else if (Array.isArray(written)) written.push(kv);
    else this.#written[place] = [written, kv];
    const replaced = before !== null && isLive(before);
    const freed = (replaced ? versionBytes(before) : 0) + (isLive(kv) ? 0 : versionBytes(kv));
    this.#freed[place] = this.#freed[place]! + freed;
    if (kv.modRevision > this.#options.compactedRevision && (isLive(kv) ? kv.version === 1 && replaced : !replaced)) {
      this.#twice.add(kv.modRevision);
    }
  }

  /** Keeps the arrays by revision without holes. */
  #setWritten(place: number, kv: KeyValue): void {
    while (this.#written.length <= place) {
      this.#written.push(undefined);
      this.#freed.push(0);
    }
    this.#written[place] = kv;
  }

  /** The last key is complete: its newest version counts. @returns what is wrong with it, or null */
  #closeKey(): string | null {
    const newest = this.#newest;
    if (newest === null || !isLive(newest)) return null;
    this.#hash = (this.#hash + versionHash(newest)) | 0;
    if (newest.lease === NO_LEASE) return null;
    if (this.#options.leases.get(newest.lease) === undefined) return `a live key with lease ${newest.lease}, which is not there,`;
    this.#options.leases.attach(newest.lease, newest.key);
    return null;
  }

  /**
   * The next revision, after all versions.
   * @param order null: it wrote one key. Otherwise, for each of its keys in byte order, the place it had in the order of writing
   * @throws QuorateError malformed
   */
  revision(time: number, order: readonly number[] | null, note: V2Note | null): void {
    const revision = this.#log.end;
    const place = revision - this.#options.firstRecord;
    const written = this.#written[place];
    const sorted = written === undefined ? [] : Array.isArray(written) ? written : [written];
    const freed = this.#freed[place] ?? 0;
    const twice = this.#twice.has(revision);
    this.#written[place] = undefined;
    if (order === null && sorted.length === 1 && !twice) return this.#log.append(sorted[0]!, time, freed);
    const kvs: (KeyValue | undefined)[] = sorted.map(() => undefined);
    (order ?? [0]).forEach((at, key) => {
      if (at >= 0 && at < kvs.length) kvs[at] = sorted[key];
    });
    const ordered = kvs.filter((kv) => kv !== undefined);
    if (ordered.length !== (order?.length ?? 1) || ordered.length !== sorted.length) {
      throw errMalformed(`revision ${revision} with ${sorted.length} keys in an order of ${order?.length ?? 1}`);
    }
    if (ordered.length === 0 && revision > this.#options.compactedRevision) throw errMalformed(`revision ${revision} without a key`);
    this.#log.append(new LoggedRevision(ordered, note, twice), time, freed);
  }

  /** @throws QuorateError malformed when revisions are missing */
  finish(): LoadedVersions {
    const fault = this.#closeKey();
    if (fault !== null) throw errMalformed(fault);
    const { revision, compactedRevision } = this.#options;
    if (this.#log.end !== revision + 1) throw errMalformed(`the log ends before revision ${this.#log.end} instead of after ${revision}`);
    return {
      revision,
      compactedRevision,
      keys: this.#keys,
      entries: this.#entries,
      log: this.#log,
      bytes: this.#bytes,
      hash: this.#hash,
    };
  }
}
