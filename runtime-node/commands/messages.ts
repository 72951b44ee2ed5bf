/** The messages of etcd's JSON gateway that several commands have, and how they are shown. 64-bit numbers are texts. */
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { Header } from "./cluster.ts";
import { goQuote } from "./go-quote.ts";
import { type FieldLine, type Printer, bytesOf } from "./printer.ts";

export interface KeyValue {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly version?: string;
  readonly lease?: string;
}

export interface RangeReply {
  readonly header?: Header;
  readonly kvs?: readonly KeyValue[];
  readonly more?: boolean;
  readonly count?: string;
}

export interface PutReply {
  readonly header?: Header;
  readonly prev_kv?: KeyValue;
}

export interface DeleteReply {
  readonly header?: Header;
  readonly deleted?: string;
  readonly prev_kvs?: readonly KeyValue[];
}

export interface TxnReply {
  readonly header?: Header;
  readonly succeeded?: boolean;
  readonly responses?: readonly {
    readonly response_range?: RangeReply;
    readonly response_put?: PutReply;
    readonly response_delete_range?: DeleteReply;
  }[];
}

export function headerFields({ cluster_id = "0", member_id = "0", revision = "0", raft_term = "0" }: Header = {}): FieldLine[] {
  return [
    ["ClusterID", cluster_id],
    ["MemberID", member_id],
    ["Revision", revision],
    ["RaftTerm", raft_term],
  ];
}

/** @param prefix `Prev`, or empty */
export function kvFields(prefix: string, kv: KeyValue): FieldLine[] {
  return [
    [`${prefix}Key`, goQuote(bytesOf(kv.key))],
    [`${prefix}CreateRevision`, kv.create_revision ?? "0"],
    [`${prefix}ModRevision`, kv.mod_revision ?? "0"],
    [`${prefix}Version`, kv.version ?? "0"],
    [`${prefix}Value`, goQuote(bytesOf(kv.value))],
    [`${prefix}Lease`, kv.lease ?? "0"],
  ];
}

/** Key and value, a line each. */
export function kvLines(print: Printer, kv: KeyValue): Bytes {
  return `${print.bytes(kv.key)}\n${print.bytes(kv.value)}\n` as Bytes;
}
