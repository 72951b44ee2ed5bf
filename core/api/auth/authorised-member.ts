/**
 * A member as one caller may use it: what it proposes carries the caller's name, which is checked when it is applied, and what it reads is
 * checked at the moment of reading. Made for a request, while authentication is on.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import { QuorateError, errAuthOldRevision, errInvalidAuthToken, errPermissionDenied, isQuorateError } from "../../errors.ts";
import type { Member, PeerInfo, ProposalAttributes } from "../../replica/member.ts";
import type { AuthView } from "../../store/auth/auth-store.ts";
import type { Applied, CommandBody, KeyRange, LeaseId, RangeRequest, ResultOf, TxnRequest } from "../../store/command.ts";
import type { StoreView } from "../../store/store-view.ts";
import { type KeysOf, touchCommand, touchTxn } from "../../store/auth/touched-keys.ts";
import type { Scope } from "../../tokens/scope.ts";

/** `user`: empty when nobody said who; null when what was said is not true. */
export interface Caller {
  readonly user: string | null;
  /** Of users and roles when the caller's token was given out, where tokens say so: once they have changed it opens no keys any more. */
  readonly revision?: number;
  /** What is left of the user's rights, where a scoped token says so. */
  readonly scope?: Scope;
}

/** @throws QuorateError invalidAuthToken */
export function nameOf({ user }: Caller): string {
  if (user === null) throw errInvalidAuthToken();
  return user;
}

/** What users and roles allow of keys. Other commands are for users of the role root, whatever the age of their token, as in etcd. */
const OF_SCOPES: ReadonlySet<CommandBody["kind"]> = new Set<CommandBody["kind"]>([
  "put",
  "append",
  "delete",
  "txn",
  "v2",
  "leaseGrant",
  "leaseRevoke",
]);
const OF_KEYS: ReadonlySet<CommandBody["kind"]> = new Set<CommandBody["kind"]>(["put", "append", "delete", "txn"]);

export class AuthorisedMember implements Member {
  readonly #member: Member;
  readonly #caller: Caller;
  readonly store: StoreView;

  constructor(member: Member, caller: Caller) {
    this.#member = member;
    this.#caller = caller;
    this.store = authorisedStore(member.store, caller);
  }

  get clusterId(): string {
    return this.#member.clusterId;
  }

  get memberId(): string {
    return this.#member.memberId;
  }

  get isLearner(): boolean {
    return this.#member.isLearner;
  }

  status(): ReturnType<Member["status"]> {
    return this.#member.status();
  }

  members(): readonly PeerInfo[] {
    return this.#member.members();
  }

