/**
 * One watch, as its reader sees it. The hub never calls into a slow reader: it notes what is there and says so once; the reader takes
 * at its own speed. A reader that falls too far behind is served from the revision log again, so that it holds up nobody and needs
 * bounded memory.
 */
import type { KeyRange, KeyValue } from "../command.ts";

export interface WatchOptions extends KeyRange {
  /** First revision wanted; 0 or negative: from now on. A future one delivers nothing earlier. */
  readonly startRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /**
   * Called when `take` would return something after it had returned undefined, or before it was ever called; never from within `watch`
   * or `take`. Not called for what lies in the past when the watch is opened: take once at the beginning.
   */
  readonly onReady: () => void;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** Of a delete: key and modRevision only, as etcd sends it. Shared between watchers: an encoder may cache by identity. */
  readonly kv: KeyValue;
  /** With `prevKv`: the version before, unless there was none or it is compacted. */
  readonly prev: KeyValue | null;
}

export type WatchTake =
  | {
      readonly kind: "events";
      /**
       * Ascending; whole revisions, never part of one. The array may be shared between watchers: an encoder may cache by its identity.
       * Empty when a long history was read up to `revision` without finding any: take again, after giving way to others.
       */
      readonly events: readonly WatchEvent[];
      /** All events up to this revision have been taken: that of the last one, or further when history was read. */
      readonly revision: number;
    }
  /** History before `compactRevision`, or a part of it, is gone before it was taken; the watcher is closed. */
  | { readonly kind: "compacted"; readonly compactRevision: number };

export interface Watcher {
  /**
   * The next events, or undefined when there are none now.
   * @param bytesMax soft limit on key and value bytes; one whole revision is returned in any case
   */
  take(bytesMax: number): WatchTake | undefined;
  /** True when nothing is waiting: a progress notice with the store's revision would be true. */
  isSynced(): boolean;
  /** Frees it; later calls of `take` return undefined. */
  close(): void;
}
