/**
 * The machine dies in every step of a run, and every choice of what reached the disk is tried: what was acknowledged is found, nothing
 * is found by halves, and the log goes on (T22's storage half, T25, T26, T28).
 *
 * The run is a list of operations. Recovery must give the state after a prefix of them that contains all that were acknowledged.
 */
import { expect, test } from "vitest";
import type { Entry, HardState, SnapshotMeta } from "../../core/raft/types.ts";
import type { LogStorage, Recovered } from "../../core/replica/log-storage-port.ts";
import { metaOf, plain } from "../../test/contract/log-storage-port.ts";
import { SimulatedDisk } from "../../test/helpers/simulated-disk.ts";
import { FileLogStorage } from "./file-log-storage.ts";

const SEGMENT_BYTES = 64 << 10;
const IDENTITY = { clusterId: "11", memberId: "22", diskId: "33" };
/** Up to this many undecided things every subset is tried; beyond it, those that differ from all or nothing by one, and random ones. */
const EXHAUSTIVE_UP_TO = 6;
const RANDOM_CHOICES = 8;

type Operation =
  | { kind: "append"; hard?: HardState; first: number; count: number; bytes: number; term: number; wait: boolean; turns?: number }
  | { kind: "snapshot"; meta: SnapshotMeta; chunks: number }
  | { kind: "compact"; index: number };

function entryAt(index: number, term: number, bytes: number): Entry {
  return { term, index, kind: "data", data: new Uint8Array(bytes).fill((index * 13 + term) & 255) };
}

function entriesAt(operation: Operation & { kind: "append" }): Entry[] {
  return Array.from({ length: operation.count }, (_, n) => entryAt(operation.first + n, operation.term, operation.bytes));
}

interface State {
  hard: HardState;
  entries: Entry[];
  snapshot: SnapshotMeta | null;
}

function after(state: State, operation: Operation): State {
  switch (operation.kind) {
    case "append": {
      const entries =
        operation.count > 0 ? [...state.entries.filter(({ index }) => index < operation.first), ...entriesAt(operation)] : state.entries;
      return { ...state, hard: operation.hard ?? state.hard, entries };
    }
    case "snapshot": {
      const { index, term } = operation.meta;
      const fits = state.entries.find((entry) => entry.index === index)?.term === term;
      return { ...state, snapshot: operation.meta, entries: fits ? state.entries.filter((entry) => entry.index > index) : [] };
    }
    case "compact":
      return state;
  }
}

/** Everything the port promises about a state, comparable. */
function summary(state: { hard: HardState; entries: readonly Entry[]; snapshot: SnapshotMeta | null }): string {
  return JSON.stringify([state.hard.term, state.hard.vote, plain(state.entries), state.snapshot?.id ?? null]);
}

/** Runs until the machine dies or the list ends. @returns what was acknowledged, counted */
async function run(storage: LogStorage, operations: readonly Operation[], acknowledged: { count: number }): Promise<void> {
  await storage.open();
  await storage.initialise(IDENTITY);
  acknowledged.count = 0;
  let done = 0;
  const inOrder = (work: Promise<unknown>) => {
    const place = ++done;
    return work.then(() => void (acknowledged.count = Math.max(acknowledged.count, place)));
  };
  const waiting: Promise<void>[] = [];
  for (const operation of operations) {
    if (operation.kind === "append") {
      const batch = { entries: entriesAt(operation), ...(operation.hard && { hard: operation.hard }) };
      waiting.push(inOrder(storage.append(batch, true)));
      // So that it meets the writes before it in different states.
      for (let turn = 0; turn < (operation.turns ?? 0); turn++) await Promise.resolve();
      if (!operation.wait) continue;
      await Promise.all(waiting.splice(0));
    } else if (operation.kind === "snapshot") {
      const writer = await storage.createSnapshot(operation.meta);
      for (let n = 0; n < operation.chunks; n++) await writer.write(new Uint8Array(700).fill(n + 1));
      await inOrder(writer.commit());
    } else {
      done++; // changes no state, and may overtake appends
      await storage.compact(operation.index);
    }
  }
  await Promise.all(waiting);
}

