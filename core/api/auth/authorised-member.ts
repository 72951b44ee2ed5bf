/**
 * A member as one caller may use it: what it proposes carries the caller's name, which is checked when it is applied, and what it reads is
 * checked at the moment of reading. Made for a request, while authentication is on.
 */
import { QuorateError, errInvalidAuthToken, isQuorateError } from "../../errors.ts";
import type { Member, PeerInfo, ProposalAttributes } from "../../replica/member.ts";
import type { Applied, CommandBody, KeyRange, LeaseId, RangeRequest, ResultOf, TxnRequest } from "../../store/command.ts";
import type { StoreView } from "../../store/store-view.ts";

/** `user`: empty when nobody said who; null when what was said is not true. */
export interface Caller {
  readonly user: string | null;
}

/** @throws QuorateError invalidAuthToken */
export function nameOf({ user }: Caller): string {
  if (user === null) throw errInvalidAuthToken();
  return user;
}

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
    for (;;) {
      const auth = { user, revision: this.#member.store.auth.revision };
      try {
        return await this.#member.propose(body, { ...attributes, auth });
      } catch (error) {
        if (!isQuorateError(error) || error.reason !== "authOldRevision") throw error;
        await this.#member.readBarrier(); // so that this member has seen the change
      }
    }
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
    this.#member.store.auth.checkAdmin(nameOf(this.#caller));
  }
}

/** @throws QuorateError of code `unknown`, in the words of etcd's maintenance service, which forgets the codes */
export function checkMaintenance(member: Member, caller: Caller): void {
  withoutCode(() => member.store.auth.checkAdmin(nameOf(caller)));
}

/** As `checkMaintenance`, for what everybody may ask. @throws QuorateError of code `unknown` for a token that is none */
export function checkToken(caller: Caller): void {
  withoutCode(() => nameOf(caller));
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
  const check = (range: KeyRange): void => store.auth.checkRange(nameOf(caller), "read", range);
  const checked: Partial<StoreView> = {
    range: (request: RangeRequest) => {
      check(request);
      return store.range(request);
    },
    readTxn: (request: TxnRequest) => {
      store.auth.checkTxn(nameOf(caller), request);
      return store.readTxn(request);
    },
    watch: (options) => {
      check(options);
      return store.watch(options);
    },
  };
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
