/**
 * The hash of the whole replicated state: equal states have equal hashes on every member and runtime, however they were reached, and
 * however much of a compaction is worked off. The versions come in as a sum that the store keeps (`VersionStore.hash`); the rest is
 * small and hashed when asked. MurmurHash3's mixing: it finds divergence, it is no defence against an adversary.
 */
import type { Alarm } from "./command.ts";
import type { Lease } from "./lease/lease-table.ts";
import { finishHash, hashBytes, hashNumber } from "./mvcc/version.ts";

export interface HashedState {
  /** `VersionStore.hash()`. */
  readonly versions: number;
  readonly revision: number;
  readonly compactedRevision: number;
  readonly clockMs: number;
  /** In the order of granting. */
  readonly leases: Iterable<Lease>;
  /** In the order of raising. */
  readonly alarms: readonly Alarm[];
  /** Count and `SessionTable.hash`. */
  readonly sessions: { readonly size: number; readonly hash: number };
  /** `AuthStore.hash`: 0 while there never were users. */
  readonly auth: number;
}

/** 32 bits, unsigned. O(leases). */
export function stateHash(state: HashedState): number {
  let h = hashNumber(0x9e3779b9, state.versions);
  h = hashNumber(h, state.revision);
  h = hashNumber(h, state.compactedRevision);
  h = hashNumber(h, state.clockMs);
  for (const lease of state.leases) h = hashLease(h, lease);
  for (const { memberId, alarm } of state.alarms) h = hashBytes(hashBytes(h, alarm), memberId);
  return finishHash(withLater(h, state));
}

/** Without sessions and users the hash is what it was before there were any: older snapshots are checked by it. */
function withLater(hash: number, { sessions, auth }: Pick<HashedState, "sessions" | "auth">): number {
  const h = sessions.size === 0 ? hash : hashNumber(hashNumber(hash, sessions.size), sessions.hash);
  return auth === 0 ? h : hashNumber(h, auth);
}

/**
 * As `stateHash`, from what is kept incrementally, so that it costs as much with a hundred thousand leases as with none: what members
 * compare while they serve. Another number than `stateHash`, which snapshots carry. 32 bits, unsigned.
 */
export function runningHash(state: Omit<HashedState, "leases"> & { readonly leases: number; readonly leaseCount: number }): number {
  let h = hashNumber(0x85ebca6b, state.versions);
  h = hashNumber(h, state.revision);
  h = hashNumber(h, state.compactedRevision);
  h = hashNumber(h, state.clockMs);
  h = hashNumber(hashNumber(h, state.leases), state.leaseCount);
  for (const { memberId, alarm } of state.alarms) h = hashBytes(hashBytes(h, alarm), memberId);
  return finishHash(withLater(h, state));
}

/** Of one lease: sums of these, modulo 2^32, are hashes of tables. */
export function leaseHash(lease: Lease): number {
  return finishHash(hashLease(0xc2b2ae35, lease));
}

function hashLease(hash: number, lease: Lease): number {
  let h = hashBytes(hash, lease.id);
  h = hashNumber(h, lease.ttlSeconds);
  h = hashNumber(h, lease.remainingMs ?? -1);
  if (lease.v2 !== null) h = hashNumber(hashBytes(h, lease.v2.path), lease.v2.expiresAt);
  return h;
}
