/**
 * The replicated state machine: applies commands in log order to the version store, the leases and the alarms, and tells the watches.
 * The same log gives the same state everywhere: nothing here looks at a clock, at chance, or at how this member is doing.
 *
 * A command that is refused changes nothing but the clock, and costs no revision. What is refused for lack of form alone (an empty key,
 * too many operations) is refused by whoever proposes it, with the `check…` functions of transaction.ts.
 *
 * Invariant: between two calls nothing is pending in the version store, and every lease on a live key exists.
 */
import { isQuorateError, type QuorateError, errCorrupt, errLeaseNotFound, errNoSpace } from "../errors.ts";
import { assert, unreachable } from "../invariant.ts";
import {
  type Alarm,
  type Command,
  type CommandBody,
  type Done,
  type HashResult,
  type KeyValue,
  type LeaseId,
  NO_LEASE,
  type RangeRequest,
  type RangeResult,
  type Result,
  type TxnRequest,
  type TxnResult,
} from "./command.ts";
import { runningHash, stateHash } from "./hash.ts";
import type { Lease, LeaseListener } from "./lease/lease-table.ts";
import { LeasedKeys } from "./lease/leased-keys.ts";
import { MemoryStateStorage } from "./memory-state-storage.ts";
import type { FrozenVersions } from "./mvcc/memory-version-store.ts";
import { type TransactionContext, executeAppend, executeDelete, executePut, executeTxn, isReadOnly } from "./mvcc/transaction.ts";
import { type SnapshotHeader, type SnapshotPlace, type SnapshotSource, readSnapshot, writeSnapshot } from "./snapshot.ts";
import { AuthStore } from "./auth/auth-store.ts";
import type { LeaseTable, SessionTable, StateStorage, StateVersions } from "./state-storage-port.ts";
import type { LeaseView, StoreView } from "./store-view.ts";
import type { V2Context } from "./v2-tree/v2-context.ts";
import { V2Tree } from "./v2-tree/v2-tree-reader.ts";
import { applyV2, expireV2 } from "./v2-tree/v2-tree.ts";
import type { RevisionRecord } from "./version-store-port.ts";
import { WatchHub, type WatchStats } from "./watch/watch-hub.ts";
import type { WatchOptions, Watcher } from "./watch/watcher.ts";

export interface StateMachineOptions {
  /** Bytes that keys and values, with all kept versions, may take before `growsBeyondQuota` says so. */
  readonly quotaBytes: number;
  /** Default: in memory. */
  readonly storage?: StateStorage;
}

export interface HashMismatch {
  /** Of the log. */
  readonly index: number;
  /** The leader's. */
  readonly expected: number;
  readonly own: number;
}

/** Where in the log a command stands. */
export interface LogPlace {
  readonly index: number;
  readonly term: number;
}

export type Outcome =
  | { readonly ok: true; readonly revision: number; readonly result: Result }
  | { readonly ok: false; readonly revision: number; readonly error: QuorateError };

/** A snapshot being written. The state goes on; what it frees stays in memory until `release`. */
export interface FrozenState {
  /** At most 256 KiB each, one at a time and lazily: the host may pause between any two. Once only. */
  chunks(): Iterable<Uint8Array>;
  release(): void;
}

type CommandOf<K extends CommandBody["kind"]> = Extract<CommandBody, { readonly kind: K }>;

const DONE: Done = { op: "done" };

/** Where nothing outlives the process, nothing has to be rolled back. */
const atOnce = (work: () => void): void => work();

