/**
 * etcd's Lock service: `/v3/lock/lock` answers when the lock is held, with the key that stands for it; whoever deletes that key, or lets
 * its lease end, lets go. A client that hangs up while it waits leaves the queue.
 * Source: etcd 3.4's v3lock/lock.go.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import { errEmptyKey } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Cancellation } from "./cancellation.ts";
import { type Joined, LeaseQueues } from "./concurrency.ts";
import type { HeaderOnly } from "./messages.ts";
import type { LockRequestMessage, LockResponseMessage, UnlockRequestMessage } from "./recipe-messages.ts";
import { headerOf } from "./response-header.ts";
import type { Every } from "./watch.ts";

export class LockService {
  readonly #member: Member;
  readonly #queues: LeaseQueues;

  constructor(member: Member, every: Every) {
    this.#member = member;
    this.#queues = new LeaseQueues(member, every, "mutex");
  }

  async lock({ name, lease }: LockRequestMessage, cancellation: Cancellation): Promise<LockResponseMessage> {
    const session = await this.#queues.session(lease);
    let joined: Joined | null = null;
    try {
      joined = await this.#queues.join(name, session.lease, EMPTY);
      const { revision } = joined.isFirst ? joined : await this.#queues.untilFirst(joined.place, cancellation);
      return { header: headerOf(this.#member, revision), key: joined.place.key };
    } catch (error) {
      await this.#queues.giveUp(session, joined);
      throw error;
    } finally {
      session.release();
    }
  }

  async unlock({ key }: UnlockRequestMessage): Promise<HeaderOnly> {
    if (key === EMPTY) throw errEmptyKey();
    const { revision } = await this.#member.propose({ kind: "delete", key, end: EMPTY, prevKv: false });
    return { header: headerOf(this.#member, revision) };
  }
}
