/**
 * When each lease ends, in memory, on the leader's monotonic clock. The log holds only facts (granted, revoked, checkpointed); deadlines are
 * this member's own and are rebuilt on taking office, so that a change of leader extends leases and never shortens them
 * (Gray and Cheriton 1989; etcd `lease/lessor.go` follows the same rule).
 *
 * One queue entry a lease: a renewal changes the deadline only, and an entry that comes up early goes back with the new one.
 */
import TinyQueue from "tinyqueue";
import type { LeaseId } from "../store/command.ts";
import type { LeaseDeadlines } from "./lease-deadlines-port.ts";

interface Due {
  readonly id: LeaseId;
  at: number;
}

interface Term {
  deadline: number;
  /** The entry in the queue, so that a shorter deadline can be told from a renewal. */
  due: Due;
}

export class LeaseClock implements LeaseDeadlines {
  readonly areStored = false;
  readonly #terms = new Map<LeaseId, Term>();
  #queue = new TinyQueue<Due>([], (a, b) => a.at - b.at);

  /** Starts or restarts the term of a lease. @param deadline on the monotonic clock, in milliseconds */
  set(id: LeaseId, deadline: number): void {
    const term = this.#terms.get(id);
    if (term && deadline >= term.due.at) {
      term.deadline = deadline;
      return;
    }
    const due = { id, at: deadline };
    this.#terms.set(id, { deadline, due });
    this.#queue.push(due);
  }

  settled(): undefined {}

  delete(id: LeaseId): void {
    this.#terms.delete(id);
  }

  clear(): void {
    this.#terms.clear();
    this.#queue = new TinyQueue<Due>([], (a, b) => a.at - b.at);
  }

  deadline(id: LeaseId): number | undefined {
    return this.#terms.get(id)?.deadline;
  }

  /** The lease that ended first, at or before `now`; it leaves the clock, and comes back by `set`. */
  takeExpired(now: number): LeaseId | undefined {
    for (let due = this.#queue.peek(); due && due.at <= now; due = this.#queue.peek()) {
      this.#queue.pop();
      const term = this.#terms.get(due.id);
      if (!term || term.due !== due) continue; // revoked, or replaced by an earlier deadline
      if (term.deadline > now) {
        due.at = term.deadline;
        this.#queue.push(due);
        continue;
      }
      this.#terms.delete(due.id);
      return due.id;
    }
    return undefined;
  }

  earliest(): number | undefined {
    return this.#queue.peek()?.at;
  }

  /** Remaining milliseconds of every lease, in no order. */
  *remaining(now: number): Iterable<readonly [LeaseId, number]> {
    for (const [id, term] of this.#terms) yield [id, Math.max(0, term.deadline - now)];
  }
}
