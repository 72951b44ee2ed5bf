/**
 * Random histories and random readers against a list of all events and a filter. What a reader got must be what the filter gives:
 * nothing missing, double, early or out of order, no revision split, the previous versions right. Names of the properties: etcd's
 * watch guarantees, https://etcd.io/docs/v3.4/learning/api/#watch-streams.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bytes, EMPTY, ZERO, ascii, prefixEnd } from "../../bytes/bytes.ts";
import { enableVerify } from "../../invariant.ts";
import type { KeyRange, KeyValue } from "../command.ts";
import { MemoryVersionStore } from "../mvcc/memory-version-store.ts";
import type { VersionStore } from "../version-store-port.ts";
import { WATCH_LIMITS, type WatchLimits } from "./watch-group.ts";
import { WatchHub } from "./watch-hub.ts";
import type { WatchEvent, Watcher } from "./watcher.ts";

enableVerify();

interface ModelEvent {
  readonly kv: KeyValue;
  readonly prev: KeyValue | null;
}

interface ModelRevision {
  readonly revision: number;
  readonly events: readonly ModelEvent[];
}

interface Reader {
  readonly range: KeyRange;
  readonly from: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly watcher: Watcher;
  /** Reads at every flush that tells it to, as much as there is. */
  readonly eager: boolean;
  /** It was opened with a start before the revision of then. */
  readonly inPast: boolean;
  got: { events: readonly WatchEvent[]; revision: number; compactedThen: number }[];
  told: number;
  /** How far the store was compacted when the reader first took; null: it never did. */
  compactedAtFirst: number | null;
  /** `take` gave undefined last, or was never called. */
  waits: boolean;
  end: "open" | "closed" | "compacted";
}

/** So small that every way out of a limit is taken. */
const TIGHT: WatchLimits = { queueEventsMax: 4, queueBytesMax: 30, queuedEventsMax: 20, historySliceBytes: 10, historyLooksMax: 6 };

const KEYS = ["a", "a\0", "ab", "abc", "abd", "b", "ba", "c", "d/1", "d/2", "d/3", "\xff", "\xff\xff"].map(ascii);
const RANGES: KeyRange[] = [
  ...KEYS.map((key) => ({ key, end: EMPTY })),
  ...["a", "ab", "d/", "\xff", "b"].map((text) => ({ key: ascii(text), end: prefixEnd(ascii(text)) })),
  { key: ZERO, end: ZERO },
  { key: ascii("b"), end: ZERO },
  { key: ascii("ab"), end: ascii("d/2") },
  { key: ascii("abd"), end: ascii("bb") },
  { key: ascii("ab"), end: ascii("d") },
  { key: ascii("d/1"), end: ascii("d/1\0") },
  { key: ascii("c"), end: ascii("b") }, // holds nothing
];

const holds = (range: KeyRange, key: Bytes): boolean =>
  range.end === EMPTY ? key === range.key : key >= range.key && (range.end === ZERO || key < range.end);

type Write = { readonly key: number; readonly value: string | null };
type Step =
  | { readonly do: "write"; readonly writes: readonly Write[] }
  | { readonly do: "flush" }
  | { readonly do: "compact"; readonly back: number; readonly free: boolean }
  | { readonly do: "open"; readonly range: number; readonly start: number; readonly flags: number; readonly eager: boolean }
  | { readonly do: "take"; readonly who: number; readonly times: number; readonly bytesMax: number }
  | { readonly do: "close"; readonly who: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      writes: fc.array(
        fc.record({ key: fc.nat(KEYS.length - 1), value: fc.option(fc.string({ maxLength: 5 }).map(latin), { nil: null, freq: 3 }) }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: "flush" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact" as const), back: fc.nat(6), free: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("open" as const),
      range: fc.nat(RANGES.length - 1),
      start: fc.integer({ min: -12, max: 6 }),
      flags: fc.nat(7),
      eager: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("take" as const), who: fc.nat(), times: fc.integer({ min: 1, max: 3 }), bytesMax: fc.nat(30) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const), who: fc.nat() }) },
);

function latin(text: string): string {
  return [...text].map((char) => String.fromCharCode(char.charCodeAt(0) & 255)).join("");
}

