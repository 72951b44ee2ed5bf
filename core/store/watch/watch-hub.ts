/**
 * Who watches what, and what each has still to see. The state machine tells it every revision as it is committed; readers are told, once
 * and only at a flush, that there is something to take, and take at their own speed.
 *
 * A watcher is nothing but the next revision it wants. Watchers of the same range share one bounded queue of what happened lately
 * (`WatchGroup`); one whose place is no longer in the queue, because it starts in the past or was slow, reads the store's history until
 * it has caught up. So there is no hand-over that could lose or repeat an event, and a slow watcher costs nobody but itself.
 */
import { assert } from "../../invariant.ts";
import { isInRange } from "../mvcc/key-range.ts";
import type { RevisionRecord, VersionStore } from "../version-store-port.ts";
import { RangeIndex } from "./range-index.ts";
import { type Before, NO_DELETE, NO_PUT, PREV_KV, RecordEvents, eventBytes } from "./record-events.ts";
import { type Tally, WATCH_LIMITS, WatchGroup, type WatchLimits } from "./watch-group.ts";
import type { WatchEvent, WatchOptions, WatchTake, Watcher } from "./watcher.ts";

export interface WatchStats {
  /** Open watchers. */
  readonly watchers: number;
  /** Ranges watched, those told apart by filters or previous versions counted each. */
  readonly groups: number;
  /** Watchers that had not taken everything at the last flush. */
  readonly unread: number;
  /** Events in queues. */
  readonly queuedEvents: number;
  /** Events put into queues since the start; one that several watchers of a group see counts once. */
  readonly eventsQueued: number;
  /** Times that a watcher had to read history. */
  readonly historyReads: number;
}

class HubWatcher implements Watcher {
  next: number;
  unread = false;
  at = 0;
  /** `take` has given all there was (or was not asked yet): the next flush that finds something says so. */
  waiting = true;
  /** It starts in the past, and `take` was not asked yet. */
  fresh: boolean;
  readonly onReady: () => void;
  /** null: closed. */
  group: WatchGroup<HubWatcher> | null = null;
  readonly #hub: WatchHub;

  constructor(hub: WatchHub, next: number, fresh: boolean, onReady: () => void) {
    this.#hub = hub;
    this.next = next;
    this.fresh = fresh;
    this.onReady = onReady;
  }

  take(bytesMax: number): WatchTake | undefined {
    const { group } = this;
    if (group === null) return undefined;
    const taken = this.#hub.takeFor(this, group, bytesMax);
    group.moved(this);
    this.waiting = taken === undefined;
    this.fresh = false;
    return taken;
  }

  isSynced(): boolean {
    return this.group !== null && !this.group.isBehind(this);
  }

  close(): void {
    const { group } = this;
    if (group === null) return;
    this.group = null;
    this.#hub.leave(this, group);
  }
}

/** A piece of history, from revision `from` up to `end` (exclusive). */
interface HistorySlice {
  readonly from: number;
  readonly end: number;
  readonly records: readonly RecordEvents[];
}

export class WatchHub {
  #store: VersionStore;
  /** For each range its groups, chained by `sibling`. */
  readonly #ranges = new RangeIndex<WatchGroup<HubWatcher>>();
  readonly #tally: Tally;
  #watchers = 0;
  #groups = 0;
  #eventsQueued = 0;
  #historyReads = 0;
  /** All revisions up to this one went through `committed`, or were there before the hub. */
  #known: number;
  #dirty: WatchGroup<HubWatcher>[] = [];
  #slice: HistorySlice | null = null;
  readonly #before: Before = (kv) => this.#store.before(kv);
  readonly #found: WatchGroup<HubWatcher>[] = [];

  constructor(store: VersionStore, limits: WatchLimits = WATCH_LIMITS) {
    this.#store = store;
    this.#tally = { limits, queuedEvents: 0, unread: 0 };
    this.#known = store.revision;
  }

  stats(): WatchStats {
    return {
      watchers: this.#watchers,
      groups: this.#groups,
      unread: this.#tally.unread,
      queuedEvents: this.#tally.queuedEvents,
      eventsQueued: this.#eventsQueued,
      historyReads: this.#historyReads,
    };
  }

  // ---- what the state machine tells

