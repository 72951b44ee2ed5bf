import { describe, expect, test } from "vitest";
import { StoreClock } from "./store-clock.ts";

function virtualClock(wall: number) {
  const at = { wall, monotonic: 0 };
  return { at, clock: new StoreClock({ wallMs: () => at.wall, monotonicMs: () => at.monotonic }) };
}

describe("StoreClock", () => {
  test("now() follows the monotonic clock when the wall clock agrees", () => {
    const { at, clock } = virtualClock(1_000_000);
    at.wall += 500;
    at.monotonic += 500;
    expect(clock.now()).toBe(1_000_500);
  });

  test("now() meets a jump of the wall clock by at most a tenth of the time that passes", () => {
    const { at, clock } = virtualClock(1_000_000);
    at.wall += 3_600_000;
    at.monotonic += 1_000;
    expect(clock.now()).toBe(1_001_100);
  });

  test("now() never goes back, whatever the wall clock does", () => {
    const { at, clock } = virtualClock(1_000_000);
    let before = clock.now();
    at.wall = 0;
    for (let step = 0; step < 100; step++) {
      at.monotonic += 7;
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    expect(before).toBe(1_000_000 + Math.floor(700 * 0.9));
  });

  test("atLeast() lifts the reading over what a log already holds", () => {
    const { clock } = virtualClock(1_000);
    clock.atLeast(5_000);
    expect(clock.now()).toBe(5_000);
    clock.atLeast(10);
    expect(clock.now()).toBe(5_000);
  });
});