class World {
  readonly store: VersionStore = new MemoryVersionStore();
  readonly hub: WatchHub;
  readonly history: ModelRevision[] = [];
  readonly live = new Map<Bytes, KeyValue>();
  readonly readers: Reader[] = [];
  flushing = false;

  constructor(limits: WatchLimits) {
    this.hub = new WatchHub(this.store, limits);
  }

  run(one: Step): void {
    switch (one.do) {
      case "write":
        return this.write(one.writes);
      case "flush":
        return this.flush();
      case "compact":
        return this.compact(this.store.revision - one.back, one.free);
      case "open":
        return this.open(one);
      case "take": {
        const reader = this.readers[one.who % Math.max(1, this.readers.length)];
        for (let times = 0; reader !== undefined && times < one.times; times++) this.take(reader, one.bytesMax);
        return;
      }
      case "close": {
        const reader = this.readers[one.who % Math.max(1, this.readers.length)];
        if (reader === undefined || reader.end !== "open") return;
        reader.watcher.close();
        reader.end = "closed";
        expect(reader.watcher.take(1)).toBeUndefined();
      }
    }
  }

  write(writes: readonly Write[]): void {
    for (const { key, value } of writes) {
      if (value === null) this.store.delete(KEYS[key]!);
      else this.store.put(KEYS[key]!, value as Bytes, "0");
    }
    const record = this.store.commit(null, 0);
    if (record === null) return;
    const events = record.kvs.map((kv) => ({ kv, prev: this.live.get(kv.key) ?? null }));
    for (const kv of record.kvs) {
      if (kv.version === 0) this.live.delete(kv.key);
      else this.live.set(kv.key, kv);
    }
    this.history.push({ revision: record.revision, events });
    this.hub.committed(record);
  }

  flush(): void {
    this.flushing = true;
    this.hub.flush();
    this.flushing = false;
    // Every waiting reader was told if and only if there is something for it.
    for (const reader of this.readers) {
      if (reader.end === "open" && reader.waits && reader.compactedAtFirst !== null) expect(reader.watcher.isSynced()).toBe(true);
    }
  }

  compact(revision: number, free: boolean): void {
    if (revision <= this.store.compactedRevision || revision < 1) return;
    this.store.compact(revision);
    this.hub.compacted(revision);
    while (free && !this.store.compactStep(3));
  }

  open({ range, start, flags, eager }: Step & { do: "open" }): void {
    const { revision } = this.store;
    const startRevision = start === 0 ? 0 : Math.max(1, revision + start);
    const options = { noPut: (flags & 1) !== 0, noDelete: (flags & 2) !== 0, prevKv: (flags & 4) !== 0 };
    const onReady = () => {
      expect(this.flushing, "onReady is called from flush only").toBe(true);
      expect(reader.waits, "onReady is called once").toBe(true);
      expect(reader.end).toBe("open");
      reader.told++;
      reader.waits = false;
      if (!reader.eager) return;
      while (this.take(reader, 10));
    };
    const watcher = this.hub.open({ ...RANGES[range]!, startRevision, ...options, onReady });
    const reader: Reader = {
      range: RANGES[range]!,
      from: startRevision === 0 ? revision + 1 : startRevision,
      ...options,
      watcher,
      eager,
      inPast: startRevision !== 0 && startRevision <= revision,
      got: [],
      told: 0,
      compactedAtFirst: null,
      waits: true,
      end: "open",
    };
    this.readers.push(reader);
    while (eager && this.take(reader, 10));
  }

  take(reader: Reader, bytesMax: number): boolean {
    const begins = reader.compactedAtFirst === null && reader.inPast;
    reader.compactedAtFirst ??= this.store.compactedRevision;
    const taken = reader.watcher.take(bytesMax);
    if (reader.end !== "open") {
      expect(taken).toBeUndefined();
      return false;
    }
    reader.waits = taken === undefined;
    if (taken === undefined) {
      expect(reader.watcher.isSynced()).toBe(true);
      return false;
    }
    if (taken.kind === "compacted") {
      reader.end = "compacted";
      expect(taken.compactRevision).toBe(this.store.compactedRevision);
      const next = this.next(reader) + (begins ? 1 : 0);
      expect(next, "only a reader whose next revision is gone is told of a compaction").toBeLessThanOrEqual(taken.compactRevision);
      return false;
    }
    expect(taken.revision).toBeLessThanOrEqual(this.store.revision);
    const { events, revision } = taken;
    reader.got.push({ events, revision, compactedThen: this.store.compactedRevision });
    this.checkSizes(reader, events, bytesMax);
    return true;
  }

