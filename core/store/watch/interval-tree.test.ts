import fc from "fast-check";
import { expect, it } from "vitest";
import type { Bytes } from "../../bytes/bytes.ts";
import { IntervalTree } from "./interval-tree.ts";

const key = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 3 }) as fc.Arbitrary<Bytes>;
const change = fc.record({ from: key, to: fc.option(key, { nil: null }), remove: fc.boolean() });

it("finds exactly the ranges that hold a key, whatever was inserted and removed", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), fc.array(key, { minLength: 1, maxLength: 5 }), (changes, asked) => {
      const tree = new IntervalTree<string>();
      const ranges = new Map<string, { from: Bytes; to: Bytes | null }>();
      for (const { from, to, remove } of changes) {
        const name = JSON.stringify([from, to]);
        if (remove) {
          tree.delete(from, to);
          ranges.delete(name);
        } else if (!ranges.has(name)) {
          tree.insert(from, to, name);
          ranges.set(name, { from, to });
        }
        expect(tree.get(from, to)).toBe(ranges.has(name) ? name : undefined);
      }
      expect(tree.size).toBe(ranges.size);
      expect([...tree.items()].sort()).toEqual([...ranges.keys()].sort());
      for (const one of asked) {
        const found: string[] = [];
        tree.collect(one, found);
        const holding = [...ranges].filter(([, { from, to }]) => one >= from && (to === null || one < to));
        expect(found.sort()).toEqual(holding.map(([name]) => name).sort());
      }
    }),
    { numRuns: 500 },
  );
});

it("stays shallow when ranges come in order", () => {
  const tree = new IntervalTree<number>();
  const name = (n: number) => n.toString().padStart(6, "0") as Bytes;
  for (let n = 0; n < 100_000; n++) tree.insert(name(n), name(n + 2), n); // a degenerate tree would overflow the stack
  const found: number[] = [];
  tree.collect(name(5_000), found);
  expect(found).toEqual([4_999, 5_000]);
});
