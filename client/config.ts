/** A namespace of configuration whose values have one type: published singly or together, read as of a revision, and subscribed to. */
import type { CallOptions, RecipeContext } from "../core/recipes/client-port.ts";
import {
  type ConfigChange,
  type ConfigSnapshot,
  NearConfig,
  type PublishOptions,
  type SchemaCheck,
  publishConfig,
  readConfig,
  rollBackConfig,
  subscribeConfig,
} from "../core/recipes/config.ts";
import type { Codec } from "./values.ts";

export interface ConfigOptions {
  /** Needed to publish where the namespace has a JSON Schema. */
  readonly check?: SchemaCheck;
}

export interface ChangeOptions {
  /** Only if the key was changed last at this revision; 0: only if it is not there; `any`: only if it is. */
  readonly ifRevision?: number | "any";
}

export type ConfigPublishOptions = Omit<PublishOptions, "check">;

export interface ConfigValue<T> {
  readonly value: T;
  /** Of its last change. */
  readonly revision: number;
}

/** A namespace as of one revision. */
export interface ConfigView<T> {
  readonly entries: ReadonlyMap<string, ConfigValue<T>>;
  readonly revision: number;
}

export interface ConfigUpdate<T> extends ConfigView<T> {
  /** The keys that changed; `reset`: all was read anew. */
  readonly changed: readonly string[] | "reset";
}

/** What is to be published together. */
export interface ConfigChanges<In> {
  set(key: string, value: In, options?: ChangeOptions): void;
  delete(key: string, options?: ChangeOptions): void;
}

interface Wanted<In> extends ChangeOptions {
  readonly key: string;
  /** undefined: it is deleted. */
  readonly set?: { readonly value: In };
}

export class Config<T, In = T> {
  readonly #context: RecipeContext;
  readonly #namespace: string;
  readonly #codec: Codec<T, In>;
  readonly #check: SchemaCheck | undefined;

  constructor(context: RecipeContext, namespace: string, codec: Codec<T, In>, { check }: ConfigOptions = {}) {
    this.#context = context;
    this.#namespace = namespace;
    this.#codec = codec;
    this.#check = check;
  }

  /** @returns the revision at which it is published @throws QuorateError preconditionFailed, schemaFailed, badValue, badField */
  set(key: string, value: In, { ifRevision, ...options }: ChangeOptions & ConfigPublishOptions = {}): Promise<number> {
    return this.#publish([{ key, set: { value }, ...(ifRevision === undefined ? {} : { ifRevision }) }], options);
  }

  /** @returns the revision at which it is gone @throws QuorateError preconditionFailed */
  delete(key: string, { ifRevision, ...options }: ChangeOptions & ConfigPublishOptions = {}): Promise<number> {
    return this.#publish([{ key, ...(ifRevision === undefined ? {} : { ifRevision }) }], options);
  }

  /** All that `build` asks for, at one revision: nobody sees half of it. @throws QuorateError as `set` does, and then nothing is published */
  transact(build: (changes: ConfigChanges<In>) => void, options: ConfigPublishOptions = {}): Promise<number> {
    const wanted: Wanted<In>[] = [];
    build({
      set: (key, value, only) => void wanted.push({ key, set: { value }, ...only }),
      delete: (key, only) => void wanted.push({ key, ...only }),
    });
    return this.#publish(wanted, options);
  }

  /** null: it is not there. */
  async get(key: string, options?: CallOptions): Promise<ConfigValue<T> | null> {
    return (await this.read(options)).entries.get(key) ?? null;
  }

  /** All of it, now or as it was at a revision. @throws QuorateError compacted when history does not go back so far; badValue */
  async read(options: CallOptions & { readonly revision?: number } = {}): Promise<ConfigView<T>> {
    return this.#viewOf(await readConfig(this.#context, this.#namespace, options));
  }

  /** Publishes what was in force at a revision as a new one. @throws QuorateError compacted, schemaFailed, preconditionFailed */
  rollBack(to: number, options: ConfigPublishOptions = {}) {
    return rollBackConfig(this.#context, this.#namespace, to, { ...options, check: this.#check });
  }

  /** The namespace now, and then each of its states in order, until the signal fires. @throws QuorateError badValue */
  async *subscribe(options: CallOptions = {}): AsyncGenerator<ConfigUpdate<T>, void, void> {
    for await (const step of subscribeConfig(this.#context, this.#namespace, options)) {
      const changed = step.changes === "reset" ? step.changes : [...step.changes.keys()];
      yield { ...(await this.#viewOf(step)), changed };
    }
  }

  /** A copy that is kept up to date; `get` asks nobody. */
  near(signal?: AbortSignal): NearConfig {
    return new NearConfig(this.#context, this.#namespace, { signal });
  }

  async #publish(wanted: readonly Wanted<In>[], options: ConfigPublishOptions): Promise<number> {
    const changes = wanted.map(async ({ key, set, ifRevision }): Promise<ConfigChange> => ({
      key,
      value: set === undefined ? null : await this.#codec.encode(set.value),
      ifRevision,
    }));
    const all = await Promise.all(changes);
    return (await publishConfig(this.#context, this.#namespace, all, { ...options, check: this.#check })).revision;
  }

  async #viewOf({ entries, revision }: ConfigSnapshot): Promise<ConfigView<T>> {
    const decoded = [...entries].map(
      async ([key, entry]) => [key, { value: await this.#codec.decode(entry.value), revision: entry.revision }] as const,
    );
    return { entries: new Map(await Promise.all(decoded)), revision };
  }
}
