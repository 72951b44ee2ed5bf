/**
 * Did a watch stream tell the truth, all of it, in order? The truth is the list of revisions with their events, which one complete watch
 * of all keys from the beginning gives.
 *
 * A stream has a place: the least revision that it may still tell of. It begins at the start revision, an event of revision r moves it to r
 * (more of r may follow in the same item, none in a later one), the end of an item and a progress notice at r move it to r + 1, and
 * resuming sets it. Nothing below the place may come, and nothing that matches may be passed over.
 *
 * Rules, by the names of violations:
 * - filter: only events of the keys asked for; ordered: revisions never go back; unique: no event twice; atomic: a revision is never split;
 * - early: nothing below the start revision; reliable: nothing left out; resumable: after resuming at r comes the first event from r on;
 * - bookmarkable: after a progress notice at r nothing up to r follows, and nothing up to r is missing;
 * - content, previous value, create flag: events are what the truth says;
 * - compacted: a stream that cannot go on because its next revision is compacted says so, says so only then, and is silent afterwards;
 * - header: the revision of an item is not below its events; record: the record itself cannot be.
 * Source: etcd's watch API guarantees (ordered, unique, reliable, atomic, resumable, bookmarkable).
 */
import type { KeyValue } from "./history.ts";
import { inRange } from "./model.ts";

export interface WatchEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  /** Of deletes: "". */
  readonly value: string;
  /** Of deletes: 0. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** Of deletes: 0. */
  readonly version: number;
  /** What was there before. Absent: not asked for, or compacted; null: nothing was there. */
  readonly prev?: KeyValue | null;
}

export type StreamItem =
  /** One reply. `revision` is the header's; the events can be of several revisions. */
  | { readonly kind: "events"; readonly revision: number; readonly events: readonly WatchEvent[] }
  | { readonly kind: "progress"; readonly revision: number }
  | { readonly kind: "compacted"; readonly compactRevision: number }
  /** The connection broke. */
  | { readonly kind: "broken" }
  | { readonly kind: "resumed"; readonly startRevision: number };

export interface StreamRecord {
  readonly name?: string;
  /** First revision wanted. */
  readonly startRevision: number;
  /** With `end` as in RangeRequest. */
  readonly key: string;
  readonly end?: string;
  /** Previous values were asked for, and nothing is compacted that they need. */
  readonly prev?: boolean;
  /** Events of this kind were not wanted. */
  readonly without?: "put" | "delete";
  /** The caller waited until all up to this revision must have come. Absent: how much is missing at the end is not known. */
  readonly completeTo?: number;
  readonly items: readonly StreamItem[];
}

export interface TruthEvents {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

export interface WatchViolation {
  readonly rule: string;
  readonly text: string;
  /** Which item of the record; its length: the end. */
  readonly item: number;
}

/** More of them do not help to find the fault. */
const VIOLATIONS_MAX = 20;

/** The revisions that one complete stream of all keys tells of. @throws Error when the stream broke or has a hole */
export function truthOf({ startRevision, items }: StreamRecord): TruthEvents[] {
  const truth: { revision: number; events: WatchEvent[] }[] = [];
  for (const item of items) {
    if (item.kind === "progress") continue;
    if (item.kind !== "events") throw new Error(`the stream is not complete: it is ${item.kind}`);
    for (const event of item.events) {
      const last = truth.at(-1);
      if (last?.revision === event.modRevision) last.events.push(event);
      else if (last === undefined || last.revision + 1 === event.modRevision) truth.push({ revision: event.modRevision, events: [event] });
      else throw new Error(`the stream from revision ${startRevision} goes from ${last.revision} to ${event.modRevision}`);
    }
  }
  return truth;
}

/** The truth, made ready to check any number of streams against it. */
export class WatchTruth {
  /** In order of revisions; `prev` is filled in. */
  readonly events: readonly WatchEvent[];
  readonly lastRevision: number;
  readonly #byId: ReadonlyMap<string, WatchEvent>;
  readonly #first: ReadonlyMap<number, number>;
  readonly #firstRevision: number;

