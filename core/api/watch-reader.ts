/** Waits for what a watcher has to give: for code that goes step by step, as locks, elections and the recipes do. */
import type { KeyRange } from "../store/command.ts";
import type { StoreView } from "../store/store-view.ts";
import type { WatchEvent, Watcher } from "../store/watch/watcher.ts";

/** What one step takes at most; the rest waits for the next. */
const STEP_BYTES_MAX = 64 * 1024;

export interface ReaderOptions {
  readonly range: KeyRange;
  /** As of `WatchOptions`. */
  readonly startRevision: number;
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
  readonly prevKv?: boolean;
}

/**
 * `events`: whole revisions, ascending, all up to `revision`; empty when a long history was read so far without finding any.
 * `closed`: by `close`. `lost`: compaction has overtaken it; look at the keys again. Both are for good.
 */
export type ReaderStep =
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly revision: number }
  | { readonly kind: "closed" }
  | { readonly kind: "lost"; readonly compactRevision: number };

export class WatchReader {
  readonly #watcher: Watcher;
  #wake: (() => void) | null = null;
  #end: Exclude<ReaderStep, { kind: "events" }> | null = null;

  constructor(store: StoreView, { range, startRevision, noPut = false, noDelete = false, prevKv = false }: ReaderOptions) {
    const onReady = () => this.#wakeUp();
    this.#watcher = store.watch({ ...range, startRevision, noPut, noDelete, prevKv, onReady });
  }

  /** One caller at a time. After a step without events, give way to others before the next one. */
  async next(): Promise<ReaderStep> {
    while (this.#end === null) {
      const taken = this.#watcher.take(STEP_BYTES_MAX);
      if (taken === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else if (taken.kind === "events") return taken;
      else this.#end = { kind: "lost", compactRevision: taken.compactRevision };
    }
    return this.#end;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Frees it and ends a `next` that waits. */
  close(): void {
    this.#end ??= { kind: "closed" };
    this.#watcher.close();
    this.#wakeUp();
  }
}
