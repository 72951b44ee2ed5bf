import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { errLeaseNotFound, errNoLeader, errTimeout } from "../errors.ts";
import type { RecipeContext } from "./client-port.ts";
import { repeat } from "./repeat.ts";
import { openScope } from "./scope.ts";

let lab: RecipeLab;
let context: RecipeContext;
beforeEach(async () => {
  lab = await RecipeLab.start();
  context = lab.client().context;
});
afterEach(() => lab.close());

describe("repeat()", () => {
  test("asks again until it is answered, with pauses that double", async () => {
    const asked: number[] = [];
    const answer = await lab.run(
      repeat(context, async () => {
        asked.push(lab.time.now);
        if (asked.length < 5) throw asked.length % 2 ? errTimeout() : errNoLeader();
        return "done";
      }),
    );
    expect(answer).toBe("done");
    const pauses = asked.slice(1).map((at, n) => at - asked[n]!);
    pauses.forEach((pause, n) => {
      expect(pause).toBeGreaterThanOrEqual(25 * 2 ** n);
      expect(pause).toBeLessThanOrEqual(75 * 2 ** n + 1);
    });
  });

  test("gives up what does not pass by, and after five seconds the rest", async () => {
    let asked = 0;
    const fail = (error: Error) => repeat(context, () => Promise.reject((asked++, error)));
    await expect(lab.run(fail(errLeaseNotFound()))).rejects.toMatchObject({ reason: "leaseNotFound" });
    expect(asked).toBe(1);
    await expect(lab.run(fail(errTimeout()))).rejects.toMatchObject({ reason: "timeout" });
    expect(lab.time.now).toBeGreaterThan(2_000);
    expect(lab.time.now).toBeLessThan(5_000);
  });

  test("ends with its signal, while it pauses too", async () => {
    const gone = new AbortController();
    const work = repeat(context, () => Promise.reject(errTimeout()), { signal: gone.signal, until: Infinity });
    lab.time.after(60_000, () => gone.abort(new Error("gone")));
    await expect(lab.run(work)).rejects.toThrow("gone");
    expect(lab.time.now).toBe(60_000);
  });
});

describe("openScope()", () => {
  test("fires with the first of its signals, or after its time", async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const scope = openScope(context.host, [first.signal, undefined, second.signal], 1_000);
    const timed = openScope(context.host, [first.signal], 500);
    await lab.advance(600);
    expect([scope.signal.aborted, timed.signal.aborted, timed.timedOut()]).toEqual([false, true, true]);
    second.abort(new Error("second"));
    expect([scope.signal.reason, scope.timedOut()]).toEqual([second.signal.reason, false]);
    scope.close();
    timed.close();
  });

  test("is over from the beginning when a signal has fired already, and a closed one never times out", async () => {
    const gone = new AbortController();
    gone.abort(new Error("gone"));
    expect(openScope(context.host, [gone.signal]).signal.reason).toBe(gone.signal.reason);
    const scope = openScope(context.host, [], 100);
    scope.close();
    await lab.advance(200);
    expect(scope.timedOut()).toBe(false);
  });
});
