/** Waits for what a watcher has to give: for code that goes step by step, as locks and elections do. */
import type { KeyRange } from "../../store/command.ts";
import type { StoreView } from "../../store/store-view.ts";
import type { WatchEvent, Watcher } from "../../store/watch/watcher.ts";

/** What one step takes at most; the rest waits for the next. */
const STEP_BYTES_MAX = 64 * 1024;

export interface ReaderOptions {
  readonly range: KeyRange;
  /** As of `WatchOptions`. */
  readonly startRevision: number;
  readonly noPut?: boolean;
}

/** `closed`: by `close`. `lost`: compaction has overtaken it; look at the keys again. Both are for good. */
export type ReaderStep = { readonly kind: "events"; readonly events: readonly WatchEvent[] } | { readonly kind: "closed" | "lost" };

export class WatchReader {
  readonly #watcher: Watcher;
  #wake: (() => void) | null = null;
  #end: "closed" | "lost" | null = null;

  constructor(store: StoreView, { range, startRevision, noPut = false }: ReaderOptions) {
    const onReady = () => this.#wakeUp();
    this.#watcher = store.watch({ ...range, startRevision, noPut, noDelete: false, prevKv: false, onReady });
  }

  /** One event or more, ascending. One caller at a time. */
  async next(): Promise<ReaderStep> {
    while (this.#end === null) {
      const taken = this.#watcher.take(STEP_BYTES_MAX);
      if (taken === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else if (taken.kind === "compacted") this.#end = "lost";
      else if (taken.events.length > 0) return { kind: "events", events: taken.events };
    }
    return { kind: this.#end };
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Frees it and ends a `next` that waits. */
  close(): void {
    this.#end ??= "closed";
    this.#watcher.close();
    this.#wakeUp();
  }
}