/** Small random numbers that are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function* choices(count: number, random: () => number): Generator<(n: number) => boolean> {
  if (count <= EXHAUSTIVE_UP_TO) {
    for (let bits = 0; bits < 1 << count; bits++) yield (n) => (bits & (1 << n)) !== 0;
    return;
  }
  yield () => false;
  yield () => true;
  const one = Math.floor(random() * count);
  yield (n) => n === one;
  yield (n) => n !== one;
  for (let choice = 0; choice < RANDOM_CHOICES; choice++) {
    const share = random();
    const kept = Array.from({ length: count }, () => random() < share);
    yield (n) => kept[n] ?? false;
  }
}

/** Runs `turn` until nothing moves any more: all promises of the simulated disk settle within microtasks. */
async function settle(disk: SimulatedDisk, running: Promise<void>): Promise<void> {
  let over = false;
  running.then(
    () => (over = true),
    () => (over = true),
  );
  while (!over && !disk.dead) await new Promise((resolve) => setImmediate(resolve));
}

async function openOn(disk: SimulatedDisk): Promise<{ storage: FileLogStorage; recovered: Recovered }> {
  const storage = new FileLogStorage({ directory: "/data", segmentBytes: SEGMENT_BYTES, fileSystem: disk });
  return { storage, recovered: await storage.open() };
}

async function check(disk: SimulatedDisk, states: readonly string[], acknowledged: number, label: string): Promise<void> {
  const { storage, recovered } = await openOn(disk);
  if (recovered.identity === null) {
    // `initialise` was not acknowledged
    expect(acknowledged, label).toBe(-1);
    await storage.close();
    return;
  }
  expect(recovered.identity, label).toEqual(IDENTITY);
  const { boot } = recovered;
  expect([2, 3], label).toContain(boot);
  const found = states.indexOf(summary(recovered), Math.max(0, acknowledged));
  expect(found, `${label}: no state from ${acknowledged} on is what was found: ${summary(recovered).slice(0, 300)}`).toBeGreaterThanOrEqual(
    0,
  );
  if (recovered.snapshot) {
    let bytes = 0;
    for await (const chunk of storage.readSnapshot(recovered.snapshot.id)) bytes += chunk.length;
    expect(bytes, label).toBe(recovered.snapshot.size);
  }
  // The log goes on, and nothing of what was cut off comes back.
  const next = (recovered.entries.at(-1)?.index ?? recovered.snapshot?.index ?? 0) + 1;
  await storage.append({ entries: [entryAt(next, 9, 900)] }, true);
  const again = await openOn(disk.afterCrash(() => false));
  expect(again.recovered.repairs, label).toEqual([]);
  expect(again.recovered.boot, label).toBe(boot + 1);
  expect(plain(again.recovered.entries), label).toEqual(plain([...recovered.entries, entryAt(next, 9, 900)]));
  await Promise.all([storage.close(), again.storage.close()]);
}

async function crashEverywhere(operations: readonly Operation[]): Promise<number> {
  const states = [summary({ hard: { term: 0, vote: null, commit: 0 }, entries: [], snapshot: null })];
  let state: State = { hard: { term: 0, vote: null, commit: 0 }, entries: [], snapshot: null };
  for (const operation of operations) states.push(summary((state = after(state, operation))));

  const whole = new SimulatedDisk();
  await run(new FileLogStorage({ directory: "/data", segmentBytes: SEGMENT_BYTES, fileSystem: whole }), operations, { count: -1 });
  await new Promise((resolve) => setImmediate(resolve));
  let tried = 0;
  for (let step = 1; step <= whole.steps; step++) {
    const disk = new SimulatedDisk();
    disk.dieAtStep = step;
    const acknowledged = { count: -1 };
    const running = run(
      new FileLogStorage({ directory: "/data", segmentBytes: SEGMENT_BYTES, fileSystem: disk }),
      operations,
      acknowledged,
    );
    await settle(disk, running);
    const random = sequence(step);
    let choice = 0;
    for (const keep of choices(disk.losses(), random)) {
      await check(disk.afterCrash(keep), states, acknowledged.count, `died in step ${step}, choice ${choice++}`);
      tried++;
    }
    // The next boot dies as well, somewhere in its recovery.
    const second = disk.afterCrash((n) => n % 2 === step % 2);
    second.dieAtStep = 1 + Math.floor(random() * 40);
    await settle(
      second,
      openOn(second).then(() => undefined),
    );
    if (!second.dead) continue;
    const share = random();
    await check(
      second.afterCrash(() => random() < share),
      states,
      acknowledged.count,
      `died in step ${step}, and again in recovery`,
    );
  }
  return tried;
}

