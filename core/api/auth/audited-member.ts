/**
 * A member that tells of all that somebody changes through it: who, from where, by which request, which keys — never values — and what came
 * of it. What a member does by itself, such as ending a lease, is nobody's request and is not told.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import { utf8Decode } from "../../bytes/utf8.ts";
import { isQuorateError } from "../../errors.ts";
import type { Member, PeerInfo, ProposalAttributes } from "../../replica/member.ts";
import { touchCommand } from "../../store/auth/touched-keys.ts";
import type { Applied, CommandBody, KeyRange, LeaseId, ResultOf } from "../../store/command.ts";
import type { StoreView } from "../../store/store-view.ts";
import type { RequestSource } from "../exchange.ts";

export interface AuditRecord extends RequestSource {
  /** Empty: authentication is off, or nobody said who. null: a token that is none. */
  readonly user: string | null;
  /** Of a scoped token. */
  readonly scoped?: true;
  /** `put`, `delete`, `txn`, `leaseRevoke`, `userAdd`, `memberRemove` and so on. */
  readonly operation: string;
  /** That were written, or would have been; of a range, its beginning and its end. */
  readonly keys?: readonly (string | readonly [string, string])[];
  /** What it was done to, where that is no key: a user, a role, a lease, a member. */
  readonly subject?: string;
  /** At which it was done. */
  readonly revision?: number;
  /** Reason of a refusal, or of an outcome that is not known. */
  readonly error?: string;
}

export type Audit = (record: AuditRecord) => void;

/** Whose request it is. */
export type Whose = Pick<AuditRecord, "user" | "scoped"> & RequestSource;

/** Keys told of one command; more are cut off. */
const KEYS_MAX = 200;

export class AuditedMember implements Member {
  readonly #member: Member;
  readonly #audit: Audit;
  readonly #whose: Whose;

  constructor(member: Member, audit: Audit, whose: Whose) {
    this.#member = member;
    this.#audit = audit;
    this.#whose = whose;
  }

  get clusterId(): string {
    return this.#member.clusterId;
  }

  get memberId(): string {
    return this.#member.memberId;
  }

  get store(): StoreView {
    return this.#member.store;
  }

  get isLearner(): boolean {
    return this.#member.isLearner;
  }

  async propose<B extends CommandBody>(body: B, attributes?: ProposalAttributes): Promise<Applied<ResultOf<B["kind"]>>> {
    try {
      const applied = await this.#member.propose(body, attributes);
      const done = this.#written(body, applied.result);
      if (done !== undefined) this.#audit({ ...this.#whose, ...done, revision: applied.revision });
      return applied;
    } catch (error) {
      this.#audit({ ...this.#whose, ...(this.#written(body, undefined) ?? { operation: body.kind }), error: reasonOf(error) });
      throw error;
    }
  }

  /** @returns undefined for a transaction that has written nothing */
  #written(body: CommandBody, result: unknown): Pick<AuditRecord, "operation" | "keys" | "subject"> | undefined {
    const operation = operationOf(body);
    if (body.kind === "auth") return { operation, subject: "name" in body.change ? body.change.name : "" };
    if (body.kind === "compact") return { operation, subject: String(body.revision) };
    if (body.kind === "alarm") return { operation, subject: `${body.action} ${body.alarm.alarm}` };
    const subject = body.kind === "leaseGrant" || body.kind === "leaseRevoke" ? { subject: body.id } : {};
    const keys: (string | readonly [string, string])[] = [];
    touchCommand(
      branchOf(body, result),
      (lease) => this.#member.store.lease(lease)?.keys ?? [],
      (need, range) => {
        if (need === "write" && keys.length < KEYS_MAX) keys.push(textOf(range));
      },
    );
    if (body.kind === "txn" && keys.length === 0) return undefined;
    return { operation, ...subject, ...(keys.length === 0 ? {} : { keys }) };
  }

  status(): ReturnType<Member["status"]> {
    return this.#member.status();
  }

  members(): readonly PeerInfo[] {
    return this.#member.members();
  }

  readBarrier(): Promise<void> | undefined {
    return this.#member.readBarrier();
  }

  keepAlive(id: LeaseId): Promise<number> {
    return this.#member.keepAlive(id);
  }

  leaseRemainingSeconds(id: LeaseId): Promise<number> {
    return this.#member.leaseRemainingSeconds(id);
  }

  newLeaseId(): LeaseId {
    return this.#member.newLeaseId();
  }

  addMember(peerUrls: readonly string[], learner: boolean): Promise<PeerInfo> {
    return this.#told(learner ? "memberAddLearner" : "memberAdd", peerUrls.join(), () => this.#member.addMember(peerUrls, learner));
  }

  removeMember(id: string): Promise<void> {
    return this.#told("memberRemove", id, () => this.#member.removeMember(id));
  }

  updateMember(id: string, peerUrls: readonly string[]): Promise<void> {
    return this.#told("memberUpdate", id, () => this.#member.updateMember(id, peerUrls));
  }

  promoteMember(id: string): Promise<void> {
    return this.#told("memberPromote", id, () => this.#member.promoteMember(id));
  }

  moveLeader(to: string): Promise<void> {
    return this.#told("moveLeader", to, () => this.#member.moveLeader(to));
  }

  /** Everything there is leaves the store. */
  snapshot(): AsyncIterable<Uint8Array> {
    const snapshot = this.#member.snapshot();
    this.#audit({ ...this.#whose, operation: "snapshot" });
    return snapshot;
  }

  defragment(): Promise<void> {
    return this.#told("defragment", this.memberId, () => this.#member.defragment());
  }

  async #told<T>(operation: string, subject: string, act: () => Promise<T>): Promise<T> {
    try {
      const done = await act();
      this.#audit({ ...this.#whose, operation, subject });
      return done;
    } catch (error) {
      this.#audit({ ...this.#whose, operation, subject, error: reasonOf(error) });
      throw error;
    }
  }
}

function operationOf(body: CommandBody): string {
  if (body.kind === "auth") return body.change.op;
  return body.kind === "v2" ? `v2 ${body.method}` : body.kind;
}

/** Of a transaction, what was done: the other branch is left out where it is known which. */
function branchOf(body: CommandBody, result: unknown): CommandBody {
  if (body.kind !== "txn" || result === undefined) return body;
  const { succeeded } = result as { readonly succeeded: boolean };
  return succeeded ? { ...body, failure: [] } : { ...body, success: [] };
}

function textOf({ key, end }: KeyRange): string | readonly [string, string] {
  return end === EMPTY ? utf8Decode(key) : [utf8Decode(key), utf8Decode(end)];
}

function reasonOf(error: unknown): string {
  return isQuorateError(error) ? error.reason : "internal";
}