  /** The revision that the reader is sure to want next. */
  next(reader: Reader): number {
    return Math.max(reader.from, (reader.got.at(-1)?.revision ?? 0) + 1);
  }

  checkSizes(reader: Reader, events: readonly WatchEvent[], bytesMax: number): void {
    const revisions = [...new Set(events.map((event) => event.kv.modRevision))];
    const before = events.filter((event) => event.kv.modRevision !== revisions.at(-1));
    const bytes = before.reduce(
      (sum, { kv, prev }) => sum + kv.key.length + kv.value.length + (prev ? prev.key.length + prev.value.length : 0),
      0,
    );
    if (before.length > 0) expect(bytes, `soft limit of ${reader.range.key}`).toBeLessThan(bytesMax);
  }

  /** Takes the rest for everybody and compares. */
  finish(): void {
    this.flush();
    for (const reader of this.readers) {
      while (this.take(reader, 50));
      this.compare(reader);
    }
    for (const reader of this.readers) reader.watcher.close();
    const stats = this.hub.stats();
    expect(stats).toMatchObject({ watchers: 0, groups: 0, unread: 0, queuedEvents: 0 });
  }

  compare(reader: Reader): void {
    const last = reader.got.at(-1)?.revision ?? 0;
    const until = reader.end === "open" ? this.store.revision : last;
    const wanted: ModelEvent[] = [];
    for (const { revision, events } of this.history) {
      if (revision < reader.from || revision > until) continue;
      for (const event of events) {
        if (!holds(reader.range, event.kv.key)) continue;
        if (event.kv.version === 0 ? reader.noDelete : reader.noPut) continue;
        wanted.push(event);
      }
    }
    const got = reader.got.flatMap((take) => take.events.map((event) => ({ event, take })));
    // A reader that started exactly at a compacted revision does not see what was not visible there any more.
    const seen = new Set(got.map(({ event }) => event.kv));
    const expected = wanted.filter(({ kv }) => seen.has(kv) || !this.#mayBeGone(reader, kv));
    expect(
      got.map(({ event }) => event.kv),
      "filtered, ordered, unique, reliable",
    ).toEqual(expected.map(({ kv }) => kv));
    for (const [at, { event, take }] of got.entries()) {
      const { kv, prev } = expected[at]!;
      expect(event.type).toBe(kv.version === 0 ? "delete" : "put");
      expect(kv.createRevision === kv.modRevision, "create flag").toBe(kv.version === 1);
      if (!reader.prevKv) expect(event.prev).toBeNull();
      else if (event.prev !== null || take.compactedThen < kv.modRevision) expect(event.prev, "previous value").toEqual(prev);
    }
    for (const [at, take] of reader.got.entries()) {
      const before = reader.got[at - 1]?.revision ?? reader.from - 1;
      const revisions = take.events.map((event) => event.kv.modRevision);
      for (const revision of revisions) {
        expect(revision, "atomic, bookmarkable").toBeGreaterThan(before);
        expect(revision, "bookmarkable").toBeLessThanOrEqual(take.revision);
      }
    }
  }

  /** True for what was written at the reader's very first revision when that was compacted before the reader came to it. */
  #mayBeGone(reader: Reader, kv: KeyValue): boolean {
    return reader.inPast && kv.modRevision === reader.from && reader.compactedAtFirst === reader.from;
  }
}

describe("WatchHub, against a list and a filter", () => {
  it("gives every reader exactly what it asked for", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 120, size: "max" }), fc.boolean(), (steps, tight) => {
        const world = new World(tight ? TIGHT : WATCH_LIMITS);
        for (const one of steps) world.run(one);
        world.finish();
      }),
      { numRuns: 500 },
    );
  });
});
