/**
 * etcd's Election service: `campaign` answers when its key is the oldest, which makes it the leader; `proclaim` changes the leader's
 * value, `resign` gives the office up, `leader` tells who holds it, `observe` follows it.
 * Source: etcd 3.4's v3election/election.go.
 */
import { errElectionNoKey } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Cancellation } from "./cancellation.ts";
import { type Joined, LeaseQueues } from "./concurrency.ts";
import type { HeaderOnly } from "./messages.ts";
import type {
  CampaignRequestMessage,
  CampaignResponseMessage,
  LeaderKeyMessage,
  LeaderRequestMessage,
  LeaderResponseMessage,
  ProclaimRequestMessage,
  ResignRequestMessage,
} from "./recipe-messages.ts";
import { headerOf } from "./response-header.ts";
import type { Every } from "./watch.ts";

export class ElectionService {
  readonly #member: Member;
  readonly #queues: LeaseQueues;

  constructor(member: Member, every: Every) {
    this.#member = member;
    this.#queues = new LeaseQueues(member, every, "election");
  }

  /** The header has the revision of joining, also after a long wait, as in etcd. */
  async campaign({ name, lease, value }: CampaignRequestMessage, cancellation: Cancellation): Promise<CampaignResponseMessage> {
    const session = await this.#queues.session(lease);
    let joined: Joined | null = null;
    try {
      joined = await this.#queues.join(name, session.lease, value);
      const { place, before } = joined;
      if (before !== null && before.value !== value) await this.#queues.proclaim(place, value);
      if (!joined.isFirst) await this.#queues.untilFirst(place, cancellation);
      const leader = { name, key: place.key, rev: place.createRevision, lease: place.lease };
      return { header: headerOf(this.#member, joined.revision), leader };
    } catch (error) {
      await this.#queues.giveUp(session, joined);
      throw error;
    } finally {
      session.release();
    }
  }

  async proclaim({ leader, value }: ProclaimRequestMessage): Promise<HeaderOnly> {
    const { key, rev, lease } = given(leader);
    const session = await this.#queues.session(lease);
    try {
      const { revision } = await this.#queues.proclaim({ key, createRevision: rev, lease: session.lease }, value);
      return { header: headerOf(this.#member, revision) };
    } catch (error) {
      await this.#queues.giveUp(session, null);
      throw error;
    } finally {
      session.release();
    }
  }

  async resign({ leader }: ResignRequestMessage): Promise<HeaderOnly> {
    const { key, rev } = given(leader);
    const { revision } = await this.#queues.leave({ key, createRevision: rev });
    return { header: headerOf(this.#member, revision) };
  }

  async leader({ name }: LeaderRequestMessage): Promise<LeaderResponseMessage> {
    const { kv, revision } = await this.#queues.first(name);
    return { header: headerOf(this.#member, revision), kv };
  }

  async *observe({ name }: LeaderRequestMessage, cancellation: Cancellation): AsyncGenerator<LeaderResponseMessage, void, void> {
    for await (const { kv, revision } of this.#queues.observe(name, cancellation)) {
      yield { header: headerOf(this.#member, revision), kv };
    }
  }
}

function given(leader: LeaderKeyMessage | null): LeaderKeyMessage {
  if (leader === null) throw errElectionNoKey();
  return leader;
}
