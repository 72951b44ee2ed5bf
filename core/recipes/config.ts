/**
 * Configuration: values that are published, singly or several at once, and subscribed to. What is published together is seen together, and
 * every version stays readable until history is compacted.
 *
 *     /quorate/config/<namespace>/<key>             the value: any bytes, JSON as a rule
 *     /quorate/config/<namespace>/.schema           a JSON Schema of an object: each value is checked as the property of its key
 *     /quorate/config-acks/<namespace>/<consumer>   the revision that a consumer runs, in decimal, on a lease; see rollout.ts
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errPreconditionFailed, errSchemaFailed, isQuorateError } from "../errors.ts";
import type { Compare, KeyValue } from "../store/command.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { once } from "./dedup.ts";
import { type FollowOptions, follow, readUnder, tagOf } from "./follow.ts";
import { nameOfSegment, prefixOf, segmentOf } from "./names.ts";
import { repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

const KIND = "config";
const SCHEMA = ".schema";
const ROLLBACK_TRIES = 5;

export interface ConfigEntry {
  readonly value: Bytes;
  /** Of its last change. */
  readonly revision: number;
}

/** A namespace as of one revision. */
export interface ConfigSnapshot {
  readonly entries: ReadonlyMap<string, ConfigEntry>;
  readonly revision: number;
  /** Another whenever the values are others. */
  readonly etag: string;
}

export interface ConfigStep extends ConfigSnapshot {
  /** What changed, by key; null of one that was deleted. `reset`: it was read anew. */
  readonly changes: ReadonlyMap<string, Bytes | null> | "reset";
}

export interface ConfigChange {
  readonly key: string;
  /** null: it is deleted. */
  readonly value: Bytes | null;
  /** Only if it was changed last at this revision; 0: only if it is not there; `any`: only if it is. */
  readonly ifRevision?: number | "any" | undefined;
}

/** Whether a value is as the schema wants it. @returns what is wrong with it, or null */
export type SchemaCheck = (schema: unknown, key: string, value: unknown) => string | null;

export interface PublishOptions extends CallOptions {
  /** Needed where the namespace has a schema. */
  readonly check?: SchemaCheck | undefined;
  /** Publishing again with the same one is the same act. */
  readonly idempotencyKey?: string | undefined;
}

/** The prefix of a namespace. @throws QuorateError badField */
export function configPrefix(namespace: string): Bytes {
  return prefixOf(KIND, namespace);
}

/** @throws QuorateError badField */
export function configKey(namespace: string, key: string): Bytes {
  if (key === "rollout") throw errBadField("key", "key: rollout is where consumers say what they run");
  return ascii(configPrefix(namespace) + segmentOf(key, "key").replace(/^\./, "%2E"));
}

function schemaKey(namespace: string): Bytes {
  return ascii(configPrefix(namespace) + SCHEMA);
}

/**
 * Publishes changes, all of them at one revision. Done once, however often the calls are repeated.
 * @throws QuorateError preconditionFailed when an `ifRevision` does not hold; schemaFailed; badField
 */
export async function publishConfig(
  context: RecipeContext,
  namespace: string,
  changes: readonly ConfigChange[],
  options: PublishOptions = {},
): Promise<{ readonly revision: number }> {
  return publish(context, namespace, { changes, more: [], request: changes }, options);
}

interface Publication {
  readonly changes: readonly ConfigChange[];
  /** What has to hold besides. */
  readonly more: readonly Compare[];
  /** What was asked for: whoever asks for it again repeats it. */
  readonly request: readonly unknown[];
}

async function publish(
  context: RecipeContext,
  namespace: string,
  { changes, more, request }: Publication,
  { check, idempotencyKey, signal }: PublishOptions,
): Promise<{ readonly revision: number }> {
  if (changes.length === 0) throw errBadField("changes", "changes: there are none");
  const schema = schemaKey(namespace);
  const keyed = changes.map((change) => ({ ...change, at: configKey(namespace, change.key) }));
  const conditions = keyed.flatMap(conditionOf);
  const looks = [rangeOp(oneKey(schema)), ...keyed.map(({ at }) => rangeOp(oneKey(at)))];
  const writes = keyed.map(({ at, value }) => (value === null ? deleteOp(oneKey(at)) : putOp(at, value)));
  // Always with a note: a repeat that comes late must not bring back what has been changed since.
  const key = idempotencyKey ?? context.host.randomBytes(12).join("-");
  return once(context, { kind: KIND, name: namespace, key, request }, async (parts) => {
    let seen = await repeat(context, () => context.store.txn(txnOf([], [...looks, ...parts.look]), { signal }), { signal });
    for (;;) {
      const noted = parts.noted(foundAt(seen, looks.length));
      if (noted !== undefined) return { revision: noted.revision };
      const [kv] = foundAt(seen, 0);
      checkValues(kv, changes, check);
      const compare = [modifiedAt(schema, kv?.modRevision ?? 0), ...conditions, ...more, ...parts.compare];
      const publishing = txnOf(compare, [...writes, ...parts.note()], [...looks, ...parts.look]);
      const result = await repeat(context, () => context.store.txn(publishing, { signal }), { signal });
      if (result.succeeded) return { revision: result.revision };
      const failed = foundAt(result, looks.length).length > 0 ? undefined : keyed.find((one, n) => !holds(one, foundAt(result, n + 1)[0]));
      if (failed !== undefined) {
        const now = foundAt(result, keyed.indexOf(failed) + 1)[0]?.modRevision ?? 0;
        throw errPreconditionFailed(`${failed.key} is not as ifRevision says`, now);
      }
      const isSchemaSame = foundAt(result, 0)[0]?.modRevision === kv?.modRevision;
      if (more.length > 0 && isSchemaSame && foundAt(result, looks.length).length === 0) {
        throw errPreconditionFailed("the namespace has been changed meanwhile", 0);
      }
      seen = result;
    }
  });
}

