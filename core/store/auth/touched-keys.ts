/**
 * Which keys a request reads and writes: what is held against the permissions of a user, and against the scope of a token. Source: etcd
 * 3.4's etcdserver/apply_auth.go, as a running etcd answers.
 */
import { type Bytes, EMPTY, prefixEnd } from "../../bytes/bytes.ts";
import type { CommandBody, KeyRange, LeaseId, Operation, TxnRequest } from "../command.ts";

/** Told of each range in turn; throws to refuse. */
export type Touch = (need: "read" | "write", range: KeyRange) => void;

/** Keys that a lease holds: whoever ends the lease deletes them. */
export type KeysOf = (lease: LeaseId) => readonly Bytes[];

export function touchTxn({ compare, success, failure }: TxnRequest, touch: Touch): void {
  for (const range of compare) touch("read", range);
  for (const operation of [...success, ...failure]) touchOperation(operation, touch);
}

function touchOperation(operation: Operation, touch: Touch): void {
  switch (operation.op) {
    case "range":
      return touch("read", operation);
    case "put":
      return touch("write", { key: operation.key, end: EMPTY });
    case "append":
      return touch("write", { key: operation.prefix, end: prefixEnd(operation.prefix) });
    case "delete":
      if (operation.prevKv) touch("read", operation);
      return touch("write", operation);
    case "txn":
      return touchTxn(operation, touch);
  }
}

/** Nothing for commands that are not about keys. */
export function touchCommand(command: CommandBody, keysOf: KeysOf, touch: Touch): void {
  switch (command.kind) {
    case "put":
      touch("write", { key: command.key, end: EMPTY });
      touchLease(command.lease, keysOf, touch);
      if (command.prevKv) touch("read", { key: command.key, end: EMPTY });
      return;
    case "append":
      return touchOperation({ ...command, op: "append" }, touch);
    case "delete":
      return touchOperation({ ...command, op: "delete" }, touch);
    case "txn":
      return touchTxn(command, touch);
    case "leaseRevoke":
      return touchLease(command.id, keysOf, touch);
    case "v2": {
      const key = command.path; // a node is the key of its path
      touch("write", { key, end: EMPTY });
      if (command.recursive || command.dir || command.method === "post") {
        const below = (key === "/" ? key : key + "/") as Bytes;
        touch("write", { key: below, end: prefixEnd(below) });
      }
      return;
    }
    default:
      return;
  }
}

/** A put that binds a key to a lease, and the end of a lease, touch all keys of that lease. */
function touchLease(lease: LeaseId, keysOf: KeysOf, touch: Touch): void {
  for (const key of keysOf(lease)) touch("write", { key, end: EMPTY });
}
