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
async function hungUpWhenGranted(id: string | undefined, accept?: string): Promise<number> {
  const { context } = lab.client();
  const query: AcquireQuery = { ttl: "10s", wait: undefined, id, owner: undefined, queue: false, hold: undefined };
  const hungUp = new AbortController();
  const services = { after: () => () => {} } as unknown as Call["services"];
  const request = { header: () => accept } as unknown as Call["request"];
  const work = async (): Promise<void> => {
    const { body } = await acquireReply({ query, context, signal: hungUp.signal, services, request } as Call<unknown, AcquireQuery>, {
      acquire: async ({ ttl }) => {
        const hold = await acquireLock(context, "x", { ttl, id });
        hungUp.abort();
        return hold;
      },
      queue: () => Promise.reject(new Error("not asked for")),
      holder: () => Promise.resolve(undefined),
    });
    if (typeof body === "string") return;
    await new Promise<void>((end) =>
      body({ write: () => true, onDrain: () => {}, onClose: (closed) => hungUp.signal.addEventListener("abort", closed), end }),
    );
  };
  await lab.run(work());
  return lab.keys().length;
}

test.each([
  ["a reply", undefined],
  ["a stream", "text/event-stream"],
])("what is granted to somebody who has hung up is given back, unless he can ask for it again by his id: %s", async (_, accept) => {
  expect(await hungUpWhenGranted(undefined, accept)).toBe(0);
  expect(await hungUpWhenGranted("4711", accept)).toBe(1);
});
