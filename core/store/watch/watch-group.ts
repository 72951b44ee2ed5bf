/**
 * All watchers of one range that want to see the same of it, and the queue of what they have not yet taken: however many they are,
 * the events are matched, kept and merged once.
 *
 * The queue holds every event of the range from revision `from` on, in batches of one revision. Each watcher has a place in it, the
 * next revision it wants; one whose place is before `from` has to read history. Invariants: batches ascend by revision, each at or
 * after `from`; `lastRevision` is that of the last batch ever queued; `unreadBy` counts the watchers marked unread.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { KeyRange } from "../command.ts";
import { type EventBatch, eventsBytes } from "./record-events.ts";
import type { WatchEvent } from "./watcher.ts";

/** Bounds of the hub. The defaults are `WATCH_LIMITS`; tests choose small ones. */
export interface WatchLimits {
  /** Events that a queue holds at most (references; one revision stays whole). Beyond it the older half goes, and laggards read history. */
  readonly queueEventsMax: number;
  /** Bytes of keys and values that a queue refers to at most. */
  readonly queueBytesMax: number;
  /** Events in all queues together. Beyond it a queue that grows is halved. */
  readonly queuedEventsMax: number;
  /** Bytes of keys and values of one slice of history, which is kept for the next reader of the same place. */
  readonly historySliceBytes: number;
  /** Events of history that one `take` looks at, wanted or not: a millisecond or so. */
  readonly historyLooksMax: number;
}

export const WATCH_LIMITS: WatchLimits = {
  queueEventsMax: 4096,
  queueBytesMax: 8 * 1024 * 1024,
  queuedEventsMax: 1_000_000,
  historySliceBytes: 256 * 1024,
  historyLooksMax: 10_000,
};

/** A watcher as its group sees it. */
export interface Place {
  /** The next revision wanted. */
  next: number;
  /** There was something in the queue for it at the last flush that it has not come to the end of. */
  unread: boolean;
  /** Where it stands in `places`. */
  at: number;
}

/** What all groups of a hub share: its limits, and sums over all of them. */
export interface Tally {
  readonly limits: WatchLimits;
  queuedEvents: number;
  /** Places marked unread. */
  unread: number;
}

/** A queue while there is something in it; most groups have none most of the time. */
interface Queue {
  batches: EventBatch[];
  events: number;
  bytes: number;
}

/** The merged batches that the last taker got, for the next one at the same place. */
interface Merged {
  readonly first: EventBatch;
  readonly last: EventBatch;
  readonly bytesMax: number;
  readonly batch: EventBatch;
}

export class WatchGroup<P extends Place> implements KeyRange {
  readonly key: Bytes;
  readonly end: Bytes;
  readonly flags: number;
  readonly #tally: Tally;
  /** The next group of the same range, with other flags. */
  sibling: WatchGroup<P> | null = null;
  /** In no order; never empty while the group is in use. */
  readonly places: P[];
  /** Events were queued since the last flush. */
  dirty = false;
  #from: number;
  #lastRevision = 0;
  #unreadBy = 0;
  #queue: Queue | null = null;
  #merged: Merged | null = null;

  /** @param from the revision of the next commit */
  constructor(range: KeyRange, flags: number, from: number, first: P, tally: Tally) {
    this.#tally = tally;
    this.places = [first]; // not by push, which would set room for many aside
    this.key = range.key;
    this.end = range.end;
    this.flags = flags;
    this.#from = from;
  }

  get from(): number {
    return this.#from;
  }

  add(place: P): void {
    place.at = this.places.push(place) - 1;
  }

  /** The group must not be used when it was the last one. */
  remove(place: P): void {
    if (place.unread) this.#read(place);
    if (this.places.length === 1) this.#forget();
    const last = this.places.pop()!;
    if (last === place) return;
    this.places[place.at] = last;
    last.at = place.at;
  }

  /** True when the queue, or history, may hold something at or after the place. */
  isBehind(place: P): boolean {
    return place.next <= this.#lastRevision || place.next < this.#from;
  }

  // ---- filling

  /** @param batch shared: not changed here */
  push(batch: EventBatch): void {
    this.#push(batch, batch.events.length, eventsBytes(batch.events));
  }

  /** Adds to the batch of a revision with several keys, which is this group's own. */
  pushPart(revision: number, event: WatchEvent): void {
    const last = this.#lastRevision === revision ? this.#queue?.batches.at(-1) : undefined;
    if (last === undefined) return this.push({ kind: "events", events: [event], revision });
    (last.events as WatchEvent[]).push(event);
    this.#count(1, eventsBytes([event]));
  }

