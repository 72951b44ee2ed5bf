/**
 * Damage to what was acknowledged: a flipped bit in the log is refused, with file and offset named, and nothing is served; a damaged snapshot is
 * passed over, and the one before it and the log give the same data.
 */
import { Agent } from "node:http";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { Random } from "../differential/random.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { flipBit, logFiles, snapshotFiles, usedBytes } from "./data-files.ts";
import { base64, callV3 } from "./http.ts";

const ALL = { key: base64("\0"), range_end: base64("\0") };
const SEED = Date.now() % 1_000_000;
const TRIALS = 4;
const ENDS_WITHIN_MS = 15_000;

interface Range {
  readonly header: { readonly revision: string };
  readonly kvs: readonly unknown[];
}

/** Writes one after the other, so that the log has many batches. @returns all that is stored */
async function fill(server: ServerProcess, puts: number): Promise<Range> {
  const agent = new Agent({ keepAlive: true });
  for (let n = 0; n < puts; n++) {
    await callV3(agent, server.url, "/v3/kv/put", { key: base64(`key${n % 200}`), value: base64(`value ${n} `.repeat(20)) });
  }
  const stored = await callV3<Range>(agent, server.url, "/v3/kv/range", ALL);
  agent.destroy();
  return stored;
}

async function expectSame(server: ServerProcess, before: Range): Promise<void> {
  const now = await callV3<Range>(new Agent({ keepAlive: false }), server.url, "/v3/kv/range", ALL);
  expect(Number(now.header.revision)).toBeGreaterThanOrEqual(Number(before.header.revision));
  expect(now.kvs).toEqual(before.kvs);
}

/** It must end by itself, not with 0, without ever having answered. */
async function expectRefused(server: ServerProcess, file: string): Promise<void> {
  const answered = server.untilReady(ENDS_WITHIN_MS).then(
    () => true,
    () => false,
  );
  const ended = await Promise.race([server.exited, answered.then(() => undefined)]);
  const output = server.output();
  await server.stop();
  expect(await answered, `it serves damaged data; output: ${output}`).toBe(false);
  expect(ended, `it did not end; output: ${output}`).toBeDefined();
  expect(ended?.code).not.toBe(0);
  expect(output).toContain(basename(file));
  expect(output).toMatch(/offset|byte/i);
}

describe(`damage on disk (seed ${SEED})`, () => {
  test("a flipped bit in acknowledged log data is refused with file and offset", { timeout: 90_000 }, async () => {
    const random = new Random(SEED);
    const server = await startQuorate();
    try {
      const before = await fill(server, 600);
      await server.kill("SIGKILL");
      const file = logFiles(server.dataDir).at(-1);
      if (file === undefined) throw new Error("no log file");
      const used = usedBytes(file);
      for (let n = 0; n < TRIALS; n++) {
        // Not near the end: there a damaged batch may be one that was never acknowledged. Not in a sector's stamp, which no data lies under.
        const sector = 2 + random.int(Math.floor((used * 0.8) / 512) - 4);
        const offset = sector * 512 + 2 + random.int(510);
        flipBit(file, offset);
        const damaged = await startQuorate({ port: server.port, dataDir: server.dataDir, waitReady: false });
        await expectRefused(damaged, file);
        flipBit(file, offset);
      }
      // The damage alone was the reason.
      const again = await startQuorate({ port: server.port, dataDir: server.dataDir });
      try {
        await expectSame(again, before);
      } finally {
        await again.stop();
      }
    } finally {
      await server.stop();
    }
  });

  test("a damaged snapshot is passed over, and nothing is lost", { timeout: 90_000 }, async () => {
    const random = new Random(SEED);
    const flags = ["--snapshot-count", "200"];
    const server = await startQuorate({ flags });
    try {
      const before = await fill(server, 1_000);
      await server.kill("SIGTERM");
      const snapshots = snapshotFiles(server.dataDir);
      expect(snapshots.length).toBeGreaterThanOrEqual(2);
      const newest = snapshots.at(-1) as string;
      flipBit(newest, Math.floor(usedBytes(newest) * (0.2 + 0.6 * (random.int(100) / 100))));
      const again = await startQuorate({ port: server.port, dataDir: server.dataDir, flags });
      try {
        await expectSame(again, before);
        expect(again.output()).toContain(basename(newest));
      } finally {
        await again.stop();
      }
    } finally {
      await server.stop();
    }
  });
});
