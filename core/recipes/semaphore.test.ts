import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { Hold } from "./hold.ts";
import { putOp, txnOf } from "./requests.ts";
import {
  acquirePermits,
  queueForPermits,
  releasePermits,
  resumePermits,
  semaphoreState,
  setSemaphoreLimit,
  tryPermits,
} from "./semaphore.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
const acquire = (permits: number, options = {}) => acquirePermits(context(), "x", { permits, limit: 5, ...options });
const state = () => lab.run(semaphoreState(context(), "x"));
/** Of those who hold, and of those who wait: their permits. */
const permits = async () => {
  const { holders, line } = await state();
  return [holders, line].map((part) => part.map((entry) => entry.permits));
};

describe("a semaphore", () => {
  test("gives permits up to its limit, first come first served", async () => {
    const first = await lab.run(acquire(3));
    const granted: string[] = [];
    void acquire(4).then(() => granted.push("4"));
    await lab.advance(0);
    void acquire(1).then(() => granted.push("1"));
    await lab.advance(0);
    expect([granted, await permits()]).toEqual([[], [[3], [4, 1]]]); // the small one does not overtake
    expect((await state()).available).toBe(0);
    await lab.run(first.release());
    await lab.advance(0);
    expect([granted, await permits()]).toEqual([
      ["4", "1"],
      [[4, 1], []],
    ]);
  });

  test("wakes a waiter only when its permits fit, without reading in between", async () => {
    const holders: Hold[] = [];
    for (let n = 0; n < 5; n++) holders.push(await lab.run(acquire(1)));
    const client = lab.client();
    let granted = false;
    void acquirePermits(client.context, "x", { permits: 4, limit: 5 }).then(() => (granted = true));
    await lab.advance(0);
    const calls = client.calls.length;
    for (const holder of holders.slice(0, 3)) await lab.run(holder.release());
    await lab.advance(0);
    expect([granted, client.calls.length]).toEqual([false, calls]);
    await lab.run(holders[3]!.release());
    await lab.advance(0);
    expect([granted, client.calls.length]).toEqual([true, calls + 1]);
  });

  test("has the limit that the first one said; another number is a conflict, none is fine", async () => {
    await lab.run(acquire(1));
    await expect(lab.run(acquire(1, { limit: 6 }))).rejects.toMatchObject({ reason: "conflict", details: { limit: 5 } });
    await lab.run(acquire(1, { limit: undefined }));
    await expect(lab.run(acquire(6))).rejects.toMatchObject({ reason: "conflict" });
    await expect(lab.run(acquirePermits(context(), "new"))).rejects.toMatchObject({ reason: "conflict" });
    await lab.advance(100);
    expect([(await state()).limit, lab.leases().length]).toEqual([5, 2]);
  });

  test.each([0, -1, 1.5, 1_000_001])("refuses %d permits", async (wrong) => {
    await expect(acquire(wrong)).rejects.toMatchObject({ reason: "badField" });
    await expect(lab.run(setSemaphoreLimit(context(), "x", wrong))).rejects.toMatchObject({ reason: "badField" });
  });

  test("a higher limit wakes who waits; under a lower one holders finish", async () => {
    const first = await lab.run(acquire(5));
    const second = acquire(2);
    await lab.advance(0);
    await lab.run(setSemaphoreLimit(context(), "x", 7));
    const hold = await lab.run(second);
    await lab.run(setSemaphoreLimit(context(), "x", 2));
    let granted = false;
    void acquire(1, { limit: 2 }).then(() => (granted = true));
    await lab.run(first.release());
    await lab.advance(0);
    expect([granted, await permits()]).toEqual([false, [[2], [1]]]);
    await lab.run(hold.release());
    await lab.advance(0);
    expect(granted).toBe(true);
  });

  test("permits of a dead client come back", async () => {
    const client = lab.client();
    await lab.run(acquirePermits(client.context, "x", { permits: 5, limit: 5, ttl: "10s" }));
    client.kill();
    await lab.run(acquire(1));
    expect(lab.time.now).toBeLessThanOrEqual(11_000);
  });

  test("never grants to a waiter whose lease ended while it waited", async () => {
    const holder = await lab.run(acquire(5));
    const ends: string[] = [];
    void acquire(1, { id: "11" }).catch((error) => ends.push(error.reason));
    await lab.advance(0);
    await lab.revoke("11");
    await lab.advance(0);
    expect(ends).toEqual(["sessionLost"]);
    await lab.run(holder.release());
  });

  test("with the same id is the same hold, for other permits a conflict", async () => {
    const one = await lab.run(acquire(2, { id: "11" }));
    expect((await lab.run(acquire(2, { id: "11" }))).fence).toBe(one.fence);
    await expect(lab.run(acquire(3, { id: "11" }))).rejects.toMatchObject({ reason: "conflict" });
    expect(await permits()).toEqual([[2], []]);
  });

  test("guards writes as long as the permits are held", async () => {
    const client = lab.client();
    const hold = await lab.run(acquirePermits(client.context, "x", { limit: 1 }));
    const write = () => client.context.store.txn(hold.guard(txnOf([], [putOp(ascii("/d"), ascii("1"))])));
    expect((await write()).succeeded).toBe(true);
    await lab.revoke(hold.lease);
    expect((await write()).succeeded).toBe(false);
  });

  test("looks again when the history it waits for is compacted", async () => {
    const holder = await lab.run(acquire(5));
    const client = lab.client();
    client.latencyMs = () => 10;
    const waiting = acquirePermits(client.context, "x");
    await lab.advance(85); // it has read, and has not begun to watch
    await lab.run(holder.release());
    await lab.txn(txnOf([], [putOp(ascii("/other"), ascii("1"))]));
    await lab.compact();
    await lab.run(waiting);
  });

  test("a place in the line outlives the request, and goes on from its lease", async () => {
    const holder = await lab.run(acquire(5));
    const ticket = await lab.run(queueForPermits(context(), "x", { permits: 2, wait: "1s", ttl: "10s" }));
    if (ticket instanceof Hold) throw new Error("granted");
    expect(ticket.permits).toBe(2);
    await lab.advance(5_000);
    expect(await lab.run(resumePermits(context(), "x", ticket.lease, { wait: "1s" }))).toEqual(ticket);
    await lab.run(holder.release());
    expect(await lab.run(resumePermits(context(), "x", ticket.lease))).toBeInstanceOf(Hold);
    await lab.run(releasePermits(context(), "x", ticket.lease));
    await lab.run(releasePermits(context(), "x", ticket.lease));
    expect([await permits(), lab.leases()]).toEqual([[[], []], []]);
  });

  test("each call may be lost: one place, and nothing left of it", async () => {
    const { expected, runs } = await withEachFault(
      async (fresh, client) => {
        const first = await fresh.run(acquirePermits(client.context, "x", { permits: 2, limit: 3, id: "10", ttl: "30s" }));
        fresh.time.after(2_000, () => void first.release());
        const second = await fresh.run(acquirePermits(client.context, "x", { permits: 2, id: "11", ttl: "30s" }));
        const held = fresh.keys("/quorate/sem/x/h/").length;
        await fresh.run(second.release());
        await fresh.advance(1_000);
        const creations = fresh.history.flatMap(({ events }) => events).filter(({ kv }) => kv.version === 1);
        return { held, creations: creations.length, left: [fresh.keys().map(({ key }) => key), fresh.leases()] };
      },
      (result, first) => expect(result).toEqual(first),
    );
    expect(expected).toEqual({ held: 1, creations: 5, left: [["/quorate/sem/x/limit"], []] });
    expect(runs).toBeGreaterThanOrEqual(3 * 10);
  });
});

