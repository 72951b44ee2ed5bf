/**
 * etcd's v3 API as tables: each service with its methods, each method with its messages, its paths in the JSON gateway and what answers
 * it. The JSON routes, the gRPC server and the descriptions for clients are made of these tables, so that no method has two meanings.
 *
 * What a caller may do is decided here and in the `Member` that a call brings with it. Source: etcd 3.4's rpc.proto, v3lock.proto and
 * v3election.proto, with the paths of their `google.api.http` options.
 */
import { QuorateError, errNotForLearner, isQuorateError } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Hasher } from "../../store/snapshot-seal.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { checkMaintenance, checkToken, nameOf } from "../auth/authorised-member.ts";
import type { Credentials } from "../exchange.ts";
import * as auth from "./auth-messages.ts";
import { AuthService } from "./auth-service.ts";
import type { Cancellation } from "./cancellation.ts";
import * as cluster from "./cluster-messages.ts";
import { ClusterService } from "./cluster-service.ts";
import { ElectionService } from "./election.ts";
import { KvService, type RequestLimits } from "./kv-service.ts";
import { LeaseService } from "./lease-service.ts";
import { LockService } from "./lock.ts";
import { MaintenanceService } from "./maintenance-service.ts";
import type { MessageTable } from "./message-table.ts";
import * as m from "./messages.ts";
import * as recipe from "./recipe-messages.ts";
import type { Every } from "./watch.ts";

/** One call of a method: by whom, and with what they may do. */
export interface Call {
  /** As the caller may use it. */
  readonly member: Member;
  readonly credentials: Credentials;
  /** A bound on the size of the request in protobuf. */
  readonly bytesAtMost: number;
}

interface MethodBase<Request, Reply> {
  /** In its service. */
  readonly name: string;
  /** In the JSON gateway, below the prefix of the version; the first one is the proper one. */
  readonly paths: readonly string[];
  readonly request: MessageTable<Request>;
  readonly reply: MessageTable<Reply>;
}

/** One request, one reply. Throws, or rejects, with a QuorateError for what may go wrong. */
export interface UnaryMethod<Request, Reply> extends MethodBase<Request, Reply> {
  readonly kind: "unary";
  call(request: Request, call: Call): Reply | Promise<Reply>;
}

/** One request, and a reply that may be long in coming. What it throws is told by way of `waitingError`. */
export interface WaitingMethod<Request, Reply> extends MethodBase<Request, Reply> {
  readonly kind: "waiting";
  call(request: Request, call: Call, cancellation: Cancellation): Promise<Reply>;
}

/** One request, many replies. What is wrong with the request is thrown by the call itself. */
export interface ServerStreamMethod<Request, Reply> extends MethodBase<Request, Reply> {
  readonly kind: "serverStream";
  call(request: Request, call: Call, cancellation: Cancellation): AsyncIterable<Reply>;
}

/** Many requests, each with its reply, in turn. */
export interface InTurnMethod<Request, Reply> extends MethodBase<Request, Reply> {
  readonly kind: "inTurn";
  call(request: Request, call: Call): Promise<Reply>;
}

/** Requests and replies in both directions without a fixed order; `WatchService` does it. */
export interface WatchMethod extends MethodBase<m.WatchRequestMessage, m.WatchResponseMessage> {
  readonly kind: "watch";
}

/** Any of them, its messages' types forgotten. */
export type Method =
  | UnaryMethod<unknown, unknown>
  | WaitingMethod<unknown, unknown>
  | ServerStreamMethod<unknown, unknown>
  | InTurnMethod<unknown, unknown>
  | WatchMethod;

export interface Service {
  /** With its package. */
  readonly name: string;
  readonly methods: readonly Method[];
}

