/** T22 continued: a second snapshot is offered while the first is being installed, and nobody may lose count of the two. */
import { afterEach, expect, test } from "vitest";
import { BUSY_MS_MAX } from "../busy.ts";
import { S2Lab } from "./lab.ts";
import type { Member } from "./member.ts";

/** How long the fetch of the first is held up: enough for another leader to offer a newer one. */
const HOLD_MS = 6000;
/** Steps of the disk after which the member dies, at most: more than two installations have. */
const STEPS_MAX = 60;

let lab: S2Lab;
afterEach(() => expect(lab.simulation.engine.failure).toBeNull());

/** Where the fetch of the first is held up: before it has anything, or when it has everything and only the disk is left to do. */
type Held = "before the first chunk" | "after the last chunk";

/** A laggard is fetching a snapshot when another leader offers a newer one. @returns it, and the ids of what it has fetched */
async function twoAtOnce(held: Held): Promise<{ late: Member; fetched: string[] }> {
  lab = new S2Lab(3, { snapshotEntries: 10, limits: { electionTicks: 10, catchUpEntries: 0 } });
  const leader = await lab.begin();
  const late = lab.others(leader)[0]!;
  late.die("power");
  await lab.run(3000); // not around any more: nobody keeps the log for it
  for (let n = 0; n < 25; n++) await lab.done(lab.put(leader, `k${n % 5}`, `value ${n}`));
  await lab.run(500);
  late.start();
  const { transport, life } = late.running!;
  const fetched: string[] = [];
  const fetch = transport.fetchSnapshot.bind(transport);
  transport.fetchSnapshot = async function* (from, id, offset) {
    const first = fetched.push(id) === 1;
    if (first && held === "before the first chunk") await life.sleep(HOLD_MS);
    yield* fetch(from, id, offset);
    if (first && held === "after the last chunk") await life.sleep(HOLD_MS);
  };
  await lab.until("a fetch", () => fetched.length > 0);
  // A leader waits for the snapshot that it offered; another one offers its own once its log begins after what it tries to send.
  const next = lab.others(leader).find((member) => member !== late)!;
  await lab.done(lab.replica(leader).moveLeader(next.id!));
  await lab.leader([next]);
  for (let n = 25; n < 45; n++) await lab.done(lab.put(next, `k${n % 5}`, `value ${n}`));
  await lab.until("a second install", () => late.running!.raft.raftStatus()!.installing !== fetched[0]);
  const second = late.running!.raft.raftStatus()!.installing;
  expect(second).not.toBeNull(); // the first one has not ended
  expect(fetched).toHaveLength(1);
  return { late, fetched };
}

test.each<Held>(["before the first chunk", "after the last chunk"])(
  "T22: a newer snapshot is offered while one is installed, held up %s: both end, and the member follows (etcd issue 18055)",
  async (held) => {
    const { late, fetched } = await twoAtOnce(held);
    await lab.untilEqual();
    expect(new Set(fetched).size).toBe(2);
    expect(late.running!.raft.raftStatus()!.installing).toBeNull();
    expect(lab.has(late, "k4")).toBe("value 44");
    // It is not stuck: it takes what comes next from the log.
    await lab.done(lab.put(await lab.leader(), "k", "after"));
    await lab.untilEqual();
    expect(lab.has(late, "k")).toBe("after");
  },
);

test("a snapshot whose stream breaks goes on where it broke", async () => {
  lab = new S2Lab(3, { snapshotEntries: 10, limits: { electionTicks: 10, catchUpEntries: 0 } });
  const leader = await lab.begin();
  const late = lab.others(leader)[0]!;
  late.die("power");
  await lab.run(3000);
  const large = "x".repeat(100_000);
  for (let n = 0; n < 25; n++) await lab.done(lab.put(leader, `k${n % 5}`, `${large}${n}`));
  await lab.run(500);
  late.start();
  const { transport } = late.running!;
  const fetched: { readonly id: string; readonly offset: number; readonly got: number }[] = [];
  const fetch = transport.fetchSnapshot.bind(transport);
  transport.fetchSnapshot = async function* (from, id, offset) {
    for await (const chunk of fetch(from, id, offset)) {
      yield chunk;
      fetched.push({ id, offset, got: chunk.length });
      if (fetched.length <= 2) throw new Error("the stream broke"); // twice, behind a chunk each
    }
  };
  await lab.untilEqual();
  const ofFirst = fetched.filter(({ id }) => id === fetched[0]!.id);
  expect(ofFirst.length).toBeGreaterThan(2);
  expect(ofFirst.slice(0, 3).map(({ offset }) => offset)).toEqual([0, ofFirst[0]!.got, ofFirst[0]!.got + ofFirst[1]!.got]);
  expect(lab.has(late, "k4")).toBe(`${large}24`);
});

test.each(["kill", "power"] as const)("a process ends (%s) with a snapshot committed to its disk and not yet restored", async (how) => {
  lab = new S2Lab(3, { snapshotEntries: 10, limits: { electionTicks: 10, catchUpEntries: 0 } });
  const leader = await lab.begin();
  const late = lab.others(leader)[0]!;
  late.die("power");
  await lab.run(3000);
  for (let n = 0; n < 25; n++) await lab.done(lab.put(leader, `k${n % 5}`, `value ${n}`));
  await lab.run(500);
  late.start();
  const before = late.running!;
  // The first look at the snapshot under its own name is the beginning of the restore.
  late.disk.fault = ({ call, path }) => {
    if (call === "read" && path.endsWith(".snap")) late.die(how);
  };
  await lab.until("the end between commit and restore", () => late.running === null);
  expect(before.consensus.applied).toBeLessThan(10); // what its log has of the beginning
  late.start();
  await lab.until("its start", () => late.up);
  const { consensus, transport } = late.running!;
  expect(consensus.applied).toBeGreaterThan(20); // what the disk has, with nothing fetched again
  transport.fetchSnapshot = () => {
    throw new Error("it has the snapshot");
  };
  await lab.untilEqual();
  expect(lab.has(late, "k4")).toBe("value 24");
});

test("T22: a crash in any step of two installations at once (etcd issue 18055)", { timeout: BUSY_MS_MAX }, async () => {
  for (const keep of [0, 1]) {
    let steps = 0;
    for (let step = 1, survived = false; !survived && step < STEPS_MAX; step++) {
      const { late } = await twoAtOnce("after the last chunk");
      lab.simulation.swarm = { ...lab.simulation.swarm, survive: keep };
      late.disk.dieAtStep = late.disk.steps + step;
      await lab.run(HOLD_MS + 2000);
      survived = late.running !== null; // past the last step
      if (late.running === null) late.start();
      await lab.untilEqual();
      expect(lab.has(late, "k4")).toBe("value 44");
      steps = step;
    }
    expect(steps).toBeGreaterThan(12); // as many as two installations have at least
    expect(steps).toBeLessThan(STEPS_MAX - 1);
  }
});
