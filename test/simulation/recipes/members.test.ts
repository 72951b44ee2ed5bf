/**
 * Random schedules of the recipes that are not held, with every invariant looked at. `RECIPE_RUNS=500` makes it 500 seeds each;
 * `RECIPE_SEED=7` is the one seed.
 */
import { describe, expect, test } from "vitest";
import { runConfig } from "./config-schedule.ts";
import { runLimits } from "./limit-schedule.ts";
import { runRosters } from "./roster-schedule.ts";
import { runTask } from "./task-schedule.ts";
import { runTicks } from "./tick-schedule.ts";
import { runTopic } from "./topic-schedule.ts";

const only = process.env["RECIPE_SEED"];
const runs = Number(process.env["RECIPE_RUNS"] ?? 4);
const seeds = only === undefined ? Array.from({ length: runs }, (_, n) => n + 1) : [Number(only)];
const timeout = 10_000 + 3_000 * seeds.length;

interface Outcome {
  readonly faults: readonly string[];
  readonly [count: string]: number | readonly string[];
}

const SCHEDULES: readonly (readonly [name: string, run: (seed: number) => Promise<Outcome>, least: Readonly<Record<string, number>>])[] = [
  ["limits", runLimits, { allowed: 100, refused: 20 }],
  ["config", runConfig, { published: 50, refused: 0, seen: 200 }],
  ["groups", runRosters, { joins: 20, leaves: 20, fails: 5 }],
  ["topics", runTopic, { published: 100, told: 300, moved: 30 }],
  ["tasks", runTask, { directed: 30, ended: 10, lost: 1 }],
  ["schedules", runTicks, { ticks: 70 }],
];

describe("random schedules", () => {
  test.each(SCHEDULES)("of %s", { timeout }, async (name, run, least) => {
    const total: Record<string, number> = {};
    for (const seed of seeds) {
      const { faults, ...counts } = await run(seed);
      expect(faults, `seed ${seed}`).toEqual([]);
      for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + (count as number);
    }
    console.log(`${name}: ${seeds.length} runs, ${JSON.stringify(total)}`);
    for (const [what, count] of Object.entries(least)) expect(total[what], what).toBeGreaterThan(count * seeds.length);
  });
});
