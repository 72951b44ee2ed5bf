/**
 * A member without a log: what is proposed is applied to its state machine at once. For tests of what stands on `Member`: the views.
 * Time stands still until the test moves it, and leases end when it does.
 */
import {
  errBadLeaderTransferee,
  errLeaseNotFound,
  errMemberNotFound,
  errMemberNotLearner,
  errNotEnoughStarted,
  errUnsupported,
} from "../../core/errors.ts";
import type { Member, MemberStatus, PeerInfo, ProposalAttributes } from "../../core/replica/member.ts";
import type { CommandAuth } from "../../core/store/auth/auth-change.ts";
import type { Applied, Command, CommandBody, LeaseId, Result, ResultOf } from "../../core/store/command.ts";
import { StateMachine } from "../../core/store/state-machine.ts";

const TERM = 2;
const STARTED_AT = Date.UTC(2026, 0, 1);

export class LocalMember implements Member {
  readonly clusterId = "10144879847569953045";
  readonly memberId = "12428976124636271536";
  readonly store = new StateMachine({ quotaBytes: 2 ** 31 });
  /** What `readBarrier` answers: by default that reads may go ahead. A test may put a promise here, or throw. */
  barrier: () => Promise<void> | undefined = () => undefined;
  isLearner = false;
  #nowMs = STARTED_AT;
  #index = 0;
  #lastLease = 1000n;
  readonly #deadlines = new Map<LeaseId, number>();

  constructor() {
    this.store.onLeases({
      granted: (id, ttlSeconds) => void this.#deadlines.set(id, this.#nowMs + ttlSeconds * 1000),
      revoked: (id) => void this.#deadlines.delete(id),
      checkpointed: () => {},
      reset: () => this.#deadlines.clear(),
    });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Moves time on and ends the leases whose time is over, in the order of their ends. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = [...this.#deadlines].filter(([, at]) => at <= this.#nowMs).sort((a, b) => a[1] - b[1]);
    for (const [id] of due) this.#apply({ kind: "leaseRevoke", id, term: TERM });
  }

  propose<B extends CommandBody>(body: B, { auth }: ProposalAttributes = {}): Promise<Applied<ResultOf<B["kind"]>>> {
    return new Promise((resolve) => resolve(this.#apply(body, auth) as Applied<ResultOf<B["kind"]>>));
  }

  #apply(body: CommandBody, auth?: CommandAuth): Applied<Result> {
    const outcome = this.store.apply({ ...body, time: this.#nowMs, ...(auth === undefined ? {} : { auth }) } as Command, {
      index: ++this.#index,
      term: TERM,
    });
    this.store.flush();
    if (!outcome.ok) throw outcome.error;
    return outcome;
  }

  readBarrier(): Promise<void> | undefined {
    return this.barrier();
  }

  status(): MemberStatus {
    return {
      leaderId: this.memberId,
      term: TERM,
      raftIndex: this.#index,
      appliedIndex: this.#index,
      diskBytes: 0,
      learner: this.isLearner,
      problems: this.store.alarms().map((alarm) => `alarm ${alarm.alarm.toUpperCase()} of member ${alarm.memberId}`),
      startedAt: STARTED_AT,
      leaderSince: STARTED_AT,
    };
  }

  members(): readonly PeerInfo[] {
    const urls = { peerUrls: ["http://127.0.0.1:2380"], clientUrls: ["http://127.0.0.1:2379"] };
    return [{ id: this.memberId, name: "default", ...urls, learner: false }];
  }

  addMember(): Promise<PeerInfo> {
    return Promise.reject(errUnsupported("quorate: the members cannot be changed: this runtime has no peers"));
  }

  async removeMember(id: string): Promise<void> {
    this.#find(id);
    throw errNotEnoughStarted();
  }

  async updateMember(id: string): Promise<void> {
    this.#find(id);
  }

  async promoteMember(id: string): Promise<void> {
    this.#find(id);
    throw errMemberNotLearner();
  }

  async moveLeader(to: string): Promise<void> {
    if (to !== this.memberId) throw errBadLeaderTransferee();
  }

  #find(id: string): void {
    if (id !== this.memberId) throw errMemberNotFound();
  }

  keepAlive(id: LeaseId): Promise<number> {
    const lease = this.store.lease(id);
    if (lease === undefined) return Promise.reject(errLeaseNotFound());
    this.#deadlines.set(id, this.#nowMs + lease.ttlSeconds * 1000);
    return Promise.resolve(lease.ttlSeconds);
  }

  leaseRemainingSeconds(id: LeaseId): Promise<number> {
    const deadline = this.#deadlines.get(id);
    if (deadline === undefined) return Promise.reject(errLeaseNotFound());
    return Promise.resolve(Math.floor((deadline - this.#nowMs) / 1000));
  }

  newLeaseId(): LeaseId {
    return (++this.#lastLease).toString();
  }

  async *snapshot(): AsyncIterable<Uint8Array> {
    const frozen = this.store.freeze({ clusterId: this.clusterId, index: this.#index, term: TERM });
    try {
      yield* frozen.chunks();
    } finally {
      frozen.release();
    }
  }

  defragment(): Promise<void> {
    while (!this.store.compactStep(1_000));
    return Promise.resolve();
  }
}