  /**
   * @param truth without holes, in order of revisions
   * @param before what was there before its first revision; default: nothing
   * @throws Error when it has a hole, or contradicts itself in versions and create revisions
   */
  constructor(truth: readonly TruthEvents[], before: readonly KeyValue[] = []) {
    const keys = new Map(before.map((one) => [one.key, one]));
    const events: WatchEvent[] = [];
    const first = new Map<number, number>();
    this.#firstRevision = truth[0]?.revision ?? 1;
    for (const [at, { revision, events: list }] of truth.entries()) {
      if (revision !== this.#firstRevision + at)
        throw new Error(`the truth has revision ${revision} instead of ${this.#firstRevision + at}`);
      first.set(revision, events.length);
      for (const event of list) events.push(advance(keys, event, revision));
    }
    this.events = events;
    this.lastRevision = truth.at(-1)?.revision ?? 1;
    this.#first = first;
    this.#byId = new Map(events.map((event) => [idOf(event), event]));
    if (this.#byId.size !== events.length) throw new Error("the truth changes a key twice in one revision");
  }

  find(event: WatchEvent): WatchEvent | undefined {
    return this.#byId.get(idOf(event));
  }

  /** Number of the first event of a revision or later. */
  indexOf(revision: number): number {
    if (revision > this.lastRevision) return this.events.length;
    return this.#first.get(Math.max(revision, this.#firstRevision)) ?? 0;
  }
}

function idOf({ modRevision, key }: WatchEvent): string {
  return `${modRevision}/${key}`;
}

/** Applies one event to what is there. @returns it with its previous value */
function advance(keys: Map<string, KeyValue>, event: WatchEvent, revision: number): WatchEvent {
  const { type, key, value, createRevision, modRevision, version } = event;
  const prev = keys.get(key) ?? null;
  const expected = type === "delete" ? 0 : (prev?.version ?? 0) + 1;
  const created = type === "delete" ? 0 : (prev?.createRevision ?? revision);
  if (modRevision !== revision || version !== expected || createRevision !== created || (type === "delete" && prev === null)) {
    throw new Error(`the truth contradicts itself: ${JSON.stringify(event)} after ${JSON.stringify(prev)}`);
  }
  if (type === "delete") keys.delete(key);
  else keys.set(key, { key, value, createRevision, modRevision, version });
  return { type, key, value, createRevision, modRevision, version, prev };
}

/** @returns nothing when the stream told the truth */
export function checkWatch(record: StreamRecord, truth: WatchTruth): WatchViolation[] {
  const check = new Check(record, truth);
  for (const [at, item] of record.items.entries()) {
    if (check.violations.length >= VIOLATIONS_MAX) break;
    check.take(item, at);
  }
  check.finish();
  return check.violations;
}

class Check {
  readonly violations: WatchViolation[] = [];
  readonly #record: StreamRecord;
  readonly #truth: WatchTruth;
  /** Of the latest start or resumption. */
  #start: number;
  /** The least revision that may still come. */
  #place: number;
  /** Of the latest progress notice of this session. */
  #bookmark = 0;
  /** Since the latest start or resumption. */
  readonly #told = new Set<string>();
  /** "resumable" until something came after a resumption. */
  #missingRule: "reliable" | "resumable" = "reliable";
  /** Not null: nothing may come but a resumption; the least place at which that may be. */
  #ended: { readonly why: "broken" | "compacted"; readonly resumeMax: number } | null = null;
  #item = 0;

  constructor(record: StreamRecord, truth: WatchTruth) {
    this.#record = record;
    this.#truth = truth;
    this.#start = record.startRevision;
    this.#place = record.startRevision;
    if (!(record.startRevision >= 1))
      this.#say("record", `the start revision is ${record.startRevision}; it has to be known, and at least 1`);
  }

  take(item: StreamItem, at: number): void {
    this.#item = at;
    if (item.kind === "resumed") return this.#resume(item.startRevision);
    if (this.#ended !== null) {
      if (item.kind !== "broken")
        this.#say(this.#ended.why === "compacted" ? "compacted" : "record", `${item.kind} after it was ${this.#ended.why}`);
      return;
    }
    switch (item.kind) {
      case "events":
        return this.#events(item.revision, item.events);
      case "progress":
        return this.#progress(item.revision);
      case "compacted":
        return this.#compacted(item.compactRevision);
      case "broken":
        this.#ended = { why: "broken", resumeMax: this.#place };
    }
  }

  finish(): void {
    this.#item = this.#record.items.length;
    const { completeTo } = this.#record;
    if (completeTo === undefined || this.#ended !== null) return;
    this.#missing(this.#place, completeTo + 1, this.#missingRule);
  }

  #say(rule: string, text: string): void {
    const name = this.#record.name === undefined ? "" : `${this.#record.name}: `;
    if (this.violations.length < VIOLATIONS_MAX)
      this.violations.push({ rule, text: `${name}item ${this.#item}: ${text}`, item: this.#item });
  }

  #matches({ type, key }: WatchEvent): boolean {
    return inRange(key, this.#record.key, this.#record.end) && type !== this.#record.without;
  }

  /** Events in revisions [from, to) that were to be told and were not. */
  #missing(from: number, to: number, rule: string): void {
    const missing = this.#truth.events
      .slice(this.#truth.indexOf(from), this.#truth.indexOf(to))
      .filter((event) => this.#matches(event) && !this.#told.has(idOf(event)));
    if (missing.length === 0) return;
    const [first] = missing as [WatchEvent];
    this.#say(rule, `${missing.length} events are missing, the first is ${first.type} ${first.key} at revision ${first.modRevision}`);
  }

  #events(header: number, events: readonly WatchEvent[]): void {
    if (events.length === 0) return this.#say("record", "no events");
    let last = 0;
    for (const event of events) {
      if (event.modRevision < last) this.#say("ordered", `revision ${event.modRevision} after ${last}`);
      last = Math.max(last, event.modRevision);
      if (event.modRevision > header) this.#say("header", `an event of revision ${event.modRevision} in a reply of revision ${header}`);
      this.#event(event);
    }
    // What is left of the last revision was to be in this item.
    this.#missing(last, last + 1, "atomic");
    this.#place = Math.max(this.#place, last + 1);
  }

  #event(event: WatchEvent): void {
    const { type, key, modRevision } = event;
    if (!this.#matches(event)) this.#say("filter", `${type} ${key} was not asked for`);
    if (modRevision < this.#place) this.#behind(event);
    else if (this.#told.has(idOf(event))) this.#say("unique", `${type} ${key} at revision ${modRevision} was told twice`);
    if (modRevision > this.#place) {
      this.#missing(this.#place, modRevision, this.#missingRule);
      this.#place = modRevision;
    }
    this.#missingRule = "reliable";
    this.#told.add(idOf(event));
    this.#compare(event);
  }

  /** An event below the place: which promise does it break? */
  #behind(event: WatchEvent): void {
    const { type, key, modRevision } = event;
    const what = `${type} ${key} at revision ${modRevision}`;
    if (modRevision < this.#start) this.#say("early", `${what}, before the start revision ${this.#start}`);
    else if (this.#told.has(idOf(event))) this.#say("unique", `${what} was told twice`);
    else if (modRevision <= this.#bookmark) this.#say("bookmarkable", `${what} after a progress notice at ${this.#bookmark}`);
    else if (modRevision === this.#place - 1) this.#say("atomic", `${what} in another reply than the rest of its revision`);
    else this.#say("ordered", `${what} after revision ${this.#place - 1}`);
  }

  #compare(event: WatchEvent): void {
    const truth = this.#truth.find(event);
    if (truth === undefined) return this.#say("content", `${event.type} ${event.key} at revision ${event.modRevision} never happened`);
    const what = `${JSON.stringify(event)}, where the truth is ${JSON.stringify(truth)}`;
    const isCreate = ({ type, createRevision, modRevision }: WatchEvent): boolean => type === "put" && createRevision === modRevision;
    if (isCreate(event) !== isCreate(truth)) this.#say("create flag", what);
    else if (event.type !== truth.type || event.value !== truth.value) this.#say("content", what);
    else if (event.version !== truth.version || event.createRevision !== truth.createRevision) this.#say("content", what);
    const { prev } = event;
    if (prev === undefined ? this.#record.prev === true : !sameKeyValue(prev, truth.prev ?? null)) this.#say("previous value", what);
  }

  #progress(revision: number): void {
    this.#missing(this.#place, revision + 1, "bookmarkable");
    this.#bookmark = Math.max(this.#bookmark, revision);
    this.#place = Math.max(this.#place, revision + 1);
  }

  #compacted(compactRevision: number): void {
    if (compactRevision > this.#truth.lastRevision) this.#say("compacted", `revision ${compactRevision} is not there yet`);
    if (this.#place >= compactRevision) {
      this.#say("compacted", `at revision ${compactRevision}, although the next one wanted is ${this.#place}`);
    }
    this.#ended = { why: "compacted", resumeMax: Math.max(this.#place, compactRevision) };
  }

  #resume(startRevision: number): void {
    const max = this.#ended?.resumeMax ?? this.#place;
    if (startRevision > max) this.#say("record", `resumed at ${startRevision}, where ${max} is the last that leaves no hole`);
    this.#ended = null;
    this.#start = startRevision;
    this.#place = startRevision;
    this.#bookmark = 0;
    this.#told.clear();
    this.#missingRule = "resumable";
  }
}

function sameKeyValue(a: KeyValue | null, b: KeyValue | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.createRevision === b.createRevision &&
    a.modRevision === b.modRevision &&
    a.version === b.version
  );
}