export interface ServiceDeps {
  readonly member: Member;
  readonly authenticator: Authenticator;
  readonly limits: RequestLimits;
  /** Of etcd, dotted: what `status` says, and clients compare with. */
  readonly version: string;
  /** Shorter leases are granted for this time. */
  readonly minLeaseTtlSeconds: number;
  /** Lets the host's event loop take its turn, between slices of long work. */
  readonly pause: () => Promise<void>;
  readonly every: Every;
  /** A new SHA-256, for snapshots. */
  readonly sha256: () => Hasher;
}

export function v3Services(deps: ServiceDeps): Service[] {
  const services: Service[] = [
    { name: "etcdserverpb.KV", methods: kvMethods(deps) },
    { name: "etcdserverpb.Watch", methods: [WATCH] },
    { name: "etcdserverpb.Lease", methods: leaseMethods(deps) },
    { name: "etcdserverpb.Cluster", methods: clusterMethods(deps) },
    { name: "etcdserverpb.Maintenance", methods: maintenanceMethods(deps) },
    { name: "etcdserverpb.Auth", methods: authMethods(deps) },
    { name: "v3lockpb.Lock", methods: lockMethods(deps) },
    { name: "v3electionpb.Election", methods: electionMethods(deps) },
  ];
  return services.map(({ name, methods }) => ({ name, methods: methods.map((method) => notForLearners(method, deps.member)) }));
}

/**
 * A learner answers serializable ranges and its status, and refuses everything else, as etcd 3.4 does; `WatchService` refuses by itself.
 */
function notForLearners(method: Method, member: Member): Method {
  if (method.kind === "watch" || method.name === "Status") return method;
  const isServed = (request: unknown): boolean => method.name === "Range" && (request as m.RangeRequestMessage).serializable;
  const call = method.call as (request: unknown, by: Call, cancellation: Cancellation) => unknown;
  const checked = (request: unknown, by: Call, cancellation: Cancellation): unknown => {
    if (member.isLearner && !isServed(request)) throw errNotForLearner();
    return call(request, by, cancellation);
  };
  return { ...method, call: checked } as Method;
}

/** What a waiting method threw, as its caller is told: etcd serves these by a client of its own, which forgets the code. */
export function waitingError(error: unknown): unknown {
  if (!isQuorateError(error) || error.reason === "notForLearner") return error;
  return new QuorateError("unknown", error.reason, error.message, error.details);
}

const WATCH: WatchMethod = { kind: "watch", name: "Watch", paths: ["/watch"], request: m.WATCH_REQUEST, reply: m.WATCH_RESPONSE };

function kvMethods(deps: ServiceDeps): Method[] {
  const kv = serviceOf(deps, (member) => new KvService(member, deps.limits));
  return [
    unary("Range", ["/kv/range"], m.RANGE_REQUEST, m.RANGE_RESPONSE, (request, call) => kv(call).range(request)),
    unary("Put", ["/kv/put"], m.PUT_REQUEST, m.PUT_RESPONSE, (request, call) => kv(call).put(request, call.bytesAtMost)),
    unary("DeleteRange", ["/kv/deleterange"], m.DELETE_RANGE_REQUEST, m.DELETE_RANGE_RESPONSE, (request, call) =>
      kv(call).deleteRange(request, call.bytesAtMost),
    ),
    unary("Txn", ["/kv/txn"], m.TXN_REQUEST, m.TXN_RESPONSE, (request, call) => kv(call).txn(request, call.bytesAtMost)),
    unary("Compact", ["/kv/compaction"], m.COMPACTION_REQUEST, m.COMPACTION_RESPONSE, (request, call) => kv(call).compact(request)),
  ];
}

