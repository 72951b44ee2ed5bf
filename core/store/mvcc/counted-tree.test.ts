import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bytes } from "../../bytes/bytes.ts";
import { CountedTree } from "./counted-tree.ts";

interface Item {
  readonly counted: boolean;
}

const name = (at: number) => `k${String(at).padStart(5, "0")}` as Bytes;

function set(tree: CountedTree<Item>, at: number, counted: boolean): void {
  tree.find(name(at));
  tree.setFound(name(at), { counted });
}

function remove(tree: CountedTree<Item>, at: number): void {
  if (tree.find(name(at)) !== undefined) tree.removeFound();
}

/** Keys of counted entries, by a cursor. */
function walk(tree: CountedTree<Item>, reverse: boolean, countedOnly: boolean, from: Bytes | null): Bytes[] {
  const cursor = reverse ? tree.seekBefore(from) : tree.seek(from ?? ("" as Bytes));
  const keys: Bytes[] = [];
  for (let item = cursor.step(countedOnly); item !== undefined; item = cursor.step(countedOnly)) if (item.counted) keys.push(cursor.key);
  return keys;
}

/** Compares everything the tree says with a plain map. */
function compare(tree: CountedTree<Item>, model: Map<number, boolean>): void {
  expect(tree.check()).toEqual([]);
  const counted = [...model].filter(([, is]) => is).map(([at]) => name(at)).sort(); // prettier-ignore
  expect([tree.size, tree.counted]).toEqual([model.size, counted.length]);
  for (const countedOnly of [true, false]) {
    expect(walk(tree, false, countedOnly, null)).toEqual(counted);
    expect(walk(tree, true, countedOnly, null)).toEqual(counted.toReversed());
  }
  for (let at = 0; at < 3000; at += 97) {
    const key = name(at);
    expect(tree.rank(key)).toBe(counted.filter((one) => one < key).length);
    expect(walk(tree, false, true, key)).toEqual(counted.filter((one) => one >= key));
    expect(walk(tree, true, true, key)).toEqual(counted.filter((one) => one < key).toReversed());
    expect(tree.get(key)?.counted).toBe(model.get(at));
  }
}

describe("CountedTree", () => {
  test("an empty one answers", () => {
    const tree = new CountedTree<Item>((item) => item.counted);
    compare(tree, new Map());
    expect(tree.countBetween("a" as Bytes, null)).toBe(0);
  });

  test("stretches set, discounted and removed, in any order, leave a sound tree", () => {
    const stretch = fc.record({
      from: fc.integer({ min: 0, max: 2800 }),
      length: fc.integer({ min: 1, max: 700 }),
      step: fc.constantFrom(1, 2, 3, -1),
      act: fc.constantFrom("count", "discount", "remove", "remove"),
    });
    fc.assert(
      fc.property(fc.array(stretch, { minLength: 1, maxLength: 12 }), (stretches) => {
        const tree = new CountedTree<Item>((item) => item.counted);
        const model = new Map<number, boolean>();
        for (const { from, length, step, act } of stretches) {
          for (let n = 0; n < length; n++) {
            const at = (from + n * step + 3000) % 3000;
            if (act === "remove") {
              remove(tree, at);
              model.delete(at);
            } else {
              set(tree, at, act === "count");
              model.set(at, act === "count");
            }
          }
        }
        compare(tree, model);
      }),
      { numRuns: 60 },
    );
  });

  test("a leaf that is nearly empty beside a full one takes half of it", () => {
    const tree = new CountedTree<Item>((item) => item.counted);
    const model = new Map<number, boolean>();
    const put = (at: number) => {
      set(tree, at, at % 3 !== 0);
      model.set(at, at % 3 !== 0);
    };
    for (let at = 0; at < 640; at++) put(at); // full leaves, since the keys come in order
    for (let at = 0; at < 64; at++) {
      remove(tree, at);
      model.delete(at);
      expect(tree.check()).toEqual([]);
    }
    compare(tree, model);
    for (let at = 639; at > 0; at--) {
      remove(tree, at);
      expect(tree.check()).toEqual([]);
    }
    expect(tree.size).toBe(0);
  });

  test("load() gives the same tree as single writes, and takes writes", () => {
    for (const count of [0, 1, 60, 61, 3600, 3601, 5000]) {
      const tree = new CountedTree<Item>((item) => item.counted);
      tree.load(
        Array.from({ length: count }, (_, at) => name(at * 2)),
        Array.from({ length: count }, (_, at) => ({ counted: at % 5 !== 0 })),
      );
      expect(tree.check()).toEqual([]);
      const model = new Map(Array.from({ length: count }, (_, at) => [at * 2, at % 5 !== 0]));
      for (let at = 1; at < count; at += 7) {
        set(tree, at, true);
        model.set(at, true);
      }
      compare(tree, model);
    }
  });
});
