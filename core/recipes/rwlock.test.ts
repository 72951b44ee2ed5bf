import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import type { Hold } from "./hold.ts";
import { putOp, txnOf } from "./requests.ts";
import {
  ReadHold,
  WriteHold,
  acquireRead,
  acquireWrite,
  downgradeRw,
  queueForRw,
  releaseRw,
  resumeRw,
  resumeWrite,
  rwState,
} from "./rwlock.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
const read = (options = {}) => acquireRead(context(), "x", options);
const write = (options = {}) => acquireWrite(context(), "x", options);

/** Comes in this order ("r1 w2 …"); who has it, in the order of grants, is in `granted`. */
async function come(names: string): Promise<{ granted: string[]; holds: Map<string, Hold> }> {
  const granted: string[] = [];
  const holds = new Map<string, Hold>();
  for (const owner of names.split(" ")) {
    void (owner.startsWith("r") ? read({ owner }) : write({ owner })).then((hold) => {
      granted.push(owner);
      holds.set(owner, hold);
    });
    await lab.advance(0);
  }
  return { granted, holds };
}

describe("a read-write lock", () => {
  test("is for many readers or one writer, in the order of arrival", async () => {
    const { granted, holds } = await come("r1 r2 w3 r4 r5 w6");
    const state = async () => {
      const { holders, line } = await lab.run(rwState(context(), "x"));
      return [holders, line].map((part) => part.map(({ owner }) => owner).join(" "));
    };
    expect(granted).toEqual(["r1", "r2"]);
    expect(await state()).toEqual(["r1 r2", "w3 r4 r5 w6"]);
    await lab.run(holds.get("r1")!.release());
    expect(granted).toHaveLength(2);
    await lab.run(holds.get("r2")!.release());
    await lab.advance(0);
    expect([granted.slice(2), await state()]).toEqual([["w3"], ["w3", "r4 r5 w6"]]);
    await lab.run(holds.get("w3")!.release());
    await lab.advance(0);
    expect([granted.slice(3).toSorted(), await state()]).toEqual([
      ["r4", "r5"],
      ["r4 r5", "w6"],
    ]); // exactly the readers up to the next writer
    const fences = ["r1", "r2", "w3", "r4", "r5"].map((owner) => holds.get(owner)!.fence);
    expect(fences).toEqual(fences.toSorted((a, b) => Number(a - b)));
  });

  test("keeps the number in the key as the fence, on the session's lease", async () => {
    const hold = await lab.run(write({ id: "11" }));
    const digits = hold.fence.toString().padStart(20, "0");
    expect(lab.keys("/quorate/rw/x/").map(({ key, lease }) => [key, lease])).toEqual([
      [`/quorate/rw/x/q/${digits}w`, "11"],
      ["/quorate/rw/x/s/11", "11"],
    ]);
    await lab.run(hold.release());
    expect([lab.keys(), lab.leases()]).toEqual([[], []]);
  });

  test("a writer that leaves the line lets the readers behind it through", async () => {
    const { granted } = await come("r1");
    void write({ wait: "2s" }).catch(() => granted.push("gave up"));
    await lab.advance(0);
    void read().then(() => granted.push("r3"));
    await lab.advance(1_000);
    expect(granted).toEqual(["r1"]);
    await lab.advance(2_000);
    expect(granted.toSorted()).toEqual(["gave up", "r1", "r3"]);
  });

  test("never grants to a waiter whose lease ended while it waited", async () => {
    const writer = await lab.run(write());
    const ends: string[] = [];
    void read({ id: "11" }).catch((error) => ends.push(error.reason));
    await lab.advance(0);
    await lab.revoke("11");
    await lab.advance(0);
    expect(ends).toEqual(["sessionLost"]);
    await lab.run(writer.release());
  });

  test("with the same id is the same hold, in the other mode a conflict", async () => {
    const one = await lab.run(read({ id: "11" }));
    expect((await lab.run(read({ id: "11" }))).fence).toBe(one.fence);
    await expect(lab.run(write({ id: "11" }))).rejects.toMatchObject({ reason: "conflict" });
    expect(lab.keys()).toHaveLength(2);
  });

  test("a downgrade lets readers in and no writer, and keeps the number", async () => {
    const writer = await lab.run(write({ id: "10" }));
    const { granted } = await come("r2 w3");
    const reader = await lab.run(writer.downgrade());
    await lab.advance(0);
    expect([granted, reader.fence]).toEqual([["r2"], writer.fence]);
    expect(() => writer.guard(txnOf([], []))).toThrow(/was released/);
    await lab.run(writer.release()); // not its to release any more
    await lab.advance(0);
    expect(granted).toEqual(["r2"]);
    const store = lab.client().context.store;
    expect((await store.txn(reader.guard(txnOf([], [putOp(ascii("/d"), ascii("1"))])))).succeeded).toBe(true);
    await lab.run(reader.release());
    const { holders } = await lab.run(rwState(context(), "x"));
    expect(holders.map(({ owner }) => owner)).toEqual(["r2"]);
  });

  test("a writer that was broken by force cannot downgrade", async () => {
    const writer = await lab.run(write({ id: "11" }));
    await lab.revoke("11");
    await expect(lab.run(writer.downgrade())).rejects.toMatchObject({ reason: "sessionLost" });
    expect(lab.keys()).toEqual([]);
  });

  test("a place in the line outlives the request, and goes on from its lease", async () => {
    const writer = await lab.run(write());
    const ticket = await lab.run(queueForRw(context(), "x", "read", { wait: "1s", ttl: "10s" }));
    expect(ticket).toMatchObject({ mode: "read", key: expect.stringMatching(/r$/) });
    if (ticket instanceof ReadHold || ticket instanceof WriteHold) throw new Error("granted");
    await lab.advance(5_000);
    expect(await lab.run(resumeRw(context(), "x", ticket.lease, { wait: 0 }))).toEqual(ticket);
    await lab.run(writer.release());
    expect(await lab.run(resumeRw(context(), "x", ticket.lease))).toBeInstanceOf(ReadHold);
    await lab.run(releaseRw(context(), "x", ticket.lease));
    await lab.run(releaseRw(context(), "x", ticket.lease));
    expect([lab.keys(), lab.leases()]).toEqual([[], []]);
    await expect(lab.run(resumeRw(context(), "x", ticket.lease))).rejects.toMatchObject({ reason: "sessionLost" });
  });

  test("is downgraded by the lease alone, and goes on in another process", async () => {
    const writer = await lab.run(write({ id: "11" }));
    const again = await lab.run(resumeWrite(context(), JSON.parse(JSON.stringify(writer))));
    expect([again.fence, again.mode]).toEqual([writer.fence, "write"]);
    expect((await lab.run(downgradeRw(context(), "x", "11"))).fence).toBe(writer.fence);
    expect((await lab.run(downgradeRw(context(), "x", "11"))).mode).toBe("read"); // a repeat
  });

  test("each call may be lost: one place, and nothing left of it", async () => {
    const { expected, runs } = await withEachFault(
      async (fresh, client) => {
        const first = await fresh.run(acquireRead(fresh.client().context, "x"));
        fresh.time.after(1_000, () => void first.release());
        const writer = await fresh.run(acquireWrite(client.context, "x", { ttl: "30s" }));
        const held = fresh.keys().length;
        const reader = await fresh.run(writer.downgrade());
        const kept = fresh.keys().length;
        await fresh.run(reader.release());
        const creations = fresh.history.flatMap(({ events }) => events).filter(({ kv }) => kv.version === 1 && kv.lease === reader.lease);
        return { held, kept, creations: creations.length, left: [fresh.keys(), fresh.leases()] };
      },
      (result, first) => expect(result).toEqual(first),
    );
    expect(expected).toEqual({ held: 2, kept: 2, creations: 3, left: [[], []] });
    expect(runs).toBeGreaterThanOrEqual(3 * 7);
  });
});