function conditionOf({ at, ifRevision }: ConfigChange & { readonly at: Bytes }): Compare[] {
  if (ifRevision === undefined) return [];
  if (ifRevision === "any") return [{ ...oneKey(at), target: "create", operator: "greater", value: 0 }];
  return [modifiedAt(at, ifRevision)];
}

function holds({ ifRevision }: ConfigChange, kv: KeyValue | undefined): boolean {
  if (ifRevision === undefined) return true;
  return ifRevision === "any" ? kv !== undefined : (kv?.modRevision ?? 0) === ifRevision;
}

/** @throws QuorateError schemaFailed */
function checkValues(schemaKv: KeyValue | undefined, changes: readonly ConfigChange[], check: SchemaCheck | undefined): void {
  if (schemaKv === undefined) return;
  if (check === undefined) throw errSchemaFailed("this namespace has a schema: publishing to it needs something that checks it");
  const schema: unknown = JSON.parse(utf8Decode(schemaKv.value));
  for (const { key, value } of changes) {
    if (value === null) continue;
    const parsed = jsonOf(value);
    const wrong = parsed === undefined ? "it is no JSON" : check(schema, key, parsed.json);
    if (wrong !== null) throw errSchemaFailed(`${key}: ${wrong}`, { field: key });
  }
}

/** undefined when it is none. */
export function jsonOf(value: Bytes): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(utf8Decode(value)) as unknown };
  } catch {
    return undefined;
  }
}

/**
 * Sets the JSON Schema of a namespace, of an object with a property for each key; null: there is none any more. What is published already
 * stays as it is.
 */
export async function setConfigSchema(
  context: RecipeContext,
  namespace: string,
  schema: unknown,
  options: CallOptions = {},
): Promise<{ readonly revision: number }> {
  const key = schemaKey(namespace);
  const write = schema === null ? deleteOp(oneKey(key)) : putOp(key, utf8Encode(JSON.stringify(schema)));
  const { revision } = await repeat(context, () => context.store.txn(txnOf([], [write]), options), options);
  return { revision };
}

/** The JSON Schema of a namespace; null: it has none. */
export async function configSchema(context: RecipeContext, namespace: string, options: ReadOptions = {}): Promise<unknown> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(schemaKey(namespace))), options), options);
  return kvs[0] === undefined ? null : (JSON.parse(utf8Decode(kvs[0].value)) as unknown);
}

/** A namespace now, or as it was. @throws QuorateError compacted when history does not go back so far */
export async function readConfig(
  context: RecipeContext,
  namespace: string,
  options: ReadOptions & { readonly revision?: number | undefined } = {},
): Promise<ConfigSnapshot> {
  const prefix = configPrefix(namespace);
  const { kvs, revision } = await readUnder(context, prefix, options);
  return snapshotOf(entriesIn(prefix, kvs), revision);
}

/**
 * The namespace now, and then as of each revision that changes it, in order; a `reset` where history is gone. Never an older state after a
 * newer one. Ends with the signal, without throwing.
 */
export async function* subscribeConfig(
  context: RecipeContext,
  namespace: string,
  options: FollowOptions = {},
): AsyncGenerator<ConfigStep, void, void> {
  const prefix = configPrefix(namespace);
  let entries: ReadonlyMap<string, ConfigEntry> = new Map();
  for await (const { revision, kvs, isKnown, events } of follow(context, prefix, options)) {
    if (kvs !== null) {
      entries = entriesIn(prefix, kvs);
      if (!isKnown) yield { ...snapshotOf(entries, revision), changes: "reset" };
      continue;
    }
    const next = new Map(entries);
    const changes = new Map<string, Bytes | null>();
    for (const { type, kv } of events) {
      const key = keyIn(prefix, kv.key);
      if (key === undefined) continue;
      changes.set(key, type === "put" ? kv.value : null);
      if (type === "put") next.set(key, { value: kv.value, revision: kv.modRevision });
      else next.delete(key);
    }
    entries = next;
    if (changes.size > 0) yield { ...snapshotOf(entries, revision), changes };
  }
}

