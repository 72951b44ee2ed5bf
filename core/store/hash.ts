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
}

/** 32 bits, unsigned. O(leases). */
export function stateHash(state: HashedState): number {
  let h = hashNumber(0x9e3779b9, state.versions);
  h = hashNumber(h, state.revision);
  h = hashNumber(h, state.compactedRevision);
  h = hashNumber(h, state.clockMs);
  for (const lease of state.leases) h = hashLease(h, lease);
  for (const { memberId, alarm } of state.alarms) h = hashBytes(hashBytes(h, alarm), memberId);
  return finishHash(h);
}

function hashLease(hash: number, lease: Lease): number {
  let h = hashBytes(hash, lease.id);
  h = hashNumber(h, lease.ttlSeconds);
  h = hashNumber(h, lease.remainingMs ?? -1);
  if (lease.v2 !== null) h = hashNumber(hashBytes(h, lease.v2.path), lease.v2.expiresAt);
  return h;
}
