/**
 * etcd's Cluster service. The list is whole; changes are refused with etcd's own errors where the request is at fault, and otherwise
 * plainly, since this member is the only one its cluster can have.
 * Source: etcd's rpc.proto, v3rpc/member.go, and pkg/types/urls.go for what a peer URL may be.
 */
import {
  errMemberBadUrls,
  errMemberNotFound,
  errMemberNotLearner,
  errNotEnoughStarted,
  errPeerUrlExists,
  errUnsupported,
} from "../../errors.ts";
import type { Member, PeerInfo } from "../../replica/member.ts";
import type {
  MemberAddRequestMessage,
  MemberIdRequestMessage,
  MemberMessage,
  MemberUpdateRequestMessage,
  MembersResponseMessage,
} from "./cluster-messages.ts";
import { headerWithoutRevision } from "./response-header.ts";

export class ClusterService {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  list(): MembersResponseMessage | Promise<MembersResponseMessage> {
    const barrier = this.#member.readBarrier();
    return barrier === undefined ? this.#list() : barrier.then(() => this.#list());
  }

  #list(): MembersResponseMessage {
    return { header: headerWithoutRevision(this.#member), members: this.#member.members().map(memberOf) };
  }

  /** @throws QuorateError memberBadUrls, peerUrlExists, unsupported */
  add({ peerUrls }: MemberAddRequestMessage): never {
    if (peerUrls.length === 0 || !peerUrls.every(isPeerUrl)) throw errMemberBadUrls();
    const taken = new Set(this.#member.members().flatMap((member) => member.peerUrls));
    if (peerUrls.some((url) => taken.has(url))) throw errPeerUrlExists();
    throw unsupported("a member cannot be added");
  }

  /** @throws QuorateError memberNotFound, notEnoughStarted */
  remove({ id }: MemberIdRequestMessage): never {
    this.#find(id);
    throw errNotEnoughStarted(); // it is the only one
  }

  /** @throws QuorateError memberNotFound, unsupported */
  update({ id }: MemberUpdateRequestMessage): never {
    this.#find(id);
    throw unsupported("the peer URLs of a member cannot be changed");
  }

  /** @throws QuorateError memberNotFound, memberNotLearner */
  promote({ id }: MemberIdRequestMessage): never {
    if (!this.#find(id).learner) throw errMemberNotLearner();
    throw unsupported("a learner cannot be promoted");
  }

  #find(id: string): PeerInfo {
    const member = this.#member.members().find((one) => one.id === id);
    if (member === undefined) throw errMemberNotFound();
    return member;
  }
}

function unsupported(what: string) {
  return errUnsupported(`quorate: ${what}: this server runs as a cluster of one member`);
}

function memberOf({ id, name, peerUrls, clientUrls, learner }: PeerInfo): MemberMessage {
  return { id, name, peerUrls, clientUrls, isLearner: learner };
}

/** scheme://host:port and nothing after it; the schemes are etcd's. */
const PEER_URL = /^(?:https?|unixs?):\/\/(?:\[[0-9A-Fa-f:.%]*\]|[^/?#:[\]@\s]*):[^/?#:\s]*(?:[?#].*)?$/;

function isPeerUrl(url: string): boolean {
  return PEER_URL.test(url.trim());
}
