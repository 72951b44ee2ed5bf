/**
 * The messages of etcd's services KV, Watch and Lease, and what they share: for each a type and the table that describes it.
 * Those of the other services are in `cluster-messages.ts` and `recipe-messages.ts`.
 *
 * Revisions, counts and seconds are numbers; ids (leases, members, watches) are decimal text; see `message-table.ts`.
 * Source: names and field numbers of etcd 3.4's etcdserverpb/rpc.proto and mvccpb/kv.proto.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { KeyValue, LeaseId } from "../../store/command.ts";
import {
  type EnumTable,
  type MessageTable,
  bool,
  bytes,
  enumeration,
  int64,
  int64Text,
  many,
  message,
  one,
  oneOf,
  repeated,
  string,
  uint64,
  uint64Text,
} from "./message-table.ts";

export interface ResponseHeader {
  readonly clusterId: string;
  readonly memberId: string;
  readonly revision: number;
  readonly raftTerm: number;
}
export const RESPONSE_HEADER: MessageTable<ResponseHeader> = message("etcdserverpb.ResponseHeader", {
  clusterId: uint64Text("cluster_id", 1),
  memberId: uint64Text("member_id", 2),
  revision: int64("revision", 3),
  raftTerm: uint64("raft_term", 4),
});

const header = one(() => RESPONSE_HEADER, "header", 1);

/** A reply that says nothing but that it was done: of compaction, revoke, defragment, most of auth, resign and so on. */
export interface HeaderOnly {
  readonly header: ResponseHeader | null;
}
export const headerOnly = (name: string): MessageTable<HeaderOnly> => message<HeaderOnly>(name, { header });
/** A request without fields. */
export const empty = (name: string): MessageTable<object> => message(name, {});

/** The store's own versions of keys are the messages. */
export const KEY_VALUE: MessageTable<KeyValue> = message("mvccpb.KeyValue", {
  key: bytes("key", 1),
  createRevision: int64("create_revision", 2),
  modRevision: int64("mod_revision", 3),
  version: int64("version", 4),
  value: bytes("value", 5),
  lease: int64Text("lease", 6),
});

// ---- KV

export const SORT_ORDER: EnumTable = { name: "etcdserverpb.RangeRequest_SortOrder", values: ["NONE", "ASCEND", "DESCEND"] };
export const SORT_TARGET: EnumTable = {
  name: "etcdserverpb.RangeRequest_SortTarget",
  values: ["KEY", "VERSION", "CREATE", "MOD", "VALUE"],
};
export const COMPARE_RESULT: EnumTable = {
  name: "etcdserverpb.Compare_CompareResult",
  values: ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"],
};
export const COMPARE_TARGET: EnumTable = {
  name: "etcdserverpb.Compare_CompareTarget",
  values: ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"],
};

export interface RangeRequestMessage {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}
export const RANGE_REQUEST: MessageTable<RangeRequestMessage> = message("etcdserverpb.RangeRequest", {
  key: bytes("key", 1),
  rangeEnd: bytes("range_end", 2),
  limit: int64("limit", 3),
  revision: int64("revision", 4),
  sortOrder: enumeration(SORT_ORDER, "sort_order", 5),
  sortTarget: enumeration(SORT_TARGET, "sort_target", 6),
  serializable: bool("serializable", 7),
  keysOnly: bool("keys_only", 8),
  countOnly: bool("count_only", 9),
  minModRevision: int64("min_mod_revision", 10),
  maxModRevision: int64("max_mod_revision", 11),
  minCreateRevision: int64("min_create_revision", 12),
  maxCreateRevision: int64("max_create_revision", 13),
});

export interface RangeResponseMessage {
  readonly header: ResponseHeader | null;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}
export const RANGE_RESPONSE: MessageTable<RangeResponseMessage> = message("etcdserverpb.RangeResponse", {
  header,
  kvs: many(() => KEY_VALUE, "kvs", 2),
  more: bool("more", 3),
  count: int64("count", 4),
});

