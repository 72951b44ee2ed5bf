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
import type { Authenticator } from "../auth/authenticator.ts";
import { checkMaintenance, checkToken } from "../auth/authorised-member.ts";
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
import { type Asked, type Method, unary } from "./unary.ts";

export interface V3Deps {
  readonly member: Member;
  readonly authenticator: Authenticator;
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
  const options = {
    maxRequestBytes: deps.limits.maxRequestBytes,
    onInternalError: deps.onInternalError,
    authenticator: deps.authenticator,
  };
  const add: Add = (path, request, reply, method) => void handlers.set(path, unary(request, reply, method, options));
  addKv(
    add,
    serviceOf(deps, (member) => new KvService(member, deps.limits)),
  );
  addLease(
    add,
    serviceOf(deps, (member) => new LeaseService(member, deps.minLeaseTtlSeconds)),
  );
  addCluster(
    add,
    serviceOf(deps, (member) => new ClusterService(member)),
  );
  addMaintenance(
    add,
    serviceOf(deps, (member) => new MaintenanceService(member, deps.version, deps.pause)),
    deps,
  );
  addAuth(add, deps);
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

function addKv(add: Add, kv: ServiceOf<KvService>): void {
  add("/kv/range", m.RANGE_REQUEST, m.RANGE_RESPONSE, (request, _, asked) => kv(asked).range(request));
  add("/kv/put", m.PUT_REQUEST, m.PUT_RESPONSE, (request, bytes, asked) => kv(asked).put(request, bytes));
  add("/kv/deleterange", m.DELETE_RANGE_REQUEST, m.DELETE_RANGE_RESPONSE, (request, bytes, asked) => kv(asked).deleteRange(request, bytes));
  add("/kv/txn", m.TXN_REQUEST, m.TXN_RESPONSE, (request, bytes, asked) => kv(asked).txn(request, bytes));
  add("/kv/compaction", m.COMPACTION_REQUEST, m.COMPACTION_RESPONSE, (request, _, asked) => kv(asked).compact(request));
}

/** The paths below `/kv/lease` are those of etcd 3.2, which later releases still answer. */
function addLease(add: Add, lease: ServiceOf<LeaseService>): void {
  add("/lease/grant", m.LEASE_GRANT_REQUEST, m.LEASE_GRANT_RESPONSE, (request, _, asked) => lease(asked).grant(request));
  for (const path of ["/lease", "/kv/lease"]) {
    add(`${path}/revoke`, m.LEASE_REVOKE_REQUEST, m.LEASE_REVOKE_RESPONSE, (request, _, asked) => lease(asked).revoke(request));
    add(`${path}/timetolive`, m.LEASE_TIME_TO_LIVE_REQUEST, m.LEASE_TIME_TO_LIVE_RESPONSE, (request, _, asked) =>
      lease(asked).timeToLive(request),
    );
    add(`${path}/leases`, m.LEASE_LEASES_REQUEST, m.LEASE_LEASES_RESPONSE, (_request, _, asked) => lease(asked).leases());
  }
}

function addCluster(add: Add, service: ServiceOf<ClusterService>): void {
  const path = "/cluster/member";
  add(`${path}/list`, cluster.MEMBER_LIST_REQUEST, cluster.MEMBER_LIST_RESPONSE, (_request, _, asked) => service(asked).list());
  add(`${path}/add`, cluster.MEMBER_ADD_REQUEST, cluster.MEMBER_ADD_RESPONSE, (request, _, asked) => service(asked).add(request));
  add(`${path}/remove`, cluster.MEMBER_REMOVE_REQUEST, cluster.MEMBER_REMOVE_RESPONSE, (request, _, asked) =>
    service(asked).remove(request),
  );
  add(`${path}/update`, cluster.MEMBER_UPDATE_REQUEST, cluster.MEMBER_UPDATE_RESPONSE, (request, _, asked) =>
    service(asked).update(request),
  );
  add(`${path}/promote`, cluster.MEMBER_PROMOTE_REQUEST, cluster.MEMBER_PROMOTE_RESPONSE, (request, _, asked) =>
    service(asked).promote(request),
  );
}

/** `hash` is the hash of everything here, as in etcd 3.4; `hashkv` is a path of etcd 3.5. */
function addMaintenance(add: Add, service: ServiceOf<MaintenanceService>, { member, authenticator }: V3Deps): void {
  const admin: ServiceOf<MaintenanceService> = (asked) => {
    checkMaintenance(member, authenticator.callerOf(asked.request));
    return service(asked);
  };
  const known: ServiceOf<MaintenanceService> = (asked) => {
    checkToken(authenticator.callerOf(asked.request));
    return service(asked);
  };
  const path = "/maintenance";
  add(`${path}/alarm`, cluster.ALARM_REQUEST, cluster.ALARM_RESPONSE, (request, _, asked) => known(asked).alarm(request));
  add(`${path}/status`, cluster.STATUS_REQUEST, cluster.STATUS_RESPONSE, (_request, _, asked) => service(asked).status());
  add(`${path}/defragment`, cluster.DEFRAGMENT_REQUEST, cluster.DEFRAGMENT_RESPONSE, (_request, _, asked) => admin(asked).defragment());
  add(`${path}/hash`, cluster.HASH_REQUEST, cluster.HASH_RESPONSE, (_request, _, asked) => admin(asked).hash());
  add(`${path}/hashkv`, cluster.HASH_KV_REQUEST, cluster.HASH_KV_RESPONSE, (request, _, asked) => admin(asked).hashKv(request));
  add(`${path}/transfer-leadership`, cluster.MOVE_LEADER_REQUEST, cluster.MOVE_LEADER_RESPONSE, (request, _, asked) =>
    service(asked).moveLeader(request),
  );
}

function addAuth(add: Add, { authenticator }: V3Deps): void {
  const service: ServiceOf<AuthService> = (asked) => {
    return new AuthService(asked.member, authenticator, authenticator.callerOf(asked.request));
  };
  const path = "/auth";
  add(`${path}/enable`, auth.AUTH_ENABLE_REQUEST, auth.AUTH_ENABLE_RESPONSE, (_request, _, asked) => service(asked).enable());
  add(`${path}/disable`, auth.AUTH_DISABLE_REQUEST, auth.AUTH_DISABLE_RESPONSE, (_request, _, asked) => service(asked).disable());
  add(`${path}/authenticate`, auth.AUTHENTICATE_REQUEST, auth.AUTHENTICATE_RESPONSE, (request, _, asked) =>
    service(asked).authenticate(request),
  );
  add(`${path}/user/add`, auth.USER_ADD_REQUEST, auth.USER_ADD_RESPONSE, (request, _, asked) => service(asked).userAdd(request));
  add(`${path}/user/get`, auth.USER_GET_REQUEST, auth.USER_GET_RESPONSE, (request, _, asked) => service(asked).userGet(request));
  add(`${path}/user/list`, auth.USER_LIST_REQUEST, auth.USER_LIST_RESPONSE, (_request, _, asked) => service(asked).userList());
  add(`${path}/user/delete`, auth.USER_DELETE_REQUEST, auth.USER_DELETE_RESPONSE, (request, _, asked) =>
    service(asked).userDelete(request),
  );
  add(`${path}/user/changepw`, auth.USER_CHANGE_PASSWORD_REQUEST, auth.USER_CHANGE_PASSWORD_RESPONSE, (request, _, asked) =>
    service(asked).userChangePassword(request),
  );
  add(`${path}/user/grant`, auth.USER_GRANT_ROLE_REQUEST, auth.USER_GRANT_ROLE_RESPONSE, (request, _, asked) =>
    service(asked).userGrant(request),
  );
  add(`${path}/user/revoke`, auth.USER_REVOKE_ROLE_REQUEST, auth.USER_REVOKE_ROLE_RESPONSE, (request, _, asked) =>
    service(asked).userRevoke(request),
  );
  add(`${path}/role/add`, auth.ROLE_ADD_REQUEST, auth.ROLE_ADD_RESPONSE, (request, _, asked) => service(asked).roleAdd(request));
  add(`${path}/role/get`, auth.ROLE_GET_REQUEST, auth.ROLE_GET_RESPONSE, (request, _, asked) => service(asked).roleGet(request));
  add(`${path}/role/list`, auth.ROLE_LIST_REQUEST, auth.ROLE_LIST_RESPONSE, (_request, _, asked) => service(asked).roleList());
  add(`${path}/role/delete`, auth.ROLE_DELETE_REQUEST, auth.ROLE_DELETE_RESPONSE, (request, _, asked) =>
    service(asked).roleDelete(request),
  );
  add(`${path}/role/grant`, auth.ROLE_GRANT_PERMISSION_REQUEST, auth.ROLE_GRANT_PERMISSION_RESPONSE, (request, _, asked) =>
    service(asked).roleGrant(request),
  );
  add(`${path}/role/revoke`, auth.ROLE_REVOKE_PERMISSION_REQUEST, auth.ROLE_REVOKE_PERMISSION_RESPONSE, (request, _, asked) =>
    service(asked).roleRevoke(request),
  );
}

/** The service that answers one request: the shared one, or one of the caller's own while authentication is on. */
type ServiceOf<Service> = (asked: Asked) => Service;

function serviceOf<Service>(deps: V3Deps, make: (member: Member) => Service): ServiceOf<Service> {
  const shared = make(deps.member);
  return ({ member }) => (member === deps.member ? shared : make(member));
}

function snapshotHandler({ member, authenticator, onInternalError }: V3Deps): Handler {
  const decode = jsonDecoder(cluster.SNAPSHOT_REQUEST);
  const body = snapshotWriter(member, onInternalError);
  return (request) => {
    try {
      decode(request.body);
      checkMaintenance(member, authenticator.callerOf(request));
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
