import { afterEach, beforeEach, expect, test } from "vitest";
import { RecipeLab } from "../../../test/helpers/recipe-lab.ts";
import { readCounter, setCounter } from "../../recipes/counter.ts";
import { CounterAdds } from "./counter-adds.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

/** What came of adds that begin together. */
const all = (adds: readonly Promise<{ readonly value: bigint }>[]) =>
  lab.run(Promise.all(adds.map((add) => add.then(({ value }) => value).catch((error: { reason: string }) => error.reason))));

test("many at once go in a few transactions, and each has the total of its turn", async () => {
  const { context } = lab.client();
  const adds = new CounterAdds(context);
  const before = (await lab.run(readCounter(context, "c"))).revision;
  expect(await all(Array.from({ length: 100 }, () => adds.add("c", 1n)))).toEqual(Array.from({ length: 100 }, (_, n) => BigInt(n + 1)));
  const { value, revision } = await lab.run(readCounter(context, "c"));
  expect([value, revision - before]).toEqual([100n, 2]);
});

test("those of two members give distinct totals", async () => {
  const members = [lab.client(), lab.client()];
  for (const client of members) client.latencyMs = () => 2;
  const lines = members.map(({ context }) => new CounterAdds(context));
  const totals = await all(Array.from({ length: 60 }, (_, n) => lines[n % 2]!.add("c", 2n)));
  expect(totals.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 60 }, (_, n) => BigInt(2 * (n + 1))));
});

test("bounds hold for each in its turn, and no other is refused with it", async () => {
  const adds = new CounterAdds(lab.client().context);
  const min = { min: 0n };
  const asked = [adds.add("c", 1n), adds.add("c", -1n, min), adds.add("c", -1n, min), adds.add("c", 5n), adds.add("c", -1n, min)];
  expect(await all(asked)).toEqual([1n, 0n, "conflict", 5n, 4n]);
});

test("what is too much together is not, one by one", async () => {
  const { context } = lab.client();
  const adds = new CounterAdds(context);
  await lab.run(setCounter(context, "c", 2n ** 63n - 3n));
  expect(await all([adds.add("c", 1n), adds.add("c", 1n), adds.add("c", 1n), adds.add("c", -1n)])).toEqual([
    2n ** 63n - 2n,
    2n ** 63n - 1n,
    "conflict",
    2n ** 63n - 2n,
  ]);
});

test("an outcome that is not known is not known to all of them, and the next ones go on", async () => {
  const client = lab.client();
  const adds = new CounterAdds(client.context);
  await all([adds.add("c", 1n)]);
  client.fault = () => "lose-reply";
  expect(await all([adds.add("c", 1n)])).toEqual(["timeout"]);
  client.fault = () => "none";
  expect(await all([adds.add("c", 1n)])).toEqual([3n]);
});
