/**
 * etcd's v2 API (https://etcd.io/docs/v2.3/api/): keys, statistics, members. One entry decides by the decoded path, as etcd does, so
 * that `/v2/%6beys/a` is `/v2/keys/a`; a path that is not in its shortest form is sent on by 301.
 */
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { ApiReply, ApiRequest, Route } from "../exchange.ts";
import { KeysHandler } from "./keys.ts";
import { handleMachines, handleMembers } from "./members.ts";
import { CORS, notFoundPage, preflight, textReply } from "./replies.ts";
import { handleStats } from "./stats.ts";
import { StoreCounters } from "./store-counters.ts";
import { cleanPath, decodePath, looksClean, redirectTo } from "./url-path.ts";

export interface V2Deps {
  readonly member: Member;
  readonly authenticator: Authenticator;
  /** The wall clock, in milliseconds since 1970: what remaining TTLs are counted from. */
  readonly now: () => number;
}

const KEYS = "/v2/keys";
const MEMBERS = "/v2/members";
const STATS = "/v2/stats/";
/** Of etcd's users for v2, which are not those for v3. Here there are only the latter. */
const AUTH = ["/v2/auth/enable", "/v2/auth/users", "/v2/auth/roles"];

/** Every route of the v2 API. All are `unary`: a wait takes no body, and its reply is a stream. */
export function v2Routes(deps: V2Deps): Route[] {
  const { now, authenticator } = deps;
  const counters = new StoreCounters();
  const shared = new KeysHandler({ member: deps.member, isRestricted: false, now, counters });

  const handle = (request: ApiRequest): ApiReply | Promise<ApiReply> => {
    const member = authenticator.basicMemberFor(request);
    return member instanceof Promise ? member.then((known) => answer(request, known)) : answer(request, member);
  };

  const answer = (request: ApiRequest, member: Member): ApiReply | Promise<ApiReply> => {
    const keys = member === deps.member ? shared : new KeysHandler({ member, isRestricted: true, now, counters });
    const { method } = request;
    if (method === "OPTIONS") return preflight();
    const path = decodePath(request.path);
    if (path === undefined) return textReply(400, "400 Bad Request");
    if (!looksClean(path)) {
      const clean = cleanPath(path);
      if (clean !== path) return redirectTo(clean, method, request.query);
    }
    if (path.startsWith(KEYS) && isWhole(path, KEYS)) return keys.handle(request, path.slice(KEYS.length) as Bytes);
    if (path.startsWith(MEMBERS) && isWhole(path, MEMBERS)) return handleMembers(member, request, path.slice(MEMBERS.length) as Bytes);
    if (path.startsWith(STATS)) return handleStats({ member, now, counters }, method, path.slice(STATS.length) as Bytes);
    if (path === "/v2/machines") return handleMachines(member, method);
    if (AUTH.some((prefix) => path.startsWith(prefix) && isWhole(path, prefix))) return authReply();
    return notFoundPage();
  };

  const paths = ["/v2/keys", "/v2/keys/*", "/v2", "/v2/*"];
  return paths.map((path) => ({ method: "*", path, kind: "unary", handle }));
}

/** True when `prefix` is the whole path or ends at a slash of it. */
function isWhole(path: Bytes, prefix: string): boolean {
  return path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f;
}

/** In the form of an error of etcd's, whose text its clients show; they do not show that of a status of 500 and above. */
function authReply(): ApiReply {
  const message = "auth: v2 has no users of its own here; it obeys those of v3 (/v3/auth, etcdctl with ETCDCTL_API=3)";
  return { status: 404, headers: { ...CORS, "content-type": "application/json" }, body: ascii(JSON.stringify({ message })) };
}
