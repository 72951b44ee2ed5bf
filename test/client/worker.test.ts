/** The client inside a Worker: bundled, run by workerd, against a real server. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../client/client.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { workerdBinary } from "../../runtime-worker/local/workerd.ts";
import { type WorkerProcess, startWorker } from "../helpers/start-worker.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const missing = workerdBinary() === undefined;

describe.skipIf(missing)(`a Worker${missing ? " (workerd is not there for this machine)" : ""}`, () => {
  let server: ServerProcess;
  let worker: WorkerProcess;

  beforeAll(async () => {
    server = await startQuorate();
    worker = await startWorker(join(import.meta.dirname, "worker.ts"), { STORE: server.url });
  });
  afterAll(() => Promise.all([worker.stop(), server.stop()]));

  async function ask<T>(path: string): Promise<T> {
    const reply = await fetch(worker.url + path);
    const body = await reply.text();
    expect(reply.status, `${body}\n${worker.output()}`).toBe(200);
    return JSON.parse(body) as T;
  }

  test("takes a lock, writes under its fence and releases it, request after request", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask<{ succeeded: boolean; fence: string }>("/count")));
    expect(answers.every(({ succeeded }) => succeeded)).toBe(true);
    expect(new Set(answers.map(({ fence }) => fence)).size).toBe(5);
    expect((await connect(server.url).kv.get("count"))?.value).toBe("5");
    // Released behind the last answer.
    const line = connect(server.url).keys("/quorate/locks/worker/");
    await untilTrue(async () => (await line.count()) === 0, { what: () => "the release" });
  });

  test("watches", async () => {
    const seen = ask<string[]>("/watch");
    const keys = connect(server.url).keys("watched/");
    await keys.put("first", "1");
    await keys.put("last", "2");
    expect(await seen).toEqual(["first", "last"]);
  });

  test("fails where nobody is there, and has a clock", async () => {
    const { kind, clock } = await ask<{ kind: string; clock: number }>("/");
    expect(["failed", "unknown"]).toContain(kind);
    expect(clock).toBeGreaterThan(Date.UTC(2024, 0));
  });
});
