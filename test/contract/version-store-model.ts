/** Random histories, asked of a version store and of the naive one: every answer must be the same. fast-check prints seed and path. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NaiveVersionStore } from "../helpers/naive-version-store.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { isQuorateError } from "../../core/errors.ts";
import type { KeyRange, RangeRequest } from "../../core/store/command.ts";
import type { VersionStore } from "../../core/store/version-store-port.ts";

type Write = { readonly key: Bytes; readonly value: Bytes | null };
type Step =
  | { readonly do: "write"; readonly writes: readonly Write[]; readonly note: boolean }
  | { readonly do: "compact"; readonly back: number }
  | { readonly do: "free"; readonly budget: number }
  | { readonly do: "pin" }
  | { readonly do: "unpin" }
  | {
      readonly do: "ask";
      readonly range: KeyRange;
      readonly back: number;
      readonly request: Partial<RangeRequest>;
      readonly open: readonly Write[];
    };

const key: fc.Arbitrary<Bytes> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 30 }).map((n) => `k${n}` as Bytes) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 2 }).map((raw) => String.fromCharCode(...raw) as Bytes) },
);
const value = fc.option(fc.constantFrom("", "1", "2", "long value", "\xff\0") as fc.Arbitrary<Bytes>, { freq: 3 });
const write = fc.record({ key, value });
const range = fc.record({
  key: fc.oneof(key, fc.constant("\0" as Bytes)),
  end: fc.oneof(key, fc.constantFrom("", "\0", "l") as fc.Arbitrary<Bytes>),
});
const small = fc.integer({ min: -1, max: 25 });
const request = fc.record(
  {
    limit: fc.integer({ min: -1, max: 8 }),
    sortTarget: fc.constantFrom("key", "version", "create", "mod", "value"),
    sortOrder: fc.constantFrom("none", "ascend", "descend"),
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    minModRevision: small,
    maxModRevision: small,
    minCreateRevision: small,
    maxCreateRevision: small,
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Partial<RangeRequest>>;

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("write"), writes: fc.array(write, { maxLength: 6 }), note: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact"), back: fc.integer({ min: -2, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("free"), budget: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "pin" }) },
  { weight: 1, arbitrary: fc.constant({ do: "unpin" }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask"),
      range,
      back: fc.integer({ min: -2, max: 20 }),
      request,
      open: fc.array(write, { maxLength: 2 }),
    }),
  },
) as fc.Arbitrary<Step>;

const DEFAULTS = {
  limit: 0,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;

/** The answer, or the reason of the refusal. */
function attempt<T>(act: () => T): T | string {
  try {
    return act();
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    return error.reason;
  }
}

function apply(store: VersionStore, writes: readonly Write[]): void {
  for (const one of writes) {
    if (one.value === null) store.delete(one.key);
    else store.put(one.key, one.value, one.value === "2" ? "77" : "0");
  }
}

const note = (revision: number) =>
  ({
    action: "set",
    path: "/x" as Bytes,
    silent: false,
    prev: null,
    node: { path: "/x" as Bytes, value: null, createdIndex: revision, modifiedIndex: revision, expiresAt: null },
  }) as const;

class Pair {
  readonly real: VersionStore;
  readonly model = new NaiveVersionStore();
  readonly #releases: (() => void)[] = [];

  constructor(real: VersionStore) {
    this.real = real;
  }

