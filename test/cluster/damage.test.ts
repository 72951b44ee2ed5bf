/**
 * Damage to what was acknowledged: a flipped bit in the log is refused, with file and offset named, and nothing is served; a damaged snapshot is
 * passed over, and the one before it and the log give the same data.
 */
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { Random } from "../differential/random.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { flipBit, logFiles, snapshotFiles, usedBytes } from "./data-files.ts";
import { base64, callV3, fromBase64 } from "./http.ts";

const ALL = { key: base64("\0"), range_end: base64("\0"), sort_target: "MOD" };
const SEED = Date.now() % 1_000_000;
const TRIALS = 4;
const ENDS_WITHIN_MS = 15_000;

interface Range {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly { readonly key: string; readonly value: string; readonly mod_revision: string; readonly version: string }[];
}

/** One line a key, oldest change first: short enough to be read when two of them differ. */
function lines({ kvs }: Range): string[] {
  return (kvs ?? []).map(
    (kv) => `${fromBase64(kv.key)} mod ${kv.mod_revision} version ${kv.version} ${fromBase64(kv.value).slice(0, 12)} ${kv.value.length}`,
  );
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
  const differing = lines(now).find((line, n) => line !== lines(before)[n]);
  expect({ revision: now.header.revision, keys: lines(now).length, differing }).toEqual({
    revision: before.header.revision,
    keys: lines(before).length,
    differing: undefined,
  });
}

/**
 * A byte that holds something: not near the end, where a damaged batch may be one that was never acknowledged; not a sector's stamp or the zeros that
 * fill a batch up, under which no data lies.
 */
function dataByte(file: string, random: Random): number {
  const bytes = readFileSync(file);
  const sectors = Math.floor((usedBytes(file) * 0.8) / 512);
  for (;;) {
    const offset = 512 * (1 + random.int(sectors - 1)) + 2 + random.int(510);
    if (bytes[offset] !== 0) return offset;
  }
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
      for (let n = 0; n < TRIALS; n++) {
        const offset = dataByte(file, random);
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
