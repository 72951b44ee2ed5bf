/**
 * Random requests to a real etcd and to this project's server must have the same answers: two fixed seeds a view, and one new one each time, printed.
 * Without an etcd on the path the tests are skipped by name; in CI they fail instead, so that they cannot go missing.
 *
 * More by hand: `npm run differential -- --requests 10000 --seed 7`.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdVersion } from "../helpers/start-etcd.ts";
import { Pair } from "./compare-servers.ts";

const FIXED_SEEDS = [1, 2];
const REQUESTS = 350;
const FRESH_SEED = Date.now() % 1_000_000;
/** A run with a difference is made smaller before it is told. */
const TEST_MS = 60_000;

const installed = etcdVersion() !== undefined;
const skip = !installed && process.env["CI"] === undefined;

describe.skipIf(skip)(`the same answers as etcd${skip ? " (skipped: no etcd on the path)" : ""}`, () => {
  if (!installed) {
    test("there is an etcd on the path", () => expect.fail("in CI there must be one"));
    return;
  }
  for (const view of ["v3", "v2", "grpc"] as const) {
    describe(view, () => {
      let pair: Pair | undefined;
      beforeAll(async () => {
        pair = await Pair.start(view);
      }, TEST_MS);
      afterAll(() => pair?.stop());

      for (const [seed, kind] of [...FIXED_SEEDS.map((fixed) => [fixed, "seed"] as const), [FRESH_SEED, "fresh seed"] as const]) {
        test(`${kind} ${seed}: ${REQUESTS} requests`, { timeout: TEST_MS }, async () => {
          const comparison = await pair?.compare(seed, REQUESTS);
          if (comparison?.report !== undefined) expect.fail(comparison.report);
          expect(comparison?.requests).toBeGreaterThanOrEqual(REQUESTS);
        });
      }
    });
  }
});
