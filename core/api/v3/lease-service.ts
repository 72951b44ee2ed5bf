/**
 * etcd's Lease service. Source: etcd's rpc.proto, v3rpc/lease.go and lease/lessor.go.
 */
import { errLeaseTtlTooLarge, isQuorateError } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import { NO_LEASE } from "../../store/command.ts";
import type {
  HeaderOnly,
  LeaseGrantRequestMessage,
  LeaseGrantResponseMessage,
  LeaseIdRequestMessage,
  LeaseKeepAliveResponseMessage,
  LeaseLeasesResponseMessage,
  LeaseTimeToLiveRequestMessage,
  LeaseTimeToLiveResponseMessage,
} from "./messages.ts";
import { headerOf } from "./response-header.ts";

/** Seconds; etcd's own limit, about 285 years. */
const TTL_MAX = 9_000_000_000;
/** What etcd says of a lease that is not there. */
const TTL_OF_NONE = -1;

export class LeaseService {
  readonly #member: Member;
  readonly #minTtlSeconds: number;

  /** @param minTtlSeconds shorter leases are granted for this time: one and a half times the election time-out, as in etcd */
  constructor(member: Member, minTtlSeconds: number) {
    this.#member = member;
    this.#minTtlSeconds = minTtlSeconds;
  }

  async grant({ id, ttl }: LeaseGrantRequestMessage): Promise<LeaseGrantResponseMessage> {
    if (ttl > TTL_MAX) throw errLeaseTtlTooLarge();
    const { revision, result } = await this.#member.propose({
      kind: "leaseGrant",
      id: id === NO_LEASE ? this.#member.newLeaseId() : id,
      ttlSeconds: Math.max(ttl, this.#minTtlSeconds),
    });
    return { header: headerOf(this.#member, revision), id: result.id, ttl: result.ttlSeconds, error: "" };
  }

  async revoke({ id }: LeaseIdRequestMessage): Promise<HeaderOnly> {
    const { revision } = await this.#member.propose({ kind: "leaseRevoke", id, term: 0 });
    return { header: headerOf(this.#member, revision) };
  }

  /** A lease that is not there has a time to live of zero. */
  async keepAlive({ id }: LeaseIdRequestMessage): Promise<LeaseKeepAliveResponseMessage> {
    let ttl = 0;
    try {
      ttl = await this.#member.keepAlive(id);
    } catch (error) {
      if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
    }
    return { header: headerOf(this.#member), id, ttl };
  }

  async timeToLive({ id, keys }: LeaseTimeToLiveRequestMessage): Promise<LeaseTimeToLiveResponseMessage> {
    let ttl: number;
    try {
      ttl = await this.#member.leaseRemainingSeconds(id);
    } catch (error) {
      if (isQuorateError(error) && error.reason === "leaseNotFound") return this.#unknown(id);
      throw error;
    }
    const lease = this.#member.store.lease(id);
    if (lease === undefined) return this.#unknown(id);
    return { header: headerOf(this.#member), id, ttl, grantedTtl: lease.ttlSeconds, keys: keys ? lease.keys : [] };
  }

  #unknown(id: string): LeaseTimeToLiveResponseMessage {
    return { header: headerOf(this.#member), id, ttl: TTL_OF_NONE, grantedTtl: 0, keys: [] };
  }

  leases(): LeaseLeasesResponseMessage {
    return { header: headerOf(this.#member), leases: this.#member.store.leaseIds().map((id) => ({ id })) };
  }
}