describe("tryPermits()", () => {
  test("takes what is there, and never waits", async () => {
    const one = await lab.run(tryPermits(context(), "x", { permits: 3, limit: 5 }));
    expect(one).toBeInstanceOf(Hold);
    expect(await lab.run(tryPermits(context(), "x", { permits: 3, limit: 5 }))).toBeNull();
    expect(await permits()).toEqual([[3], []]);
    expect(lab.leases()).toHaveLength(1);
    expect(await lab.run(tryPermits(context(), "x", { permits: 2, limit: 5, id: "11" }))).toBeInstanceOf(Hold);
    expect(await lab.run(tryPermits(context(), "x", { permits: 2, limit: 5, id: "11" }))).toBeInstanceOf(Hold);
    await expect(lab.run(tryPermits(context(), "x", { permits: 6 }))).rejects.toMatchObject({ reason: "conflict" });
  });

  test("does not overtake who waits", async () => {
    await lab.run(acquire(3));
    void acquire(4);
    await lab.advance(0);
    expect(await lab.run(tryPermits(context(), "x"))).toBeNull();
  });

  test("of many at once gives no more than the limit", async () => {
    const all = await lab.run(Promise.all(Array.from({ length: 9 }, () => tryPermits(context(), "x", { permits: 2, limit: 5 }))));
    expect(all.filter((hold) => hold !== null)).toHaveLength(2);
    expect(await permits()).toEqual([[2, 2], []]);
  });
});
