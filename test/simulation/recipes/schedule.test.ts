/**
 * Random schedules of the recipes that are held and of rendezvous, with every invariant looked at. `RECIPE_RUNS=500` makes it 500 seeds each;
 * `RECIPE_SEED=7` is the one seed.
 */
import { describe, expect, test } from "vitest";
import { HOLDERS } from "./holders.ts";
import { runRendezvous } from "./rendezvous-schedule.ts";
import { runHolders } from "./schedule.ts";

const only = process.env["RECIPE_SEED"];
const runs = Number(process.env["RECIPE_RUNS"] ?? 6);
const seeds = only === undefined ? Array.from({ length: runs }, (_, n) => n + 1) : [Number(only)];
const timeout = 10_000 + 3_000 * seeds.length;

describe("random schedules", () => {
  test.each(HOLDERS)("of $name", { timeout }, async (holder) => {
    const total = { grants: 0, refused: 0, stale: 0, lost: 0 };
    for (const seed of seeds) {
      const { faults, grants, refused, stale, lost } = await runHolders(holder, seed);
      expect(faults, `seed ${seed}`).toEqual([]);
      total.grants += grants;
      total.refused += refused;
      total.stale += stale;
      total.lost += lost;
    }
    console.log(`${holder.name}: ${seeds.length} runs, ${JSON.stringify(total)}`);
    expect(total.grants).toBeGreaterThan(20 * seeds.length);
    if (seeds.length > 5) expect(total.lost).toBeGreaterThan(0);
  });

  test.each(HOLDERS)("of $name, on three members that are killed and cut off", { timeout: 4 * timeout }, async (holder) => {
    const total = { grants: 0, refused: 0, stale: 0, lost: 0 };
    for (const seed of seeds.slice(0, Math.max(2, seeds.length / 3))) {
      const { faults, grants, refused, stale, lost } = await runHolders(holder, seed, 3);
      expect(faults, `seed ${seed}`).toEqual([]);
      total.grants += grants;
      total.refused += refused;
      total.stale += stale;
      total.lost += lost;
    }
    console.log(`${holder.name} on three members: ${JSON.stringify(total)}`);
    expect(total.grants).toBeGreaterThan(20);
  });

  test("of rendezvous", { timeout }, async () => {
    let rounds = 0;
    for (const seed of seeds) {
      const outcome = await runRendezvous(seed);
      expect(outcome.faults, `seed ${seed}`).toEqual([]);
      rounds += outcome.rounds;
    }
    console.log(`rendezvous: ${seeds.length} runs, ${rounds} rounds`);
    expect(rounds).toBeGreaterThan(3 * seeds.length);
  });
});
