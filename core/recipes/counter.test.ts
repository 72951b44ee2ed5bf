import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { putOp, txnOf } from "./requests.ts";
import { Sequence, addToCounter, deleteCounter, readCounter, reserve, setCounter } from "./counter.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

describe("adding", () => {
  test("gives the total, and takes one round trip while nobody else adds", async () => {
    const { context, calls } = lab.client();
    expect((await lab.run(addToCounter(context, "c", 2n))).value).toBe(2n);
    const before = calls.length;
    expect((await lab.run(addToCounter(context, "c", 3n))).value).toBe(5n);
    expect(calls.length - before).toBe(1);
    expect(lab.keys("/quorate/counters/").map(({ key, value }) => [key, value])).toEqual([["/quorate/counters/c", "5"]]);
  });

  test("by many at once gives each a total of its own", async () => {
    const clients = Array.from({ length: 8 }, () => lab.client());
    for (const client of clients) client.latencyMs = () => 3;
    const adds = clients.flatMap(({ context }) => Array.from({ length: 5 }, () => addToCounter(context, "c", 1n)));
    const totals = (await lab.run(Promise.all(adds))).map(({ value }) => value);
    expect(totals.toSorted((a, b) => Number(a - b))).toEqual(Array.from({ length: 40 }, (_, n) => BigInt(n + 1)));
  });

  test("with an idempotency key is done once, whatever becomes of the calls", async () => {
    const { runs } = await withEachFault(
      async (one, { context }) => {
        const add = (): Promise<unknown> => addToCounter(context, "c", 7n, { idempotencyKey: "k" });
        const first = await one.run(add());
        await one.run(addToCounter(one.client().context, "c", 1n));
        return [first, await one.run(add()), (await one.run(readCounter(context, "c"))).value].map((each) =>
          typeof each === "bigint" ? each : (each as { value: bigint }).value,
        );
      },
      (result) => expect(result).toEqual([7n, 7n, 8n]),
    );
    expect(runs).toBeGreaterThan(5);
  });

  test("without one tells that the outcome is not known, and adds once or not at all", async () => {
    for (const fault of ["lose-reply", "lose-request"] as const) {
      const client = lab.client();
      await lab.run(addToCounter(client.context, "c", 1n));
      const { value } = await lab.run(readCounter(client.context, "c"));
      client.fault = () => fault;
      await expect(lab.run(addToCounter(client.context, "c", 1n))).rejects.toMatchObject({ reason: "timeout" });
      client.fault = () => "none";
      const after = (await lab.run(readCounter(client.context, "c"))).value;
      expect(after - value).toBe(fault === "lose-reply" ? 1n : 0n);
      expect((await lab.run(addToCounter(client.context, "c", 1n))).value).toBe(after + 1n);
    }
  });

  test("never crosses a bound, also when the value that was seen last is an old one", async () => {
    const [a, b] = [lab.client().context, lab.client().context];
    await lab.run(addToCounter(a, "c", 9n, { max: 10n }));
    await expect(lab.run(addToCounter(a, "c", 2n, { max: 10n }))).rejects.toMatchObject({ reason: "conflict", details: { bound: "max" } });
    await lab.run(addToCounter(b, "c", -5n));
    expect((await lab.run(addToCounter(a, "c", 2n, { max: 10n }))).value).toBe(6n);
    await expect(lab.run(addToCounter(a, "c", -7n, { min: 0n }))).rejects.toMatchObject({ details: { bound: "min" } });
    await lab.run(setCounter(a, "d", 2n ** 63n - 1n));
    await expect(lab.run(addToCounter(a, "d", 1n))).rejects.toMatchObject({ details: { bound: "max" } });
  });

  test("to what is no number is refused", async () => {
    const { context } = lab.client();
    await lab.txn(txnOf([], [putOp(ascii("/quorate/counters/c"), ascii("x"))]));
    await expect(lab.run(addToCounter(context, "c", 1n))).rejects.toMatchObject({ reason: "conflict" });
  });

  test("to shards adds to their sum", async () => {
    const { context } = lab.client();
    for (let n = 0; n < 20; n++) await lab.run(addToCounter(context, "hot", 1n, { shards: 4 }));
    expect((await lab.run(readCounter(context, "hot"))).value).toBe(20n);
    expect(lab.keys("/quorate/counters/hot/").length).toBeGreaterThan(1);
    await expect(lab.run(addToCounter(context, "hot", 1n, { shards: 4, max: 5n }))).rejects.toMatchObject({ details: { field: "shards" } });
  });
});

test("a counter is set once also when the answer is lost", async () => {
  await withEachFault(
    async (one, { context }) => {
      const set = await one.run(setCounter(context, "c", 5n, 0));
      return [set.value, (await one.run(setCounter(context, "c", 6n, set.revision))).value];
    },
    (values) => expect(values).toEqual([5n, 6n]),
  );
});

test("of two who set a counter to the same value under the same condition one is told that it did", async () => {
  const [mine, other] = [lab.client(), lab.client()];
  // The first transaction is not done and not heard of; before the second one, another sets it.
  let tries = 0;
  mine.fault = ({ kind }) => (kind === "txn" && tries++ === 0 ? "lose-request" : "none");
  const setting = setCounter(mine.context, "same", 5n, 0);
  await lab.run(setCounter(other.context, "same", 5n, 0));
  await expect(lab.run(setting)).rejects.toMatchObject({ reason: "conflict" });
});

test("a counter that was set is told so, although another has set it since; and a try that comes late changes nothing", async () => {
  const [mine, other] = [lab.client(), lab.client()];
  let tries = 0;
  mine.fault = ({ kind }) => (kind === "txn" && tries++ === 0 ? "lose-reply" : "none");
  const setting = setCounter(mine.context, "told", 5n, 0);
  await lab.advance(1);
  await lab.run(setCounter(other.context, "told", 6n));
  expect((await lab.run(setting)).value).toBe(5n);
  tries = 0;
  mine.fault = ({ kind }) => (kind === "txn" && tries++ === 0 ? "late" : "none");
  await lab.run(setCounter(mine.context, "told", 7n));
  await lab.run(setCounter(mine.context, "told", 8n));
  await lab.advance(10_000);
  expect((await lab.run(readCounter(mine.context, "told"))).value).toBe(8n);
});

test("a counter is set if it is as it was, and deleted", async () => {
  const { context } = lab.client();
  const { revision } = await lab.run(setCounter(context, "c", 5n, 0));
  await expect(lab.run(setCounter(context, "c", 6n, 0))).rejects.toMatchObject({ reason: "conflict" });
  expect((await lab.run(setCounter(context, "c", 6n, revision))).value).toBe(6n);
  await lab.run(deleteCounter(context, "c"));
  expect(await lab.run(readCounter(context, "c"))).toMatchObject({ value: 0n, modRevision: 0 });
});

test("blocks of a sequence never overlap, and its numbers rise", async () => {
  const contexts = Array.from({ length: 4 }, () => lab.client().context);
  const blocks = await lab.run(Promise.all(contexts.flatMap((context) => [1, 10, 3].map((count) => reserve(context, "ids", count)))));
  const all = blocks.flatMap(({ first, last }) => Array.from({ length: Number(last - first) + 1 }, (_, n) => first + BigInt(n)));
  expect(new Set(all).size).toBe(56);
  const sequence = new Sequence(contexts[0]!, "ids", { block: 5 });
  const taken: bigint[] = [];
  for (let n = 0; n < 12; n++) taken.push(await lab.run(sequence.next()));
  expect(taken.every((id, at) => id > (taken[at - 1] ?? 56n))).toBe(true);
});
