/** The simulation of whole members can fail. All mutants: `npm run sim -- --level s2 --mutant all`. */
import { expect, test } from "vitest";
import { BUSY_MS_MAX } from "../busy.ts";
import { huntS2, mutatedFiles } from "./mutant-hunt.ts";
import { S2_MUTANTS } from "./mutants.ts";

test.each(S2_MUTANTS)("$id still applies: $what", (mutant) => {
  expect(mutatedFiles(mutant).size).toBeGreaterThan(0);
});

test.each(["M18", "M24", "M24b"])("%s is found by the general simulation within 25 seeds", { timeout: BUSY_MS_MAX }, (id) => {
  const mutant = S2_MUTANTS.find((one) => one.id === id)!;
  const [trial] = huntS2(mutant, { firstSeeds: [1], seedsMax: 25, secondsMax: Infinity });
  expect(trial?.check).not.toBeNull();
});
