/**
 * Makes a failing run smaller while it still fails by the same check: kinds of faults are left out, then what clients do, then the run is
 * cut where it failed, then single faults are left out, halves first (delta debugging: Zeller and Hildebrandt, 2002).
 */
import { Simulation } from "./simulation.ts";
import { OPTIONAL, type Swarm, drawSwarm } from "./swarm.ts";
import { Violation } from "./violation.ts";

export interface Failure {
  readonly seed: number;
  readonly steps: number;
  readonly without: readonly (keyof Swarm)[];
  readonly skip: ReadonlySet<number>;
  readonly check: string;
  /** Where it failed. */
  readonly failedAt: number;
  /** Faults that took place. */
  readonly faults: number;
}

/** Runs tried at most while single faults are left out. */
const TRIES_MAX = 400;

function attempt(seed: number, steps: number, without: readonly (keyof Swarm)[], skip: ReadonlySet<number>): Failure | null {
  const simulation = new Simulation({ seed, steps, without, skip });
  try {
    simulation.play();
    return null;
  } catch (error) {
    const check = error instanceof Violation ? error.check : String(error).slice(0, 120);
    const faults = [...Array(simulation.faultsDue).keys()].filter((n) => !skip.has(n)).length;
    return { seed, steps, without, skip, check, failedAt: simulation.steps, faults };
  }
}

/** @returns null when the run does not fail @param tell of each step of progress */
export function minimise(seed: number, steps: number, tell: (line: string) => void = () => {}): Failure | null {
  const first = attempt(seed, steps, [], new Set());
  if (first === null) return null;
  let best = first;
  const better = (next: Failure | null): boolean => {
    if (next?.check !== first.check) return false;
    best = next;
    return true;
  };
  const on = drawSwarm(seed);
  for (const name of OPTIONAL) {
    if (on[name] === 0 || on[name] === false) continue;
    if (better(attempt(seed, steps, [...best.without, name], best.skip))) tell(`without ${name}: fails at step ${best.failedAt}`);
  }
  // What comes after the failure does not matter, unless it is the calm that shows it.
  if (better(attempt(seed, best.failedAt, best.without, best.skip))) tell(`${best.failedAt} steps`);
  let tries = 0;
  for (let size = Math.ceil(best.faults / 2); size >= 1 && tries < TRIES_MAX; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    const left = [...Array(best.faults + best.skip.size).keys()].filter((n) => !best.skip.has(n));
    for (let at = 0; at < left.length && tries < TRIES_MAX; at += size) {
      tries++;
      if (better(attempt(seed, best.steps, best.without, new Set([...best.skip, ...left.slice(at, at + size)])))) {
        tell(`${best.faults} faults: fails at step ${best.failedAt}`);
      }
    }
  }
  return best;
}
