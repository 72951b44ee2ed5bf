import { afterEach, beforeEach, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { checkFence } from "./fence.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const check = (fence: bigint) => lab.run(checkFence(lab.client().context, "x", fence));

test("a fence is accepted when it is as high as the highest seen, or higher", async () => {
  expect(await check(7n)).toEqual({ accepted: true, highest: 7n });
  expect(await check(7n)).toEqual({ accepted: true, highest: 7n });
  expect(await check(6n)).toEqual({ accepted: false, highest: 7n });
  expect(await check(10n)).toEqual({ accepted: true, highest: 10n }); // a number, not a text
  expect(lab.keys().map(({ key, value, version }) => [key, value, version])).toEqual([["/quorate/fences/x", "10", 2]]);
});

test("of many at once, none is accepted after a higher one", async () => {
  const fences = [3n, 9n, 1n, 7n, 5n, 8n];
  const order: string[] = [];
  await lab.run(
    Promise.all(
      fences.map(async (fence) => {
        const { accepted } = await checkFence(lab.client().context, "x", fence);
        if (accepted) order.push(fence.toString());
      }),
    ),
  );
  expect(order).toEqual(order.toSorted());
  expect(order.at(-1)).toBe("9");
});

test.each([-1n, 2n ** 63n])("refuses %d", async (fence) => {
  await expect(check(fence)).rejects.toMatchObject({ reason: "badField" });
});

test("each call may be lost", async () => {
  const { expected } = await withEachFault(
    async (fresh, client) => {
      const outcomes = [];
      for (const fence of [5n, 7n, 6n]) outcomes.push((await fresh.run(checkFence(client.context, "x", fence))).accepted);
      return outcomes;
    },
    (result, first) => expect(result).toEqual(first),
  );
  expect(expected).toEqual([true, true, false]);
});
