/** The header of each reply: who answers, and the revision and term as of the answer. */
import type { Member } from "../../replica/member.ts";
import type { ResponseHeader } from "./messages.ts";

/** @param revision that the reply is about; by default that of the store, now */
export function headerOf(member: Member, revision: number = member.store.revision): ResponseHeader {
  return { clusterId: member.clusterId, memberId: member.memberId, revision, raftTerm: member.status().term };
}

/** Of replies that are not about the store: membership. */
export function headerWithoutRevision(member: Member): ResponseHeader {
  return headerOf(member, 0);
}

/** Of an answer within a transaction, which has the revision only; zero: an empty header. */
export function innerHeader(revision: number): ResponseHeader {
  return { clusterId: "0", memberId: "0", revision, raftTerm: 0 };
}
