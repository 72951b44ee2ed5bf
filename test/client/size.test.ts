/** What the client costs a bundle, measured as a bundler for the edge makes it: minified, one file, and packed by gzip. */
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";

const CORE_BYTES_MAX = 10_000;
const RECIPE_BYTES_MAX = 4_000;

async function bundle(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: join(PROJECT_ROOT, "client"), loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    // What package.json says of the built files (sideEffects), said of their sources.
    plugins: [{ name: "no-side-effects", setup: (at) => at.onResolve({ filter: /\.ts$/ }, resolveSource) }],
  });
  return outputFiles[0]!.text;
}

function resolveSource({ path, resolveDir }: { readonly path: string; readonly resolveDir: string }) {
  return { path: join(resolveDir, path), sideEffects: false };
}

const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length;
const using = (names: string): string => `export { ${names} } from "./client.ts";`;

const RECIPES: Readonly<Record<string, string>> = {
  lock: "acquireLock, tryLock, withLock",
  locks: "acquireLocks",
  "read-write lock": "acquireRead, acquireWrite",
  semaphore: "acquirePermits, tryPermits",
  barrier: "closeBarrier, openBarrier, waitAtBarrier",
  rendezvous: "enterRendezvous",
  fence: "checkFence",
  election: "campaign, observeElection, runAsLeader",
  session: "Session",
  "typed topic": "Topic",
  counter: "addToCounter, readCounter, Sequence",
  tokens: "attenuate, presign, readToken",
  topic: "publish, subscribe, readCursor, moveCursor",
  "queue, where messages are put": "enqueue",
  "queue, where they are taken": "takeMessages, acknowledge, extendMessage, rejectMessage, untilWorthIt",
  task: "directTask, reportProgress, taskState",
  limiter: "Limiter",
  pools: "Pool, watchPool, Picker",
  "a node of a pool": "PoolMember",
  config: "publishConfig, readConfig, subscribeConfig, rollBackConfig, NearConfig, acknowledgeConfig, whenRolledOut",
  "typed config": "Config",
  services: "registerService, listServices, watchServices",
  groups: "Membership, watchGroup, whenSize, assign",
};

describe("size of the client", async () => {
  const core = gzipped(await bundle(using("connect, fromEnv, json, text, bytes, outcomeOf, isQuorateError")));

  test("the core", () => {
    console.log(`client: core ${core} bytes`);
    expect(core).toBeLessThanOrEqual(CORE_BYTES_MAX);
  });

  test.each(Object.entries(RECIPES))("%s over the core", async (name, names) => {
    const more = gzipped(await bundle(using(`connect, fromEnv, json, text, bytes, outcomeOf, isQuorateError, ${names}`))) - core;
    console.log(`client: ${name} ${more} bytes over the core`);
    expect(more).toBeGreaterThan(0);
    expect(more).toBeLessThanOrEqual(RECIPE_BYTES_MAX);
  });

  test("consuming a queue, over taking from it", async () => {
    const names = `connect, fromEnv, json, text, bytes, outcomeOf, isQuorateError, ${RECIPES["queue, where they are taken"]}`;
    const taking = gzipped(await bundle(using(names)));
    const more = gzipped(await bundle(using(`${names}, consumeMessages`))) - taking;
    console.log(`client: queue, consuming ${more} bytes over taking`);
    expect(more).toBeLessThanOrEqual(1_000);
  });

  test("what is not used is left out", async () => {
    expect(await bundle(using("connect"))).not.toContain("/quorate/");
  });

  test("every recipe at once", async () => {
    const all = gzipped(await bundle('export * from "./all.ts";'));
    console.log(`client: everything ${all} bytes`);
    expect(all).toBeGreaterThan(core);
  });
});
