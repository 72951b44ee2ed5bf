import { describe, expect, test } from "vitest";
import { StoreClock } from "./store-clock.ts";

const HOUR = 3_600_000;
const date = (ms: number): Headers => new Headers({ date: new Date(ms).toUTCString() });

describe("StoreClock", () => {
  test("is this machine's until a reply says better", () => {
    let mono = 5_000;
    const clock = new StoreClock(() => mono, HOUR);
    mono += 250;
    expect(clock.nowMs()).toBe(HOUR + 250);
    const nothings: Record<string, string>[] = [{}, { date: "" }, { date: "yesterday" }, { "quorate-time": "noon" }];
    for (const nothing of nothings) clock.learn(new Headers(nothing), mono);
    expect(clock.nowMs()).toBe(HOUR + 250);
  });

  test("comes nearer with each reply", () => {
    let mono = 0;
    // The store is three hours and 637 ms ahead.
    const store = (): number => mono + 3 * HOUR + 637;
    const clock = new StoreClock(() => mono, 0);
    const errors: number[] = [];
    for (const [pause, tripMs] of [
      [0, 400],
      [130, 20],
      [290, 10],
      [210, 10],
      [333, 6],
    ] as const) {
      mono += pause;
      const sentMs = mono;
      mono += tripMs / 2;
      const told = date(store());
      mono += tripMs / 2;
      clock.learn(told, sentMs);
      errors.push(Math.abs(clock.nowMs() - store()));
    }
    expect(errors[0]).toBeLessThanOrEqual(700);
    expect(errors.at(-1)).toBeLessThanOrEqual(250);
    expect(errors.at(-1)).toBeLessThan(errors[0]!);
  });

  test("is as near as the reply was fast where it says milliseconds", () => {
    let mono = 0;
    const store = (): number => mono + 3 * HOUR + 637.4;
    const clock = new StoreClock(() => mono, 0);
    for (const tripMs of [400, 20, 10, 90]) {
      const sentMs = mono;
      mono += tripMs / 4;
      const told = new Headers({ "quorate-time": String(Math.floor(store())), ...Object.fromEntries(date(store())) });
      mono += tripMs - tripMs / 4;
      clock.learn(told, sentMs);
    }
    expect(Math.abs(clock.nowMs() - store())).toBeLessThanOrEqual(6);
  });

  test("follows a clock that was set", () => {
    const clock = new StoreClock(() => 0, HOUR);
    clock.learn(date(HOUR), 0);
    clock.learn(date(5 * HOUR), 0);
    expect(Math.abs(clock.nowMs() - 5 * HOUR)).toBeLessThanOrEqual(500);
  });
});