const append = (first: number, count: number, more: Partial<Operation & { kind: "append" }> = {}): Operation => ({
  kind: "append",
  first,
  count,
  bytes: 400,
  term: 1,
  wait: true,
  ...more,
});
const hard = (term: number, vote: string | null = "22"): HardState => ({ term, vote, commit: 0 });

test("a crash in any step of initialise, appends and replaced entries", { timeout: 120_000 }, async () => {
  const tried = await crashEverywhere([
    append(1, 0, { hard: hard(1) }),
    append(1, 1),
    append(2, 1, { wait: false }),
    append(3, 3, { wait: false, bytes: 1500 }),
    append(6, 1),
    append(4, 2, { hard: hard(2, null), term: 2, bytes: 900 }),
    append(6, 1, { term: 2 }),
  ]);
  expect(tried).toBeGreaterThan(200);
});

test("a crash in any step while appends overlap", { timeout: 120_000 }, async () => {
  const operations: Operation[] = [append(1, 0, { hard: hard(1) })];
  for (let index = 1; index <= 9; index++) operations.push(append(index, 1, { bytes: 300 * index, wait: index === 9, turns: index }));
  operations.push(append(8, 2, { term: 2 }));
  await crashEverywhere(operations);
});

test("a crash in any step while segments change", { timeout: 120_000 }, async () => {
  const operations: Operation[] = [append(1, 0, { hard: hard(1) })];
  for (let index = 1; index <= 14; index++) operations.push(append(index, 1, { bytes: 12_000 }));
  await crashEverywhere(operations);
});

test("a crash in any step of snapshots and compaction", { timeout: 120_000 }, async () => {
  await crashEverywhere([
    append(1, 4, { hard: hard(1), bytes: 14_000 }),
    { kind: "snapshot", meta: metaOf(3), chunks: 3 },
    append(5, 4, { bytes: 14_000 }),
    { kind: "snapshot", meta: metaOf(7), chunks: 2 },
    { kind: "compact", index: 7 },
    append(9, 4, { bytes: 14_000 }),
    { kind: "snapshot", meta: metaOf(12), chunks: 1 },
    { kind: "compact", index: 12 },
    append(13, 1),
  ]);
});

test("a crash in any step while several segments are removed", { timeout: 120_000 }, async () => {
  await crashEverywhere([
    ...[1, 5, 9, 13].map((first) => append(first, 4, { bytes: 14_000, ...(first === 1 && { hard: hard(1) }) })),
    { kind: "snapshot", meta: metaOf(13), chunks: 1 },
    { kind: "snapshot", meta: metaOf(14), chunks: 1 },
    { kind: "compact", index: 14 },
    append(17, 1),
  ]);
});

test("a crash in any step while a snapshot from elsewhere replaces the log", { timeout: 120_000 }, async () => {
  await crashEverywhere([
    append(1, 4, { hard: hard(1) }),
    { kind: "snapshot", meta: metaOf(50, 3), chunks: 2 },
    append(51, 2, { hard: hard(3), term: 3 }),
    { kind: "compact", index: 50 },
  ]);
});

test("a crash in any step of a compaction while the log goes on in the next segment", { timeout: 120_000 }, async () => {
  for (let turns = 1; turns <= 4; turns++) {
    await crashEverywhere([
      append(1, 4, { hard: hard(1), bytes: 14_000 }),
      { kind: "snapshot", meta: metaOf(50, 3), chunks: 1 },
      append(51, 1, { hard: hard(3), term: 3, bytes: 14_000, wait: false, turns }),
      { kind: "compact", index: 50 },
    ]);
  }
});
