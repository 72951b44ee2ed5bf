/** The simulation can fail: mutants that are found fast are hunted here, all of them by `npm run sim -- --mutant all`. */
import { expect, test } from "vitest";
import { BUSY_MS_MAX } from "./busy.ts";
import { hunt, minimiseMutant, mutated, readSource } from "./mutant-hunt.ts";
import { MUTANTS } from "./mutants.ts";

test.each(MUTANTS)("$id still applies: $what", (mutant) => {
  expect(mutated(mutant, readSource).size).toBeGreaterThan(0);
});

test.each(["M7", "M10", "M15", "M22"])("%s is found by the general simulation within 60 seeds", { timeout: BUSY_MS_MAX }, (id) => {
  const mutant = MUTANTS.find((one) => one.id === id);
  if (mutant === undefined) throw new Error(`no mutant ${id}`);
  const { trials } = hunt(mutant, { firstSeeds: [1], seedsMax: 60, secondsMax: Infinity, steps: 3000, explore: false });
  expect(trials[0]?.check).not.toBeNull();
});

test("a failing run is made smaller and fails by the same check", { timeout: BUSY_MS_MAX }, () => {
  const mutant = MUTANTS.find((one) => one.id === "M7")!;
  const [first] = hunt(mutant, { firstSeeds: [1], seedsMax: 60, secondsMax: Infinity, steps: 3000, explore: false }).trials;
  const small = minimiseMutant(mutant, first!.tried, 3000); // seeds count from 1
  expect(small.check).toBe(first!.check);
  expect(small.without.length).toBeGreaterThan(0);
  expect(small.failedAt).toBeLessThan(3000);
});

test("a mutant whose text is gone is an error", () => {
  expect(() => mutated({ id: "MX", what: "", edits: [{ file: "log.ts", find: "no such text", replace: "" }] }, readSource)).toThrow(
    "occurs 0 times",
  );
});