export interface PutRequestMessage {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly lease: LeaseId;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}
export const PUT_REQUEST: MessageTable<PutRequestMessage> = message("etcdserverpb.PutRequest", {
  key: bytes("key", 1),
  value: bytes("value", 2),
  lease: int64Text("lease", 3),
  prevKv: bool("prev_kv", 4),
  ignoreValue: bool("ignore_value", 5),
  ignoreLease: bool("ignore_lease", 6),
});

export interface PutResponseMessage {
  readonly header: ResponseHeader | null;
  readonly prevKv: KeyValue | null;
}
export const PUT_RESPONSE: MessageTable<PutResponseMessage> = message("etcdserverpb.PutResponse", {
  header,
  prevKv: one(() => KEY_VALUE, "prev_kv", 2),
});

export interface DeleteRangeRequestMessage {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly prevKv: boolean;
}
export const DELETE_RANGE_REQUEST: MessageTable<DeleteRangeRequestMessage> = message("etcdserverpb.DeleteRangeRequest", {
  key: bytes("key", 1),
  rangeEnd: bytes("range_end", 2),
  prevKv: bool("prev_kv", 3),
});

export interface DeleteRangeResponseMessage {
  readonly header: ResponseHeader | null;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}
export const DELETE_RANGE_RESPONSE: MessageTable<DeleteRangeResponseMessage> = message("etcdserverpb.DeleteRangeResponse", {
  header,
  deleted: int64("deleted", 2),
  prevKvs: many(() => KEY_VALUE, "prev_kvs", 3),
});

/** At most one is set; none: an operation that etcd refuses. */
export interface RequestOpMessage {
  readonly requestRange: RangeRequestMessage | null;
  readonly requestPut: PutRequestMessage | null;
  readonly requestDeleteRange: DeleteRangeRequestMessage | null;
  readonly requestTxn: TxnRequestMessage | null;
}
export const REQUEST_OP: MessageTable<RequestOpMessage> = message("etcdserverpb.RequestOp", {
  requestRange: one(() => RANGE_REQUEST, "request_range", 1, { oneOf: "request" }),
  requestPut: one(() => PUT_REQUEST, "request_put", 2, { oneOf: "request" }),
  requestDeleteRange: one(() => DELETE_RANGE_REQUEST, "request_delete_range", 3, { oneOf: "request" }),
  requestTxn: one(() => TXN_REQUEST, "request_txn", 4, { oneOf: "request" }),
});

export interface ResponseOpMessage {
  readonly responseRange: RangeResponseMessage | null;
  readonly responsePut: PutResponseMessage | null;
  readonly responseDeleteRange: DeleteRangeResponseMessage | null;
  readonly responseTxn: TxnResponseMessage | null;
}
export const RESPONSE_OP: MessageTable<ResponseOpMessage> = message("etcdserverpb.ResponseOp", {
  responseRange: one(() => RANGE_RESPONSE, "response_range", 1, { oneOf: "response" }),
  responsePut: one(() => PUT_RESPONSE, "response_put", 2, { oneOf: "response" }),
  responseDeleteRange: one(() => DELETE_RANGE_RESPONSE, "response_delete_range", 3, { oneOf: "response" }),
  responseTxn: one(() => TXN_RESPONSE, "response_txn", 4, { oneOf: "response" }),
});

/** Of the five operands at most one is set. */
export interface CompareMessage {
  readonly result: number;
  readonly target: number;
  readonly key: Bytes;
  readonly version: number | null;
  readonly createRevision: number | null;
  readonly modRevision: number | null;
  readonly value: Bytes | null;
  readonly lease: LeaseId | null;
  readonly rangeEnd: Bytes;
}
export const COMPARE: MessageTable<CompareMessage> = message("etcdserverpb.Compare", {
  result: enumeration(COMPARE_RESULT, "result", 1),
  target: enumeration(COMPARE_TARGET, "target", 2),
  key: bytes("key", 3),
  version: oneOf("target_union", int64("version", 4)),
  createRevision: oneOf("target_union", int64("create_revision", 5)),
  modRevision: oneOf("target_union", int64("mod_revision", 6)),
  value: oneOf("target_union", bytes("value", 7)),
  lease: oneOf("target_union", int64Text("lease", 8)),
  rangeEnd: bytes("range_end", 64),
});

