/**
 * The routes of etcd's v3 JSON gateway that take one message: `/v3/…`, and `/v3beta/…` with the same meaning. The streaming ones
 * (watch, keep-alive, lock, election) are in files of their own.
 *
 * Besides the paths themselves there is one entry for everything else below the prefixes: it knows paths by their decoded, shortest
 * form, as etcd does: `/v3/kv/rang%65` is `/v3/kv/range`, `/v3//kv/range` is sent on by 301.
 */
import { ascii } from "../../bytes/bytes.ts";
import type { Member } from "../../replica/member.ts";
import { type OnInternalError, v3Error } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler, Route } from "../exchange.ts";
import { methodNotAllowedPage, unknownPathPage } from "../pages.ts";
import { cleanPath, decodePath, looksClean, redirectTo } from "../v2/url-path.ts";
import * as auth from "./auth-messages.ts";
import { AuthService } from "./auth-service.ts";
import * as cluster from "./cluster-messages.ts";
import { ClusterService } from "./cluster-service.ts";
import { jsonDecoder } from "./json-codec.ts";
import { KvService, type RequestLimits } from "./kv-service.ts";
import { LeaseService } from "./lease-service.ts";
import { MaintenanceService } from "./maintenance-service.ts";
import type { MessageTable } from "./message-table.ts";
import * as m from "./messages.ts";
import { snapshotWriter } from "./snapshot-stream.ts";
import { STREAM_HEADERS } from "./stream.ts";
import { type Method, unary } from "./unary.ts";

export interface V3Deps {
  readonly member: Member;
  readonly limits: RequestLimits;
  /** Of etcd, dotted: what `status` says, and clients compare with. */
  readonly version: string;
  /** Shorter leases are granted for this time. */
  readonly minLeaseTtlSeconds: number;
  /** Lets the host's event loop take its turn, between slices of long work. */
  readonly pause: () => Promise<void>;
  readonly onInternalError: OnInternalError;
}

/** The first one is the proper one. */
const PREFIXES = ["/v3", "/v3beta"] as const;

/** Answered elsewhere, as streams; here they are known so that other methods on them are refused rightly. */
const STREAMS: ReadonlySet<string> = new Set([
  "/watch",
  "/lease/keepalive",
  "/lock/lock",
  "/lock/unlock",
  "/election/campaign",
  "/election/proclaim",
  "/election/leader",
  "/election/observe",
  "/election/resign",
]);

export function v3Routes(deps: V3Deps): Route[] {
  const handlers = new Map<string, Handler>();
  const options = { maxRequestBytes: deps.limits.maxRequestBytes, onInternalError: deps.onInternalError };
  const add: Add = (path, request, reply, method) => void handlers.set(path, unary(request, reply, method, options));
  addKv(add, new KvService(deps.member, deps.limits));
  addLease(add, new LeaseService(deps.member, deps.minLeaseTtlSeconds));
  addCluster(add, new ClusterService(deps.member));
  addMaintenance(add, new MaintenanceService(deps.member, deps.version, deps.pause));
  addAuth(add, new AuthService(deps.member));
  handlers.set("/maintenance/snapshot", snapshotHandler(deps));

  const routes: Route[] = [];
  for (const prefix of PREFIXES) {
    for (const [path, handle] of handlers) routes.push({ method: "POST", path: prefix + path, kind: "unary", handle });
    routes.push({ method: "*", path: `${prefix}/*`, kind: "unary", handle: (request) => otherPath(request, prefix, handlers) });
  }
  routes.push({ method: "*", path: "/v3", kind: "unary", handle: ({ method, query }) => redirectTo(ascii("/v3/"), method, query) });
  return routes;
}

type Add = <Request, Reply>(
  path: string,
  request: MessageTable<Request>,
  reply: MessageTable<Reply>,
  method: Method<Request, Reply>,
) => void;

function addKv(add: Add, kv: KvService): void {
  add("/kv/range", m.RANGE_REQUEST, m.RANGE_RESPONSE, (request) => kv.range(request));
  add("/kv/put", m.PUT_REQUEST, m.PUT_RESPONSE, (request, bytes) => kv.put(request, bytes));
  add("/kv/deleterange", m.DELETE_RANGE_REQUEST, m.DELETE_RANGE_RESPONSE, (request, bytes) => kv.deleteRange(request, bytes));
  add("/kv/txn", m.TXN_REQUEST, m.TXN_RESPONSE, (request, bytes) => kv.txn(request, bytes));
  add("/kv/compaction", m.COMPACTION_REQUEST, m.COMPACTION_RESPONSE, (request) => kv.compact(request));
}

/** The paths below `/kv/lease` are those of etcd 3.2, which later releases still answer. */
function addLease(add: Add, lease: LeaseService): void {
  add("/lease/grant", m.LEASE_GRANT_REQUEST, m.LEASE_GRANT_RESPONSE, (request) => lease.grant(request));
  for (const path of ["/lease", "/kv/lease"]) {
    add(`${path}/revoke`, m.LEASE_REVOKE_REQUEST, m.LEASE_REVOKE_RESPONSE, (request) => lease.revoke(request));
    add(`${path}/timetolive`, m.LEASE_TIME_TO_LIVE_REQUEST, m.LEASE_TIME_TO_LIVE_RESPONSE, (request) => lease.timeToLive(request));
    add(`${path}/leases`, m.LEASE_LEASES_REQUEST, m.LEASE_LEASES_RESPONSE, () => lease.leases());
  }
}

