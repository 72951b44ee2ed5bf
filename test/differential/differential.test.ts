/**
 * Random requests to a real etcd and to this project's server must have the same answers: two fixed seeds a view, and one new one each time, printed.
 * Without an etcd on the path the tests are skipped by name; in CI they fail instead, so that they cannot go missing.
 *
 * More by hand: `npm run differential -- --requests 10000 --seed 7`.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { compareServers, fillHistory } from "./compare-servers.ts";
import type { View } from "./step.ts";

const FIXED_SEEDS = [1, 2];
const REQUESTS = 350;
const FRESH_SEED = Date.now() % 1_000_000;
/** A run with a difference is made smaller before it is told. */
const TEST_MS = 60_000;

const installed = etcdVersion() !== undefined;
const skip = !installed && process.env["CI"] === undefined;

describe.skipIf(skip)(`the same answers as etcd${skip ? " (skipped: no etcd on the path)" : ""}`, () => {
  let etcd: ServerProcess;
  let quorate: ServerProcess;

  beforeAll(async () => {
    if (!installed) throw new Error("there must be an etcd on the path in CI");
    [etcd, quorate] = await Promise.all([startEtcd(), startQuorate()]);
    await Promise.all([fillHistory(etcd.url), fillHistory(quorate.url)]);
  }, TEST_MS);

  afterAll(async () => {
    await Promise.all([etcd?.stop(), quorate?.stop()]);
  });

  const alike = async (view: View, seed: number): Promise<void> => {
    const { report, requests } = await compareServers({ etcd: etcd.url, quorate: quorate.url }, view, seed, REQUESTS);
    if (report !== undefined) expect.fail(report);
    expect(requests).toBeGreaterThanOrEqual(REQUESTS);
  };

  for (const view of ["v3", "v2"] as const) {
    for (const seed of FIXED_SEEDS) {
      test(`${view}, seed ${seed}: ${REQUESTS} requests`, { timeout: TEST_MS }, () => alike(view, seed));
    }
    test(`${view}, fresh seed ${FRESH_SEED}: ${REQUESTS} requests`, { timeout: TEST_MS }, () => alike(view, FRESH_SEED));
  }
});
