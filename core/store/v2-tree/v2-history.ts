/**
 * The events of the v2 tree, read from the revision log: what a watch with a past index is answered from.
 *
 * A revision made by a v2 write is one event, its note. A revision made through v3 is one event for each of its keys that is in the
 * tree: `set` or `delete`. Nothing is kept here but the revisions of the newest 1,000 events, as numbers, so that the window of etcd's
 * v2 API is known without holding on to values; it is counted back from the log when first asked for, and so survives a restart.
 */
import type { KeyValue } from "../command.ts";
import type { RevisionRecord } from "../version-store-port.ts";
import { type V2Node, type V2Note, isRemoval } from "./v2-command.ts";
import { errV2EventIndexCleared } from "./v2-errors.ts";
import { type NodeSource, expiryOf } from "./v2-nodes.ts";
import { ROOT, afterFaulty, isBelow, isMarker, pathOfKey } from "./v2-path.ts";
import type { Bytes } from "../../bytes/bytes.ts";

/** Events that a past index can reach; etcd's. */
export const V2_HISTORY_EVENTS = 1000;

/** Revisions looked at, at most, when the window is counted back: what came before is taken as cleared. */
const COUNT_BACK_REVISIONS_MAX = 100_000;

/** Revisions a step of counting back, and bytes a step of reading on. */
const COUNT_BACK_STEP = 1000;
const READ_BYTES = 1 << 20;

/** One event with its place in the history. */
export interface V2Event {
  readonly note: V2Note;
  readonly index: number;
  readonly time: number;
}

function inTree(key: Bytes): boolean {
  return afterFaulty(key) === undefined;
}

function countEvents(record: RevisionRecord): number {
  if (record.note !== null) return 1;
  let count = 0;
  for (const kv of record.kvs) if (inTree(kv.key)) count++;
  return count;
}

function nodeOf(source: NodeSource, kv: KeyValue, path: Bytes): V2Node {
  const { createRevision, modRevision } = kv;
  const expiresAt = expiryOf(source, kv, path);
  if (isMarker(kv.key)) return { path, value: null, createdIndex: createRevision, modifiedIndex: createRevision, expiresAt };
  return { path, value: kv.value, createdIndex: createRevision, modifiedIndex: modRevision, expiresAt };
}

/** The event that a key written or deleted through v3 is. */
function eventOfKey(source: NodeSource, kv: KeyValue): V2Note {
  const path = pathOfKey(kv.key);
  const before = source.store.before(kv);
  const prev = before === undefined ? null : nodeOf(source, before, path);
  if (kv.version > 0) return { action: "set", path, silent: false, node: nodeOf(source, kv, path), prev };
  const node = { path, value: null, createdIndex: prev?.createdIndex ?? 0, modifiedIndex: kv.modRevision, expiresAt: null };
  return { action: "delete", path, silent: false, node, prev };
}

/** The events of one revision, in order. */
export function eventsOf(source: NodeSource, record: RevisionRecord): V2Event[] {
  const { revision: index, time } = record;
  if (record.note !== null) return [{ note: record.note, index, time }];
  const events: V2Event[] = [];
  for (const kv of record.kvs) if (inTree(kv.key)) events.push({ note: eventOfKey(source, kv), index, time });
  return events;
}

/**
 * Whether a watch with a past index wants an event: etcd's rule for its history, in which hidden names do not count. One slip of etcd
 * is not followed: it compares names without the slash, so that the end of directory `/a` also answers a watch on `/ab`.
 */
function concerns(note: V2Note, path: Bytes, recursive: boolean): boolean {
  if (note.silent) return false;
  if (note.path === path || (recursive && (path === ROOT || isBelow(note.path, path)))) return true;
  return isRemoval(note.action) && note.prev !== null && note.prev.value === null && isBelow(path, note.path);
}

export class V2History {
  readonly #source: NodeSource;
  /** Revisions of the newest events, ascending, in a ring; null: not counted yet. */
  #ring: Float64Array | null = null;
  #next = 0;
  #count = 0;
  /** All events of revisions from here on are in the ring, as far as it reaches. */
  #countedFrom = 0;

  constructor(source: NodeSource) {
    this.#source = source;
  }

  /** Every new revision, in order. */
  add(record: RevisionRecord): void {
    if (this.#ring === null) return;
    for (let left = countEvents(record); left > 0; left--) this.#push(record.revision);
  }

  #push(revision: number): void {
    if (this.#ring === null) return;
    this.#ring[this.#next] = revision;
    this.#next = (this.#next + 1) % V2_HISTORY_EVENTS;
    if (this.#count < V2_HISTORY_EVENTS) this.#count++;
  }

  /** The state was replaced as a whole, or its revision raised without a record: count again when asked. */
  forget(): void {
    this.#ring = null;
  }

  #countBack(): void {
    const { store } = this.#source;
    const floor = Math.max(store.compactedRevision + 1, store.revision - COUNT_BACK_REVISIONS_MAX + 1, 2);
    const newest: number[] = [];
    let from = store.revision + 1;
    while (from > floor && newest.length < V2_HISTORY_EVENTS) {
      const to = from;
      from = Math.max(floor, from - COUNT_BACK_STEP);
      const counted: number[] = [];
      for (const record of this.#records(from, to)) {
        for (let left = countEvents(record); left > 0; left--) counted.push(record.revision);
      }
      newest.unshift(...counted);
    }
    this.#ring = new Float64Array(V2_HISTORY_EVENTS);
    this.#next = 0;
    this.#count = 0;
    for (const revision of newest.slice(-V2_HISTORY_EVENTS)) this.#push(revision);
    // Nothing at all lies before the first revision, so that a history which begins there is whole from index 1 on.
    this.#countedFrom = from <= 2 ? 1 : from;
  }

  /** Records of [from, to). */
  *#records(from: number, to: number): Generator<RevisionRecord> {
    for (let at = from; at < to;) {
      const records = this.#source.store.revisions(at, READ_BYTES);
      if (records.length === 0) return;
      for (const record of records) {
        if (record.revision >= to) return;
        yield record;
        at = record.revision + 1;
      }
    }
  }

  /** The oldest index that a watch can begin at. */
  #start(): number {
    const { store } = this.#source;
    if (this.#ring === null) this.#countBack();
    const oldest = this.#count < V2_HISTORY_EVENTS ? this.#countedFrom : (this.#ring?.[this.#next] ?? this.#countedFrom);
    return store.compactedRevision < 2 ? oldest : Math.max(oldest, store.compactedRevision + 1);
  }

  /**
   * Events from `since` up to now that concern a path, oldest first.
   * @param max how many are wanted, at most
   * @throws QuorateError eventIndexCleared
   */
  read(options: { path: Bytes; recursive: boolean; since: number; max: number }): V2Event[] {
    const { path, recursive, since, max } = options;
    const { store } = this.#source;
    const start = this.#start();
    if (since < start) {
      throw errV2EventIndexCleared(`the requested history has been cleared [${start}/${since}]` as Bytes, store.revision);
    }
    const found: V2Event[] = [];
    for (const record of this.#records(since, store.revision + 1)) {
      for (const event of eventsOf(this.#source, record)) {
        if (!concerns(event.note, path, recursive)) continue;
        found.push(event);
        if (found.length === max) return found;
      }
    }
    return found;
  }
}