function addCluster(add: Add, service: ClusterService): void {
  const path = "/cluster/member";
  add(`${path}/list`, cluster.MEMBER_LIST_REQUEST, cluster.MEMBER_LIST_RESPONSE, () => service.list());
  add(`${path}/add`, cluster.MEMBER_ADD_REQUEST, cluster.MEMBER_ADD_RESPONSE, (request) => service.add(request));
  add(`${path}/remove`, cluster.MEMBER_REMOVE_REQUEST, cluster.MEMBER_REMOVE_RESPONSE, (request) => service.remove(request));
  add(`${path}/update`, cluster.MEMBER_UPDATE_REQUEST, cluster.MEMBER_UPDATE_RESPONSE, (request) => service.update(request));
  add(`${path}/promote`, cluster.MEMBER_PROMOTE_REQUEST, cluster.MEMBER_PROMOTE_RESPONSE, (request) => service.promote(request));
}

/** `hash` is the hash of everything here, as in etcd 3.4; `hashkv` is a path of etcd 3.5. */
function addMaintenance(add: Add, service: MaintenanceService): void {
  const path = "/maintenance";
  add(`${path}/alarm`, cluster.ALARM_REQUEST, cluster.ALARM_RESPONSE, (request) => service.alarm(request));
  add(`${path}/status`, cluster.STATUS_REQUEST, cluster.STATUS_RESPONSE, () => service.status());
  add(`${path}/defragment`, cluster.DEFRAGMENT_REQUEST, cluster.DEFRAGMENT_RESPONSE, () => service.defragment());
  add(`${path}/hash`, cluster.HASH_REQUEST, cluster.HASH_RESPONSE, () => service.hash());
  add(`${path}/hashkv`, cluster.HASH_KV_REQUEST, cluster.HASH_KV_RESPONSE, (request) => service.hashKv(request));
  add(`${path}/transfer-leadership`, cluster.MOVE_LEADER_REQUEST, cluster.MOVE_LEADER_RESPONSE, (request) => service.moveLeader(request));
}

function addAuth(add: Add, service: AuthService): void {
  add("/auth/enable", auth.AUTH_ENABLE_REQUEST, auth.AUTH_ENABLE_RESPONSE, () => service.enable());
  add("/auth/disable", auth.AUTH_DISABLE_REQUEST, auth.AUTH_DISABLE_RESPONSE, () => service.disable());
  add("/auth/authenticate", auth.AUTHENTICATE_REQUEST, auth.AUTHENTICATE_RESPONSE, () => service.authenticate());
  add("/auth/user/add", auth.USER_ADD_REQUEST, auth.USER_ADD_RESPONSE, (request) => service.userAdd(request));
  add("/auth/user/get", auth.USER_GET_REQUEST, auth.USER_GET_RESPONSE, () => service.ofUser());
  add("/auth/user/list", auth.USER_LIST_REQUEST, auth.USER_LIST_RESPONSE, () => service.userList());
  add("/auth/user/delete", auth.USER_DELETE_REQUEST, auth.USER_DELETE_RESPONSE, () => service.ofUser());
  add("/auth/user/changepw", auth.USER_CHANGE_PASSWORD_REQUEST, auth.USER_CHANGE_PASSWORD_RESPONSE, () => service.ofUser());
  add("/auth/user/grant", auth.USER_GRANT_ROLE_REQUEST, auth.USER_GRANT_ROLE_RESPONSE, () => service.ofUser());
  add("/auth/user/revoke", auth.USER_REVOKE_ROLE_REQUEST, auth.USER_REVOKE_ROLE_RESPONSE, () => service.ofUser());
  add("/auth/role/add", auth.ROLE_ADD_REQUEST, auth.ROLE_ADD_RESPONSE, (request) => service.roleAdd(request));
  add("/auth/role/get", auth.ROLE_GET_REQUEST, auth.ROLE_GET_RESPONSE, () => service.ofRole());
  add("/auth/role/list", auth.ROLE_LIST_REQUEST, auth.ROLE_LIST_RESPONSE, () => service.roleList());
  add("/auth/role/delete", auth.ROLE_DELETE_REQUEST, auth.ROLE_DELETE_RESPONSE, () => service.ofRole());
  add("/auth/role/grant", auth.ROLE_GRANT_PERMISSION_REQUEST, auth.ROLE_GRANT_PERMISSION_RESPONSE, () => service.ofRole());
  add("/auth/role/revoke", auth.ROLE_REVOKE_PERMISSION_REQUEST, auth.ROLE_REVOKE_PERMISSION_RESPONSE, () => service.ofRole());
}

function snapshotHandler({ member, onInternalError }: V3Deps): Handler {
  const decode = jsonDecoder(cluster.SNAPSHOT_REQUEST);
  const body = snapshotWriter(member, onInternalError);
  return (request) => {
    try {
      decode(request.body);
    } catch (error) {
      return v3Error(error, onInternalError);
    }
    return { status: 200, headers: STREAM_HEADERS, body };
  };
}

function otherPath(request: ApiRequest, prefix: string, handlers: ReadonlyMap<string, Handler>): ApiReply | Promise<ApiReply> {
  const path = decodePath(request.path);
  if (path === undefined) return unknownPathPage(request.path, false);
  if (!looksClean(path)) {
    const clean = cleanPath(path);
    if (clean !== path) return redirectTo(clean, request.method, request.query);
  }
  const name = path.slice(prefix.length);
  const handle = handlers.get(name);
  if (handle === undefined) return unknownPathPage(path, STREAMS.has(name) && request.method !== "POST");
  return request.method === "POST" ? handle(request) : methodNotAllowedPage();
}
