/**
 * etcd's Election service: `campaign` answers when its key is the oldest, which makes it the leader; `proclaim` changes the leader's
 * value, `resign` gives the office up, `leader` tells who holds it, `observe` follows it.
 * Source: etcd 3.4's v3election/election.go.
 */
import { errElectionNoKey } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import { type OnInternalError, v3Error } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler, ReplySink } from "../exchange.ts";
import { Cancellation } from "./cancellation.ts";
import { type Joined, LeaseQueues } from "./concurrency.ts";
import { jsonEncoder } from "./json-codec.ts";
import type { HeaderOnly } from "./messages.ts";
import {
  CAMPAIGN_REQUEST,
  CAMPAIGN_RESPONSE,
  type CampaignRequestMessage,
  type CampaignResponseMessage,
  LEADER_REQUEST,
  LEADER_RESPONSE,
  type LeaderKeyMessage,
  type LeaderRequestMessage,
  type LeaderResponseMessage,
  PROCLAIM_REQUEST,
  PROCLAIM_RESPONSE,
  type ProclaimRequestMessage,
  RESIGN_REQUEST,
  RESIGN_RESPONSE,
  type ResignRequestMessage,
} from "./recipe-messages.ts";
import { headerOf } from "./response-header.ts";
import { SinkWriter } from "./sink-writer.ts";
import { STREAM_HEADERS, streamError, streamMessage } from "./stream.ts";
import { type WaitingDeps, requestDecoder, waiting } from "./waiting.ts";
import type { Every } from "./watch.ts";

export interface ElectionDeps extends WaitingDeps {
  readonly member: Member;
  readonly every: Every;
}

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

/** By path, without the prefix of the version. */
export function electionHandlers(deps: ElectionDeps): Map<string, Handler> {
  const shared = new ElectionService(deps.member, deps.every);
  const service: ServiceFor = (member) => (member === deps.member ? shared : new ElectionService(member, deps.every));
  return new Map([
    [
      "/election/campaign",
      waiting(CAMPAIGN_REQUEST, CAMPAIGN_RESPONSE, (request, wait, member) => service(member).campaign(request, wait), deps),
    ],
    ["/election/proclaim", waiting(PROCLAIM_REQUEST, PROCLAIM_RESPONSE, (request, _, member) => service(member).proclaim(request), deps)],
    ["/election/resign", waiting(RESIGN_REQUEST, RESIGN_RESPONSE, (request, _, member) => service(member).resign(request), deps)],
    ["/election/leader", waiting(LEADER_REQUEST, LEADER_RESPONSE, (request, _, member) => service(member).leader(request), deps)],
    ["/election/observe", observeHandler(service, deps)],
  ]);
}

type ServiceFor = (member: Member) => ElectionService;

function observeHandler(service: ServiceFor, { maxRequestBytes, onInternalError, authenticator }: ElectionDeps): Handler {
  const decode = requestDecoder(LEADER_REQUEST, maxRequestBytes);
  return (request: ApiRequest): ApiReply => {
    let message: LeaderRequestMessage;
    try {
      message = decode(request);
    } catch (error) {
      return v3Error(error, onInternalError);
    }
    const body = (sink: ReplySink): void =>
      void sendLeaders(service(authenticator.memberFor(request)), message, new SinkWriter(sink), onInternalError);
    return { status: 200, headers: STREAM_HEADERS, body };
  };
}

const encodeLeader = jsonEncoder(LEADER_RESPONSE);

/** No faster than the client reads: what it has not read is not waiting here, but in the store's history. */
async function sendLeaders(
  service: ElectionService,
  request: LeaderRequestMessage,
  writer: SinkWriter,
  onInternalError: OnInternalError,
): Promise<void> {
  const cancellation = new Cancellation();
  writer.onClose(() => cancellation.cancel());
  try {
    for await (const leader of service.observe(request, cancellation)) {
      await writer.write(streamMessage(encodeLeader(leader)));
    }
  } catch (error) {
    await writer.write(streamError(error, onInternalError));
  }
  writer.end();
}
