import { expect, test } from "vitest";
import { AlarmClock } from "./alarm-clock.ts";

function setup(at: number | null = null) {
  const set: number[] = [];
  const errors: unknown[] = [];
  const storage = {
    getAlarm: () => Promise.resolve(at),
    setAlarm: (ms: number) => {
      set.push(ms);
      return Promise.resolve();
    },
  };
  return { set, errors, alarm: new AlarmClock(storage, (error) => errors.push(error)) };
}

test("it is only ever moved to an earlier time", () => {
  const { alarm, set } = setup();
  for (const at of [500, 700, null, 400, undefined, 400, 450]) alarm.notLaterThan(at);
  expect([set, alarm.at]).toEqual([[500, 400], 400]);
});

test("what an earlier instance has set is known, and not set again", async () => {
  const { alarm, set } = setup(300);
  await alarm.load();
  alarm.notLaterThan(300);
  alarm.notLaterThan(200);
  expect(set).toEqual([200]);
});

test("when it has rung it is set for the earliest of what is due, not at once", () => {
  const { alarm, set } = setup();
  alarm.notLaterThan(100);
  alarm.rung();
  alarm.rearm(1_000, undefined, null);
  expect([set, alarm.at]).toEqual([[100], null]);
  alarm.rearm(1_000, 5_000, 3_000);
  alarm.rung();
  alarm.rearm(4_000, 900);
  expect(set).toEqual([100, 5_000, 3_000, 4_100]);
});

test("a platform that cannot set it is told of", async () => {
  const errors: unknown[] = [];
  const storage = { getAlarm: () => Promise.resolve(null), setAlarm: () => Promise.reject(new Error("no")) };
  new AlarmClock(storage, (error) => errors.push(error)).notLaterThan(1);
  await Promise.resolve();
  await Promise.resolve();
  expect(errors.map(String)).toEqual(["Error: no"]);
});
