/**
 * The cases recorded from etcd on Deno, Bun and workerd; on Node they run in test/conformance. One test a protocol, which names the cases that fail.
 * All run at the same time: cases mostly wait.
 */
import { describe, expect, test } from "vitest";
import { SUITE_MS, casesOf } from "../conformance/run-suite.ts";
import { runtime } from "../helpers/runtimes.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import { NOT_SERVED, PROTOCOLS, cannotBeOn, conformanceOf, skippedOf, suiteOf } from "./runtime-conformance.ts";

describe.concurrent.each(["deno", "bun", "workerd"] as const)("conformance on %s", (name) => {
  const found = name === "workerd" ? workerd : runtime(name);
  const start = () => (name === "workerd" ? startQuorateWorker() : startQuorate({ runtime: runtime(name)! }));
  for (const protocol of PROTOCOLS) {
    const lacks = NOT_SERVED[name]?.[protocol];
    if (found === undefined) test.skip(`${protocol}: ${name} has no package for this platform and is not on the path`);
    else if (lacks !== undefined) test.skip(`${protocol}: ${lacks}`);
    else {
      test(protocol, { timeout: SUITE_MS }, async () => {
        const results = await conformanceOf(start, protocol, cannotBeOn(name));
        const asked = casesOf(suiteOf(protocol)).filter((one) => ![...skippedOf(protocol), ...cannotBeOn(name)].includes(one));
        expect(asked.length).toBeGreaterThan(50);
        expect(asked.filter((one) => !results.has(one))).toEqual([]);
        expect([...results.values()].filter(({ ok }) => !ok)).toEqual([]);
      });
    }
  }
});
