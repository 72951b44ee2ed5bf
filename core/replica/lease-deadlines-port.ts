/**
 * Port: when each lease ends, on the leader's clock. In memory (`LeaseClock`) they are rebuilt on taking office, so that a change of leader
 * extends leases and never shortens them; where the member sleeps between requests they are stored. One suite for both:
 * test/contract/lease-deadlines-port.ts.
 */
import type { LeaseId } from "../store/command.ts";

export interface LeaseDeadlines {
  /** They outlive the process: taking office neither forgets them nor gives any lease a new term. */
  readonly areStored: boolean;
  /** Starts or restarts the term of a lease. @param deadline on the leader's clock, in milliseconds */
  set(id: LeaseId, deadline: number): void;
  /** Resolves when all that was set is as durable as the leases themselves; undefined: it is. */
  settled(): Promise<void> | undefined;
  delete(id: LeaseId): void;
  clear(): void;
  deadline(id: LeaseId): number | undefined;
  /** The lease that ended first, at or before `now`; it has no deadline from then on, and comes back by `set`. */
  takeExpired(now: number): LeaseId | undefined;
  /** When to ask for expired leases next: at or before the first end; undefined when there is none. */
  earliest(): number | undefined;
  /** Remaining milliseconds of every lease whose term ends with the process, in no order. */
  remaining(now: number): Iterable<readonly [LeaseId, number]>;
}
