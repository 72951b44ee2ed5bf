/** The simulation can fail: mutants that are found fast are hunted here, all of them by `npm run sim -- --mutant all`. */
import { expect, test } from "vitest";
import { hunt, mutated, readSource } from "./mutant-hunt.ts";
import { MUTANTS } from "./mutants.ts";

test.each(MUTANTS)("$id still applies: $what", (mutant) => {
  expect(mutated(mutant, readSource).size).toBeGreaterThan(0);
});

test.each(["M7", "M10", "M15", "M22"])("%s is found by the general simulation within 60 seeds", { timeout: 60_000 }, (id) => {
  const mutant = MUTANTS.find((one) => one.id === id);
  if (mutant === undefined) throw new Error(`no mutant ${id}`);
  const { trials } = hunt(mutant, { firstSeeds: [1], seedsMax: 60, secondsMax: 50, steps: 3000, explore: false });
  expect(trials[0]?.check).not.toBeNull();
});

test("a mutant whose text is gone is an error", () => {
  expect(() => mutated({ id: "MX", what: "", edits: [{ file: "log.ts", find: "no such text", replace: "" }] }, readSource)).toThrow(
    "occurs 0 times",
  );
});
