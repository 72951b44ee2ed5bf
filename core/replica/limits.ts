/** Bounds of one member's queues, and the reasons for them. */

/** Proposals that wait for the log at once; more are refused with "too many requests". As etcd's gap between committed and applied. */
export const PENDING_PROPOSALS_MAX = 5_000;
/** Bytes of those proposals. */
export const PENDING_BYTES_MAX = 64 * 1024 * 1024;
/** Leases ended a second at most, so that a mass expiry does not drown everything else. (etcd's `leaseRevokeRate` is 1,000.) */
export const LEASE_REVOKES_PER_SECOND = 5_000;
/** And at once: far below what may be pending. */
export const LEASE_REVOKES_AT_ONCE = 700;
/** Leases longer than this have their remaining time written to the log, so that frequent restarts cannot renew them for ever. */
export const LEASE_CHECKPOINT_INTERVAL_MS = 5 * 60_000;
/** Leases in one checkpoint command. */
export const LEASE_CHECKPOINT_BATCH = 1_000;
/** Log bytes since the last snapshot that cause one, whatever the number of entries. */
export const SNAPSHOT_LOG_BYTES = 512 * 1024 * 1024;
/** Keys and revisions that one slice of a physical compaction looks at: a few milliseconds at most. */
export const COMPACTION_SLICE = 2_000;
/** A member that does not lead gives up passing a request on after this time: etcd's request timeout of 5 s and two election timeouts. */
export const FORWARD_MS_MAX = 7_000;

/** How often the leader has all members compare their states. */
export const HASH_CHECK_INTERVAL_MS = 60_000;
