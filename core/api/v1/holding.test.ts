import { afterEach, beforeEach, expect, test } from "vitest";
import { RecipeLab } from "../../../test/helpers/recipe-lab.ts";
import { acquireLock } from "../../recipes/lock.ts";
import { type AcquireQuery, acquireReply } from "./holding.ts";
import type { Call } from "./operation.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

/** A request whose client hangs up at the moment at which the lock is granted. @returns the keys that are left */
async function hungUpWhenGranted(id: string | undefined): Promise<number> {
  const hungUp = new AbortController();
  const { context } = lab.client();
  const query: AcquireQuery = { ttl: "10s", wait: undefined, id, owner: undefined, queue: false, hold: undefined };
  await lab.run(
    acquireReply({ query, context, signal: hungUp.signal } as Call<unknown, AcquireQuery>, {
      acquire: async ({ ttl }) => {
        const hold = await acquireLock(context, "x", { ttl, id });
        hungUp.abort();
        return hold;
      },
      queue: () => Promise.reject(new Error("not asked for")),
      holder: () => Promise.resolve(undefined),
    }),
  );
  return lab.keys().length;
}

test("what is granted to somebody who has hung up is given back, unless he can ask for it again by his id", async () => {
  expect(await hungUpWhenGranted(undefined)).toBe(0);
  expect(await hungUpWhenGranted("4711")).toBe(1);
});