export class StateMachine implements StoreView {
  /** See StateMachineOptions. */
  quotaBytes: number;
  readonly #storage: StateStorage;
  readonly #versions: StateVersions;
  readonly leaseTable: LeaseTable;
  readonly #sessions: SessionTable;
  readonly #keys: LeasedKeys;
  readonly #hub: WatchHub;
  readonly #context: TransactionContext;
  readonly #v2Context: V2Context;
  readonly v2: V2Tree;
  readonly auth = new AuthStore();
  #alarms: Alarm[] = [];
  #clockMs = 0;
  #appliedIndex = 0;
  /** Of this run only: no part of the state. */
  #hashMark: { readonly index: number; readonly hash: number } | null = null;
  #onHashMismatch: ((mismatch: HashMismatch) => void) | null = null;
  #onCommit: ((record: RevisionRecord) => void) | null = null;
  /** Users and roles as they stand in the storage; undefined: a command has changed them since. */
  #savedAuth: string | null | undefined = null;
  /** Revisions of the transaction under way: told when it is done, since it may be rolled back. null: none is under way. */
  #held: RevisionRecord[] | null = null;

  constructor({ quotaBytes, storage = new MemoryStateStorage() }: StateMachineOptions) {
    this.quotaBytes = quotaBytes;
    this.#storage = storage;
    const { versions, leases } = storage;
    this.#versions = versions;
    this.leaseTable = leases;
    this.#sessions = storage.sessions;
    this.#load();
    this.#keys = new LeasedKeys(versions, leases);
    this.#hub = new WatchHub(versions);
    this.#context = { store: versions, leases, keys: this.#keys };
    this.#v2Context = {
      store: versions,
      leases,
      put: (key, value, lease) => this.#keys.put(key, value, lease),
      delete: (key) => this.#keys.delete(key),
      commit: (note) => {
        this.#commit(versions.commit(note, this.#clockMs));
        return versions.revision;
      },
    };
    this.v2 = new V2Tree(this.#v2Context);
  }

  #load(): void {
    const { appliedIndex, clockMs, alarms, auth } = this.#storage.load();
    this.#appliedIndex = appliedIndex;
    this.#clockMs = clockMs;
    this.#alarms = [...alarms];
    if (auth !== this.#savedAuth) this.auth.load(auth);
    this.#savedAuth = auth;
  }

  #save(): void {
    if (this.#savedAuth === undefined) this.#savedAuth = this.auth.dump();
    this.#storage.save({ appliedIndex: this.#appliedIndex, clockMs: this.#clockMs, alarms: this.#alarms, auth: this.#savedAuth });
  }

  /** One listener: the leader's expiry clock. */
  onLeases(listener: LeaseListener): void {
    this.leaseTable.listen(listener);
  }

  /** One listener, told of every revision right after the watches were. */
  onCommit(listener: (record: RevisionRecord) => void): void {
    this.#onCommit = listener;
  }

  /** One listener, told when this member's state is found to be another than the leader's at the same place of the log. */
  onHashMismatch(listener: (mismatch: HashMismatch) => void): void {
    this.#onHashMismatch = listener;
  }

  // ---- applying