/**
 * The newest state whenever the one who asks is ready for it: what came between is left out. Ends with the signal, without throwing.
 */
export async function* newestConfig(
  context: RecipeContext,
  namespace: string,
  options: FollowOptions = {},
): AsyncGenerator<ConfigSnapshot, void, void> {
  const all = new NearConfig(context, namespace, options);
  try {
    for (let last = -1; ;) {
      const next = await all.newerThan(last);
      if (next === undefined) return;
      last = next.revision;
      yield next;
    }
  } finally {
    all.close();
  }
}

/** A copy of a namespace, kept up to date. It never goes back, and while the store does not answer it stays as it is. */
export class NearConfig {
  readonly #end = new AbortController();
  #current: ConfigSnapshot | undefined;
  #ended: { readonly error?: unknown } | undefined;
  #wake: (() => void)[] = [];

  constructor(context: RecipeContext, namespace: string, { signal, after }: FollowOptions = {}) {
    if (signal?.aborted) this.close();
    signal?.addEventListener("abort", () => this.close());
    context.host.background(this.#follow(subscribeConfig(context, namespace, { after, signal: this.#end.signal })));
  }

  /** undefined: nothing has come yet. */
  get current(): ConfigSnapshot | undefined {
    return this.#current;
  }

  /** The JSON of a value; undefined when there is none. */
  get(key: string): unknown {
    const entry = this.#current?.entries.get(key);
    return entry && jsonOf(entry.value)?.json;
  }

  /** The newest state behind a revision, as soon as there is one; undefined when it is closed. @throws what the store refuses with */
  async newerThan(revision: number): Promise<ConfigSnapshot | undefined> {
    for (;;) {
      if (this.#current !== undefined && this.#current.revision > revision) return this.#current;
      if (this.#ended !== undefined) {
        if ("error" in this.#ended) throw this.#ended.error;
        return undefined;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  close(): void {
    this.#end.abort();
  }

  async #follow(steps: AsyncIterable<ConfigSnapshot>): Promise<void> {
    try {
      for await (const step of steps) {
        this.#current = step;
        for (const wake of this.#wake.splice(0)) wake();
      }
      this.#ended = {};
    } catch (error) {
      this.#ended = { error };
    }
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/**
 * Publishes what was in force at a revision as a new one.
 * @throws QuorateError compacted when history does not go back so far; schemaFailed; preconditionFailed when others publish all the time
 */
export async function rollBackConfig(
  context: RecipeContext,
  namespace: string,
  to: number,
  options: PublishOptions = {},
): Promise<{ readonly revision: number; readonly changed: readonly string[] }> {
  const old = await readConfig(context, namespace, { revision: to, signal: options.signal });
  for (let tries = 1; ; tries++) {
    const now = await readConfig(context, namespace, { signal: options.signal });
    const changes = differences(now, old);
    if (changes.length === 0) return { revision: now.revision, changed: [] };
    // All of it as it was read: nothing new, nothing changed, nothing gone.
    const nothingNewer: Compare = { ...keysUnder(configPrefix(namespace)), target: "mod", operator: "less", value: now.revision + 1 };
    const asRead = [...now.entries].map(([key, { revision }]) => modifiedAt(configKey(namespace, key), revision));
    try {
      const { revision } = await publish(
        context,
        namespace,
        { changes, more: [nothingNewer, ...asRead], request: ["rollback", to] },
        options,
      );
      return { revision, changed: changes.map(({ key }) => key) };
    } catch (error) {
      if (!isQuorateError(error) || error.reason !== "preconditionFailed" || tries >= ROLLBACK_TRIES) throw error;
    }
  }
}

function differences(now: ConfigSnapshot, old: ConfigSnapshot): ConfigChange[] {
  const back = [...old.entries].filter(([key, { value }]) => now.entries.get(key)?.value !== value);
  const gone = [...now.entries.keys()].filter((key) => !old.entries.has(key));
  return [...back.map(([key, { value }]) => ({ key, value })), ...gone.map((key) => ({ key, value: null }))];
}

function entriesIn(prefix: Bytes, kvs: readonly KeyValue[]): ReadonlyMap<string, ConfigEntry> {
  const entries = new Map<string, ConfigEntry>();
  for (const { key, value, modRevision } of kvs) {
    const name = keyIn(prefix, key);
    if (name !== undefined) entries.set(name, { value, revision: modRevision });
  }
  return entries;
}

/** undefined of what is kept beside the values. */
function keyIn(prefix: Bytes, key: Bytes): string | undefined {
  const segment = key.slice(prefix.length) as Bytes;
  return segment === SCHEMA || segment === "" || segment.includes("/") ? undefined : nameOfSegment(segment);
}

function snapshotOf(entries: ReadonlyMap<string, ConfigEntry>, revision: number): ConfigSnapshot {
  return { entries, revision, etag: tagOf(entries.values()) };
}
