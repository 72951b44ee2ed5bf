/** `/v2/stats/self`, `/v2/stats/leader` and `/v2/stats/store`. */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import type { Member } from "../../replica/member.ts";
import type { ApiReply } from "../exchange.ts";
import { formatDuration, formatTime } from "./go-values.ts";
import { hexId } from "./hex-id.ts";
import { jsonString } from "./json.ts";
import { CORS, methodNotAllowed, notFoundPage } from "./replies.ts";
import type { StoreCounters } from "./store-counters.ts";

export interface StatsDeps {
  readonly member: Member;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly counters: StoreCounters;
}

/** @param name what follows `/v2/stats/` */
export function handleStats(deps: StatsDeps, method: string, name: Bytes): ApiReply {
  if (name !== "self" && name !== "leader" && name !== "store") return notFoundPage();
  if (method !== "GET") {
    const refused = methodNotAllowed("GET");
    return method === "HEAD" ? { ...refused, body: EMPTY } : refused;
  }
  if (name === "self") return jsonReply(200, encodeSelf(deps));
  if (name === "store") return jsonReply(200, encodeStore(deps));
  return leaderReply(deps);
}

function jsonReply(status: number, body: string): ApiReply {
  return { status, headers: { ...CORS, "content-type": "application/json" }, body: body as Bytes };
}

function encodeSelf({ member, now }: StatsDeps): string {
  const status = member.status();
  const name = member.members().find((peer) => peer.id === member.memberId)?.name ?? "";
  const state = status.leaderId === member.memberId ? "StateLeader" : "StateFollower";
  const leader = `{"leader":"${hexId(status.leaderId)}","uptime":"${formatDuration(now() - status.leaderSince)}","startTime":"${formatTime(status.leaderSince)}"}`;
  // Append messages between members: there are none while there is one member.
  return (
    `{"name":${jsonString(utf8Encode(name))},"id":"${hexId(member.memberId)}","state":"${state}",` +
    `"startTime":"${formatTime(status.startedAt)}","leaderInfo":${leader},"recvAppendRequestCnt":0,"sendAppendRequestCnt":0}`
  );
}

function encodeStore({ member, counters }: StatsDeps): string {
  const { expireCount, watcherCount } = member.store.v2;
  return `{${counters.encode()},"expireCount":${expireCount},"watchers":${watcherCount}}`;
}

function leaderReply({ member }: StatsDeps): ApiReply {
  if (member.status().leaderId !== member.memberId) return jsonReply(403, '{"message":"not current leader"}');
  return jsonReply(200, `{"leader":"${hexId(member.memberId)}","followers":{}}`);
}
