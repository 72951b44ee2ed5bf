/** Reads of the v2 view: the tree that the keys make (architecture decision 3), and its event history. */
import type { Bytes } from "../../bytes/bytes.ts";
import type { QuorateError } from "../../errors.ts";
import type { V2Node, V2Note } from "./v2-command.ts";

export interface V2WatchOptions {
  /** A clean path; nothing needs to be there. */
  readonly path: Bytes;
  /** Also what happens below the path. */
  readonly recursive: boolean;
  /** First index wanted; 0: from now on. May lie in the future. */
  readonly sinceIndex: number;
  /** The watch ends by itself after the first event. */
  readonly once?: boolean;
  /**
   * Called with each event, in order; never from within `watch`.
   * @param index the revision that made the event
   * @param time milliseconds since 1970, the stamp of that revision: what a TTL in the event counts from
   */
  readonly onEvent: (note: V2Note, index: number, time: number) => void;
}

export interface V2TreeView {
  /** The node at a clean path, or undefined. "/" is always there. */
  node(path: Bytes): V2Node | undefined;
  /** Why `node` gave undefined: v2KeyNotFound or v2NotDirectory, with cause and index. */
  whyMissing(path: Bytes): QuorateError;
  /** Direct children of a directory in byte order, hidden ones (name begins with "_") left out. */
  children(path: Bytes): V2Node[];
  /** Last raised index: equals the store's revision. */
  readonly index: number;
  /** Watches that wait now. */
  readonly watcherCount: number;
  /** Nodes ended by their TTL, as far as this process has applied it: what it replays of its log is counted too. */
  readonly expireCount: number;
  /**
   * Events at or after `sinceIndex` that concern `path`. As in etcd, a watch that stays hears of the end of its own node twice, and
   * events from the history are not filtered by hidden names.
   * @throws QuorateError `eventIndexCleared` when the history (1,000 events, or the last compaction) does not reach back that far
   */
  watch(options: V2WatchOptions): { close(): void };
}