/** The paths below `/kv/lease` are those of etcd 3.2, which later releases still answer. */
function leaseMethods(deps: ServiceDeps): Method[] {
  const lease = serviceOf(deps, (member) => new LeaseService(member, deps.minLeaseTtlSeconds));
  const shared = new LeaseService(deps.member, deps.minLeaseTtlSeconds);
  const paths = (name: string): string[] => [`/lease/${name}`, `/kv/lease/${name}`];
  return [
    unary("LeaseGrant", ["/lease/grant"], m.LEASE_GRANT_REQUEST, m.LEASE_GRANT_RESPONSE, (request, call) => lease(call).grant(request)),
    unary("LeaseRevoke", paths("revoke"), m.LEASE_REVOKE_REQUEST, m.LEASE_REVOKE_RESPONSE, (request, call) => lease(call).revoke(request)),
    erased({
      kind: "inTurn",
      name: "LeaseKeepAlive",
      paths: ["/lease/keepalive"],
      request: m.LEASE_KEEP_ALIVE_REQUEST,
      reply: m.LEASE_KEEP_ALIVE_RESPONSE,
      call: (request) => shared.keepAlive(request), // everybody may, as in etcd
    }),
    unary("LeaseTimeToLive", paths("timetolive"), m.LEASE_TIME_TO_LIVE_REQUEST, m.LEASE_TIME_TO_LIVE_RESPONSE, (request, call) =>
      lease(call).timeToLive(request),
    ),
    unary("LeaseLeases", paths("leases"), m.LEASE_LEASES_REQUEST, m.LEASE_LEASES_RESPONSE, (_, call) => lease(call).leases()),
  ];
}

function clusterMethods(deps: ServiceDeps): Method[] {
  const service = serviceOf(deps, (member) => new ClusterService(member));
  const { member, authenticator } = deps;
  /** Asked before the request is looked at: whoever may not do it does not learn which members there are. */
  const admin = (call: Call): ClusterService => {
    member.store.auth.checkAdmin(nameOf(authenticator.callerOf(call.credentials)));
    return service(call);
  };
  const paths = (name: string): string[] => [`/cluster/member/${name}`];
  return [
    unary("MemberAdd", paths("add"), cluster.MEMBER_ADD_REQUEST, cluster.MEMBER_ADD_RESPONSE, (request, call) =>
      service(call).add(request),
    ),
    unary("MemberRemove", paths("remove"), cluster.MEMBER_REMOVE_REQUEST, cluster.MEMBER_REMOVE_RESPONSE, (request, call) =>
      service(call).remove(request),
    ),
    unary("MemberUpdate", paths("update"), cluster.MEMBER_UPDATE_REQUEST, cluster.MEMBER_UPDATE_RESPONSE, (request, call) =>
      admin(call).update(request),
    ),
    unary("MemberList", paths("list"), cluster.MEMBER_LIST_REQUEST, cluster.MEMBER_LIST_RESPONSE, (_, call) => service(call).list()),
    unary("MemberPromote", paths("promote"), cluster.MEMBER_PROMOTE_REQUEST, cluster.MEMBER_PROMOTE_RESPONSE, (request, call) =>
      service(call).promote(request),
    ),
  ];
}

/** `hash` is the hash of everything here, as in etcd 3.4; `hashkv` is a path of etcd 3.5. */
function maintenanceMethods(deps: ServiceDeps): Method[] {
  const { member, authenticator } = deps;
  const service = serviceOf(deps, (own) => new MaintenanceService(own, deps));
  const admin = (call: Call): MaintenanceService => {
    checkMaintenance(member, authenticator.callerOf(call.credentials));
    return service(call);
  };
  const known = (call: Call): MaintenanceService => {
    checkToken(authenticator.callerOf(call.credentials));
    return service(call);
  };
  const paths = (name: string): string[] => [`/maintenance/${name}`];
  return [
    unary("Alarm", paths("alarm"), cluster.ALARM_REQUEST, cluster.ALARM_RESPONSE, (request, call) => known(call).alarm(request)),
    unary("Status", paths("status"), cluster.STATUS_REQUEST, cluster.STATUS_RESPONSE, (_, call) => service(call).status()),
    unary("Defragment", paths("defragment"), cluster.DEFRAGMENT_REQUEST, cluster.DEFRAGMENT_RESPONSE, (_, call) =>
      admin(call).defragment(),
    ),
    unary("Hash", paths("hash"), cluster.HASH_REQUEST, cluster.HASH_RESPONSE, (_, call) => admin(call).hash()),
    unary("HashKV", paths("hashkv"), cluster.HASH_KV_REQUEST, cluster.HASH_KV_RESPONSE, (request, call) => admin(call).hashKv(request)),
    erased({
      kind: "serverStream",
      name: "Snapshot",
      paths: paths("snapshot"),
      request: cluster.SNAPSHOT_REQUEST,
      reply: cluster.SNAPSHOT_RESPONSE,
      call: (_, call) => admin(call).snapshot(),
    }),
    unary("MoveLeader", paths("transfer-leadership"), cluster.MOVE_LEADER_REQUEST, cluster.MOVE_LEADER_RESPONSE, (request, call) =>
      service(call).moveLeader(request),
    ),
  ];
}