  /** One revision, right after the store has committed it; each once, in order. */
  committed(record: RevisionRecord): void {
    assert(record.revision > this.#known, () => `revision ${record.revision} comes after ${this.#known}, which was told already`);
    this.#known = record.revision;
    if (this.#groups === 0) return;
    const events = new RecordEvents(record, this.#before);
    const found = this.#found;
    for (let at = 0; at < record.kvs.length; at++) {
      this.#ranges.collect(record.kvs[at]!.key, found);
      for (const first of found) {
        for (let group: WatchGroup<HubWatcher> | null = first; group !== null; group = group.sibling) this.#queue(group, events, at);
      }
      found.length = 0;
    }
  }

  #queue(group: WatchGroup<HubWatcher>, events: RecordEvents, at: number): void {
    if (events.kvs.length === 1) {
      const batch = events.only(group.flags);
      if (batch === undefined) return;
      group.push(batch);
    } else {
      const event = events.event(at, group.flags);
      if (event === undefined) return;
      group.pushPart(events.revision, event);
    }
    this.#eventsQueued++;
    this.#touch(group);
  }

  #touch(group: WatchGroup<HubWatcher>): void {
    if (group.dirty) return;
    group.dirty = true;
    this.#dirty.push(group);
  }

  /** What is before `revision` is gone. Slow watchers that wanted it learn of it when they take. */
  compacted(_revision: number): void {
    this.#slice = null; // keeps no versions alive that the store has given up
  }

  /**
   * The state was replaced by a newer one (a snapshot of the leader's). Watchers stay: they go on where they were, by the history of
   * the new state, and are told at the next flush.
   */
  restored(store: VersionStore): void {
    assert(store.revision >= this.#known, () => `a state at ${store.revision} takes the place of one at ${this.#known}`);
    this.#store = store;
    this.#slice = null;
    for (const first of this.#ranges.items()) {
      for (let group: WatchGroup<HubWatcher> | null = first; group !== null; group = group.sibling) {
        group.reset(this.#known, store.revision + 1);
        this.#touch(group);
      }
    }
    this.#known = store.revision;
  }

  /** After a batch of commands: tells every reader that waits and for whom there is something. Does not call the same one twice. */
  flush(): void {
    if (this.#dirty.length === 0) return;
    const groups = this.#dirty;
    this.#dirty = [];
    const ready: HubWatcher[] = [];
    for (const group of groups) {
      group.dirty = false;
      for (const place of group.places) if (group.mark(place) && place.waiting) ready.push(place);
      group.forgetRead();
    }
    // Only now: a reader may open, close and take as it likes.
    for (const watcher of ready) {
      if (!watcher.waiting || watcher.group === null) continue;
      watcher.waiting = false;
      watcher.onReady();
    }
  }

  // ---- what readers ask

  /** The reader takes once right away if it starts in the past; from then on `onReady` says when there is more. */
  open(options: WatchOptions): Watcher {
    const { revision } = this.#store;
    const next = options.startRevision > 0 ? options.startRevision : revision + 1;
    const flags = (options.noPut ? NO_PUT : 0) | (options.noDelete ? NO_DELETE : 0) | (options.prevKv ? PREV_KV : 0);
    const watcher = new HubWatcher(this, next, next <= revision, options.onReady);
    const first = this.#ranges.get(options);
    let group: WatchGroup<HubWatcher> | null = first ?? null;
    while (group !== null && group.flags !== flags) group = group.sibling;
    if (group !== null) group.add(watcher);
    else {
      group = new WatchGroup(options, flags, revision + 1, watcher, this.#tally);
      group.sibling = first ?? null;
      this.#ranges.set(options, group);
      this.#groups++;
    }
    watcher.group = group;
    this.#watchers++;
    return watcher;
  }

  /** For `HubWatcher` alone: it was closed. */
  leave(watcher: HubWatcher, group: WatchGroup<HubWatcher>): void {
    this.#watchers--;
    group.remove(watcher);
    if (group.places.length > 0) return;
    this.#groups--;
    const first = this.#ranges.get(group)!;
    if (first !== group) {
      let before = first;
      while (before.sibling !== group) before = before.sibling!;
      before.sibling = group.sibling;
    } else if (group.sibling === null) this.#ranges.delete(group);
    else this.#ranges.set(group, group.sibling);
  }

  /** For `HubWatcher` alone. */
  takeFor(watcher: HubWatcher, group: WatchGroup<HubWatcher>, bytesMax: number): WatchTake | undefined {
    if (watcher.next < group.from) {
      const taken = this.#takeHistory(watcher, group, bytesMax);
      if (taken !== undefined) return taken;
    }
    return group.take(watcher, bytesMax);
  }

  /** @returns undefined when there was nothing (more) in it for the watcher, whose place then is at or after `group.from` */
  #takeHistory(watcher: HubWatcher, group: WatchGroup<HubWatcher>, bytesMax: number): WatchTake | undefined {
    const { compactedRevision } = this.#store;
    // Of the compacted revision itself only puts are left. Whoever begins there knows what it asks for (as in etcd); whoever comes
    // there in the course of reading would miss a delete and not know it.
    if (watcher.next < compactedRevision || (watcher.next === compactedRevision && !watcher.fresh)) {
      watcher.close();
      return { kind: "compacted", compactRevision: compactedRevision };
    }
    this.#historyReads++;
    const events: WatchEvent[] = [];
    let bytes = 0;
    let looks = 0;
    const { historyLooksMax } = this.#tally.limits;
    const enough = () => looks >= historyLooksMax || (events.length > 0 && bytes >= bytesMax);
    while (watcher.next < group.from && !enough()) {
      const { records, end } = this.#history(watcher.next);
      for (let at = firstAtOrAfter(records, watcher.next); at < records.length && !enough(); at++) {
        const record = records[at]!;
        bytes += appendEvents(record, group, events);
        looks += record.kvs.length;
        watcher.next = record.revision + 1;
      }
      if (!enough()) watcher.next = end;
    }
    if (events.length === 0 && watcher.next >= group.from) return undefined;
    return { kind: "events", events, revision: watcher.next - 1 };
  }

  /** A slice that holds `revision`, which is not after the store's. */
  #history(revision: number): HistorySlice {
    const kept = this.#slice;
    if (kept !== null && kept.from <= revision && revision < kept.end) return kept;
    const records = this.#store
      .revisions(revision, this.#tally.limits.historySliceBytes)
      .map((record) => new RecordEvents(record, this.#before));
    const end = (records.at(-1)?.revision ?? this.#store.revision) + 1;
    this.#slice = { from: revision, end, records };
    return this.#slice;
  }
}

/** Adds what the group sees of a revision. @returns bytes added */
function appendEvents(record: RecordEvents, group: WatchGroup<HubWatcher>, events: WatchEvent[]): number {
  let bytes = 0;
  const { kvs } = record;
  for (let at = 0; at < kvs.length; at++) {
    if (!isInRange(kvs[at]!.key, group)) continue;
    const event = record.event(at, group.flags);
    if (event === undefined) continue;
    events.push(event);
    bytes += eventBytes(event);
  }
  return bytes;
}

/** Place of the first record at or after a revision; the length when there is none. */
function firstAtOrAfter(records: readonly RecordEvents[], revision: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (records[middle]!.revision < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
