/** Every operation of v1, in the order of the reference. */
import type { Operation } from "./operation.ts";
import { kvOperations } from "./kv.ts";
import { leaseOperations } from "./leases.ts";
import { tokenOperations } from "./tokens.ts";
import { txnOperations } from "./txn.ts";
import { watchOperations } from "./watch.ts";

export const OPERATIONS: readonly Operation[] = [
  ...kvOperations,
  ...txnOperations,
  ...watchOperations,
  ...leaseOperations,
  ...tokenOperations,
];