  #both<T>(act: (store: VersionStore) => T): void {
    expect(attempt(() => act(this.real))).toEqual(attempt(() => act(this.model)));
  }

  take(step: Step): void {
    switch (step.do) {
      case "write":
        return this.#write(step.writes, step.note);
      case "compact":
        return this.#both((store) => store.compact(store.revision - step.back));
      case "free":
        this.real.compactStep(step.budget);
        return;
      case "pin":
        this.#releases.push(this.real.pin());
        return;
      case "unpin":
        return this.#releases.pop()?.();
      case "ask":
        this.#ask(step);
        return this.#write(step.open, false);
    }
  }

  #write(writes: readonly Write[], noted: boolean): void {
    this.#both((store) => apply(store, writes));
    this.#both((store) => store.commit(noted ? note(store.openRevision) : null, store.revision * 10));
  }

  #ask({ range: asked, back, request: more, open }: Extract<Step, { do: "ask" }>): void {
    const revision = this.real.revision - back;
    const question = { ...DEFAULTS, ...more, ...asked, revision };
    this.#both((store) => apply(store, open));
    this.#both((store) => store.get(asked.key));
    this.#both((store) => store.get(asked.key, revision));
    this.#both((store) => [...store.scan(asked)]);
    this.#both((store) => [...store.scan(asked, { revision, reverse: true })]);
    this.#both((store) => store.count(asked));
    this.#both((store) => store.count(asked, revision));
    this.#both((store) => store.range(question));
    this.#both((store) => store.range({ ...question, revision: 0 }));
    this.#both((store) => this.#pages(store, question));
    this.#both((store) => store.revisions(revision, back * 10));
    this.#both((store) => [store.keyCount, store.hasPending, store.revision, store.compactedRevision]);
    expect(this.real.check()).toEqual([]);
  }

  #pages(store: VersionStore, question: RangeRequest): string[] {
    const seen: string[] = [];
    for (let from = question.key; ;) {
      const page = store.range({ ...DEFAULTS, key: from, end: question.end, revision: question.revision, limit: 3 });
      seen.push(`${page.kvs.map((kv) => `${kv.key}=${kv.value}`).join()} of ${page.count}`);
      if (!page.more) return seen;
      from = `${page.kvs.at(-1)!.key}\0` as Bytes;
    }
  }

  /** Everything, at every revision that is kept. */
  compareAll(): void {
    const all = { key: "\0" as Bytes, end: "\0" as Bytes };
    for (const release of this.#releases.splice(0)) release();
    const log = this.real.revisions(Math.max(1, this.real.compactedRevision), Infinity);
    expect(log).toEqual(this.model.revisions(Math.max(1, this.model.compactedRevision), Infinity));
    for (const record of log) {
      for (const kv of record.kvs) expect(this.real.before(kv)).toEqual(this.model.before(kv));
    }
    for (let revision = Math.max(1, this.real.compactedRevision); revision <= this.real.revision; revision++) {
      this.#both((store) => [...store.scan(all, { revision })]);
      this.#both((store) => store.count(all, revision));
      this.#both((store) => store.count({ key: "k1" as Bytes, end: "k2" as Bytes }, revision));
    }
    expect(this.real.sizeInUseBytes()).toBe(this.model.sizeInUseBytes());
    while (!this.real.compactStep(3)) expect(this.real.check()).toEqual([]);
    expect(this.real.sizeBytes()).toBe(this.model.sizeInUseBytes());
    expect(this.real.check()).toEqual([]);
  }
}

/**
 * @param setup gives a fresh, empty store
 * @param runs random histories
 */
export function versionStoreModel(name: string, setup: () => VersionStore, runs = 500): void {
  describe(`version store model: ${name}`, () => {
    test("random histories: it answers as the naive one", () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
          const pair = new Pair(setup());
          for (const one of steps) pair.take(one);
          pair.compareAll();
        }),
        { numRuns: runs },
      );
    });

    test("many keys: it splits, merges and counts as the naive store", () => {
      // Deterministic: a linear congruence walks over 3,000 keys, and whole stretches die and are compacted away.
      const pair = new Pair(setup());
      let state = 12345;
      const next = (below: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
      const name = (at: number) => `key/${String(at).padStart(5, "0")}` as Bytes;
      for (let round = 0; round < 8; round++) {
        const writes: Write[] = [];
        for (let at = 0; at < 700; at++) writes.push({ key: name(next(3000)), value: String(round) as Bytes });
        pair.take({ do: "write", writes, note: false });
        const from = next(2500);
        pair.take({ do: "write", writes: Array.from({ length: 500 }, (_, at) => ({ key: name(from + at), value: null })), note: false });
        pair.take({ do: "compact", back: 1 + (round % 3) });
        if (round % 2 === 1) while (!pair.real.compactStep(97));
        const range = { key: name(next(3000)), end: name(next(3000)) };
        pair.take({ do: "ask", range, back: next(4), request: { limit: 5 }, open: [] });
      }
      pair.compareAll();
    });
  });
}
