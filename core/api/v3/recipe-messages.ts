/**
 * The messages of etcd's services Lock and Election.
 * Source: names and field numbers of etcd 3.4's v3lockpb/v3lock.proto and v3electionpb/v3election.proto.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { KeyValue, LeaseId } from "../../store/command.ts";
import { type MessageTable, bytes, int64, int64Text, message, one } from "./message-table.ts";
import { KEY_VALUE, RESPONSE_HEADER, type ResponseHeader, headerOnly } from "./messages.ts";

const header = one(() => RESPONSE_HEADER, "header", 1);

export interface LockRequestMessage {
  readonly name: Bytes;
  readonly lease: LeaseId;
}
export const LOCK_REQUEST: MessageTable<LockRequestMessage> = message("v3lockpb.LockRequest", {
  name: bytes("name", 1),
  lease: int64Text("lease", 2),
});

export interface LockResponseMessage {
  readonly header: ResponseHeader | null;
  readonly key: Bytes;
}
export const LOCK_RESPONSE: MessageTable<LockResponseMessage> = message("v3lockpb.LockResponse", {
  header,
  key: bytes("key", 2),
});

export interface UnlockRequestMessage {
  readonly key: Bytes;
}
export const UNLOCK_REQUEST: MessageTable<UnlockRequestMessage> = message("v3lockpb.UnlockRequest", { key: bytes("key", 1) });
export const UNLOCK_RESPONSE = headerOnly("v3lockpb.UnlockResponse");

export interface CampaignRequestMessage {
  readonly name: Bytes;
  readonly lease: LeaseId;
  readonly value: Bytes;
}
export const CAMPAIGN_REQUEST: MessageTable<CampaignRequestMessage> = message("v3electionpb.CampaignRequest", {
  name: bytes("name", 1),
  lease: int64Text("lease", 2),
  value: bytes("value", 3),
});

export interface LeaderKeyMessage {
  readonly name: Bytes;
  readonly key: Bytes;
  readonly rev: number;
  readonly lease: LeaseId;
}
export const LEADER_KEY: MessageTable<LeaderKeyMessage> = message("v3electionpb.LeaderKey", {
  name: bytes("name", 1),
  key: bytes("key", 2),
  rev: int64("rev", 3),
  lease: int64Text("lease", 4),
});

export interface CampaignResponseMessage {
  readonly header: ResponseHeader | null;
  readonly leader: LeaderKeyMessage | null;
}
export const CAMPAIGN_RESPONSE: MessageTable<CampaignResponseMessage> = message("v3electionpb.CampaignResponse", {
  header,
  leader: one(() => LEADER_KEY, "leader", 2),
});

/** Of leader and of observe. */
export interface LeaderRequestMessage {
  readonly name: Bytes;
}
export const LEADER_REQUEST: MessageTable<LeaderRequestMessage> = message("v3electionpb.LeaderRequest", { name: bytes("name", 1) });

export interface LeaderResponseMessage {
  readonly header: ResponseHeader | null;
  readonly kv: KeyValue | null;
}
export const LEADER_RESPONSE: MessageTable<LeaderResponseMessage> = message("v3electionpb.LeaderResponse", {
  header,
  kv: one(() => KEY_VALUE, "kv", 2),
});

export interface ResignRequestMessage {
  readonly leader: LeaderKeyMessage | null;
}
export const RESIGN_REQUEST: MessageTable<ResignRequestMessage> = message("v3electionpb.ResignRequest", {
  leader: one(() => LEADER_KEY, "leader", 1),
});
export const RESIGN_RESPONSE = headerOnly("v3electionpb.ResignResponse");

export interface ProclaimRequestMessage {
  readonly leader: LeaderKeyMessage | null;
  readonly value: Bytes;
}
export const PROCLAIM_REQUEST: MessageTable<ProclaimRequestMessage> = message("v3electionpb.ProclaimRequest", {
  leader: one(() => LEADER_KEY, "leader", 1),
  value: bytes("value", 2),
});
export const PROCLAIM_RESPONSE = headerOnly("v3electionpb.ProclaimResponse");
