/**
 * Every recipe over HTTP at a Durable Object whose process is killed again and again, and whose alarms ring late and twice. What each recipe
 * promises is judged as for clusters: by the whole history of the store, and by what is there in the end.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAll, isUnknown } from "../../client/all.ts";
import { isQuorateError } from "../../core/errors.ts";
import { historyOf } from "../cluster/history-of.ts";
import { SCENARIOS, type Scenario, isLoss } from "../cluster/recipe-scenarios.ts";
import { Chance } from "../helpers/chance.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

const SEED = Date.now() % 1_000_000;
const ENTRY = join(import.meta.dirname, "clumsy-worker.ts");
const KILLS = 4;
/** Between two kills. */
const APART_MS = [800, 2_500] as const;
const ATTEMPTS_MAX = 40;

describe.skipIf(workerd === undefined)(`recipes at a Durable Object, seed ${SEED} (skipped where workerd is not there)`, () => {
  let server: ServerProcess;
  let killing: Promise<void>;
  let kills = 0;

  beforeAll(async () => {
    server = await startQuorateWorker({ entry: ENTRY });
    killing = killAgainAndAgain();
  });
  afterAll(async () => {
    await killing;
    await server.stop();
  });

  async function killAgainAndAgain(): Promise<void> {
    const chance = new Chance(SEED, "kills");
    while (kills < KILLS) {
      await new Promise((resolve) => setTimeout(resolve, chance.int(...APART_MS)));
      await server.kill("SIGKILL");
      server = await startQuorateWorker({ entry: ENTRY, directory: server.dataDir, port: server.port });
      kills++;
    }
  }

  /** As often as it takes: what was lost, or is not known, is asked for again by the same one. */
  async function untilDone(name: string, act: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        const isPassing = isLoss(error) || isUnknown(error) || (isQuorateError(error) && error.code === "unavailable");
        if (!isPassing || attempt === ATTEMPTS_MAX) throw new Error(`${name}, attempt ${attempt}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  // All at once, however many tests go side by side otherwise: the kills are the same for all.
  test("each keeps what it promises", { timeout: 120_000 }, async () => {
    const rounds = await Promise.all(Object.entries(SCENARIOS).map(([scenario, of]) => untilKilledEnough(scenario, of)));
    console.log(`${rounds.reduce((all, one) => all + one)} rounds, ${kills} kills`);
  });

  /** @returns how many times two have used the recipe */
  async function untilKilledEnough(scenario: string, { act, after, check }: Scenario): Promise<number> {
    const namespace = scenario.replace(" ", "-");
    const url = `${server.url}/ns/${namespace}`;
    const connected = () => connectAll({ url, retry: { attempts: 100 } });
    let round = 0;
    for (; kills < KILLS; round++) {
      const name = `${namespace}-${round}`;
      await Promise.all(["first", "second"].map((who) => untilDone(`${name} ${who}`, () => act(connected(), name, who))));
      const q = connected();
      const faults: string[] = [];
      await untilDone(`${name} after`, async () => void faults.push(...((await after?.(q, name, true)) ?? [])));
      faults.push(...(check?.(await historyOf(q, name), name) ?? []));
      expect(faults, `${name}, seed ${SEED}`).toEqual([]);
    }
    return round;
  }
});
