/**
 * Who belongs to the cluster: adding, removing, changing and promoting members, handing leadership over, and each member's own word
 * about itself. The leader decides; the others ask it. Source of the rules and of their words: etcd's Cluster service (3.4) and
 * server/etcdserver/api/membership; dissertation §4.
 *
 * A new voter joins as a learner and is promoted by the leader once it has caught up, so that a member that is not even started
 * holds up no commitment (dissertation §4.2.1). What members are called and where clients reach them is kept in the configuration:
 * one place, that snapshots carry and that is in force from the moment it is written.
 */
import {
  errBadField,
  errBadLeaderTransferee,
  errLearnerNotReady,
  errLeaderTransferTimeout,
  errMemberNotFound,
  errMemberNotLearner,
  errMemberRemoved,
  errNotEnoughStarted,
  errNotLeader,
  errPeerUrlExists,
  errTimeout,
  errUnhealthy,
  errUnsupported,
  isQuorateError,
} from "../errors.ts";
import type { ConfigChange } from "../raft/config-change.ts";
import type { Status } from "../raft/status.ts";
import type { NodeId } from "../raft/types.ts";
import { type Consensus, type ConsensusMember, formatMemberMeta } from "./consensus-port.ts";
import { FORWARD_MS_MAX } from "./limits.ts";
import type { PeerInfo } from "./member.ts";

/** What a member tells about itself, once it is known. */
export interface MemberAttributes {
  readonly name: string;
  readonly clientUrls: readonly string[];
  /** Used where the configuration has none yet. */
  readonly peerUrls: readonly string[];
}

export interface MembershipOptions {
  readonly consensus: Consensus;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly monotonicMs: () => number;
  /** Refuse changes that the members that are up could not carry. */
  readonly strictReconfigCheck: boolean;
  readonly attributes: () => MemberAttributes | null;
  /** Has the leader do it; `here` when this member leads. Undefined from `here`: it does not lead after all. */
  readonly askLeader: (request: unknown, here: () => Promise<unknown>) => Promise<unknown>;
  readonly untilTick: () => Promise<void>;
  readonly onNotice: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
}

export type MembershipRequest =
  | { readonly op: "add"; readonly peerUrls: readonly string[]; readonly learner: boolean }
  | { readonly op: "remove"; readonly id: NodeId }
  | { readonly op: "update"; readonly id: NodeId; readonly peerUrls: readonly string[] }
  | { readonly op: "promote"; readonly id: NodeId }
  | ({ readonly op: "publish"; readonly id: NodeId } & Published);

interface Published {
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly peerUrls: readonly string[];
  readonly boot: number;
  readonly diskId: string;
}

/** Why the core refuses a change now that it may take a moment later. */
const PASSING = new Set(["config-pending", "term-not-committed", "transferring"]);

/** After these the change may have been made. */
const UNKNOWN = new Set(["leaderChanged", "timeout", "stopped"]);

/** Between two attempts of a member to have its own attributes written, in ticks of the replica. */
const PUBLISH_PAUSE_TICKS = 10;

