import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import type { RecipeContext } from "./client-port.ts";
import { moveCursor, publish, readCursor, readEvents, readRetention, setRetention, subscribe } from "./topic.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const say = (context: RecipeContext, text: string, options = {}): Promise<number> => publish(context, "news", ascii(text), options);

/** The next `count` steps of a subscription, as text. */
async function told(context: RecipeContext, count: number, after?: number): Promise<string[]> {
  const over = new AbortController();
  const steps: string[] = [];
  for await (const step of subscribe(context, "news", { signal: over.signal, ...(after === undefined ? {} : { after }) })) {
    steps.push(step.kind === "event" ? step.value : "reset");
    if (steps.length === count) break;
  }
  return steps;
}

describe("a subscriber", () => {
  test("is told of everything after its cursor, in one order, what is yet to come included", async () => {
    const { context } = lab.client();
    const first = await lab.run(say(context, "a"));
    await lab.run(say(context, "b"));
    const here = told(lab.client().context, 3, first);
    const there = told(lab.client().context, 4, 0);
    await lab.run(say(context, "c"));
    await lab.run(say(context, "d"));
    expect(await lab.run(here)).toEqual(["b", "c", "d"]);
    expect(await lab.run(there)).toEqual(["a", "b", "c", "d"]);
  });

  test("without a cursor is told of what is to come", async () => {
    const { context } = lab.client();
    await lab.run(say(context, "old"));
    const steps = told(lab.client().context, 1);
    await lab.advance(10);
    await lab.run(say(context, "new"));
    expect(await lab.run(steps)).toEqual(["new"]);
  });

  test("whose cursor lies before what history knows is told so, and then of what is left", async () => {
    const { context } = lab.client();
    const first = await lab.run(say(context, "a"));
    for (const text of ["b", "c"]) await lab.run(say(context, text));
    await lab.run(lab.compact());
    const steps = told(lab.client().context, 4, first);
    await lab.advance(10);
    await lab.run(say(context, "d"));
    expect(await lab.run(steps)).toEqual(["reset", "b", "c", "d"]);
  });

  test("goes on without a gap when history is compacted while it waits", async () => {
    const { context } = lab.client();
    const steps = told(lab.client().context, 6, 0);
    for (let n = 0; n < 6; n++) {
      await lab.run(say(context, String(n)));
      await lab.run(lab.compact());
    }
    expect((await lab.run(steps)).filter((step) => step !== "reset")).toEqual(["0", "1", "2", "3", "4", "5"]);
  });
});

describe("publishing", () => {
  test("with an idempotency key happens once, whatever becomes of the calls", async () => {
    const { runs } = await withEachFault(
      async (one, { context }) => {
        const numbers = [
          await one.run(say(context, "a", { idempotencyKey: "k" })),
          await one.run(say(context, "a", { idempotencyKey: "k" })),
        ];
        const { events } = await one.run(readEvents(context, "news"));
        return { same: numbers[0] === numbers[1], events: events.map(({ value }) => value), number: events[0]?.revision === numbers[0] };
      },
      (result) => expect(result).toEqual({ same: true, events: ["a"], number: true }),
    );
    expect(runs).toBeGreaterThan(5);
  });

  test("removes what is too old, and what is too much", async () => {
    const { context } = lab.client();
    await lab.run(setRetention(context, "news", { maxAgeMs: 60_000, maxCount: 3 }));
    for (let n = 0; n < 8; n++) await lab.run(say(context, String(n)));
    const kept = async (): Promise<string[]> => (await lab.run(readEvents(context, "news"))).events.map(({ value }) => value as string);
    expect(await kept()).toEqual(["5", "6", "7"]);
    await lab.advance(60_000);
    expect(await kept()).toEqual(["5", "6", "7"]);
    await lab.advance(60_000);
    expect(await kept()).toEqual([]);
  });

  test("obeys a retention that another has just set", async () => {
    const [a, b] = [lab.client().context, lab.client().context];
    await lab.run(say(a, "1"));
    await lab.run(setRetention(b, "news", { maxAgeMs: 3_600_000, maxCount: 1 }));
    for (let n = 2; n < 5; n++) await lab.run(say(a, String(n)));
    expect((await lab.run(readEvents(a, "news"))).events.map(({ value }) => value)).toEqual(["4"]);
    expect((await lab.run(readRetention(a, "news"))).retention).toEqual({ maxAgeMs: 3_600_000, maxCount: 1 });
  });

  test.each([
    ["maxAge", { maxAgeMs: 10, maxCount: null }],
    ["maxCount", { maxAgeMs: 60_000, maxCount: 0 }],
  ])("refuses a retention with a bad %s", async (field, retention) => {
    await expect(lab.run(setRetention(lab.client().context, "news", retention))).rejects.toMatchObject({ details: { field } });
  });
});

test("a page of events says whether there are more", async () => {
  const { context } = lab.client();
  for (const text of ["a", "b", "c"]) await lab.run(say(context, text));
  const first = await lab.run(readEvents(context, "news", { limit: 2 }));
  expect([first.events.map(({ value }) => value), first.more]).toEqual([["a", "b"], true]);
  const rest = await lab.run(readEvents(context, "news", { after: first.events[1]!.revision }));
  expect([rest.events.map(({ value }) => value), rest.more]).toEqual([["c"], false]);
});

test("of two processes of a consumer only one moves its cursor", async () => {
  const [a, b] = [lab.client().context, lab.client().context];
  const start = await lab.run(readCursor(a, "news", "mail"));
  expect(start).toEqual({ after: 0, modRevision: 0 });
  const moved = await lab.run(moveCursor(a, "news", "mail", 7, start));
  await expect(lab.run(moveCursor(b, "news", "mail", 9, start))).rejects.toMatchObject({ reason: "conflict", details: { after: 7 } });
  expect((await lab.run(moveCursor(b, "news", "mail", 9, moved))).after).toBe(9);
});

test("moving a cursor is the same act again when the answer was lost", async () => {
  await withEachFault(
    async (one, { context }) => {
      const cursor = await one.run(moveCursor(context, "news", "mail", 5, { modRevision: 0 }));
      return (await one.run(moveCursor(context, "news", "mail", 6, cursor))).after;
    },
    (after) => expect(after).toBe(6),
  );
});

test("who asked again is not told that it moved a cursor to where another has moved it", async () => {
  const [a, b] = [lab.client(), lab.client()];
  a.fault = ({ number }) => (number === 1 ? "lose-request" : "none");
  const moves = [a, b].map(({ context }) => moveCursor(context, "news", "mail", 7, { modRevision: 0 }));
  const told = (await lab.run(Promise.allSettled(moves))).map(({ status }) => status);
  expect(told).toEqual(["rejected", "fulfilled"]);
});
