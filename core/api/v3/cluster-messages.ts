/**
 * The messages of etcd's services Cluster and Maintenance.
 * Source: names and field numbers of etcd 3.4's etcdserverpb/rpc.proto.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import {
  type EnumTable,
  type MessageTable,
  bool,
  bytes,
  enumeration,
  int64,
  many,
  message,
  one,
  repeated,
  string,
  uint32,
  uint64,
  uint64Text,
} from "./message-table.ts";
import { RESPONSE_HEADER, type ResponseHeader, empty, headerOnly } from "./messages.ts";

const header = one(() => RESPONSE_HEADER, "header", 1);

// ---- Cluster

export interface MemberMessage {
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}
export const MEMBER: MessageTable<MemberMessage> = message("etcdserverpb.Member", {
  id: uint64Text("ID", 1),
  name: string("name", 2),
  peerUrls: repeated(string("peerURLs", 3)),
  clientUrls: repeated(string("clientURLs", 4)),
  isLearner: bool("isLearner", 5),
});

export interface MemberAddRequestMessage {
  readonly peerUrls: readonly string[];
  readonly isLearner: boolean;
}
export const MEMBER_ADD_REQUEST: MessageTable<MemberAddRequestMessage> = message("etcdserverpb.MemberAddRequest", {
  peerUrls: repeated(string("peerURLs", 1)),
  isLearner: bool("isLearner", 2),
});

export interface MemberAddResponseMessage {
  readonly header: ResponseHeader | null;
  readonly member: MemberMessage | null;
  readonly members: readonly MemberMessage[];
}
export const MEMBER_ADD_RESPONSE: MessageTable<MemberAddResponseMessage> = message("etcdserverpb.MemberAddResponse", {
  header,
  member: one(() => MEMBER, "member", 2),
  members: many(() => MEMBER, "members", 3),
});

/** A request that names one member: remove and promote. */
export interface MemberIdRequestMessage {
  readonly id: string;
}
export const MEMBER_REMOVE_REQUEST: MessageTable<MemberIdRequestMessage> = message("etcdserverpb.MemberRemoveRequest", {
  id: uint64Text("ID", 1),
});
export const MEMBER_PROMOTE_REQUEST: MessageTable<MemberIdRequestMessage> = message("etcdserverpb.MemberPromoteRequest", {
  id: uint64Text("ID", 1),
});

export interface MemberUpdateRequestMessage {
  readonly id: string;
  readonly peerUrls: readonly string[];
}
export const MEMBER_UPDATE_REQUEST: MessageTable<MemberUpdateRequestMessage> = message("etcdserverpb.MemberUpdateRequest", {
  id: uint64Text("ID", 1),
  peerUrls: repeated(string("peerURLs", 2)),
});

/** `linearizable` is of etcd 3.5; 3.4 ignores it. */
export interface MemberListRequestMessage {
  readonly linearizable: boolean;
}
export const MEMBER_LIST_REQUEST: MessageTable<MemberListRequestMessage> = message("etcdserverpb.MemberListRequest", {
  linearizable: bool("linearizable", 1),
});

/** The reply of remove, update, list and promote. */
export interface MembersResponseMessage {
  readonly header: ResponseHeader | null;
  readonly members: readonly MemberMessage[];
}
export const membersResponse = (name: string): MessageTable<MembersResponseMessage> =>
  message<MembersResponseMessage>(name, { header, members: many(() => MEMBER, "members", 2) });
export const MEMBER_REMOVE_RESPONSE = membersResponse("etcdserverpb.MemberRemoveResponse");
export const MEMBER_UPDATE_RESPONSE = membersResponse("etcdserverpb.MemberUpdateResponse");
export const MEMBER_LIST_RESPONSE = membersResponse("etcdserverpb.MemberListResponse");
export const MEMBER_PROMOTE_RESPONSE = membersResponse("etcdserverpb.MemberPromoteResponse");

// ---- Maintenance

export const ALARM_ACTION: EnumTable = { name: "etcdserverpb.AlarmRequest_AlarmAction", values: ["GET", "ACTIVATE", "DEACTIVATE"] };
export const ALARM_TYPE: EnumTable = { name: "etcdserverpb.AlarmType", values: ["NONE", "NOSPACE", "CORRUPT"] };