export class Membership {
  readonly #options: MembershipOptions;
  #publishing = false;
  #publishPause = 0;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** @throws QuorateError peerUrlExists, notEnoughStarted, unhealthy, unsupported; listenFailed when this member cannot take peers */
  async add(peerUrls: readonly string[], learner: boolean): Promise<PeerInfo> {
    this.#needRaft();
    const id = (await this.#ask({ op: "add", peerUrls, learner })) as NodeId;
    return this.#info(id) ?? { id, name: "", peerUrls, clientUrls: [], learner: true };
  }

  /** @throws QuorateError memberNotFound, memberRemoved, notEnoughStarted */
  async remove(id: NodeId): Promise<void> {
    this.#needRaft(id);
    await this.#ask({ op: "remove", id });
  }

  /** @throws QuorateError memberNotFound, memberRemoved, peerUrlExists */
  async update(id: NodeId, peerUrls: readonly string[]): Promise<void> {
    this.#needRaft(id);
    await this.#ask({ op: "update", id, peerUrls });
  }

  /** @throws QuorateError memberNotFound, memberRemoved, memberNotLearner, learnerNotReady */
  async promote(id: NodeId): Promise<void> {
    this.#needRaft(id);
    await this.#ask({ op: "promote", id });
  }

  /**
   * Resolves when the other member leads. Only the leader does this, as in etcd, so that the caller knows whom it asked.
   * @throws QuorateError badLeaderTransferee, notLeader, leaderTransferTimeout
   */
  async moveLeader(to: NodeId): Promise<void> {
    const { consensus, monotonicMs, untilTick } = this.#options;
    const target = this.#member(to);
    if (!consensus.status().leading) throw errNotLeader();
    if (target === undefined || target.learner) throw errBadLeaderTransferee();
    if (to === consensus.identity.memberId) return;
    try {
      consensus.transferLeadership(to);
    } catch (error) {
      if (isQuorateError(error) && error.details["why"] === "not-a-voter") throw errBadLeaderTransferee();
      throw error;
    }
    const deadline = monotonicMs() + FORWARD_MS_MAX;
    while (consensus.status().leader !== to) {
      const status = consensus.raftStatus();
      const failed = status !== null && status.role === "leader" && status.transferTo === null;
      if (failed || monotonicMs() > deadline) throw errLeaderTransferTimeout();
      await untilTick();
    }
  }

  // ---- on the leader

  /** What another member asks for. @throws QuorateError badField for what is no such request */
  answer(request: unknown): Promise<unknown> {
    return this.#decide(checkRequest(request));
  }

  async #ask(request: MembershipRequest): Promise<unknown> {
    const { consensus, askLeader, monotonicMs, untilTick } = this.#options;
    const began = monotonicMs();
    try {
      return await askLeader({ membership: request }, async () =>
        consensus.status().leading ? ((await this.#decide(request)) ?? true) : undefined,
      );
    } catch (error) {
      // A leader that is removed is cut off before it can answer: whether it was done shows in the configuration.
      const unknown = isQuorateError(error) && UNKNOWN.has(error.reason) && request.op !== "add" && request.op !== "publish";
      while (unknown && monotonicMs() - began < FORWARD_MS_MAX) {
        if (this.#isDone(request)) return true;
        await untilTick();
      }
      throw error;
    }
  }

  #isDone(request: MembershipRequest & { readonly id: NodeId }): boolean {
    const status = this.#options.consensus.raftStatus();
    if (status === null || status.config.outgoing.length > 0 || status.configIndex > status.commit) return false;
    const member = this.#member(request.id);
    if (request.op === "remove") return status.config.removed.includes(request.id);
    if (request.op === "promote") return member?.learner === false;
    return request.op === "update" && member?.meta.peerUrls.join() === request.peerUrls.join();
  }

  async #decide(request: MembershipRequest): Promise<unknown> {
    const { consensus, monotonicMs, untilTick } = this.#options;
    const deadline = monotonicMs() + FORWARD_MS_MAX;
    const newId = request.op === "add" ? this.#newId() : undefined;
    for (;;) {
      const status = consensus.raftStatus();
      if (status === null || status.role !== "leader") throw errNotLeader();
      const change = this.#changeFor(request, status, newId ?? "");
      if (change === null) return newId;
      try {
        await consensus.changeMembership(change);
        this.#tell(request, newId);
        return newId;
      } catch (error) {
        const why = isQuorateError(error) && error.reason === "changeRefused" ? error.details["why"] : undefined;
        if (why === "not-leader") throw errNotLeader();
        if (typeof why !== "string" || !PASSING.has(why)) throw error;
      }
      if (monotonicMs() > deadline) throw errTimeout();
      await untilTick();
    }
  }

  #tell(request: MembershipRequest, newId: NodeId | undefined): void {
    const { op, ...rest } = request;
    if (op === "publish") return;
    this.#options.onNotice("info", `members changed: ${op}`, newId === undefined ? { ...rest } : { ...rest, id: newId });
  }