  /** The index of the last command applied, or of the snapshot restored. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /**
   * Applies one command. Commands come in log order, each once; entries without one (no-ops) are left out.
   * @returns what the proposer is told; a refusal is an outcome too. Throws for broken invariants only
   */
  apply(command: Command, entry: LogPlace): Outcome {
    this.#appliedIndex = entry.index;
    this.#clockMs = Math.max(this.#clockMs, command.time);
    const { session } = command;
    if (session === undefined) return this.#once(command, entry);
    try {
      // First, because a repeat is told an outcome. What users and roles refuse is judged anew under the same number.
      this.#checkAuth(command);
      const repeated = this.#sessions.repeated(session);
      if (repeated !== undefined) return repeated;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      return { ok: false, revision: this.#versions.revision, error };
    }
    const outcome = this.#once(command, entry);
    this.#sessions.keep(session, outcome, this.#clockMs);
    return outcome;
  }

  /**
   * Applies commands as one act of a storage that outlives the process: all of them are stored, or what the transaction throws is thrown
   * and the state is as it was before. Watches learn nothing of it before `flush`.
   * @param transaction runs its argument once, at once
   * @param work calls `apply`, and nothing that waits
   */
  within(transaction: (work: () => void) => void, work: () => void): void {
    const held: RevisionRecord[] = [];
    this.#held = held;
    try {
      transaction(() => {
        work();
        this.#save();
      });
    } catch (error) {
      this.#hashMark = null;
      this.#load();
      throw error;
    } finally {
      this.#held = null;
    }
    for (const record of held) this.#committedRecord(record);
  }

  #once(command: Command, entry: LogPlace): Outcome {
    try {
      this.#refuseByAlarm(command);
      this.#checkAuth(command);
      const result = this.#execute(command, entry);
      assert(!this.#versions.hasPending, () => `a ${command.kind} left writes without a revision`);
      return { ok: true, revision: this.#versions.revision, result };
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      assert(!this.#versions.hasPending, () => `a ${command.kind} was refused after it had written: ${error.message}`);
      return { ok: false, revision: this.#versions.revision, error };
    }
  }

  #checkAuth(command: Command): void {
    this.auth.checkCommand(command, command.auth, (lease) => this.leaseTable.keys(lease));
  }

  /** Tells the watches what was committed since the last call; to be called after a batch. */
  flush(): void {
    this.#hub.flush();
    this.v2.flush();
  }

  #refuseByAlarm(command: CommandBody): void {
    if (this.#alarms.length === 0 || command.kind === "alarm") return;
    if (this.#has("corrupt")) throw errCorrupt();
    if (this.#has("nospace") && grows(command)) throw errNoSpace();
  }

  #has(alarm: Alarm["alarm"]): boolean {
    return this.#alarms.some((one) => one.alarm === alarm);
  }

  #execute(command: Command, entry: LogPlace): Result {
    switch (command.kind) {
      case "put":
        return this.#committed(executePut(command, this.#context));
      case "append":
        return this.#committed(executeAppend(command, this.#context));
      case "delete":
        return this.#committed(executeDelete(command, this.#context));
      case "txn":
        return this.#committed(executeTxn(command, this.#context));
      case "compact":
        this.#versions.compact(command.revision);
        this.#hub.compacted(command.revision);
        return DONE;
      case "leaseGrant":
        this.leaseTable.grant(command.id, command.ttlSeconds, null);
        return { op: "lease", id: command.id, ttlSeconds: command.ttlSeconds };
      case "leaseRevoke":
        if (isStale(command.term, entry)) return DONE;
        return this.#revoke(command.id);
      case "leaseCheckpoint":
        if (isStale(command.term, entry)) return DONE;
        for (const [id, remainingMs] of command.remainingMs) this.leaseTable.checkpoint(id, remainingMs);
        return DONE;
      case "alarm":
        return { op: "alarm", alarms: this.#setAlarm(command.action, command.alarm) };
      case "auth":
        this.auth.apply(command.change);
        this.#savedAuth = undefined;
        return DONE;
      case "hashMark":
        return this.#markHash(command.term, entry);
      case "hashVerify":
        return this.#verifyHash(command, entry);
      case "v2":
        return applyV2(command, this.#clockMs, this.#v2Context);
      default:
        return unreachable(command);
    }
  }

  #committed<R extends Result>(result: R): R {
    this.#commit(this.#versions.commit(null, this.#clockMs));
    return result;
  }

  #commit(record: RevisionRecord | null): void {
    if (record === null) return;
    if (this.#held === null) this.#committedRecord(record);
    else this.#held.push(record);
  }

  #committedRecord(record: RevisionRecord): void {
    this.#hub.committed(record);
    this.v2.committed(record);
    this.#onCommit?.(record);
  }

  /** Keys go in byte order, as one revision. For a v2 TTL the node and what is below it goes first, with its own event. */
  #revoke(id: LeaseId): Done {
    const lease = this.leaseTable.get(id);
    if (lease === undefined) throw errLeaseNotFound();
    if (lease.v2 !== null) expireV2(lease, this.#clockMs, this.#v2Context);
    for (const key of this.leaseTable.keys(id)) this.#keys.delete(key);
    this.leaseTable.remove(id);
    return this.#committed(DONE) as Done;
  }

  #markHash(term: number, entry: LogPlace): HashResult {
    if (isStale(term, entry)) return { op: "hash", index: 0, hash: 0 };
    this.#hashMark = { index: entry.index, hash: this.#runningHash() };
    return { op: "hash", ...this.#hashMark };
  }

  #verifyHash({ index, hash, term }: CommandOf<"hashVerify">, entry: LogPlace): Done {
    const own = this.#hashMark;
    if (isStale(term, entry) || own?.index !== index) return DONE; // restored since: there is nothing to compare
    if (own.hash !== hash) this.#onHashMismatch?.({ index, expected: hash, own: own.hash });
    return DONE;
  }

  #runningHash(): number {
    const { hash: leases, size: leaseCount } = this.leaseTable;
    const { revision, compactedRevision } = this.#versions;
    const versions = this.#versions.hash();
    return runningHash({
      versions,
      revision,
      compactedRevision,
      clockMs: this.#clockMs,
      leases,
      leaseCount,
      alarms: this.#alarms,
      sessions: this.#sessions,
      auth: this.auth.hash(),
    });
  }

  #setAlarm(action: "activate" | "deactivate", alarm: Alarm): Alarm[] {
    const same = (one: Alarm) => one.alarm === alarm.alarm && one.memberId === alarm.memberId;
    const raised = this.#alarms.find(same);
    if (action === "activate") {
      if (raised === undefined) this.#alarms = [...this.#alarms, alarm];
      return [alarm];
    }
    this.#alarms = this.#alarms.filter((one) => !same(one));
    return raised === undefined ? [] : [raised];
  }

