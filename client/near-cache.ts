/**
 * A copy of the keys under a prefix that is kept up to date by a watch: reads of it ask nobody. It never goes back: what it shows is the
 * state of one revision, and then of later ones. While the store cannot be reached it shows the last one, and says so.
 *
 * With a storage it begins with what was saved, marked stale, until the store has told the present state.
 */
import type { RecipeContext } from "../core/recipes/client-port.ts";
import type { Change, Entry, Keys } from "./keys.ts";

/** What is saved of a cache; values as their codec has read them. */
export interface SavedCache {
  readonly revision: number;
  readonly entries: readonly Entry<unknown>[];
}

/** Where a cache is kept over restarts; `quorate/client/idb` has one for browsers. */
export interface CacheStorage {
  load(name: string): Promise<SavedCache | undefined>;
  save(name: string, saved: SavedCache): Promise<void>;
}

export interface NearCacheOptions {
  readonly storage?: CacheStorage | undefined;
  /** Under which it is stored. Default: the prefix. */
  readonly name?: string | undefined;
  /** Told after each change of what it shows. */
  readonly onChange?: ((cache: NearCache<unknown>) => void) | undefined;
  /** Told when it ends because the store refuses it, and when the storage fails. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** Between two writes to the storage, at least. */
const SAVE_MS = 1_000;

export class NearCache<T> implements AsyncDisposable {
  /** Resolves when it has something to show: saved or fresh. Rejects when it ends before. */
  readonly ready: Promise<void>;
  readonly #keys: Keys<T, never>;
  readonly #host: RecipeContext["host"];
  readonly #options: NearCacheOptions;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;
  #entries = new Map<string, Entry<T>>();
  #revision = 0;
  #stale = true;
  #saving: Promise<void> | undefined;

  constructor({ host }: RecipeContext, keys: Keys<T, never>, options: NearCacheOptions = {}) {
    this.#keys = keys;
    this.#host = host;
    this.#options = options;
    let running = Promise.resolve();
    this.ready = new Promise((resolve, reject) => (running = this.#run(resolve, reject)));
    this.ready.catch(() => {}); // whoever waits for it is told
    this.#running = running;
  }

  get(key: string): Entry<T> | undefined {
    return this.#entries.get(key);
  }

  /** In the order of their keys. */
  entries(): Entry<T>[] {
    return [...this.#entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Of the state that it shows; never falls. */
  get revision(): number {
    return this.#revision;
  }

  /** It shows what was saved, and the store has not been heard of yet. */
  get stale(): boolean {
    return this.#stale;
  }

  /** Ends the watch, and saves what there is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#running;
    await this.#saving;
    if (!this.#stale) await this.#save();
  }

  get #name(): string {
    return this.#options.name ?? this.#keys.prefix;
  }

  async #run(ready: () => void, failed: (error: unknown) => void): Promise<void> {
    const { signal } = this.#over;
    try {
      const saved = await this.#options.storage?.load(this.#name);
      if (saved !== undefined) {
        this.#entries = new Map(saved.entries.map((entry) => [entry.key, entry as Entry<T>]));
        this.#revision = saved.revision;
        ready();
      }
      for await (const step of this.#keys.watch({ signal })) {
        // A member that is behind what was seen before has nothing new to say.
        if (step.revision < this.#revision) continue;
        if (step.kind === "reset") this.#entries = new Map(step.entries.map((entry) => [entry.key, entry]));
        else for (const change of step.changes) this.#apply(change);
        this.#revision = step.revision;
        this.#stale = false;
        ready();
        this.#options.onChange?.(this as NearCache<unknown>);
        this.#saveLater();
      }
    } catch (error) {
      failed(error);
      this.#options.onError?.(error);
    }
    failed(signal.reason);
  }

  #apply(change: Change<T>): void {
    if (change.type === "put") this.#entries.set(change.key, change.entry);
    else this.#entries.delete(change.key);
  }

  #saveLater(): void {
    if (this.#options.storage === undefined) return;
    this.#saving ??= this.#host.sleep(SAVE_MS, this.#over.signal).then(
      () => this.#save(),
      () => {}, // it ends, and saves then
    );
  }

  /** A storage that fails costs the copy, not the cache: told, and tried again with the next change. */
  async #save(): Promise<void> {
    this.#saving = undefined;
    try {
      await this.#options.storage?.save(this.#name, { revision: this.#revision, entries: this.entries() });
    } catch (error) {
      this.#options.onError?.(error);
    }
  }
}
