/**
 * etcd's Cluster service.
 * Source: etcd's rpc.proto and v3rpc/member.go.
 */
import { errMemberBadUrls, errMemberNotFound } from "../../errors.ts";
import type { Member, PeerInfo } from "../../replica/member.ts";
import { readPeerUrls } from "../peer-urls.ts";
import type {
  MemberAddRequestMessage,
  MemberAddResponseMessage,
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

  /** @throws QuorateError memberBadUrls, and those of `Member.addMember` */
  async add({ peerUrls, isLearner }: MemberAddRequestMessage): Promise<MemberAddResponseMessage> {
    const added = await this.#member.addMember(checkedUrls(peerUrls), isLearner);
    return { ...this.#list(), member: memberOf(added) };
  }

  /** @throws QuorateError those of `Member.removeMember` */
  async remove({ id }: MemberIdRequestMessage): Promise<MembersResponseMessage> {
    await this.#member.removeMember(id);
    return this.#list();
  }

  /** @throws QuorateError memberNotFound first, memberBadUrls, and those of `Member.updateMember` */
  async update({ id, peerUrls }: MemberUpdateRequestMessage): Promise<MembersResponseMessage> {
    if (!this.#member.members().some((member) => member.id === id)) throw errMemberNotFound();
    await this.#member.updateMember(id, checkedUrls(peerUrls));
    return this.#list();
  }

  /** @throws QuorateError those of `Member.promoteMember` */
  async promote({ id }: MemberIdRequestMessage): Promise<MembersResponseMessage> {
    await this.#member.promoteMember(id);
    return this.#list();
  }
}

function memberOf({ id, name, peerUrls, clientUrls, learner }: PeerInfo): MemberMessage {
  return { id, name, peerUrls, clientUrls, isLearner: learner };
}

/** Sorted, as etcd keeps them. @throws QuorateError memberBadUrls */
function checkedUrls(urls: readonly string[]): readonly string[] {
  const read = readPeerUrls(urls);
  if ("fault" in read) throw errMemberBadUrls();
  return read.urls;
}
