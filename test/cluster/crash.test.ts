/**
 * kill -9 under load, again and again, with real processes; more by hand: `npm run crash -- --cycles 60`. What is checked after each restart:
 * crash-run.ts.
 */
import { expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
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
