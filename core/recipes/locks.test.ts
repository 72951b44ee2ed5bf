import { afterEach, beforeEach, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { acquireLock, breakLock } from "./lock.ts";
import { acquireLocks } from "./locks.ts";
import { txnOf } from "./requests.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const acquire = (names: string[], options = {}) => acquireLocks(lab.client().context, names, options);

test("takes all with one session, told in the order asked for, and releases all", async () => {
  const held = await lab.run(acquire(["b", "a", "c"]));
  expect(held.holds.map(({ key }) => key.split("/")[3])).toEqual(["b", "a", "c"]);
  expect(
    lab
      .keys("/quorate/locks/")
      .toSorted((x, y) => x.createRevision - y.createRevision)
      .map(({ key }) => key.split("/")[3]),
  ).toEqual(["a", "b", "c"]);
  expect(lab.leases()).toEqual([held.session.id]);
  expect(held.guard(txnOf([], [])).compare).toHaveLength(3);
  await lab.run(held.release());
  await lab.run(held.release());
  expect([lab.keys(), lab.leases()]).toEqual([[], []]);
});

test("two who want the same never wait for each other", async () => {
  const work = async (names: string[]) => {
    for (let turn = 0; turn < 5; turn++) await (await acquire(names)).release();
  };
  await lab.run(Promise.all([work(["a", "b", "c"]), work(["c", "b", "a"]), work(["b", "a"])]));
  expect(lab.keys()).toEqual([]);
});

test("keeps none when one cannot be had in time", async () => {
  const other = await lab.run(acquireLock(lab.client().context, "b"));
  await expect(lab.run(acquire(["a", "b"], { wait: "2s" }))).rejects.toMatchObject({ reason: "held" });
  await lab.advance(100);
  expect([lab.time.now, lab.keys().length, lab.leases()]).toEqual([2_100, 1, [other.lease]]);
});

test("a guard of all fails when one is taken away", async () => {
  const client = lab.client();
  const held = await lab.run(acquireLocks(client.context, ["a", "b"]));
  await lab.run(breakLock(lab.client().context, "b"));
  expect((await client.context.store.txn(held.guard(txnOf([], [])))).succeeded).toBe(false);
});

test("refuses a name that is there twice", async () => {
  await expect(acquire(["a", "a"])).rejects.toMatchObject({ reason: "badField" });
});

test("each call may be lost", async () => {
  const { expected } = await withEachFault(
    async (fresh, client) => {
      const held = await fresh.run(acquireLocks(client.context, ["b", "a"], { ttl: "30s" }));
      const keys = fresh.keys().length;
      await fresh.run(held.release());
      return { keys, left: [fresh.keys(), fresh.leases()] };
    },
    (result, first) => expect(result).toEqual(first),
  );
  expect(expected).toEqual({ keys: 2, left: [[], []] });
});
