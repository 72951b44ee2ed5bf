import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nextTick } from "../../adapters/cron/next-tick.ts";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import type { RecipeContext } from "./client-port.ts";
import { acknowledge } from "./queue-flight.ts";
import { setQueue } from "./queue-settings.ts";
import { peekMessages } from "./queue-state.ts";
import { takeMessages } from "./queue-take.ts";
import { type Schedule, deleteSchedule, fireSchedules, listSchedules, putSchedule, readSchedule, runSchedule } from "./schedule.ts";

let lab: RecipeLab;
let context: RecipeContext;
beforeEach(async () => {
  lab = await RecipeLab.start();
  ({ context } = lab.client());
});
afterEach(() => lab.close());

const EVERY: Schedule = { everyMs: 10_000, queue: "q", body: "tick", catchUp: "one" };
const set = (more: Partial<Schedule> = {}): Promise<unknown> => lab.run(putSchedule(context, "s", { ...EVERY, ...more }));
const fire = (by = context): Promise<number | null> => lab.run(fireSchedules(by, nextTick));
const put = async (): Promise<number> => (await lab.run(peekMessages(context, "q", { limit: 500 }))).length;

describe("a tick", () => {
  test("comes at its time, once, however many look", async () => {
    await set();
    const others = Array.from({ length: 4 }, () => lab.client().context);
    await lab.run(Promise.all(others.map((by) => fireSchedules(by, nextTick))));
    expect(await put()).toBe(0);
    for (let n = 1; n <= 3; n++) {
      await lab.advance(10_000);
      await lab.run(Promise.all(others.map((by) => fireSchedules(by, nextTick))));
      expect(await put()).toBe(n);
    }
  });

  test("is put once also when answers are lost", async () => {
    await withEachFault(
      async (one, client) => {
        await one.run(putSchedule(client.context, "s", EVERY));
        for (let n = 0; n < 4; n++) {
          await one.run(fireSchedules(client.context, nextTick)).catch(() => {});
          await one.advance(10_000);
        }
        await one.run(fireSchedules(one.client().context, nextTick));
        return (await one.run(peekMessages(one.client().context, "q", { limit: 50 }))).length;
      },
      (count, expected) => expect(Math.abs(count - expected)).toBeLessThanOrEqual(1), // a look more or less moves the first tick
    );
  });

  test.each([
    ["none", 0],
    ["one", 1],
    ["all", 24],
  ] as const)("that was missed, with catchUp %s, puts %i beside those that are on time", async (catchUp, missed) => {
    const count = missed + 7; // of the last minute
    await set({ catchUp });
    await fire();
    await lab.advance(310_000);
    await fire();
    expect(await put()).toBe(count);
    await lab.advance(10_001);
    await fire();
    expect(await put()).toBe(count + 1);
  });
});

test.each(["none", "one", "all"] as const)("looking late moves no tick and drops none, with catchUp %s", async (catchUp) => {
  await set({ everyMs: 1_000, catchUp });
  await fire();
  for (let n = 0; n < 20; n++) {
    await lab.advance(n % 4 === 3 ? 9_230 : 230);
    await fire();
  }
  expect(await put()).toBe(Math.floor((15 * 230 + 5 * 9_230) / 1_000));
});

describe("a queue with a bound", () => {
  const take = async (): Promise<void> => {
    const { messages } = await lab.run(takeMessages(context, "q", { max: 100 }));
    for (const { receipt } of messages) await lab.run(acknowledge(context, "q", receipt!));
  };

  test("is never filled beyond it: ticks wait for room, and come then", async () => {
    await lab.run(setQueue(context, "q", { maxLength: 2 }));
    await set();
    for (let n = 0; n < 5; n++) {
      await fire();
      await lab.advance(10_001);
      expect(await put()).toBeLessThanOrEqual(2);
    }
    expect(await fire()).toBeGreaterThan(lab.client().context.host.clockMs());
    await take();
    await fire();
    expect(await put()).toBe(2);
    await take();
    await fire();
    expect(await put()).toBe(1);
  });

  test.each([
    ["none", 4], // two of the last minute
    ["one", 5],
    ["all", 6],
  ] as const)("keeps them out for long as an outage does, with catchUp %s", async (catchUp, expected) => {
    const most = 2;
    await lab.run(setQueue(context, "q", { maxLength: most }));
    await set({ everyMs: 50_000, catchUp });
    for (let n = 0; n < 30; n++) {
      await fire();
      await lab.advance(10_001);
    }
    expect(await put()).toBe(most);
    let all = most;
    for (let n = 0; n < 10; n++) {
      await take();
      await fire();
      all += await put();
    }
    expect(all).toBe(expected);
  });

  test("whose bound comes while nobody looks keeps the next tick out", async () => {
    await set();
    await fire();
    await lab.advance(10_001);
    await fire();
    await lab.run(setQueue(lab.client().context, "q", { maxLength: 1 }));
    await lab.advance(10_001);
    await fire();
    await fire();
    expect(await put()).toBe(1);
    await expect(lab.run(runSchedule(context, "s"))).rejects.toMatchObject({ reason: "queueFull" });
  });
});

test("cron expressions are those of a time zone", () => {
  const at = (text: string): number => Date.parse(text);
  expect(nextTick({ ...EVERY, everyMs: undefined, cron: "30 4 * * *", tz: "Europe/Berlin" }, at("2026-07-01T00:00:00Z"))).toBe(
    at("2026-07-01T02:30:00Z"),
  );
  expect(nextTick({ ...EVERY, everyMs: undefined, cron: "*/5 * * * * *" }, at("2026-07-01T00:00:01Z"))).toBe(at("2026-07-01T00:00:05Z"));
});

test("one that cannot be fired says why, and holds up no other", async () => {
  await lab.run(putSchedule(context, "bad", { ...EVERY, everyMs: undefined, cron: "every monday" }));
  await set();
  await fire();
  expect(await lab.run(readSchedule(context, "bad"))).toMatchObject({ problem: expect.stringMatching(/./) as string, nextAtMs: null });
  await lab.advance(10_001);
  await fire();
  expect(await put()).toBe(1);
});

test("it is listed, run by hand, and deleted", async () => {
  await set();
  await lab.run(runSchedule(context, "s"));
  expect(await put()).toBe(1);
  expect(await lab.run(listSchedules(context))).toMatchObject([{ name: "s", queue: "q" }]);
  await lab.run(deleteSchedule(context, "s"));
  expect(await lab.run(listSchedules(context))).toEqual([]);
  await expect(lab.run(runSchedule(context, "s"))).rejects.toMatchObject({ reason: "keyAbsent" });
});

test.each([
  ["cron", { cron: "* * * * *" }],
  ["every", { everyMs: 10 }],
  ["queue", { queue: "" }],
])("a bad %s is refused by its name", async (field, more) => {
  await expect(set(more)).rejects.toMatchObject({ details: { field } });
});