export interface TxnRequestMessage {
  readonly compare: readonly CompareMessage[];
  readonly success: readonly RequestOpMessage[];
  readonly failure: readonly RequestOpMessage[];
}
export const TXN_REQUEST: MessageTable<TxnRequestMessage> = message("etcdserverpb.TxnRequest", {
  compare: many(() => COMPARE, "compare", 1),
  success: many(() => REQUEST_OP, "success", 2),
  failure: many(() => REQUEST_OP, "failure", 3),
});

export interface TxnResponseMessage {
  readonly header: ResponseHeader | null;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOpMessage[];
}
export const TXN_RESPONSE: MessageTable<TxnResponseMessage> = message("etcdserverpb.TxnResponse", {
  header,
  succeeded: bool("succeeded", 2),
  responses: many(() => RESPONSE_OP, "responses", 3),
});

export interface CompactionRequestMessage {
  readonly revision: number;
  readonly physical: boolean;
}
export const COMPACTION_REQUEST: MessageTable<CompactionRequestMessage> = message("etcdserverpb.CompactionRequest", {
  revision: int64("revision", 1),
  physical: bool("physical", 2),
});
export const COMPACTION_RESPONSE = headerOnly("etcdserverpb.CompactionResponse");

// ---- Watch

export const FILTER_TYPE: EnumTable = { name: "etcdserverpb.WatchCreateRequest_FilterType", values: ["NOPUT", "NODELETE"] };
export const EVENT_TYPE: EnumTable = { name: "mvccpb.Event_EventType", values: ["PUT", "DELETE"] };

export interface WatchCreateRequestMessage {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  /** Numbers of `FILTER_TYPE`. */
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly watchId: string;
  readonly fragment: boolean;
}
export const WATCH_CREATE_REQUEST: MessageTable<WatchCreateRequestMessage> = message("etcdserverpb.WatchCreateRequest", {
  key: bytes("key", 1),
  rangeEnd: bytes("range_end", 2),
  startRevision: int64("start_revision", 3),
  progressNotify: bool("progress_notify", 4),
  filters: repeated(enumeration(FILTER_TYPE, "filters", 5)),
  prevKv: bool("prev_kv", 6),
  watchId: int64Text("watch_id", 7),
  fragment: bool("fragment", 8),
});

export interface WatchCancelRequestMessage {
  readonly watchId: string;
}
export const WATCH_CANCEL_REQUEST: MessageTable<WatchCancelRequestMessage> = message("etcdserverpb.WatchCancelRequest", {
  watchId: int64Text("watch_id", 1),
});
export const WATCH_PROGRESS_REQUEST = empty("etcdserverpb.WatchProgressRequest");

/** At most one is set. */
export interface WatchRequestMessage {
  readonly createRequest: WatchCreateRequestMessage | null;
  readonly cancelRequest: WatchCancelRequestMessage | null;
  readonly progressRequest: object | null;
}
export const WATCH_REQUEST: MessageTable<WatchRequestMessage> = message("etcdserverpb.WatchRequest", {
  createRequest: one(() => WATCH_CREATE_REQUEST, "create_request", 1, { oneOf: "request_union" }),
  cancelRequest: one(() => WATCH_CANCEL_REQUEST, "cancel_request", 2, { oneOf: "request_union" }),
  progressRequest: one(() => WATCH_PROGRESS_REQUEST, "progress_request", 3, { oneOf: "request_union" }),
});

export interface EventMessage {
  /** A number of `EVENT_TYPE`. */
  readonly type: number;
  readonly kv: KeyValue | null;
  readonly prevKv: KeyValue | null;
}
export const EVENT: MessageTable<EventMessage> = message("mvccpb.Event", {
  type: enumeration(EVENT_TYPE, "type", 1),
  kv: one(() => KEY_VALUE, "kv", 2),
  prevKv: one(() => KEY_VALUE, "prev_kv", 3),
});

