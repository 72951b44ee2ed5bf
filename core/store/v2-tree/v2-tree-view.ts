/** Reads of the v2 view: the tree that the keys make (architecture decision 3), and its event history. */
import type { Bytes } from "../../bytes/bytes.ts";
import type { V2Node, V2Note } from "./v2-command.ts";

export interface V2TreeView {
  /** The node at a clean path, or undefined. "/" is always there. */
  node(path: Bytes): V2Node | undefined;
  /** Direct children of a directory in byte order, hidden ones (name begins with "_") left out. */
  children(path: Bytes): V2Node[];
  /** Last raised index: equals the store's revision. */
  readonly index: number;
  /**
   * Waits for the first event at or after `sinceIndex` (0: from now on) that concerns `path`.
   * @param onEvent called with each event, in order; never from within this call
   * @throws QuorateError `eventIndexCleared` when the history (1,000 events) does not reach back that far
   */
  watch(options: { path: Bytes; recursive: boolean; sinceIndex: number; onEvent: (note: V2Note, index: number) => void }): {
    close(): void;
  };
}
