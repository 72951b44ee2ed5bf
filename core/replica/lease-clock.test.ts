import { describe, expect, test } from "vitest";
import { LeaseClock } from "./lease-clock.ts";

const expired = (clock: LeaseClock, now: number): string[] => {
  const ids: string[] = [];
  for (let id = clock.takeExpired(now); id !== undefined; id = clock.takeExpired(now)) ids.push(id);
  return ids;
};

describe("LeaseClock", () => {
  test("takeExpired() gives leases in the order of their ends, and each once", () => {
    const clock = new LeaseClock();
    clock.set("b", 200);
    clock.set("a", 100);
    clock.set("c", 300);
    expect(expired(clock, 99)).toEqual([]);
    expect(expired(clock, 200)).toEqual(["a", "b"]);
    expect(expired(clock, 1000)).toEqual(["c"]);
    expect(clock.size).toBe(0);
  });

  test("set() of a known lease moves its end later or earlier", () => {
    const clock = new LeaseClock();
    clock.set("later", 100);
    clock.set("sooner", 500);
    clock.set("later", 400);
    clock.set("sooner", 50);
    expect(expired(clock, 100)).toEqual(["sooner"]);
    expect(clock.deadline("later")).toBe(400);
    expect(expired(clock, 399)).toEqual([]);
    expect(expired(clock, 400)).toEqual(["later"]);
  });

  test("a deleted lease never comes up, nor does the earlier end of one that was set again", () => {
    const clock = new LeaseClock();
    clock.set("x", 10);
    clock.delete("x");
    expect(expired(clock, 100)).toEqual([]);
    clock.set("x", 500);
    expect(expired(clock, 100)).toEqual([]);
    expect(expired(clock, 500)).toEqual(["x"]);
  });

  test("a lease renewed many times keeps one place in the queue", () => {
    const clock = new LeaseClock();
    for (let at = 1; at <= 10_000; at++) clock.set("x", at * 10);
    expect(expired(clock, 99_999)).toEqual([]);
    expect(expired(clock, 100_000)).toEqual(["x"]);
  });
});