  /**
   * True when a command adds data and would exceed the space quota: to be refused before it is proposed, with the alarm raised. Applying
   * never decides by the quota itself, since members may have freed different amounts of what was compacted.
   * @param commandBytes its size as encoded, what it adds at most, about
   */
  growsBeyondQuota(command: CommandBody, commandBytes: number): boolean {
    return this.#versions.sizeBytes() + commandBytes > this.quotaBytes && grows(command);
  }

  // ---- reading

  get revision(): number {
    return this.#versions.revision;
  }

  get compactedRevision(): number {
    return this.#versions.compactedRevision;
  }

  get clockMs(): number {
    return this.#clockMs;
  }

  range(request: RangeRequest): RangeResult {
    return this.#versions.range(request);
  }

  readTxn(request: TxnRequest): TxnResult {
    assert(isReadOnly(request), () => "a transaction that writes was given to be read");
    return executeTxn(request, this.#context);
  }

  lease(id: LeaseId): LeaseView | undefined {
    const lease = this.leaseTable.get(id);
    return lease === undefined ? undefined : { id: lease.id, ttlSeconds: lease.ttlSeconds, keys: this.leaseTable.keys(id) };
  }

  leaseIds(): LeaseId[] {
    const ids: LeaseId[] = [];
    for (const lease of this.leaseTable.all()) if (lease.v2 === null) ids.push(lease.id);
    return ids;
  }

  alarms(): readonly Alarm[] {
    return this.#alarms;
  }

  sizeBytes(): number {
    return this.#versions.sizeBytes();
  }

  sizeInUseBytes(): number {
    return this.#versions.sizeInUseBytes();
  }

  keyCount(): number {
    return this.#versions.keyCount;
  }

  watch(options: WatchOptions): Watcher {
    return this.#hub.open(options);
  }

  watchStats(): WatchStats {
    return this.#hub.stats();
  }

  hash(): number {
    return stateHash({
      versions: this.#versions.hash(),
      revision: this.#versions.revision,
      compactedRevision: this.#versions.compactedRevision,
      clockMs: this.#clockMs,
      leases: this.leaseTable.all(),
      alarms: this.#alarms,
      sessions: this.#sessions,
      auth: this.auth.hash(),
    });
  }

  // ---- upkeep

  /** Frees a slice of what compaction left behind. @returns true when nothing is left that may be freed now */
  compactStep(budget: number): boolean {
    return this.#versions.compactStep(budget);
  }

  /** See `VersionStore.raiseRevision`: for restoring a backup, before the first command. @param transaction see `within` */
  raiseRevision(revision: number, transaction = atOnce): void {
    this.within(transaction, () => this.#versions.raiseRevision(revision));
    this.#hub.restored(this.#versions);
    this.v2.reset();
  }

  /** The state as of now, to be written out in slices while the state goes on. `release` it, whatever happens. */
  freeze(place: SnapshotPlace): FrozenState {
    const versions: FrozenVersions = this.#versions.freeze();
    const source: SnapshotSource = {
      place,
      versions,
      leases: [...this.leaseTable.all()].map(({ id, ttlSeconds, remainingMs, v2 }): Lease => ({ id, ttlSeconds, remainingMs, v2 })),
      alarms: this.#alarms,
      sessions: [...this.#sessions.rows()],
      auth: this.auth.dump(),
      clockMs: this.#clockMs,
      hash: this.hash(),
    };
    return { chunks: () => writeSnapshot(source), release: versions.release };
  }

  /**
   * Replaces the whole state by that of a snapshot, after it was read to the end and verified; until then nothing changes.
   * @param transaction see `within`
   * @throws QuorateError malformed, unknownSnapshot
   */
  async restore(chunks: AsyncIterable<Uint8Array>, transaction = atOnce): Promise<SnapshotHeader> {
    const read = await readSnapshot(chunks);
    this.within(transaction, () => {
      this.#versions.adopt(read.versions);
      this.leaseTable.adopt(read.leases);
      this.#alarms = read.alarms;
      this.#sessions.adopt(read.sessions);
      this.auth.load(read.auth);
      this.#savedAuth = read.auth;
      this.#clockMs = read.header.clockMs;
      this.#appliedIndex = read.header.index;
    });
    this.#hashMark = null;
    this.#hub.restored(this.#versions);
    this.v2.reset();
    return read.header;
  }

  /** Recomputes what is kept incrementally and lists each fault; empty when all is well. O(n). */
  check(): string[] {
    const faults = [...this.#versions.check(), ...this.leaseTable.check(), ...this.#sessions.check()];
    let attached = 0;
    for (const kv of this.#versions.scan({ key: "\0" as KeyValue["key"], end: "\0" as KeyValue["key"] })) {
      if (kv.lease === NO_LEASE) continue;
      attached++;
      if (this.leaseTable.get(kv.lease) === undefined) faults.push(`key ${JSON.stringify(kv.key)} has lease ${kv.lease}, which is gone`);
      else if (!this.leaseTable.isAttached(kv.lease, kv.key))
        faults.push(`key ${JSON.stringify(kv.key)} is not with its lease ${kv.lease}`);
    }
    let listed = 0;
    for (const lease of this.leaseTable.all()) listed += this.leaseTable.keyCount(lease.id);
    if (listed !== attached) faults.push(`leases list ${listed} keys, and ${attached} keys have a lease`);
    return faults;
  }
}

/** The leader's own act, made in a term that is over: it must not take effect. */
function isStale(term: number, entry: LogPlace): boolean {
  return term !== 0 && term !== entry.term;
}

/** Whether a command may add data: what an alarm of no space refuses. As etcd, which counts both branches of a transaction. */
function grows(command: CommandBody): boolean {
  switch (command.kind) {
    case "put":
    case "append":
    case "leaseGrant":
      return true;
    case "txn":
      return txnGrows(command);
    case "v2":
      return command.method !== "delete";
    default:
      return false;
  }
}

function txnGrows(request: TxnRequest): boolean {
  const adds = (operation: TxnRequest["success"][number]): boolean =>
    operation.op === "put" || operation.op === "append" || (operation.op === "txn" && txnGrows(operation));
  return request.success.some(adds) || request.failure.some(adds);
}