  /** Users and roles may change between the proposal and its place in the log: then it is judged anew, by what they are now. */
  async propose<B extends CommandBody>(body: B, attributes: ProposalAttributes = {}): Promise<Applied<ResultOf<B["kind"]>>> {
    const user = nameOf(this.#caller);
    this.#checkScope(body);
    if (!this.#member.store.auth.enabled) return this.#member.propose(body, attributes);
    const revision = OF_KEYS.has(body.kind) ? this.#caller.revision : undefined;
    for (;;) {
      const auth = { user, revision: revision ?? this.#member.store.auth.revision };
      try {
        return await this.#member.propose(body, { ...attributes, auth });
      } catch (error) {
        if (revision !== undefined || !isQuorateError(error) || error.reason !== "authOldRevision") throw error;
        await this.#member.readBarrier(); // so that this member has seen the change
      }
    }
  }

  /** A scope is about keys and the leases they are bound to: everything else is refused. */
  #checkScope(body: CommandBody): void {
    const { scope } = this.#caller;
    if (scope === undefined) return;
    if (!OF_SCOPES.has(body.kind)) throw errPermissionDenied();
    const keysOf: KeysOf = (lease) => this.#member.store.lease(lease)?.keys ?? [];
    touchCommand(body, keysOf, (need, range) => checkScope(scope, need, range));
  }

  readBarrier(): Promise<void> | undefined {
    return this.#member.readBarrier();
  }

  keepAlive(id: LeaseId): Promise<number> {
    return this.#member.keepAlive(id);
  }

  leaseRemainingSeconds(id: LeaseId): Promise<number> {
    return this.#member.leaseRemainingSeconds(id);
  }

  newLeaseId(): LeaseId {
    return this.#member.newLeaseId();
  }

  async addMember(peerUrls: readonly string[], learner: boolean): Promise<PeerInfo> {
    this.#checkAdmin();
    return this.#member.addMember(peerUrls, learner);
  }

  async removeMember(id: string): Promise<void> {
    this.#checkAdmin();
    await this.#member.removeMember(id);
  }

  async updateMember(id: string, peerUrls: readonly string[]): Promise<void> {
    this.#checkAdmin();
    await this.#member.updateMember(id, peerUrls);
  }

  async promoteMember(id: string): Promise<void> {
    this.#checkAdmin();
    await this.#member.promoteMember(id);
  }

  async moveLeader(to: string): Promise<void> {
    this.#checkAdmin();
    await this.#member.moveLeader(to);
  }

  snapshot(): AsyncIterable<Uint8Array> {
    checkMaintenance(this.#member, this.#caller);
    return this.#member.snapshot();
  }

  async defragment(): Promise<void> {
    checkMaintenance(this.#member, this.#caller);
    await this.#member.defragment();
  }

  #checkAdmin(): void {
    checkAdmin(this.#member, this.#caller);
  }
}

/** For users of the role root, without a scope. @throws QuorateError permissionDenied, invalidAuthToken, userEmpty */
export function checkAdmin(member: Member, caller: Caller): void {
  checkUnscoped(caller);
  member.store.auth.checkAdmin(nameOf(caller));
}

/** @throws QuorateError of code `unknown`, in the words of etcd's maintenance service, which forgets the codes */
export function checkMaintenance(member: Member, caller: Caller): void {
  withoutCode(() => checkAdmin(member, caller));
}

/** As `checkMaintenance`, for what everybody may ask. @throws QuorateError of code `unknown` for a token that is none */
export function checkToken(caller: Caller): void {
  withoutCode(() => nameOf(caller));
}

/** @throws QuorateError invalidAuthToken, authOldRevision, userEmpty, permissionDenied */
export function checkRead(auth: AuthView, caller: Caller, range: KeyRange): void {
  const { revision } = caller;
  if (auth.enabled && revision !== undefined && revision < auth.revision) throw errAuthOldRevision();
  auth.checkRange(nameOf(caller), "read", range);
  if (caller.scope !== undefined) checkScope(caller.scope, "read", range);
}

/** Administration is for whoever comes as himself. @throws QuorateError permissionDenied */
export function checkUnscoped({ scope }: Caller): void {
  if (scope !== undefined) throw errPermissionDenied();
}

/** @throws QuorateError permissionDenied */
function checkScope(scope: Scope, need: "read" | "write", range: KeyRange): void {
  if (!scope.permits(need, range)) throw errPermissionDenied();
}

function withoutCode(check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    throw new QuorateError("unknown", error.reason, error.message.replace("etcdserver:", "auth:"));
  }
}

function authorisedStore(store: StoreView, caller: Caller): StoreView {
  /** As etcd: what is read at a member that does not know of the token's users and roles yet may be judged wrongly. */
  const checkKnown = (): void => {
    if (store.auth.enabled && caller.revision !== undefined && caller.revision !== store.auth.revision) throw errAuthOldRevision();
  };
  const checked: Partial<StoreView> = {
    range: (request: RangeRequest) => {
      checkKnown();
      checkRead(store.auth, caller, request);
      return store.range(request);
    },
    readTxn: (request: TxnRequest) => {
      checkKnown();
      store.auth.checkTxn(nameOf(caller), request);
      const { scope } = caller;
      if (scope !== undefined) touchTxn(request, (need, range) => checkScope(scope, need, range));
      return store.readTxn(request);
    },
    watch: (options) => {
      checkRead(store.auth, caller, options);
      return store.watch(options);
    },
  };
  const { scope } = caller;
  if (scope !== undefined) {
    checked.lease = (id) => {
      const lease = store.lease(id);
      return lease && { ...lease, keys: lease.keys.filter((key) => scope.permits("read", { key, end: EMPTY })) };
    };
    checked.leaseIds = () => {
      throw errPermissionDenied();
    };
  }
  // Everything else reads nothing of the keys. Methods keep the store as their `this`.
  return new Proxy(store, {
    get: (target, property) => {
      const own = checked[property as keyof StoreView];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
