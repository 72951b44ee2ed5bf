/** What all deadlines of leases do, wherever they are kept. An implementation's own test file calls `leaseDeadlinesContract`. */
import { describe, expect, test } from "vitest";
import type { LeaseDeadlines } from "../../core/replica/lease-deadlines-port.ts";

const expired = (clock: LeaseDeadlines, now: number): string[] => {
  const ids: string[] = [];
  for (let id = clock.takeExpired(now); id !== undefined; id = clock.takeExpired(now)) ids.push(id);
  return ids;
};

/** @param setup gives fresh, empty ones */
export function leaseDeadlinesContract(name: string, setup: () => LeaseDeadlines): void {
  describe(`lease deadlines contract: ${name}`, () => {
    test("takeExpired() gives leases in the order of their ends, and each once", () => {
      const clock = setup();
      clock.set("b", 200);
      clock.set("a", 100);
      clock.set("c", 300);
      expect(expired(clock, 99)).toEqual([]);
      expect(expired(clock, 200)).toEqual(["a", "b"]);
      expect([clock.deadline("a"), clock.deadline("c")]).toEqual([undefined, 300]);
      expect(expired(clock, 1000)).toEqual(["c"]);
      expect([...clock.remaining(0)]).toEqual([]);
    });

    test("set() of a known lease moves its end later or earlier", () => {
      const clock = setup();
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
      const clock = setup();
      clock.set("x", 10);
      clock.delete("x");
      expect(expired(clock, 100)).toEqual([]);
      clock.set("x", 500);
      expect(expired(clock, 100)).toEqual([]);
      expect(expired(clock, 500)).toEqual(["x"]);
      clock.set("x", 600);
      expect(expired(clock, 600)).toEqual(["x"]);
      clock.set("y", 700);
      clock.clear();
      expect(expired(clock, 1_000)).toEqual([]);
    });

    test("a lease renewed many times comes up once, at its last end", () => {
      const clock = setup();
      for (let at = 1; at <= 10_000; at++) clock.set("x", at * 10);
      expect(expired(clock, 99_999)).toEqual([]);
      expect(expired(clock, 100_000)).toEqual(["x"]);
    });

    test("earliest() is never after the first end", () => {
      const clock = setup();
      expect(clock.earliest()).toBeUndefined();
      clock.set("a", 300);
      clock.set("b", 200);
      expect(clock.earliest()).toBe(200);
      clock.set("b", 400);
      expect(clock.earliest()).toBeLessThanOrEqual(300);
      expect(expired(clock, 400).toSorted()).toEqual(["a", "b"]);
      expect(clock.earliest()).toBeUndefined();
    });
  });
}
