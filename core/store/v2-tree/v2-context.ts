/**
 * What the state machine lends to the v2 tree: the keys it is a view of, the leases that carry its TTLs, and one commit.
 *
 * How it is used: `applyV2(command, time, context)` checks everything first and throws a QuorateError with nothing written; otherwise
 * it writes through `put` and `delete` and calls `commit` once. `expireV2(lease, time, context)` does the same for the end of a TTL,
 * or writes nothing when the node is gone; the state machine removes the lease afterwards. A node written without a TTL over one with
 * a TTL takes the old lease away with `leases.remove` (its key is detached by the write). New leases: `leases.grant(
 * leases.unusedId(store.openRevision), ttlSeconds, { path, expiresAt })` before the `put` that carries it.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { KeyValue, LeaseId } from "../command.ts";
import type { LeaseTable } from "../state-storage-port.ts";
import type { VersionStore } from "../version-store-port.ts";
import type { V2Note } from "./v2-command.ts";

export interface V2Context {
  /** For reading; writes go through `put` and `delete` below, so that leases stay attached to the right keys. */
  readonly store: VersionStore;
  readonly leases: LeaseTable;
  /** @param lease "0" or a lease that exists */
  put(key: Bytes, value: Bytes, lease: LeaseId): KeyValue;
  /** @returns the version that was live, undefined when the key was not there */
  delete(key: Bytes): KeyValue | undefined;
  /**
   * Gives the writes their revision (`store.openRevision` until then) and tells the watches.
   * @returns the revision, the same as before when nothing was written
   */
  commit(note: V2Note | null): number;
}
