/**
 * What happened at each revision, as the members' own watches tell it right after each entry: the same on all of them. Complete as long as
 * somebody applied every entry, which is always the case, since a snapshot holds only what was applied before.
 */
import { ZERO } from "../../../core/bytes/bytes.ts";
import type { StoreView } from "../../../core/store/store-view.ts";
import type { WatchEvent, Watcher } from "../../../core/store/watch/watcher.ts";
import type { Truth as Change } from "../../history/revision-check.ts";
import { demand } from "../violation.ts";
import type { Wanted, Witness } from "./witness.ts";

const TAKE_BYTES = 1 << 20;
const EVERYTHING: Wanted = { key: ZERO, end: ZERO, noPut: false, noDelete: false, prevKv: false };

export class Truth {
  /** Events of each revision, as text. */
  readonly #told = new Map<number, string>();
  readonly #changes: Change[] = [];
  /** Each was written by one request. */
  readonly #values = new Set<string>();
  #newest = 1;
  readonly witness: Witness;

  constructor(witness: Witness) {
    this.witness = witness;
  }

  /** Each revision that has changed one key, in order, when all have. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** @param by who tells it @param events whole revisions, ascending */
  tell(by: string, events: readonly WatchEvent[]): void {
    const lines = new Map<number, string>();
    for (const { type, kv } of events) {
      const line = `${type} ${kv.key} ${kv.value} ${kv.createRevision} ${kv.version} ${kv.lease};`;
      lines.set(kv.modRevision, (lines.get(kv.modRevision) ?? "") + line);
    }
    for (const [revision, line] of lines) {
      const known = this.#told.get(revision);
      demand(known === undefined || known === line, "watch", () => `${by} is told "${line}" of revision ${revision}; others "${known}"`);
      this.#told.set(revision, line);
    }
    for (const { type, kv } of events) {
      if (kv.modRevision <= this.#newest) continue;
      if (type === "put") {
        demand(
          !this.#values.has(kv.value),
          "nothing is done twice",
          () => `${kv.value.slice(0, 20)} is written again at ${kv.modRevision}`,
        );
        this.#values.add(kv.value);
      }
      this.#changes.push({ revision: kv.modRevision, key: kv.key, value: type === "put" ? kv.value : undefined });
    }
    this.#newest = Math.max(this.#newest, events.at(-1)?.kv.modRevision ?? 0);
  }
}

/** Follows one member's store, in step with it. */
export class Observer {
  readonly #truth: Truth;
  readonly #name: string;
  #watcher: Watcher | null = null;
  /** The first revision that it was not told of. */
  #next = 2;

  constructor(truth: Truth, name: string) {
    this.#truth = truth;
    this.#name = name;
  }

  /** To be called after each change of the store. */
  look(store: StoreView): void {
    for (;;) {
      this.#watcher ??= this.#open(store);
      const taken = this.#watcher.take(TAKE_BYTES);
      if (taken === undefined) return;
      if (taken.kind === "compacted") this.#watcher = null;
      else {
        const { revision, events } = taken;
        const { compactedRevision: compacted } = store;
        this.#truth.witness.watched(this.#name, { wanted: EVERYTHING, from: this.#next, to: revision, events, compacted });
        this.#next = revision + 1;
        this.#truth.tell(this.#name, events);
      }
    }
  }

  /** From the beginning, or as far back as there is history. */
  #open(store: StoreView): Watcher {
    this.#next = Math.max(this.#next, store.compactedRevision + 1);
    return store.watch({ ...EVERYTHING, startRevision: this.#next, onReady: () => {} });
  }
}
