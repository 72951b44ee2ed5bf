/**
 * `npm run sim -- --level s2 …`: whole members, see s2/cli.ts. Without it the core alone:
 * `npm run sim -- --seed N [--steps N] [--seeds N] [--minimise] [--mutant ID] [--trace FILE] [--explore SCALE]`: runs seeds from N on (default: one, drawn from the
 * clock), prints what it saw, and for a failure the seed, the check, the step, a table of the members and the line that replays it.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { enableVerify } from "../../core/invariant.ts";
import { exploreAll } from "./explore.ts";
import { minimise } from "./minimise.ts";
import { huntAll } from "./mutant-hunt.ts";
import { type RunResult, Simulation } from "./simulation.ts";
import { OPTIONAL, type Swarm } from "./swarm.ts";
import { Violation } from "./violation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    steps: { type: "string" },
    mutant: { type: "string" },
    trace: { type: "string" },
    explore: { type: "string" },
    coverage: { type: "boolean", default: false },
    /** For the mutant hunt: one line of JSON, and no check of what may leave when. */
    json: { type: "boolean", default: false },
    /** Makes a failing run as small as it can be and prints the line that replays it. */
    minimise: { type: "boolean", default: false },
    without: { type: "string" },
    skip: { type: "string" },
    "no-table": { type: "boolean", default: false },
    seconds: { type: "string", default: "Infinity" },
    /** s1: the core alone; s2: whole members, with `--minutes`, `--until` (virtual ms) and `--keep-going`. */
    level: { type: "string", default: "s1" },
    minutes: { type: "string" },
    until: { type: "string" },
    "keep-going": { type: "boolean", default: false },
  },
});

enableVerify();
const first = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const steps = Number(values.steps ?? 5000);
const seeds = Number(values.seeds ?? (values.minutes === undefined ? 1 : Infinity));
const seconds = values.minutes === undefined ? Number(values.seconds) : 60 * Number(values.minutes);

function report(error: unknown, simulation: Simulation, seed: number): void {
  const check = error instanceof Violation ? error.check : "exception";
  console.error(`seed ${seed}: FAILED ${check} at step ${simulation.steps}`);
  console.error(error instanceof Violation ? error.message : error);
  console.error(`options ${JSON.stringify(simulation.swarm)}`);
  console.error(simulation.table());
  console.error(`replay: npm run sim -- --seed ${seed} --steps ${steps} --trace /tmp/trace-${seed}.ndjson`);
}

function explore(scale: number): number {
  const violation = exploreAll(scale, (line) => {
    if (!values.json) console.log(line);
  });
  if (values.json) console.log(JSON.stringify({ tried: 1, check: violation === null ? null : violation.check }));
  else if (violation !== null) console.error(violation.message);
  return violation === null ? 0 : 1;
}

/** Faults and steps of the failing run, before and after. */
function minimised(): number {
  const failure = minimise(first, steps, (line) => {
    if (!values.json) console.log(line);
  });
  if (failure === null) {
    console.error(`seed ${first} does not fail within ${steps} steps`);
    return 1;
  }
  const { check, without, skip, faults, failedAt } = failure;
  if (values.json) {
    console.log(JSON.stringify({ tried: 1, check, without, faults, left: [...skip].length, failedAt }));
    return 0;
  }
  console.log(`${check} at step ${failedAt}, with ${faults} faults; left out: ${without.join(", ") || "nothing"}`);
  const flags = [without.length > 0 ? `--without ${without.join(",")}` : "", skip.size > 0 ? `--skip ${[...skip].join(",")}` : ""];
  console.log(["replay: npm run sim --", `--seed ${first} --steps ${failure.steps}`, ...flags].filter((flag) => flag !== "").join(" "));
  return 0;
}

/** @throws Error for a name that is no option of the swarm */
function swarmOptions(text: string | undefined): (keyof Swarm)[] {
  return (text?.split(",") ?? []).map((name) => {
    const found = OPTIONAL.find((one) => one === name);
    if (found === undefined) throw new Error(`--without ${name}: there are ${OPTIONAL.join(", ")}`);
    return found;
  });
}

function main(): number {
  if (values.explore !== undefined) return explore(Number(values.explore));
  if (values.mutant !== undefined) return huntAll(values.mutant, first, seeds, steps);
  if (values.minimise) return minimised();
  const without = swarmOptions(values.without);
  const skip = new Set((values.skip?.split(",") ?? []).map(Number));
  const began = performance.now();
  const total = { seeds: 0, steps: 0, committed: 0, reads: 0, ticks: 0 };
  const coverage: Record<string, number> = {};
  for (let seed = first; seed < first + seeds; seed++) {
    if (performance.now() - began > seconds * 1000) break;
    const lines: string[] = [];
    const simulation = new Simulation({
      seed,
      steps,
      checkTable: !values["no-table"],
      without,
      skip,
      ...(values.trace === undefined ? {} : { trace: (line: string) => lines.push(line) }),
    });
    let result: RunResult;
    try {
      result = simulation.play();
    } catch (error) {
      if (values.json) {
        console.log(
          JSON.stringify({ seed, tried: seed - first + 1, check: error instanceof Violation ? error.check : String(error).slice(0, 120) }),
        );
        return 1;
      }
      report(error, simulation, seed);
      return 1;
    } finally {
      if (values.trace !== undefined) writeFileSync(values.trace, lines.join("\n") + "\n");
    }
    total.seeds++;
    total.steps += simulation.steps;
    total.committed += result.committed;
    total.reads += result.reads;
    total.ticks += result.ticks;
    for (const [what, times] of Object.entries(result.coverage)) coverage[what] = (coverage[what] ?? 0) + times;
    if (seeds === 1 && !values.json) console.log(`seed ${seed}: trace hash ${result.traceHash}`);
  }
  const took = (performance.now() - began) / 1000;
  if (values.json) {
    console.log(JSON.stringify({ tried: total.seeds, check: null }));
    return 0;
  }
  console.log(
    `${total.seeds} seeds clean, ${total.steps} steps, ${total.committed} entries committed, ${total.reads} reads confirmed, ` +
      `${total.ticks} ticks of virtual time, ${Math.round(total.steps / took)} steps/s`,
  );
  if (values.coverage)
    for (const [what, times] of Object.entries(coverage).toSorted()) console.log(`${String(times).padStart(9)}  ${what}`);
  return 0;
}

async function whole(): Promise<number> {
  // Loaded when wanted: the hunt for mutants of the core runs this file without the rest of the repository.
  const { mainS2 } = await import("./s2/cli.ts");
  return mainS2({
    seed: first,
    seeds,
    seconds,
    ...(values.steps === undefined ? {} : { steps }),
    ...(values.until === undefined ? {} : { until: Number(values.until) }),
    ...(values.trace === undefined ? {} : { trace: values.trace }),
    coverage: values.coverage,
    json: values.json,
    keepGoing: values["keep-going"],
    ...(values.mutant === undefined ? {} : { mutant: values.mutant }),
  });
}

process.exitCode = values.level === "s2" ? await whole() : main();