function authMethods({ authenticator }: ServiceDeps): Method[] {
  const service = (call: Call): AuthService => new AuthService(call.member, authenticator, authenticator.callerOf(call.credentials));
  return [
    unary("AuthEnable", ["/auth/enable"], auth.AUTH_ENABLE_REQUEST, auth.AUTH_ENABLE_RESPONSE, (_, call) => service(call).enable()),
    unary("AuthDisable", ["/auth/disable"], auth.AUTH_DISABLE_REQUEST, auth.AUTH_DISABLE_RESPONSE, (_, call) => service(call).disable()),
    unary("Authenticate", ["/auth/authenticate"], auth.AUTHENTICATE_REQUEST, auth.AUTHENTICATE_RESPONSE, (request, call) =>
      service(call).authenticate(request),
    ),
    ...userMethods(service),
    ...roleMethods(service),
  ];
}

function userMethods(service: (call: Call) => AuthService): Method[] {
  return [
    unary("UserAdd", ["/auth/user/add"], auth.USER_ADD_REQUEST, auth.USER_ADD_RESPONSE, (request, call) => service(call).userAdd(request)),
    unary("UserGet", ["/auth/user/get"], auth.USER_GET_REQUEST, auth.USER_GET_RESPONSE, (request, call) => service(call).userGet(request)),
    unary("UserList", ["/auth/user/list"], auth.USER_LIST_REQUEST, auth.USER_LIST_RESPONSE, (_, call) => service(call).userList()),
    unary("UserDelete", ["/auth/user/delete"], auth.USER_DELETE_REQUEST, auth.USER_DELETE_RESPONSE, (request, call) =>
      service(call).userDelete(request),
    ),
    unary(
      "UserChangePassword",
      ["/auth/user/changepw"],
      auth.USER_CHANGE_PASSWORD_REQUEST,
      auth.USER_CHANGE_PASSWORD_RESPONSE,
      (request, call) => service(call).userChangePassword(request),
    ),
    unary("UserGrantRole", ["/auth/user/grant"], auth.USER_GRANT_ROLE_REQUEST, auth.USER_GRANT_ROLE_RESPONSE, (request, call) =>
      service(call).userGrant(request),
    ),
    unary("UserRevokeRole", ["/auth/user/revoke"], auth.USER_REVOKE_ROLE_REQUEST, auth.USER_REVOKE_ROLE_RESPONSE, (request, call) =>
      service(call).userRevoke(request),
    ),
  ];
}