  #push(batch: EventBatch, events: number, bytes: number): void {
    this.#queue ??= { batches: [], events: 0, bytes: 0 };
    this.#queue.batches.push(batch);
    this.#lastRevision = batch.revision;
    this.#count(events, bytes);
  }

  #count(events: number, bytes: number): void {
    const queue = this.#queue!;
    queue.events += events;
    this.#tally.queuedEvents += events;
    queue.bytes += bytes;
    const { limits, queuedEvents } = this.#tally;
    const full = queue.events > limits.queueEventsMax || queue.bytes > limits.queueBytesMax || queuedEvents > limits.queuedEventsMax;
    if (full) this.#dropOlderHalf();
  }

  /** Of the batches, by number; the last one always stays. */
  #dropOlderHalf(): void {
    const queue = this.#queue;
    if (queue === null) return;
    const dropped = queue.batches.slice(0, queue.batches.length >> 1);
    if (dropped.length === 0) return;
    for (const batch of dropped) {
      queue.events -= batch.events.length;
      this.#tally.queuedEvents -= batch.events.length;
      queue.bytes -= eventsBytes(batch.events);
    }
    queue.batches = queue.batches.slice(dropped.length);
    this.#merged = null;
    // There was nothing for them before the first batch: without this, a compaction in between would look as if it had overtaken them.
    const first = dropped[0]!.revision;
    for (const place of this.places) if (place.next >= this.#from && place.next < first) place.next = first;
    this.#from = dropped.at(-1)!.revision + 1;
  }

  /**
   * Forgets the queue: every watcher that is at its end goes on from `from`, the others read history.
   * @param known all revisions up to this one went through here
   */
  reset(known: number, from: number): void {
    for (const place of this.places) if (!this.isBehind(place)) place.next = Math.max(place.next, known + 1);
    this.#forget();
    this.#from = from;
    this.#lastRevision = from - 1;
  }

  #forget(): void {
    this.#tally.queuedEvents -= this.#queue?.events ?? 0;
    this.#queue = null;
    this.#merged = null;
  }

  // ---- emptying

  /** At a flush, for each place: notes whether there is something for it. */
  mark(place: P): boolean {
    if (!place.unread && this.isBehind(place)) {
      place.unread = true;
      this.#unreadBy++;
      this.#tally.unread++;
    }
    return place.unread;
  }

  /** The next batches for a place at or after `from`, merged; undefined when it is at the end. */
  take(place: P, bytesMax: number): EventBatch | undefined {
    const queue = this.#queue;
    if (queue === null || place.next > this.#lastRevision) return undefined;
    const { batches } = queue;
    const at = firstAtOrAfter(batches, place.next);
    const batch = this.#merge(batches, at, bytesMax);
    place.next = batch.revision + 1;
    return batch;
  }

  #merge(batches: readonly EventBatch[], from: number, bytesMax: number): EventBatch {
    const first = batches[from]!;
    const last = batches.at(-1)!;
    if (first === last) return first;
    const merged = this.#merged;
    if (merged !== null && merged.first === first && merged.last === last && merged.bytesMax === bytesMax) return merged.batch;
    let to = from;
    for (let bytes = 0; to < batches.length && (bytes < bytesMax || to === from); to++) bytes += eventsBytes(batches[to]!.events);
    const taken = batches.slice(from, to);
    const batch: EventBatch =
      taken.length === 1 ? first : { kind: "events", events: taken.flatMap((one) => one.events), revision: taken.at(-1)!.revision };
    this.#merged = { first, last, bytesMax, batch };
    return batch;
  }

  /** After a place was moved: when it came to the end, it no longer holds the queue. */
  moved(place: P): void {
    if (!place.unread || this.isBehind(place)) return;
    this.#read(place);
  }

  #read(place: P): void {
    place.unread = false;
    this.#unreadBy--;
    this.#tally.unread--;
    this.forgetRead();
  }

  /** Lets go of the queue when all have read it and all know of it. */
  forgetRead(): void {
    if (this.#unreadBy > 0 || this.dirty || this.#queue === null) return;
    this.#forget();
    this.#from = this.#lastRevision + 1;
  }
}

/** Place of the first batch at or after a revision; there is one. */
function firstAtOrAfter(batches: readonly EventBatch[], revision: number): number {
  let low = 0;
  let high = batches.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (batches[middle]!.revision < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
