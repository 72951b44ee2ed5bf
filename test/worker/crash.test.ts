/** workerd killed under load again and again: nothing that was acknowledged is lost, by what the crash tests of Node look at. */
import { afterEach, describe, expect, test } from "vitest";
import { CrashRun } from "../cluster/crash-run.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

const SEED = Date.now() % 1_000_000;

const servers: ServerProcess[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

describe.skipIf(workerd === undefined)("crashes of workerd (skipped where it is not there)", () => {
  test(`kill -9 under load, seed ${SEED}`, { timeout: 180_000 }, async () => {
    const run = new CrashRun({
      seed: SEED,
      start: (at) => startQuorateWorker(at === undefined ? {} : { directory: at.dataDir, port: at.port }),
      endings: ["kill"],
      cycles: 6,
    });
    const { cycles, acknowledged, events, faults } = await run.run();
    expect(faults).toEqual([]);
    expect(cycles).toBe(6);
    expect(acknowledged).toBeGreaterThan(50);
    expect(events).toBeGreaterThan(20);
  });

  test(
    "a lease that was granted before the kill ends after the restart, by its alarm, and its lock is another's",
    { timeout: 60_000 },
    async () => {
      const before = await startQuorateWorker();
      servers.push(before);
      const lock = async (server: ServerProcess, query: string) =>
        (await fetch(`${server.url}/v1/locks/l?${query}`, { method: "POST" })).status;
      expect(await lock(before, "ttl=4s")).toBe(201);
      expect(await lock(before, "ttl=4s")).toBe(423);
      await before.kill("SIGKILL");
      const after = await startQuorateWorker({ directory: before.dataDir, port: before.port });
      servers.push(after);
      expect(await lock(after, "ttl=4s&wait=20s")).toBe(201);
    },
  );
});