  /** null: nothing is left to do. Judged anew at each attempt: the configuration may have changed meanwhile. */
  #changeFor(request: MembershipRequest, status: Status, newId: NodeId): ConfigChange | null {
    if (request.op === "add") return this.#addition(request, status, newId);
    const member = this.#member(request.id);
    if (member === undefined) throw status.config.removed.includes(request.id) ? errMemberRemoved(request.id) : errMemberNotFound();
    switch (request.op) {
      case "remove":
        this.#checkRemoval(member, status);
        return { remove: [member.id] };
      case "update":
        this.#checkUrls(request.peerUrls, member.id);
        return changeOf(member, { peerUrls: request.peerUrls }, status);
      case "promote":
        if (!member.learner) throw errMemberNotLearner();
        if (status.progress[member.id]?.caughtUp !== true) throw errLearnerNotReady();
        return { add: [{ id: member.id, meta: formatMemberMeta(member.meta), as: "voter" }] };
      case "publish": {
        const { name, clientUrls, boot, diskId } = request;
        const { meta } = member;
        if (meta.boot !== undefined && meta.boot > boot) return null; // late word of an earlier life
        const peerUrls = meta.peerUrls.length > 0 ? meta.peerUrls : request.peerUrls;
        return changeOf(member, { name, clientUrls, boot, diskId, peerUrls }, status);
      }
    }
  }

  #addition(request: MembershipRequest & { op: "add" }, status: Status, id: NodeId): ConfigChange {
    this.#checkUrls(request.peerUrls, null);
    if (this.#options.strictReconfigCheck && !request.learner) this.#checkGrowth(status);
    const meta = formatMemberMeta({ name: "", peerUrls: request.peerUrls, clientUrls: [] });
    return { add: [{ id, meta, as: "learner", promote: request.learner ? "manual" : "auto" }] };
  }

  #checkUrls(peerUrls: readonly string[], except: NodeId | null): void {
    const others = this.#options.consensus.members().filter(({ id }) => id !== except);
    const taken = new Set(others.flatMap(({ meta }) => meta.peerUrls));
    if (peerUrls.some((url) => taken.has(url))) throw errPeerUrlExists();
  }

  /** The members that are up must be a quorum of the larger cluster too; a member alone may always grow. */
  #checkGrowth(status: Status): void {
    const voters = status.config.voters.length;
    if (voters === 1) return;
    const { started, active } = this.#count(status, status.config.voters);
    const quorum = Math.floor((voters + 1) / 2) + 1;
    if (started < quorum) throw errNotEnoughStarted();
    if (active < voters) throw errUnhealthy();
  }

  /** Those that are left and up must be a quorum of what is left. The last voter stays. */
  #checkRemoval(member: ConsensusMember, status: Status): void {
    if (member.learner) return;
    const left = status.config.voters.filter((id) => id !== member.id);
    if (left.length === 0) throw errNotEnoughStarted();
    if (!this.#options.strictReconfigCheck) return;
    const { started, active } = this.#count(status, left);
    const quorum = Math.floor(left.length / 2) + 1;
    if (started < quorum) throw errNotEnoughStarted();
    if (active < quorum) throw errUnhealthy();
  }

  /** Who is heard from is started, also where its own word about itself is still on its way into the log. */
  #count(status: Status, ids: readonly NodeId[]): { started: number; active: number } {
    const isActive = (id: NodeId) => id === status.id || status.progress[id]?.active === true;
    const started = ids.filter((id) => isActive(id) || this.#member(id)?.meta.boot !== undefined).length;
    return { started, active: ids.filter(isActive).length };
  }

  #newId(): NodeId {
    const { removed = [], meta = {} } = this.#options.consensus.raftStatus()?.config ?? {};
    for (;;) {
      let id = 0n;
      for (const byte of this.#options.randomBytes(8)) id = (id << 8n) | BigInt(byte);
      const text = id.toString();
      if (id !== 0n && !removed.includes(text) && meta[text] === undefined) return text;
    }
  }

  // ---- each member about itself

  /** To be called at each tick: has the own attributes written until the configuration shows them. */
  tick(): void {
    if (this.#publishing || --this.#publishPause > 0) return;
    const { consensus, attributes, onNotice } = this.#options;
    const own = attributes();
    const member = this.#member(consensus.identity.memberId);
    if (own === null || member === undefined || consensus.status().leader === null || consensus.raftStatus() === null) return;
    const { diskId, memberId: id } = consensus.identity;
    const { meta } = member;
    const told = meta.name === own.name && meta.boot === consensus.boot && meta.diskId === diskId;
    if (told && meta.peerUrls.length > 0 && meta.clientUrls.join() === own.clientUrls.join()) return;
    this.#publishing = true;
    const { name, clientUrls, peerUrls } = own;
    this.#ask({ op: "publish", id, name, clientUrls, peerUrls, boot: consensus.boot, diskId })
      .catch((error: unknown) =>
        onNotice("info", "telling the others about this member failed and is tried again", { error: String(error) }),
      )
      .finally(() => {
        this.#publishing = false;
        this.#publishPause = PUBLISH_PAUSE_TICKS;
      });
  }

  #member(id: NodeId): ConsensusMember | undefined {
    return this.#options.consensus.members().find((member) => member.id === id);
  }

  #info(id: NodeId): PeerInfo | undefined {
    const member = this.#member(id);
    return member === undefined ? undefined : { id, learner: member.learner, ...member.meta };
  }

  /** @param id whom the change is about @throws QuorateError memberNotFound, unsupported */
  #needRaft(id?: NodeId): void {
    if (this.#options.consensus.raftStatus() !== null) return;
    if (id !== undefined && this.#member(id) === undefined) throw errMemberNotFound();
    throw errUnsupported("quorate: the members cannot be changed: this runtime has no peers");
  }
}

/** The same member with other attributes, in the same place of the configuration; null when nothing differs. */
function changeOf(member: ConsensusMember, changed: Partial<ConsensusMember["meta"]>, { config }: Status): ConfigChange | null {
  const meta = formatMemberMeta({ ...member.meta, ...changed });
  if (meta === config.meta[member.id]) return null;
  const promote = config.autoPromote?.includes(member.id) === true ? "auto" : "manual";
  return { add: [member.learner ? { id: member.id, meta, as: "learner", promote } : { id: member.id, meta, as: "voter" }] };
}

function checkRequest(value: unknown): MembershipRequest {
  const request = (value ?? {}) as Record<string, unknown>;
  const urls = (list: unknown): boolean => Array.isArray(list) && list.length <= 64 && list.every((url) => typeof url === "string");
  const id = typeof request["id"] === "string" && /^\d{1,20}$/.test(request["id"]);
  const shape = {
    add: () => urls(request["peerUrls"]) && typeof request["learner"] === "boolean",
    remove: () => id,
    update: () => id && urls(request["peerUrls"]),
    promote: () => id,
    publish: () =>
      id &&
      urls(request["peerUrls"]) &&
      urls(request["clientUrls"]) &&
      typeof request["name"] === "string" &&
      Number.isSafeInteger(request["boot"]) &&
      typeof request["diskId"] === "string",
  }[String(request["op"])];
  if (shape?.() !== true) throw errBadField("membership", "a membership request that this member does not know");
  return value as MembershipRequest;
}
