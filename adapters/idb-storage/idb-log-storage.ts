/**
 * The log of one member in IndexedDB, so that a browser can be one. Keys, of one object store:
 *
 *     identity, boot, hard      who it is, how often it was opened, hard state
 *     l/<index>                 an entry with its CRC
 *     c/<snapshot>/<n>          a chunk with its CRC; those of a snapshot without a mark are of one that was not finished
 *     s/<index>                 the mark of a snapshot: from this transaction on it is there
 *
 * One transaction an append, strict (see strict-store.ts); the browser keeps transactions of one store in the order in which they were made.
 * Only one page may write: that is what the lock is for.
 */
import { entries as allEntries, promisifyRequest } from "idb-keyval";
import { crc32 } from "../../core/bytes/crc32.ts";
import {
  QuorateError,
  errNoSpace,
  errNotCovered,
  errSnapshotOutdated,
  errStopped,
  errStorageFailed,
  errStorageLocked,
} from "../../core/errors.ts";
import { assert } from "../../core/invariant.ts";
import type { Entry, HardState, Index, SnapshotMeta } from "../../core/raft/types.ts";
import type { Batch, Identity, LogStorage, Recovered, SnapshotWriter } from "../../core/replica/log-storage-port.ts";
import { type StrictStore, openStrictStore } from "./strict-store.ts";

/** Sees to it that one page has the storage. */
export interface LockPort {
  /** @returns lets go of it; null when somebody else has it */
  take(name: string): Promise<(() => void) | null>;
}

/** Room that the browser grants, in bytes; null where it does not tell. */
export type Estimate = () => Promise<{ readonly usage: number; readonly quota: number } | null>;

export interface IdbLogStorageOptions {
  /** Name of the database. */
  readonly database: string;
  readonly locks: LockPort;
  /** Left out: there is always room, until there is none. */
  readonly estimate?: Estimate;
  /** Told when the browser has taken the storage away; every call fails from then on. */
  readonly onGone?: (error: QuorateError) => void;
}

interface KeptEntry extends Omit<Entry, "index"> {
  readonly crc: number;
}

interface KeptChunk {
  readonly data: Uint8Array;
  readonly crc: number;
}

/** Below it, nothing new is taken on. */
const ROOM_MIN = 16 * 1024 * 1024;
/** Between questions how much room there is. */
const ESTIMATE_MS = 5_000;
const SNAPSHOTS_KEPT = 2;
const NOTHING: HardState = { term: 0, vote: null, commit: 0 };

const digits = (index: number): string => String(index).padStart(16, "0");
const entryKey = (index: Index): string => `l/${digits(index)}`;
const markKey = (index: Index): string => `s/${digits(index)}`;
const chunkKey = (id: string, n: number): string => `c/${id}/${String(n).padStart(8, "0")}`;
/** Everything that begins so; `0` follows `/`. */
const under = (prefix: string): IDBKeyRange => IDBKeyRange.bound(`${prefix}/`, `${prefix}0`, false, true);

export class IdbLogStorage implements LogStorage {
  readonly #options: IdbLogStorageOptions;
  #store: StrictStore | null = null;
  #unlock: (() => void) | null = null;
  #failure: QuorateError | null = null;
  #closed = false;
  #snapshotting = false;
  /** What is there, or will be when all that was asked for is done. */
  #hasIdentity = false;
  #first: Index = 1;
  #last: Index = 0;
  readonly #kept = new Map<Index, { readonly term: number; readonly size: number }>();
  #snapshots: SnapshotMeta[] = [];
  #bytes = 0;
  /** Ends when everything asked for so far has taken effect. Never rejects. */
  #tail: Promise<void> = Promise.resolve();
  #room: "ok" | "low" = "ok";
  #askedAtMs = -Infinity;

  constructor(options: IdbLogStorageOptions) {
    this.#options = options;
  }

