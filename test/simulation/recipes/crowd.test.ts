/** Many who wait for one thing: a release wakes only whose turn it is, and nobody else asks the store anything. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Hold } from "../../../core/recipes/hold.ts";
import { acquireLock } from "../../../core/recipes/lock.ts";
import { acquireRead, acquireWrite } from "../../../core/recipes/rwlock.ts";
import { type LabClient, RecipeLab } from "../../helpers/recipe-lab.ts";

const CROWD = 1_000;
/** Longer than the test takes: no renewals among the calls that are counted. */
const TTL = "1h";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

/** Calls of all, by kind, since the last time. */
function counting(clients: readonly LabClient[]): () => Record<string, number> {
  const seen = new Map<LabClient, number>();
  const count = () => {
    const kinds: Record<string, number> = {};
    for (const client of clients) {
      for (const { kind } of client.calls.slice(seen.get(client) ?? 0)) kinds[kind] = (kinds[kind] ?? 0) + 1;
      seen.set(client, client.calls.length);
    }
    return kinds;
  };
  count();
  return count;
}

describe(`a crowd of ${CROWD}`, () => {
  test("at a lock: each release wakes one, by one read, and each has it in turn", async () => {
    const clients = Array.from({ length: CROWD }, () => lab.client());
    const order: number[] = [];
    const holds: Hold[] = [];
    for (const [at, client] of clients.entries()) {
      void acquireLock(client.context, "x", { ttl: TTL }).then((hold) => {
        order.push(at);
        holds[at] = hold;
      });
      await lab.time.settle();
    }
    expect(order).toEqual([0]);
    const calls = counting(clients);
    for (let turn = 0; turn < CROWD - 1; turn++) {
      await lab.run(holds[turn]!.release());
      await lab.time.settle();
      expect(order.length).toBe(turn + 2);
      // Of the one that leaves: its key, its lease. Of the one that comes: the read before it is told.
      expect(calls()).toEqual({ txn: 2, revoke: 1 });
    }
    expect(order).toEqual(clients.map((_, at) => at));
  }, 60_000);

  test("at a read-write lock: a writer's release wakes the readers up to the next writer", async () => {
    const writer = await lab.run(acquireWrite(lab.client().context, "x", { ttl: TTL }));
    const clients = Array.from({ length: 100 }, () => lab.client());
    let granted = 0;
    for (const [at, client] of clients.entries()) {
      void (at === 60 ? acquireWrite : acquireRead)(client.context, "x", { ttl: TTL }).then(() => granted++);
      await lab.time.settle();
    }
    const calls = counting(clients);
    await lab.run(writer.release());
    await lab.time.settle();
    expect([granted, calls()]).toEqual([60, { txn: 60 }]);
  });
});
