/**
 * Keys under a prefix, with values of one type: read, written under conditions, listed page by page, watched. Every entry tells the
 * revision of its last change; a write that names it succeeds only if nobody has written since.
 */
import type { Bytes } from "../core/bytes/bytes.ts";
import { prefixEnd, successor } from "../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";
import { errConflict, isQuorateError } from "../core/errors.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "../core/recipes/client-port.ts";
import { type Duration, holdTtlSeconds } from "../core/recipes/durations.ts";
import { isCompacted, repeat } from "../core/recipes/repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "../core/recipes/requests.ts";
import { randomLease } from "../core/recipes/session.ts";
import type { KeyRange, KeyValue, LeaseId, Operation } from "../core/store/command.ts";
import type { WatchEvent } from "../core/store/watch/watcher.ts";
import type { ClientStore, TxnOptions } from "./http-store.ts";
import type { Codec } from "./values.ts";

export interface Entry<T> {
  /** Without the prefix. */
  readonly key: string;
  readonly value: T;
  /** Of the last change. */
  readonly revision: number;
  /** The revision that created it. */
  readonly created: number;
  /** 1 for the write that created it. */
  readonly version: number;
  readonly lease: LeaseId | null;
}

export interface GetOptions extends ReadOptions {
  /** As it was then. @throws QuorateError compacted when that is forgotten */
  readonly atRevision?: number;
}

export interface WriteOptions extends TxnOptions {
  /** Only if that is the revision of the last change; 0: only if it is not there. */
  readonly ifRevision?: number | undefined;
}

export interface PutOptions extends WriteOptions {
  /** It goes with this lease; a session is one. */
  readonly lease?: LeaseId | { readonly id: LeaseId } | undefined;
  /** It goes after this time, 2 s to 1 h, by a lease of its own. */
  readonly ttl?: Duration | undefined;
}

export interface Listing<T> {
  readonly entries: readonly Entry<T>[];
  /** As of which it is true. */
  readonly revision: number;
}

export interface ListOptions extends GetOptions {
  /** Entries a request; default 500. */
  readonly pageSize?: number;
}

export interface WatchOptions extends CallOptions {
  /** Changes after this revision; left out, the state comes first. */
  readonly after?: number;
}

export type Change<T> =
  | { readonly type: "put"; readonly key: string; readonly entry: Entry<T> }
  | { readonly type: "delete"; readonly key: string };

/** `reset`: all that there is; what was known before is to be forgotten. `changes`: those of whole revisions, in order. */
export type WatchStep<T> =
  | { readonly kind: "reset"; readonly entries: readonly Entry<T>[]; readonly revision: number }
  | { readonly kind: "changes"; readonly changes: readonly Change<T>[]; readonly revision: number };

const PAGE_SIZE = 500;

export class Keys<T, In = T> {
  readonly prefix: string;
  readonly #context: RecipeContext & { readonly store: ClientStore };
  readonly #codec: Codec<T, In>;
  readonly #start: Bytes;

  constructor(context: RecipeContext & { readonly store: ClientStore }, prefix: string, codec: Codec<T, In>) {
    this.#context = context;
    this.prefix = prefix;
    this.#codec = codec;
    this.#start = utf8Encode(prefix);
  }

