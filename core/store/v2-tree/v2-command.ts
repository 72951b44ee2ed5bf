/**
 * Writes of the v2 keys API as they stand in the log. The rules of the v2 tree (which error, which created and modified index,
 * which action) are applied with the state in hand, in `v2-tree.ts`. Source: etcd's v2 API documentation.
 */
import type { Bytes } from "../../bytes/bytes.ts";

/** What happened to a node, as v2 clients see it. */
export type V2Action = "set" | "create" | "update" | "delete" | "compareAndSwap" | "compareAndDelete" | "expire";

export interface V2Command {
  /** `put`: set, create, update or swap, by the conditions. `post`: an in-order key below `path`. */
  readonly method: "put" | "post" | "delete";
  /** Clean absolute path: "/" or "/a/b", UTF-8 bytes. */
  readonly path: Bytes;
  readonly dir: boolean;
  readonly recursive: boolean;
  readonly value: Bytes;
  /** From the command's time on. null: none, which takes away what a node had; 0 or negative: the node ends at once, as in etcd. */
  readonly ttlSeconds: number | null;
  /** Keep the value (of a put of a node that is there) and wake no waiter. */
  readonly refresh: boolean;
  /** Conditions; null or empty, null or 0: none. */
  readonly prevValue: Bytes | null;
  readonly prevIndex: number | null;
  readonly prevExist: boolean | null;
}

/** A node of the v2 tree as of one revision; `null` value means a directory. */
export interface V2Node {
  readonly path: Bytes;
  readonly value: Bytes | null;
  readonly createdIndex: number;
  readonly modifiedIndex: number;
  /** Milliseconds since 1970; null: no TTL. */
  readonly expiresAt: number | null;
}

export interface V2Result {
  readonly op: "v2";
  readonly action: V2Action;
  /** What the node became. After delete, compareAndDelete and expire its value is null; `prev` tells a directory from a file. */
  readonly node: V2Node;
  readonly prev: V2Node | null;
}

/**
 * Kept with a revision that a v2 command or the end of a v2 TTL made, so that the v2 history can be replayed from the revision log
 * alone. Revisions made through v3 have none: their events are `set` and `delete`.
 */
export interface V2Note {
  readonly action: V2Action;
  readonly path: Bytes;
  /** A refresh raises the index but wakes no waiter. */
  readonly silent: boolean;
  /** As in `V2Result`. */
  readonly node: V2Node;
  readonly prev: V2Node | null;
}

/** True for the actions that end a node. */
export function isRemoval(action: V2Action): boolean {
  return action === "delete" || action === "compareAndDelete" || action === "expire";
}
