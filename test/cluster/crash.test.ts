/**
 * kill -9 under load, again and again, with real processes; more by hand: `npm run crash -- --cycles 60`. What is checked after each restart:
 * crash-run.ts.
 */
import { cpSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { CrashRun, type Ending } from "./crash-run.ts";

const SEED = Date.now() % 1_000_000;
/** So low that snapshots and the cutting of the log happen between crashes. */
const SNAPSHOT_COUNT = "1500";

async function run(cycles: number, endings: readonly Ending[]): Promise<void> {
  const start = (at: ServerProcess | undefined): Promise<ServerProcess> =>
    startQuorate({ ...(at && { port: at.port, dataDir: at.dataDir }), flags: ["--snapshot-count", SNAPSHOT_COUNT] });
  const result = await new CrashRun({ seed: SEED, start, endings, cycles }).run();
  expect({ seed: SEED, faults: result.faults }).toEqual({ seed: SEED, faults: [] });
  expect(result.cycles).toBe(cycles);
  expect(result.acknowledged).toBeGreaterThan(cycles * 10);
}

test(`kill -9 under load loses nothing, also with garbage behind the log (seed ${SEED})`, { timeout: 90_000 }, () =>
  run(15, ["kill", "garbage", "kill", "append"]),
);

test(`SIGTERM under load loses nothing and ends with 0 (seed ${SEED})`, { timeout: 60_000 }, () => run(3, ["terminate"]));

test(`the check notices a data directory that was set back (seed ${SEED})`, { timeout: 60_000 }, async () => {
  const earlier = tempDir("earlier");
  let starts = 0;
  const start = async (at: ServerProcess | undefined): Promise<ServerProcess> => {
    starts++;
    if (at !== undefined && starts === 2) cpSync(at.dataDir, earlier, { recursive: true });
    if (at !== undefined && starts === 3) {
      rmSync(at.dataDir, { recursive: true });
      cpSync(earlier, at.dataDir, { recursive: true });
    }
    return startQuorate({ ...(at && { port: at.port, dataDir: at.dataDir }) });
  };
  const watched = new CrashRun({ seed: SEED, start, endings: ["kill"], cycles: 3 }).run();
  // Either writers miss what was acknowledged, or already the watch never comes to where it was.
  const told = await watched.then(({ faults }) => faults.join("; "), String);
  expect(told).toMatch(/was acknowledged|never came/);
});
