/** Builds a changed copy of the sources in a directory of its own and lets the simulation of whole members loose on it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "../mutants.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** All that the simulation imports. */
const COPIED = ["core", "adapters", "test/simulation", "test/history", "test/helpers", "package.json"];

/** One line a trial of `run.ts --level s2 --json`. */
export interface Trial {
  /** Seeds played, the failing one included. */
  readonly tried: number;
  /** The check that saw it; null when nothing did. */
  readonly check: string | null;
}

/** The changed files. @throws Error when a text to find does not occur exactly once */
export function mutatedFiles(mutant: Mutant): Map<string, string> {
  const files = new Map<string, string>();
  for (const { file, find, replace } of mutant.edits) {
    const text = files.get(file) ?? readFileSync(join(ROOT, file), "utf8");
    const count = text.split(find).length - 1;
    if (count !== 1) throw new Error(`${mutant.id}: "${find}" occurs ${count} times in ${file}, want 1`);
    files.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return files;
}

/** Plays from each of the first seeds on until something is seen, or the bounds are met. */
export function huntS2(mutant: Mutant, bounds: { firstSeeds: readonly number[]; seedsMax: number; secondsMax: number }): Trial[] {
  const files = mutatedFiles(mutant);
  const directory = mkdtempSync(join(tmpdir(), `s2-mutant-${mutant.id}-`));
  try {
    for (const path of COPIED) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
    for (const [file, text] of files) writeFileSync(join(directory, file), text);
    return bounds.firstSeeds.map((first) => {
      const flags = ["--seed", first, "--seeds", bounds.seedsMax, "--seconds", bounds.secondsMax].map(String);
      const run = spawnSync(process.execPath, ["test/simulation/run.ts", "--level", "s2", ...flags, "--json"], {
        cwd: directory,
        encoding: "utf8",
      });
      const line = run.stdout.trim().split("\n").at(-1) ?? "";
      if (!line.startsWith("{")) throw new Error(`${mutant.id}: the simulation did not run: ${run.stderr.slice(0, 2000)}`);
      return JSON.parse(line) as Trial;
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** `npm run sim -- --level s2 --mutant ID|all`: prints a row of the table for each. @returns exit code */
export function huntAllS2(mutants: readonly Mutant[], id: string, first: number, seedsMax: number, secondsMax: number): number {
  const wanted = mutants.filter((mutant) => id === "all" || mutant.id === id);
  if (wanted.length === 0) {
    console.error(`no mutant ${id} at this level; there are ${mutants.map((mutant) => mutant.id).join(", ")}`);
    return 1;
  }
  let survivors = 0;
  console.log("| id | change | median seeds | caught by |\n| --- | --- | --- | --- |");
  for (const mutant of wanted) {
    const trials = huntS2(mutant, { firstSeeds: [0, 1, 2].map((trial) => first + trial * 1_000_003), seedsMax, secondsMax });
    const caught = trials.filter(({ check }) => check !== null);
    const checks = [...new Set(caught.map(({ check }) => check))].toSorted().join(", ");
    const order = trials.map(({ check, tried }) => (check === null ? Infinity : tried)).toSorted((a, b) => a - b);
    const median = order[order.length >> 1]!;
    if (caught.length === 0) survivors++;
    const seeds = median === Infinity ? `> ${Math.max(...trials.map(({ tried }) => tried))}` : String(median);
    console.log(`| ${mutant.id} | ${mutant.what} | ${seeds} (${caught.length} of ${trials.length}) | ${checks} |`);
  }
  return survivors === 0 ? 0 : 1;
}
