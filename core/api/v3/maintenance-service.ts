/**
 * etcd's Maintenance service. Source: etcd's rpc.proto and v3rpc/maintenance.go.
 */
import { type Bytes, ZERO, toUint8Array } from "../../bytes/bytes.ts";
import { crc32 } from "../../bytes/crc32.ts";
import { errBadField, errCompacted } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Alarm, AlarmType, RangeRequest } from "../../store/command.ts";
import type {
  AlarmMemberMessage,
  AlarmRequestMessage,
  AlarmResponseMessage,
  HashKvRequestMessage,
  HashKvResponseMessage,
  HashResponseMessage,
  MoveLeaderRequestMessage,
  SnapshotResponseMessage,
  StatusResponseMessage,
} from "./cluster-messages.ts";
import { ALARM_TYPE } from "./cluster-messages.ts";
import { type Hasher, sealed } from "../../store/snapshot-seal.ts";
import { type HeaderOnly, KEY_VALUE } from "./messages.ts";
import { jsonEncoder } from "./json-codec.ts";
import { headerOf } from "./response-header.ts";
import { snapshotMessages } from "./snapshot-messages.ts";

const GET = 0;
const ACTIVATE = 1;
const DEACTIVATE = 2;
/** By number; NONE stands for all. */
const ALARMS: readonly (AlarmType | null)[] = [null, "nospace", "corrupt"];

/** Keys hashed in one go before the host may do something else. */
const HASH_PAGE_KEYS = 1_000;

export interface MaintenanceDeps {
  /** Dotted, of etcd: what clients compare with. */
  readonly version: string;
  /** Lets the host's event loop take its turn. */
  readonly pause: () => Promise<void>;
  readonly sha256: () => Hasher;
}

export class MaintenanceService {
  readonly #member: Member;
  readonly #deps: MaintenanceDeps;
  readonly #encodeKv = jsonEncoder(KEY_VALUE);

  constructor(member: Member, deps: MaintenanceDeps) {
    this.#member = member;
    this.#deps = deps;
  }

  /** @throws QuorateError badField: etcd 3.4 crashes on these */
  async alarm({ action, memberId, alarm }: AlarmRequestMessage): Promise<AlarmResponseMessage> {
    if (action === GET) {
      await this.#member.readBarrier();
      const alarms = this.#member.store.alarms().map(alarmOf);
      return { header: null, alarms: alarm === 0 ? alarms : alarms.filter((one) => one.alarm === alarm) };
    }
    if (action !== ACTIVATE && action !== DEACTIVATE) throw errBadField("action", `quorate: alarm action ${action} is not known`);
    const type = ALARMS[alarm];
    if (type === undefined || type === null) {
      if (action === DEACTIVATE) return { header: null, alarms: [] };
      throw errBadField("alarm", `quorate: alarm ${ALARM_TYPE.values[alarm] ?? alarm} cannot be raised`);
    }
    const { result } = await this.#member.propose({
      kind: "alarm",
      action: action === ACTIVATE ? "activate" : "deactivate",
      alarm: { memberId, alarm: type },
    });
    return { header: null, alarms: result.alarms.map(alarmOf) };
  }

  status(): StatusResponseMessage {
    const { store } = this.#member;
    const status = this.#member.status();
    const errors = status.leaderId === "0" ? ["etcdserver: no leader"] : [];
    errors.push(...store.alarms().map(alarmText));
    errors.push(...status.problems.filter((problem) => !problem.startsWith("alarm "))); // those are there in etcd's words
    return {
      header: headerOf(this.#member),
      version: this.#deps.version,
      dbSize: Math.max(1, store.sizeBytes()), // an empty store too has a size in etcd, and monitoring expects the field
      leader: status.leaderId,
      raftIndex: Math.max(1, status.raftIndex), // the log of etcd begins with entries of its own, so that these are never absent
      raftTerm: status.term,
      raftAppliedIndex: Math.max(1, status.appliedIndex),
      errors,
      dbSizeInUse: Math.max(1, store.sizeInUseBytes()),
      isLearner: status.learner,
    };
  }

  hash(): HashResponseMessage {
    return { header: headerOf(this.#member), hash: this.#member.store.hash() };
  }

  /**
   * A hash of the keys at one revision, equal on members that have it. Not the number that etcd computes from its own files.
   * @throws QuorateError compacted, futureRevision
   */
  async hashKv({ revision }: HashKvRequestMessage): Promise<HashKvResponseMessage> {
    const { store } = this.#member;
    const at = revision <= 0 ? store.revision : revision;
    if (at < store.compactedRevision) throw errCompacted();
    const compactRevision = store.compactedRevision;
    let hash = 0;
    let key: Bytes = ZERO;
    for (;;) {
      const { kvs, more } = store.range({ ...WHOLE, key, revision: at });
      for (const kv of kvs) hash = crc32(toUint8Array(this.#encodeKv(kv)), hash);
      if (!more) return { header: headerOf(this.#member), hash, compactRevision };
      key = (kvs[kvs.length - 1]!.key + "\0") as Bytes;
      await this.#deps.pause();
    }
  }

  async defragment(): Promise<HeaderOnly> {
    await this.#member.defragment();
    return { header: null };
  }

  /** What it throws comes with the messages. */
  snapshot(): AsyncIterable<SnapshotResponseMessage> {
    return snapshotMessages(sealed(this.#member.snapshot(), this.#deps.sha256()));
  }

  /** @throws QuorateError badLeaderTransferee, notLeader, leaderTransferTimeout */
  async moveLeader({ targetId }: MoveLeaderRequestMessage): Promise<HeaderOnly> {
    await this.#member.moveLeader(targetId);
    return { header: null };
  }
}

const WHOLE: RangeRequest = {
  key: ZERO,
  end: ZERO,
  revision: 0,
  limit: HASH_PAGE_KEYS,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

function alarmOf({ memberId, alarm }: Alarm): AlarmMemberMessage {
  return { memberId, alarm: ALARMS.indexOf(alarm) };
}

/** As Go prints the message, the space at the end included. */
function alarmText({ memberId, alarm }: Alarm): string {
  return `${memberId === "0" ? "" : `memberID:${memberId} `}alarm:${alarm.toUpperCase()} `;
}