function roleMethods(service: (call: Call) => AuthService): Method[] {
  return [
    unary("RoleAdd", ["/auth/role/add"], auth.ROLE_ADD_REQUEST, auth.ROLE_ADD_RESPONSE, (request, call) => service(call).roleAdd(request)),
    unary("RoleGet", ["/auth/role/get"], auth.ROLE_GET_REQUEST, auth.ROLE_GET_RESPONSE, (request, call) => service(call).roleGet(request)),
    unary("RoleList", ["/auth/role/list"], auth.ROLE_LIST_REQUEST, auth.ROLE_LIST_RESPONSE, (_, call) => service(call).roleList()),
    unary("RoleDelete", ["/auth/role/delete"], auth.ROLE_DELETE_REQUEST, auth.ROLE_DELETE_RESPONSE, (request, call) =>
      service(call).roleDelete(request),
    ),
    unary(
      "RoleGrantPermission",
      ["/auth/role/grant"],
      auth.ROLE_GRANT_PERMISSION_REQUEST,
      auth.ROLE_GRANT_PERMISSION_RESPONSE,
      (request, call) => service(call).roleGrant(request),
    ),
    unary(
      "RoleRevokePermission",
      ["/auth/role/revoke"],
      auth.ROLE_REVOKE_PERMISSION_REQUEST,
      auth.ROLE_REVOKE_PERMISSION_RESPONSE,
      (request, call) => service(call).roleRevoke(request),
    ),
  ];
}

function lockMethods(deps: ServiceDeps): Method[] {
  const service = serviceOf(deps, (member) => new LockService(member, deps.every));
  return [
    waiting("Lock", "/lock/lock", recipe.LOCK_REQUEST, recipe.LOCK_RESPONSE, (request, call, cancellation) =>
      service(call).lock(request, cancellation),
    ),
    waiting("Unlock", "/lock/unlock", recipe.UNLOCK_REQUEST, recipe.UNLOCK_RESPONSE, (request, call) => service(call).unlock(request)),
  ];
}

function electionMethods(deps: ServiceDeps): Method[] {
  const service = serviceOf(deps, (member) => new ElectionService(member, deps.every));
  return [
    waiting("Campaign", "/election/campaign", recipe.CAMPAIGN_REQUEST, recipe.CAMPAIGN_RESPONSE, (request, call, cancellation) =>
      service(call).campaign(request, cancellation),
    ),
    waiting("Proclaim", "/election/proclaim", recipe.PROCLAIM_REQUEST, recipe.PROCLAIM_RESPONSE, (request, call) =>
      service(call).proclaim(request),
    ),
    waiting("Leader", "/election/leader", recipe.LEADER_REQUEST, recipe.LEADER_RESPONSE, (request, call) => service(call).leader(request)),
    erased({
      kind: "serverStream",
      name: "Observe",
      paths: ["/election/observe"],
      request: recipe.LEADER_REQUEST,
      reply: recipe.LEADER_RESPONSE,
      call: (request, call, cancellation) => service(call).observe(request, cancellation),
    }),
    waiting("Resign", "/election/resign", recipe.RESIGN_REQUEST, recipe.RESIGN_RESPONSE, (request, call) => service(call).resign(request)),
  ];
}

/** The service that answers a call: the shared one, or one of the caller's own while authentication is on. */
function serviceOf<S>(deps: ServiceDeps, make: (member: Member) => S): (call: Call) => S {
  const shared = make(deps.member);
  return ({ member }) => (member === deps.member ? shared : make(member));
}

function unary<Request, Reply>(
  name: string,
  paths: readonly string[],
  request: MessageTable<Request>,
  reply: MessageTable<Reply>,
  call: UnaryMethod<Request, Reply>["call"],
): Method {
  return erased({ kind: "unary", name, paths, request, reply, call });
}

function waiting<Request, Reply>(
  name: string,
  path: string,
  request: MessageTable<Request>,
  reply: MessageTable<Reply>,
  call: WaitingMethod<Request, Reply>["call"],
): Method {
  return erased({ kind: "waiting", name, paths: [path], request, reply, call });
}

/** A decoder made of the method's own table gives what its call takes: the types are right together, and only together. */
export function erased<Request, Reply>(
  method: UnaryMethod<Request, Reply> | WaitingMethod<Request, Reply> | ServerStreamMethod<Request, Reply> | InTurnMethod<Request, Reply>,
): Method {
  return method as unknown as Method;
}
