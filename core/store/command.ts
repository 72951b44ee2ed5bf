/**
 * What goes through the log and what comes back. A command is complete: time, ids and random numbers enter as fields chosen by
 * the proposer, so that the same log gives the same state everywhere (architecture decision 4).
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { AuthChange, CommandAuth } from "./auth/auth-change.ts";
import type { CommandSession } from "./sessions.ts";
import type { V2Command, V2Result } from "./v2-tree/v2-command.ts";

/** A signed 64-bit number in decimal, as on etcd's JSON wire; negative ids are allowed. */
export type LeaseId = string;
export const NO_LEASE: LeaseId = "0";

/** One version of one key. Immutable and shared: never change a field. `version` 0 is a tombstone (then value is empty). */
export interface KeyValue {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 1 for the put that created the key; starts again after a delete. */
  readonly version: number;
  readonly lease: LeaseId;
  /** What the value is, as whoever put it said; absent where nobody did, as no client of etcd can. */
  readonly contentType?: Bytes;
}

/**
 * A range of keys, in etcd's own form: `end` empty means the one key `key`; `end` = one zero byte means every key >= `key`;
 * otherwise [key, end). A `key` of one zero byte with an `end` of one zero byte is the whole keyspace.
 */
export interface KeyRange {
  readonly key: Bytes;
  readonly end: Bytes;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";
export type SortOrder = "none" | "ascend" | "descend";

export interface RangeRequest extends KeyRange {
  /** 0 or negative: the current one. */
  readonly revision: number;
  /** 0 or negative: no limit. */
  readonly limit: number;
  readonly sortTarget: SortTarget;
  readonly sortOrder: SortOrder;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Bounds, inclusive; 0: none. They filter `kvs`, not `count`. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  /** Keys were left out because of `limit`. */
  readonly more: boolean;
  /** Keys in the range at that revision, whatever limit and filters say. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly lease: LeaseId;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
  /** See KeyValue. With `ignoreValue`, that of the value stays. */
  readonly contentType?: Bytes;
}

/** A put whose key is chosen while applying: prefix + 20-digit revision (+ ".0001" … for further ones in one txn) + suffix. */
export interface AppendRequest {
  readonly prefix: Bytes;
  readonly suffix: Bytes;
  readonly value: Bytes;
  readonly lease: LeaseId;
  readonly contentType?: Bytes;
}

export interface DeleteRequest extends KeyRange {
  readonly prevKv: boolean;
}

export type CompareTarget = "version" | "create" | "mod" | "value" | "lease";
export type CompareOperator = "equal" | "greater" | "less" | "notEqual";

export interface Compare extends KeyRange {
  /** null: a target or operator number that is not known; it holds, as in etcd. */
  readonly target: CompareTarget | null;
  readonly operator: CompareOperator | null;
  /** For `value`: bytes. For `lease`: a LeaseId. For the others: a number. */
  readonly value: Bytes | number;
}

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation =
  | ({ readonly op: "range" } & RangeRequest)
  | ({ readonly op: "put" } & PutRequest)
  | ({ readonly op: "append" } & AppendRequest)
  | ({ readonly op: "delete" } & DeleteRequest)
  | ({ readonly op: "txn" } & TxnRequest);

export type AlarmType = "nospace" | "corrupt";
export interface Alarm {
  /** Decimal uint64. */
  readonly memberId: string;
  readonly alarm: AlarmType;
}

export type CommandBody =
  | ({ readonly kind: "put" } & PutRequest)
  | ({ readonly kind: "append" } & AppendRequest)
  | ({ readonly kind: "delete" } & DeleteRequest)
  | ({ readonly kind: "txn" } & TxnRequest)
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "leaseGrant"; readonly id: LeaseId; readonly ttlSeconds: number }
  /**
   * `term` 0: asked for by a client. Otherwise the leader's own act (expiry): ignored unless it is the term of the entry, so that a
   * deposed leader revokes nothing (raft.md §9).
   */
  | { readonly kind: "leaseRevoke"; readonly id: LeaseId; readonly term: number }
  /** Remaining time of leases in milliseconds; by the leader only, bound to its term like a revoke of its own. */
  | { readonly kind: "leaseCheckpoint"; readonly remainingMs: readonly (readonly [LeaseId, number])[]; readonly term: number }
  /** The leader's own: every member notes the hash of its state as of this place. */
  | { readonly kind: "hashMark"; readonly term: number }
  /** The leader's own: every member compares what it noted at `index` with what the leader did. */
  | { readonly kind: "hashVerify"; readonly index: number; readonly hash: number; readonly term: number }
  | { readonly kind: "auth"; readonly change: AuthChange }
  | { readonly kind: "alarm"; readonly action: "activate" | "deactivate"; readonly alarm: Alarm }
  | ({ readonly kind: "v2" } & V2Command);

/** A command as it stands in the log. */
export type Command = CommandBody & {
  /** The store's clock, in milliseconds since 1970, stamped by the leader; never goes back (recipes.md §0.1). */
  readonly time: number;
  /** Makes it take effect at most once, however often it is proposed. */
  readonly session?: CommandSession;
  /** Absent while nobody is asked who he is, and for what the cluster does on its own account. */
  readonly auth?: CommandAuth;
};

export interface PutResult {
  readonly op: "put";
  readonly prev: KeyValue | null;
}
export interface AppendResult {
  readonly op: "append";
  readonly key: Bytes;
}
export interface DeleteResult {
  readonly op: "delete";
  readonly deleted: number;
  /** Filled when asked for. */
  readonly prev: readonly KeyValue[];
}
export interface RangeOpResult extends RangeResult {
  readonly op: "range";
}
export interface TxnResult {
  readonly op: "txn";
  readonly succeeded: boolean;
  readonly responses: readonly OperationResult[];
}
/** `revision`: what the header of the inner reply shows; 0 for a nested txn, whose header is empty. */
export type OperationResult = (PutResult | AppendResult | DeleteResult | RangeOpResult | TxnResult) & { readonly revision: number };

export interface LeaseGrantResult {
  readonly op: "lease";
  readonly id: LeaseId;
  readonly ttlSeconds: number;
}
export interface Done {
  readonly op: "done";
}
export interface AlarmResult {
  readonly op: "alarm";
  /** The alarms that the command raised or lowered. */
  readonly alarms: readonly Alarm[];
}

/** The hash of the state as of an index of the log; 0 when the command was not of the leader's present term. */
export interface HashResult {
  readonly op: "hash";
  readonly index: number;
  readonly hash: number;
}

/** What applying a command gives; which one goes with which command is `ResultOf`. */
export type Result = PutResult | AppendResult | DeleteResult | TxnResult | LeaseGrantResult | AlarmResult | HashResult | Done | V2Result;

interface Results {
  put: PutResult;
  append: AppendResult;
  delete: DeleteResult;
  txn: TxnResult;
  compact: Done;
  leaseGrant: LeaseGrantResult;
  leaseRevoke: Done;
  leaseCheckpoint: Done;
  auth: Done;
  hashMark: HashResult;
  hashVerify: Done;
  alarm: AlarmResult;
  v2: V2Result;
}
export type ResultOf<K extends CommandBody["kind"]> = Results[K];

/** The header's part that comes from the store: the revision after the command was applied. */
export interface Applied<R extends Result = Result> {
  readonly revision: number;
  readonly result: R;
}
