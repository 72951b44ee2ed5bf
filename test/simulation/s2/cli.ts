/**
 * `npm run sim -- --level s2 --seed N [--seeds N] [--minutes N] [--until MS] [--steps N] [--trace FILE] [--coverage] [--keep-going] [--mutant ID|all]`: runs whole members,
 * prints seeds, simulated hours and counters, and for a failure what broke and the line that replays it.
 */
import { writeFileSync } from "node:fs";
import { huntAllS2 } from "./mutant-hunt.ts";
import { S2_MUTANTS } from "./mutants.ts";
import { runS2 } from "./simulation.ts";

/** Bounds of the hunt for one mutant from one first seed, unless others are asked for. */
const MUTANT_SEEDS = 500;
const MUTANT_SECONDS = 90;

export interface S2Flags {
  readonly seed: number;
  readonly seeds: number;
  /** Infinity: as many seeds as asked for, however long it takes. */
  readonly seconds: number;
  readonly steps?: number;
  readonly until?: number;
  readonly trace?: string;
  readonly coverage: boolean;
  /** One line of JSON, for the mutant hunt. */
  readonly json: boolean;
  /** Goes on after a failure, up to the end of the budget. */
  readonly keepGoing: boolean;
  /** Hunts this one, or `all`, instead. */
  readonly mutant?: string;
}

/** @returns exit code: 0 when every seed was clean */
export async function mainS2(flags: S2Flags): Promise<number> {
  if (flags.mutant !== undefined) {
    const { seed, seeds, seconds } = flags;
    return huntAllS2(S2_MUTANTS, flags.mutant, seed, seeds > 1 ? seeds : MUTANT_SEEDS, Number.isFinite(seconds) ? seconds : MUTANT_SECONDS);
  }
  const began = performance.now();
  const counters: Record<string, number> = {};
  const failed: number[] = [];
  let [seeds, virtualMs] = [0, 0];
  for (let seed = flags.seed; seed < flags.seed + flags.seeds; seed++) {
    if (performance.now() - began > flags.seconds * 1000) break;
    const lines: string[] = [];
    const result = await runS2(seed, {
      ...(flags.steps === undefined ? {} : { steps: flags.steps }),
      ...(flags.until === undefined ? {} : { until: flags.until }),
      ...(flags.trace === undefined ? {} : { trace: (line: string) => lines.push(line) }),
    });
    if (flags.trace !== undefined) writeFileSync(flags.trace, lines.join("\n") + "\n");
    seeds++;
    if (!result.ok) {
      if (flags.json) {
        console.log(JSON.stringify({ seed, tried: seeds, check: result.check }));
        return 1;
      }
      failed.push(seed);
      console.error(`seed ${seed}: FAILED at step ${result.step}: ${result.violation}`);
      console.error(`replay: npm run sim -- --level s2 --seed ${seed} --trace /tmp/s2-${seed}.txt`);
      if (!flags.keepGoing) return 1;
      continue;
    }
    virtualMs += result.virtualMs;
    for (const [what, times] of Object.entries(result.counters)) counters[what] = (counters[what] ?? 0) + times;
    if (flags.seeds === 1 && !flags.json) console.log(`seed ${seed}: hash ${result.hash}`);
  }
  if (flags.json) console.log(JSON.stringify({ tried: seeds, check: null }));
  else {
    const seconds = (performance.now() - began) / 1000;
    const { events = 0, entries = 0, answered = 0 } = counters;
    console.log(
      `${seeds} seeds from ${flags.seed}, ${failed.length} failed${failed.length === 0 ? "" : ` (${failed.join()})`}; ` +
        `${(virtualMs / 3_600_000).toFixed(2)} simulated hours, ${events} events (${Math.round(events / seconds)}/s), ` +
        `${entries} entries agreed, ${answered} requests answered`,
    );
    if (flags.coverage)
      for (const [what, times] of Object.entries(counters).toSorted()) console.log(`${String(times).padStart(9)}  ${what}`);
  }
  return failed.length === 0 ? 0 : 1;
}