export interface WatchResponseMessage {
  readonly header: ResponseHeader | null;
  readonly watchId: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly EventMessage[];
}
export const WATCH_RESPONSE: MessageTable<WatchResponseMessage> = message("etcdserverpb.WatchResponse", {
  header,
  watchId: int64Text("watch_id", 2),
  created: bool("created", 3),
  canceled: bool("canceled", 4),
  compactRevision: int64("compact_revision", 5),
  cancelReason: string("cancel_reason", 6),
  fragment: bool("fragment", 7),
  events: many(() => EVENT, "events", 11),
});

// ---- Lease

export interface LeaseGrantRequestMessage {
  readonly ttl: number;
  readonly id: LeaseId;
}
export const LEASE_GRANT_REQUEST: MessageTable<LeaseGrantRequestMessage> = message("etcdserverpb.LeaseGrantRequest", {
  ttl: int64("TTL", 1),
  id: int64Text("ID", 2),
});

export interface LeaseGrantResponseMessage {
  readonly header: ResponseHeader | null;
  readonly id: LeaseId;
  readonly ttl: number;
  readonly error: string;
}
export const LEASE_GRANT_RESPONSE: MessageTable<LeaseGrantResponseMessage> = message("etcdserverpb.LeaseGrantResponse", {
  header,
  id: int64Text("ID", 2),
  ttl: int64("TTL", 3),
  error: string("error", 4),
});

/** A request that names one lease: revoke and keep-alive. */
export interface LeaseIdRequestMessage {
  readonly id: LeaseId;
}
export const LEASE_REVOKE_REQUEST: MessageTable<LeaseIdRequestMessage> = message("etcdserverpb.LeaseRevokeRequest", {
  id: int64Text("ID", 1),
});
export const LEASE_REVOKE_RESPONSE = headerOnly("etcdserverpb.LeaseRevokeResponse");
export const LEASE_KEEP_ALIVE_REQUEST: MessageTable<LeaseIdRequestMessage> = message("etcdserverpb.LeaseKeepAliveRequest", {
  id: int64Text("ID", 1),
});

export interface LeaseKeepAliveResponseMessage {
  readonly header: ResponseHeader | null;
  readonly id: LeaseId;
  readonly ttl: number;
}
export const LEASE_KEEP_ALIVE_RESPONSE: MessageTable<LeaseKeepAliveResponseMessage> = message("etcdserverpb.LeaseKeepAliveResponse", {
  header,
  id: int64Text("ID", 2),
  ttl: int64("TTL", 3),
});

export interface LeaseTimeToLiveRequestMessage {
  readonly id: LeaseId;
  readonly keys: boolean;
}
export const LEASE_TIME_TO_LIVE_REQUEST: MessageTable<LeaseTimeToLiveRequestMessage> = message("etcdserverpb.LeaseTimeToLiveRequest", {
  id: int64Text("ID", 1),
  keys: bool("keys", 2),
});

export interface LeaseTimeToLiveResponseMessage {
  readonly header: ResponseHeader | null;
  readonly id: LeaseId;
  readonly ttl: number;
  readonly grantedTtl: number;
  readonly keys: readonly Bytes[];
}
export const LEASE_TIME_TO_LIVE_RESPONSE: MessageTable<LeaseTimeToLiveResponseMessage> = message("etcdserverpb.LeaseTimeToLiveResponse", {
  header,
  id: int64Text("ID", 2),
  ttl: int64("TTL", 3),
  grantedTtl: int64("grantedTTL", 4),
  keys: repeated(bytes("keys", 5)),
});

export const LEASE_LEASES_REQUEST = empty("etcdserverpb.LeaseLeasesRequest");
export const LEASE_STATUS: MessageTable<LeaseIdRequestMessage> = message("etcdserverpb.LeaseStatus", { id: int64Text("ID", 1) });

export interface LeaseLeasesResponseMessage {
  readonly header: ResponseHeader | null;
  readonly leases: readonly LeaseIdRequestMessage[];
}
export const LEASE_LEASES_RESPONSE: MessageTable<LeaseLeasesResponseMessage> = message("etcdserverpb.LeaseLeasesResponse", {
  header,
  leases: many(() => LEASE_STATUS, "leases", 2),
});
