/** The simulation as part of every test run. The larger budget is `npm run sim -- --seed N --seeds M`. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BUSY_MS_MAX } from "./busy.ts";
import { enableVerify } from "../../core/invariant.ts";
import { Simulation } from "./simulation.ts";

enableVerify();

interface Kept {
  readonly seed: number;
  readonly steps: number;
  readonly kept: string;
}

const kept = JSON.parse(readFileSync(new URL("./seeds.json", import.meta.url), "utf8")) as Kept[];

function play(seed: number, steps: number): void {
  const simulation = new Simulation({ seed, steps });
  try {
    simulation.play();
  } catch (error) {
    throw new Error(`replay: npm run sim -- --seed ${seed} --steps ${steps}\n${simulation.table()}`, { cause: error });
  }
}

test.each(kept)("kept seed $seed: $kept", ({ seed, steps }) => play(seed, steps), BUSY_MS_MAX);

test("1,000 seeds of 5,000 steps break no invariant and become live", { timeout: BUSY_MS_MAX }, () => {
  for (let seed = 500_000; seed < 501_000; seed++) play(seed, 5000);
});

test.each([77, 10_036, 31_337])("seed %i gives the same trace twice", { timeout: BUSY_MS_MAX }, (seed) => {
  const traces = [0, 1].map(() => {
    const lines: string[] = [];
    const result = new Simulation({ seed, steps: 3000, trace: (line) => lines.push(line) }).play();
    return { hash: result.traceHash, text: lines.join("\n") };
  });
  expect(traces[0]?.text.length).toBeGreaterThan(1000);
  expect(traces[1]).toEqual(traces[0]);
});

test("different seeds give different traces", () => {
  const hashes = [1, 2, 3, 4, 5].map((seed) => new Simulation({ seed, steps: 1000 }).play().traceHash);
  expect(new Set(hashes).size).toBe(5);
});