  /** The same prefix and more. */
  under(prefix: string): Keys<T, In> {
    return new Keys(this.#context, this.prefix + prefix, this.#codec);
  }

  /** @returns null when it is not there @throws QuorateError badValue when it is of another type */
  async get(key: string, { atRevision = 0, ...options }: GetOptions = {}): Promise<Entry<T> | null> {
    const { kvs } = await this.#context.store.range(readOf(this.#one(key), { revision: atRevision }), options);
    return kvs[0] === undefined ? null : this.#entry(kvs[0]);
  }

  /** @returns the revision of the write @throws QuorateError conflict when `ifRevision` is not the revision that it has */
  async put(key: string, value: In, options: PutOptions = {}): Promise<number> {
    const encoded = await this.#codec.encode(value);
    const { ttl, lease } = options;
    let id = typeof lease === "object" ? lease.id : lease;
    if (ttl !== undefined) {
      id = options.idempotencyKey === undefined ? randomLease(this.#context) : await leaseOf(this.prefix + key, options.idempotencyKey);
      await this.#context.store.grant(id, holdTtlSeconds(ttl), { signal: options.signal });
    }
    const { revision } = await this.#write(key, putOp(this.#one(key).key, encoded, id), options);
    return revision;
  }

  /** @returns whether it was there @throws QuorateError conflict when `ifRevision` is not the revision that it has */
  async delete(key: string, options: WriteOptions = {}): Promise<boolean> {
    const { response } = await this.#write(key, deleteOp(this.#one(key)), options);
    return response?.op === "delete" && response.deleted > 0;
  }

  /**
   * Puts what `change` makes of the value that is there, again and again until nobody else wrote meanwhile.
   * @param change gets null when the key is not there; may be called more than once; what it throws ends the update
   */
  async update(key: string, change: (value: T | null) => In | Promise<In>, options: CallOptions = {}): Promise<number> {
    for (;;) {
      const seen = await this.get(key, options);
      const value = await change(seen?.value ?? null);
      try {
        return await this.put(key, value, { ...options, ifRevision: seen?.revision ?? 0, lease: seen?.lease ?? undefined });
      } catch (error) {
        if (!isQuorateError(error) || error.reason !== "conflict") throw error;
      }
    }
  }

  /** All of them at one revision, in the order of their keys. */
  async all(options: GetOptions = {}): Promise<Listing<T>> {
    const pages: Entry<T>[] = [];
    let revision = options.atRevision ?? 0;
    for await (const page of this.#pages(options)) {
      pages.push(...page.entries);
      revision = page.revision;
    }
    return { entries: pages, revision };
  }

  /** One after the other at one revision, in the order of their keys, read page by page. @throws QuorateError compacted between pages */
  async *list(options: ListOptions = {}): AsyncGenerator<Entry<T>, void, void> {
    for await (const { entries } of this.#pages(options)) yield* entries;
  }

  async count(options: GetOptions = {}): Promise<number> {
    const { atRevision = 0, ...more } = options;
    return (await this.#context.store.range(readOf(keysUnder(this.#start), { revision: atRevision, countOnly: true }), more)).count;
  }

  /**
   * What is there, and then every change, without gap or repeat, across connections and endpoints. When the history it needs is compacted
   * a `reset` brings the newest state. Ends with the signal, without throwing.
   */
  async *watch({ after, signal }: WatchOptions = {}): AsyncGenerator<WatchStep<T>, void, void> {
    const { store } = this.#context;
    let from = after;
    while (!signal?.aborted) {
      try {
        if (from === undefined) {
          const { entries, revision } = await repeat(this.#context, () => this.all({ signal }), { signal, until: Infinity });
          yield { kind: "reset", entries, revision };
          from = revision;
        }
        for await (const { events, revision } of store.watch({ ...keysUnder(this.#start), startRevision: from + 1, signal })) {
          yield { kind: "changes", changes: await Promise.all(events.map((event) => this.#change(event))), revision };
          from = revision;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (!isCompacted(error)) throw error;
        from = undefined;
      }
    }
  }

  async *#pages({ pageSize = PAGE_SIZE, atRevision = 0, ...options }: ListOptions): AsyncGenerator<Listing<T>, void, void> {
    const end = prefixEnd(this.#start);
    for (let key = this.#start, revision = atRevision; ;) {
      // A prefix without a byte is the whole keyspace, which begins with the smallest key there can be.
      const range = { key: key === "" ? ("\0" as Bytes) : key, end };
      const page = await this.#context.store.range(readOf(range, { revision, limit: pageSize }), options);
      revision ||= page.revision;
      yield { entries: await Promise.all(page.kvs.map((kv) => this.#entry(kv))), revision };
      if (!page.more) return;
      key = successor(page.kvs.at(-1)!.key);
    }
  }

  async #write(key: string, operation: Operation, { ifRevision, ...options }: WriteOptions) {
    const at = this.#one(key);
    const compare = ifRevision === undefined ? [] : [modifiedAt(at.key, ifRevision)];
    const result = await this.#context.store.txn(txnOf(compare, [operation], [rangeOp(at)]), options);
    if (result.succeeded) return { revision: result.revision, response: result.responses[0] };
    const found = foundAt(result, 0)[0]?.modRevision ?? 0;
    const is = found === 0 ? "it is not there" : `its revision is ${found}`;
    throw errConflict(`${JSON.stringify(this.prefix + key)} was changed: ${is}, not ${ifRevision}`, { revision: found });
  }

  #one(key: string): KeyRange {
    return oneKey((this.#start + utf8Encode(key)) as Bytes);
  }

  async #entry(kv: KeyValue): Promise<Entry<T>> {
    const { createRevision: created, modRevision: revision, version, lease } = kv;
    const value = await this.#codec.decode(kv.value);
    return { key: this.#name(kv.key), value, revision, created, version, lease: lease === "0" ? null : lease };
  }

  async #change({ type, kv }: WatchEvent): Promise<Change<T>> {
    const key = this.#name(kv.key);
    return type === "delete" ? { type, key } : { type, key, entry: await this.#entry(kv) };
  }

  #name(key: Bytes): string {
    return utf8Decode(key.slice(this.#start.length) as Bytes);
  }
}

/** The same for the same write: a repeat binds the key to the lease of the first time. */
async function leaseOf(key: string, idempotencyKey: string): Promise<LeaseId> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${idempotencyKey}\n${key}`));
  return (BigInt.asUintN(63, new DataView(digest).getBigUint64(0)) || 1n).toString();
}
