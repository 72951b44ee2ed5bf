/** Whole members in virtual time, as part of every test run. The larger budget is `npm run sim -- --level s2 --seed N --minutes M`. */
import { expect, test } from "vitest";
import { BUSY_MS_MAX } from "../busy.ts";
import { runS2 } from "./simulation.ts";

const FIRST_SEED = 1;
const SEEDS = 30;
const DISK_SEEDS = 8;

test(`${SEEDS} seeds break no promise, elect, and become equal`, { timeout: BUSY_MS_MAX }, async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const result = await runS2(seed);
    if (!result.ok) throw new Error(`${result.violation}\nreplay: npm run sim -- --level s2 --seed ${seed} --trace /tmp/s2-${seed}.txt`);
  }
});

test(
  "disks that rot, are replaced by empty ones, and are full: damage is named, nobody forgets, room is waited for",
  { timeout: BUSY_MS_MAX },
  async () => {
    const met: Record<string, number> = {};
    const swarm = { members: 3, diskLossEvery: 3000, diskFullEvery: 4000, memberEvery: 0 };
    for (let seed = 1; seed <= DISK_SEEDS; seed++) {
      const result = await runS2(seed, { swarm });
      if (!result.ok) throw new Error(`seed ${seed} with ${JSON.stringify(swarm)}: ${result.violation}`);
      for (const [what, times] of Object.entries(result.counters)) met[what] = (met[what] ?? 0) + times;
    }
    const due = [
      "flipped bit: refused to start",
      "empty disk",
      "ended itself: another disk, or an old copy",
      "disk full",
      "answer: noSpace",
    ];
    expect(due.filter((what) => met[what] === undefined)).toEqual([]);
  },
);

test.each([7, 28, 36])("seed %i gives the same run twice", { timeout: BUSY_MS_MAX }, async (seed) => {
  const runs = await Promise.all([play(seed), play(seed)]);
  expect(runs[0].text.length).toBeGreaterThan(500);
  expect(runs[1]).toEqual(runs[0]);
});

test("different seeds give different runs", { timeout: BUSY_MS_MAX }, async () => {
  const hashes = new Set<string>();
  for (const seed of [1, 2, 3, 4, 5]) hashes.add((await play(seed)).text);
  expect(hashes.size).toBe(5);
});

async function play(seed: number): Promise<{ text: string; result: unknown }> {
  const lines: string[] = [];
  const result = await runS2(seed, { until: 8000, trace: (line) => lines.push(line) });
  return { text: lines.join("\n"), result };
}
