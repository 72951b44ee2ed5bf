/** Builds a changed copy of core/raft in a directory of its own and lets the general simulation loose on it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTANTS, type Mutant } from "./mutants.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One line a trial of `run.ts --json`. */
export interface Trial {
  /** Seeds played, the failing one included. */
  readonly tried: number;
  /** The check that saw it; null when nothing did. */
  readonly check: string | null;
}

/** The source with the mutant in it. @throws Error when a text to find does not occur exactly once */
export function mutated(mutant: Mutant, read: (file: string) => string): Map<string, string> {
  const files = new Map<string, string>();
  for (const { file, find, replace } of mutant.edits) {
    const text = files.get(file) ?? read(file);
    const count = text.split(find).length - 1;
    if (count !== 1) throw new Error(`${mutant.id}: "${find}" occurs ${count} times in core/raft/${file}, want 1`);
    files.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return files;
}

export function readSource(file: string): string {
  return readFileSync(join(ROOT, "core/raft", file), "utf8");
}

/** A failing run before and after it was made smaller. */
export interface Minimised {
  readonly check: string;
  readonly without: readonly string[];
  readonly faults: number;
  /** Faults that were left out one by one. */
  readonly left: number;
  readonly failedAt: number;
}

/** What `run.ts --minimise` makes of the seed at which a mutant fails. */
export function minimiseMutant(mutant: Mutant, seed: number, steps: number): Minimised {
  return inCopy(mutant, (directory) => {
    const flags = ["--seed", String(seed), "--steps", String(steps), "--minimise", "--json"];
    const run = spawnSync(process.execPath, ["test/simulation/run.ts", ...flags], { cwd: directory, encoding: "utf8" });
    const line = run.stdout.trim().split("\n").at(-1) ?? "";
    if (!line.startsWith("{")) throw new Error(`${mutant.id}: nothing was minimised: ${run.stderr.slice(0, 2000)}`);
    return JSON.parse(line) as Minimised;
  });
}

/** Runs something in a copy of the core with the mutant in it. */
function inCopy<T>(mutant: Mutant, work: (directory: string) => T): T {
  const files = mutated(mutant, readSource);
  const directory = mkdtempSync(join(tmpdir(), `raft-mutant-${mutant.id}-`));
  try {
    for (const path of ["core/raft", "core/invariant.ts", "test/helpers/chance.ts", "test/simulation"])
      cpSync(join(ROOT, path), join(directory, path), { recursive: true });
    writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));
    for (const [file, text] of files) writeFileSync(join(directory, "core/raft", file), text);
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface HuntOptions {
  readonly firstSeeds: readonly number[];
  readonly seedsMax: number;
  readonly secondsMax: number;
  readonly steps: number;
  /** Also explore exhaustively. */
  readonly explore: boolean;
}

export function hunt(mutant: Mutant, options: HuntOptions): { readonly trials: readonly Trial[]; readonly explored: string | null } {
  return inCopy(mutant, (directory) => {
    const trials = options.firstSeeds.map((first) => {
      const flags = ["--seed", first, "--seeds", options.seedsMax, "--seconds", options.secondsMax, "--steps", options.steps];
      const run = spawnSync(process.execPath, ["test/simulation/run.ts", ...flags.map(String), "--json", "--no-table"], {
        cwd: directory,
        encoding: "utf8",
      });
      const line = run.stdout.trim().split("\n").at(-1) ?? "";
      if (!line.startsWith("{")) throw new Error(`${mutant.id}: the simulation did not run: ${run.stderr.slice(0, 2000)}`);
      return JSON.parse(line) as Trial;
    });
    if (!options.explore) return { trials, explored: null };
    const exploration = spawnSync(process.execPath, ["test/simulation/run.ts", "--explore", "1", "--json"], {
      cwd: directory,
      encoding: "utf8",
    });
    const line = exploration.stdout.trim().split("\n").at(-1) ?? "";
    // A mutant may also break an assertion of the core itself.
    const explored = line.startsWith("{") ? (JSON.parse(line) as Trial).check : "assertion";
    return { trials, explored };
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

/** `npm run sim -- --mutant ID|all`: prints a row of the table for each. @returns exit code */
export function huntAll(id: string, first: number, seedsMax: number, steps: number): number {
  const wanted = MUTANTS.filter((mutant) => id === "all" || mutant.id === id);
  if (wanted.length === 0) {
    console.error(`no mutant ${id}; there are ${MUTANTS.map((mutant) => mutant.id).join(", ")}`);
    return 1;
  }
  const limit = seedsMax > 1 ? seedsMax : 300;
  let survivors = 0;
  console.log("| id | change | median seeds | caught by | by exploration |\n| --- | --- | --- | --- | --- |");
  for (const mutant of wanted) {
    const firstSeeds = [0, 1, 2, 3, 4].map((trial) => first + trial * 1_000_003);
    const { trials, explored } = hunt(mutant, { firstSeeds, seedsMax: limit, secondsMax: 60, steps, explore: true });
    const caught = trials.filter((trial) => trial.check !== null);
    const checks = [...new Set(caught.map((trial) => trial.check))].toSorted().join(", ");
    const seeds =
      caught.length * 2 > trials.length
        ? String(median(trials.map((trial) => (trial.check === null ? Infinity : trial.tried))))
        : `> ${limit}`;
    if (caught.length === 0 && explored === null) survivors++;
    console.log(`| ${mutant.id} | ${mutant.what} | ${seeds} (${caught.length} of ${trials.length}) | ${checks} | ${explored ?? ""} |`);
  }
  return survivors === 0 ? 0 : 1;
}
