import { describe, expect, test } from "vitest";
import { holdTtlSeconds, milliseconds } from "./durations.ts";

describe("milliseconds()", () => {
  test.each([
    ["15s", 15_000],
    ["250ms", 250],
    [250, 250],
    ["250", 250],
    ["1.5s", 1_500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    [0, 0],
  ])("%j is %d", (duration, ms) => {
    expect(milliseconds(duration, "ttl")).toBe(ms);
  });

  test.each(["", "s", "-1s", "1 s", "1x", -1, NaN, Infinity, "1e3", "999999999999999d"])("%j is refused by name", (duration) => {
    expect(() => milliseconds(duration, "wait")).toThrow(/^wait must be a duration/);
  });
});

describe("holdTtlSeconds()", () => {
  test("is whole seconds, rounded up, 15 by default", () => {
    expect([holdTtlSeconds(), holdTtlSeconds("2s"), holdTtlSeconds(2_001), holdTtlSeconds("1h")]).toEqual([15, 2, 3, 3_600]);
  });

  test.each(["1s", "1h1", 3_601_000, 0])("%j is refused", (ttl) => {
    expect(() => holdTtlSeconds(ttl)).toThrow(/ttl must be/);
  });
});