  async open(): Promise<Recovered> {
    const { database, locks } = this.#options;
    assert(this.#store === null && !this.#closed, () => "open called twice");
    this.#unlock = await locks.take(`quorate ${database}`);
    if (this.#unlock === null) throw errStorageLocked(database);
    try {
      const store = await openStrictStore(database, (why) => this.#gone(why));
      this.#store = store;
      const boot = await store.use("readwrite", async (at) => {
        const before = (await promisifyRequest(at.get("boot"))) as number | undefined;
        at.put((before ?? 0) + 1, "boot");
        return (before ?? 0) + 1;
      });
      return { boot, ...(await this.#read(store)) };
    } catch (error) {
      this.#unlock();
      throw error instanceof QuorateError ? error : errStorageFailed(database, "opening", error);
    }
  }

  async #read(store: StrictStore): Promise<Omit<Recovered, "boot">> {
    const found = new Map((await allEntries<string, unknown>(store.use)) as [string, unknown][]);
    const under = (prefix: string): string[] => [...found.keys()].filter((key) => key.startsWith(prefix)).sort();
    this.#snapshots = under("s/").map((key) => found.get(key) as SnapshotMeta);
    const snapshot = this.#snapshots.at(-1) ?? null;
    const after = snapshot?.index ?? 0;
    const entries: Entry[] = [];
    for (const key of under("l/")) {
      const index = Number(key.slice(2));
      const { term, kind, data, crc } = found.get(key) as KeptEntry;
      if (crc32(data) !== crc) throw damaged(this.#options.database, key);
      this.#keep(index, term, data.length);
      if (index > after) entries.push({ term, index, kind, data });
    }
    [this.#first = after + 1] = this.#kept.keys();
    this.#last = [...this.#kept.keys()].at(-1) ?? after;
    const missing = entries.findIndex(({ index }, at) => index !== after + 1 + at);
    if (missing >= 0) throw damaged(this.#options.database, entryKey(after + 1 + missing));
    // Of snapshots that were not finished.
    const whole = new Set(this.#snapshots.map(({ id }) => id));
    const lost = under("c/").filter((key) => !whole.has(key.slice(2, key.lastIndexOf("/"))));
    if (lost.length > 0) await store.use("readwrite", (at) => lost.forEach((key) => at.delete(key)));
    this.#bytes += this.#snapshots.reduce((sum, { size }) => sum + size, 0);
    const identity = (found.get("identity") as Identity | undefined) ?? null;
    this.#hasIdentity = identity !== null;
    const hard = (found.get("hard") as HardState | undefined) ?? NOTHING;
    return { identity, hard: { ...hard, commit: Math.max(hard.commit, after) }, snapshot, entries, repairs: [] };
  }

  async initialise(identity: Identity): Promise<void> {
    assert(!this.#hasIdentity, () => "initialise: the storage has an identity already");
    this.#hasIdentity = true;
    await this.#write("writing the identity", (at) => void at.put({ ...identity }, "identity"));
  }

  async append({ hard, entries }: Batch, _sync: boolean): Promise<void> {
    this.#check();
    const first = entries[0]?.index;
    if (first !== undefined) {
      for (const [at, { index }] of entries.entries()) assert(index === first + at, () => `append: ${index} is out of order`);
      assert(first >= this.#first && first <= this.#last + 1, () => `append: ${first} leaves a gap after ${this.#last}`);
    }
    // Encoded before the transaction, and copied: their owner may use the bytes again.
    const kept = entries.map(({ index, term, kind, data }) => ({ index, value: { term, kind, data: data.slice(), crc: crc32(data) } }));
    const replaced = first !== undefined && first <= this.#last ? IDBKeyRange.bound(entryKey(first), entryKey(this.#last)) : null;
    if (first !== undefined) {
      for (let index = first; index <= this.#last; index++) this.#forget(index);
      for (const { index, term, data } of entries) this.#keep(index, term, data.length);
      this.#last = entries.at(-1)!.index;
    }
    await this.#write("appending", (at) => {
      if (replaced !== null) at.delete(replaced);
      for (const { index, value } of kept) at.put(value, entryKey(index));
      if (hard !== undefined) at.put({ ...hard }, "hard");
    });
  }

  async createSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter> {
    this.#check();
    assert(!this.#snapshotting, () => "createSnapshot: one at a time");
    const newest = this.#snapshots.at(-1)?.index ?? 0;
    if (meta.index <= newest) throw errSnapshotOutdated(meta.index, newest);
    this.#snapshotting = true;
    let [count, size, isDone] = [0, 0, false];
    const end = (): void => void ([isDone, this.#snapshotting] = [true, false]);
    const drop = (): Promise<void> => this.#write("dropping a snapshot", (at) => void at.delete(under(`c/${meta.id}`)));
    return {
      write: async (chunk) => {
        this.#check();
        assert(!isDone, () => "snapshot: write after its end");
        size += chunk.length;
        const kept: KeptChunk = { data: chunk, crc: crc32(chunk) };
        const key = chunkKey(meta.id, count++);
        await this.#write("writing a snapshot", (at) => void at.put(kept, key), { mayLackRoom: true });
      },
      commit: async () => {
        assert(!isDone, () => "snapshot: commit after its end");
        end();
        const whole = { ...meta, size };
        await this.#mark(whole);
        return whole;
      },
      abort: async () => {
        if (isDone) return;
        end();
        await drop().catch(() => {}); // what is left is removed by the next opening
      },
    };
  }

  async #mark(meta: SnapshotMeta): Promise<void> {
    const contradicts = this.#kept.get(meta.index)?.term !== meta.term;
    if (contradicts) {
      for (const index of this.#kept.keys()) this.#forget(index);
      [this.#first, this.#last] = [meta.index + 1, meta.index];
    }
    const old = this.#snapshots.slice(0, 1 - SNAPSHOTS_KEPT);
    this.#snapshots = [...this.#snapshots, meta].slice(-SNAPSHOTS_KEPT);
    this.#bytes += meta.size - old.reduce((sum, { size }) => sum + size, 0);
    await this.#write(
      "marking a snapshot",
      (at) => {
        at.put(meta, markKey(meta.index));
        if (contradicts) at.delete(under("l"));
        for (const { index, id } of old) {
          at.delete(markKey(index));
          at.delete(under(`c/${id}`));
        }
      },
      { mayLackRoom: true },
    );
  }

  async *readSnapshot(id: string): AsyncIterable<Uint8Array> {
    this.#check();
    if (!this.#snapshots.some((snapshot) => snapshot.id === id))
      throw new QuorateError("notFound", "notFound", `no snapshot "${id}"`, { id });
    await this.#tail;
    for (let n = 0; ; n++) {
      const key = chunkKey(id, n);
      const chunk = (await this.#store!.use("readonly", (at) => promisifyRequest(at.get(key)))) as KeptChunk | undefined;
      if (chunk === undefined) return;
      if (crc32(chunk.data) !== chunk.crc) throw damaged(this.#options.database, key);
      yield chunk.data;
    }
  }

  async compact(index: Index): Promise<void> {
    this.#check();
    const newest = this.#snapshots.at(-1)?.index ?? 0;
    if (index > newest) throw errNotCovered(index, newest);
    if (index < this.#first) return;
    const upTo = Math.min(index, this.#last);
    const gone = IDBKeyRange.bound(entryKey(this.#first), entryKey(upTo));
    for (let at = this.#first; at <= upTo; at++) this.#forget(at);
    this.#first = upTo + 1;
    await this.#write("compacting", (at) => void at.delete(gone));
  }

  reserve(): "ok" | "low" {
    const { estimate } = this.#options;
    const now = performance.now();
    if (estimate !== undefined && now - this.#askedAtMs >= ESTIMATE_MS) {
      this.#askedAtMs = now;
      estimate().then(
        (found) => void (this.#room = found !== null && found.quota - found.usage < ROOM_MIN ? "low" : "ok"),
        () => void (this.#room = "ok"), // a browser that does not tell
      );
    }
    return this.#room;
  }

  sizeBytes(): number {
    return this.#bytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tail;
    this.#store?.close();
    this.#unlock?.();
  }

  #keep(index: Index, term: number, size: number): void {
    this.#kept.set(index, { term, size });
    this.#bytes += size;
  }

  #forget(index: Index): void {
    this.#bytes -= this.#kept.get(index)?.size ?? 0;
    this.#kept.delete(index);
  }

  #gone(why: string): void {
    if (this.#closed || this.#failure !== null) return;
    this.#failure = errStorageFailed(this.#options.database, "using", new Error(why));
    this.#options.onGone?.(this.#failure);
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed || this.#store === null) throw errStopped();
  }

  /** In one transaction, all of it or nothing. */
  async #write(action: string, effect: (at: IDBObjectStore) => void, { mayLackRoom = false } = {}): Promise<void> {
    this.#check();
    const done = this.#store!.use("readwrite", effect).catch((cause: unknown) => {
      if (mayLackRoom && (cause as DOMException).name === "QuotaExceededError") throw errNoSpace();
      throw (this.#failure ??= errStorageFailed(this.#options.database, action, cause));
    });
    const before = this.#tail;
    this.#tail = done.then(
      () => before,
      () => before,
    );
    await done;
  }
}

function damaged(database: string, key: string): QuorateError {
  return new QuorateError("dataLoss", "damaged", `${database}: ${key} is damaged`, { file: database, offset: key });
}

/** Of the browser: one page of those that have the same origin. */
export const webLocks: LockPort = {
  take: (name) =>
    new Promise((resolve, reject) => {
      navigator.locks
        .request(name, { ifAvailable: true }, (lock) => {
          if (lock !== null) return new Promise<void>((release) => resolve(release));
          resolve(null);
          return undefined;
        })
        .catch(reject);
    }),
};

export const storageEstimate: Estimate = async () => {
  const { usage, quota } = await navigator.storage.estimate();
  return usage === undefined || quota === undefined ? null : { usage, quota };
};
