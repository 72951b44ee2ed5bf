/**
 * Real processes that use a recipe and are killed, or stand still for longer than what they hold lives, at one of their requests: before it is
 * sent, or when the answer is there. Another one then does the same to its end, and the history of the store is looked through.
 *
 * A few places of each recipe, drawn anew each time from a seed that is printed; `QUORATE_TEST_EACH_REQUEST=all` tries all of them.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAll } from "../../client/all.ts";
import { Program } from "../clients/program.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { Chance } from "../helpers/chance.ts";
import { historyOf } from "./history-of.ts";
import { SCENARIOS } from "./recipe-scenarios.ts";

const TRIES_ALL = process.env["QUORATE_TEST_EACH_REQUEST"] === "all";
/** No scenario makes as many. */
const REQUESTS_MAX = 40;
/** Of which a place is drawn. */
const REQUESTS_USUAL = 6;
/** Over twice the life of what is held. */
const PAUSE_MS = 5_000;

const WAYS = [
  ["kill", "before"],
  ["kill", "after"],
  ["pause", "before"],
  ["pause", "after"],
] as const;

describe("a process that ends or stands still at one of its requests", { timeout: TRIES_ALL ? 1_800_000 : 90_000 }, () => {
  let server: ServerProcess;
  beforeAll(async () => void (server = await startQuorate()));
  afterAll(() => server.stop());

  /** @returns false when it came to its end before */
  async function attempt(scenario: string, [how, when]: (typeof WAYS)[number], request: number): Promise<boolean> {
    const { act, after, check } = SCENARIOS[scenario]!;
    const name = `${scenario.replace(" ", "-")}-${how}-${when}-${request}`;
    const what = `${scenario}: ${how} ${when} request ${request}`;
    const args = [`${PROJECT_ROOT}/test/cluster/recipe-user.ts`, server.url, scenario, name, how, when, String(request)];
    const first = new Program(process.execPath, args);
    await first.until(/stopping|finished|lost/);
    const stopped = first.stdout.includes("stopping");
    const q = connectAll(server.url);
    const second = act(q, name, "second");
    if (how === "pause" && stopped) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      first.signal("SIGCONT");
    }
    await second;
    const { code, stdout, stderr } = await first.ended;
    if (how === "pause") expect([code, stderr], `${what}: ${stdout}`).toEqual([0, ""]);
    const faults = (await after?.(q, name, stdout.includes("finished"))) ?? [];
    faults.push(...(check?.(await historyOf(q, name), name) ?? []));
    expect(faults, what).toEqual([]);
    return stopped;
  }

  const seed = Date.now() % 1_000_000;
  const chance = new Chance(seed, "each request");

  if (TRIES_ALL) {
    test.each(Object.keys(SCENARIOS))("%s, at all of them", async (scenario) => {
      let tried = 0;
      for (const way of WAYS) {
        for (let request = 1; request <= REQUESTS_MAX; request++) {
          tried++;
          if (!(await attempt(scenario, way, request))) break;
        }
      }
      console.log(`${scenario}: ${tried} processes`);
    });
    return;
  }
  test.concurrent.each(Object.keys(SCENARIOS).map((scenario) => [scenario, chance.pick(WAYS), chance.int(1, REQUESTS_USUAL)] as const))(
    "%s, %j, at request %i",
    async (scenario, way, request) => void (await attempt(scenario, way, request)),
  );
});