export interface AlarmRequestMessage {
  /** A number of `ALARM_ACTION`. */
  readonly action: number;
  readonly memberId: string;
  /** A number of `ALARM_TYPE`. */
  readonly alarm: number;
}
export const ALARM_REQUEST: MessageTable<AlarmRequestMessage> = message("etcdserverpb.AlarmRequest", {
  action: enumeration(ALARM_ACTION, "action", 1),
  memberId: uint64Text("memberID", 2),
  alarm: enumeration(ALARM_TYPE, "alarm", 3),
});

export interface AlarmMemberMessage {
  readonly memberId: string;
  readonly alarm: number;
}
export const ALARM_MEMBER: MessageTable<AlarmMemberMessage> = message("etcdserverpb.AlarmMember", {
  memberId: uint64Text("memberID", 1),
  alarm: enumeration(ALARM_TYPE, "alarm", 2),
});

export interface AlarmResponseMessage {
  readonly header: ResponseHeader | null;
  readonly alarms: readonly AlarmMemberMessage[];
}
export const ALARM_RESPONSE: MessageTable<AlarmResponseMessage> = message("etcdserverpb.AlarmResponse", {
  header,
  alarms: many(() => ALARM_MEMBER, "alarms", 2),
});

export const STATUS_REQUEST = empty("etcdserverpb.StatusRequest");

export interface StatusResponseMessage {
  readonly header: ResponseHeader | null;
  readonly version: string;
  readonly dbSize: number;
  readonly leader: string;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly raftAppliedIndex: number;
  readonly errors: readonly string[];
  readonly dbSizeInUse: number;
  readonly isLearner: boolean;
}
export const STATUS_RESPONSE: MessageTable<StatusResponseMessage> = message("etcdserverpb.StatusResponse", {
  header,
  version: string("version", 2),
  dbSize: int64("dbSize", 3),
  leader: uint64Text("leader", 4),
  raftIndex: uint64("raftIndex", 5),
  raftTerm: uint64("raftTerm", 6),
  raftAppliedIndex: uint64("raftAppliedIndex", 7),
  errors: repeated(string("errors", 8)),
  dbSizeInUse: int64("dbSizeInUse", 9),
  isLearner: bool("isLearner", 10),
});

export const DEFRAGMENT_REQUEST = empty("etcdserverpb.DefragmentRequest");
export const DEFRAGMENT_RESPONSE = headerOnly("etcdserverpb.DefragmentResponse");

export const HASH_REQUEST = empty("etcdserverpb.HashRequest");

export interface HashResponseMessage {
  readonly header: ResponseHeader | null;
  readonly hash: number;
}
export const HASH_RESPONSE: MessageTable<HashResponseMessage> = message("etcdserverpb.HashResponse", { header, hash: uint32("hash", 2) });

export interface HashKvRequestMessage {
  readonly revision: number;
}
export const HASH_KV_REQUEST: MessageTable<HashKvRequestMessage> = message("etcdserverpb.HashKVRequest", {
  revision: int64("revision", 1),
});

export interface HashKvResponseMessage {
  readonly header: ResponseHeader | null;
  readonly hash: number;
  readonly compactRevision: number;
}
export const HASH_KV_RESPONSE: MessageTable<HashKvResponseMessage> = message("etcdserverpb.HashKVResponse", {
  header,
  hash: uint32("hash", 2),
  compactRevision: int64("compact_revision", 3),
});

export const SNAPSHOT_REQUEST = empty("etcdserverpb.SnapshotRequest");

export interface SnapshotResponseMessage {
  readonly header: ResponseHeader | null;
  readonly remainingBytes: number;
  readonly blob: Bytes;
}
export const SNAPSHOT_RESPONSE: MessageTable<SnapshotResponseMessage> = message("etcdserverpb.SnapshotResponse", {
  header,
  remainingBytes: uint64("remaining_bytes", 2),
  blob: bytes("blob", 3),
});

export interface MoveLeaderRequestMessage {
  readonly targetId: string;
}
export const MOVE_LEADER_REQUEST: MessageTable<MoveLeaderRequestMessage> = message("etcdserverpb.MoveLeaderRequest", {
  targetId: uint64Text("targetID", 1),
});
export const MOVE_LEADER_RESPONSE = headerOnly("etcdserverpb.MoveLeaderResponse");
