/** The contract suites in workerd itself, on the storage of a Durable Object; and the same log on Node, Deno and there. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runtime } from "../helpers/runtimes.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { sampleState } from "./sample-state.ts";
import type { Report } from "./vitest-shim.ts";

const here = (file: string) => join(import.meta.dirname, file);
const deno = runtime("deno");

describe.skipIf(workerd === undefined)("a Durable Object's storage (skipped where workerd is not there)", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startQuorateWorker({
      entry: here("contract-object.ts"),
      objects: { OBJECT: "ContractObject" },
      alias: { vitest: here("vitest-shim.ts") },
    });
  });
  afterAll(() => server.stop());

  test("keeps every contract", { timeout: 180_000 }, async () => {
    const reply = await fetch(server.url);
    const text = await reply.text();
    expect(reply.status, `${text}\n${server.output()}`).toBe(200);
    const { passed, failed } = JSON.parse(text) as Report;
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(50);
  });

  test("the same log has the same hash and the same snapshot as in memory on Node", { timeout: 60_000 }, async () => {
    const here = await sampleState();
    expect(here.revision).toBeGreaterThan(100);
    expect(await (await fetch(`${server.url}/sample`)).json()).toEqual(here);
  });
});

test.skipIf(deno === undefined)(
  "the same log has the same hash and the same snapshot on Deno (skipped where it is not there)",
  async () => {
    const printed = execFileSync(deno!.command, [...deno!.args, here("sample-state.ts")], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    expect(JSON.parse(printed)).toEqual(await sampleState());
  },
);
