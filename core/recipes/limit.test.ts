import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { take } from "./gcra.ts";
import { limitRule, setLimit, takeFromLimit } from "./limit.ts";
import { Limiter } from "./limiter.ts";
import { putOp, txnOf } from "./requests.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
const RULE = { limit: 10, per: "1s", burst: 4 };
const taking = (n = 1, more = {}) => lab.run(takeFromLimit(context(), "api", "me", { n, rule: RULE, ...more }));

describe("the arithmetic", () => {
  test("is exact where the limit does not come out even", () => {
    const rate = { limit: 7, perMs: 1_000, burst: 3 };
    let last: Parameters<typeof take>[1];
    let now = 1_000_000;
    let count = 0;
    for (; now < 1_000_000 + 70_000; now++) {
      const { ok, next } = take(rate, last, now, 1);
      if (!ok) continue;
      last = next!;
      count++;
    }
    expect(count).toBe(3 + 7 * 70 - 1); // the last one is due when the time is over
  });

  test("says to the millisecond when it may be asked again", () => {
    const rate = { limit: 7, perMs: 1_000, burst: 3 };
    const { next } = take(rate, undefined, 5_000, 3);
    for (const n of [1, 2, 3]) {
      const { ok, retryAfterMs } = take(rate, next!, 5_001, n);
      expect([ok, retryAfterMs]).toEqual([false, Math.ceil((n * 1_000) / 7) - 1]);
      expect(take(rate, next!, 5_000 + retryAfterMs, n).ok).toBe(false);
      expect(take(rate, next!, 5_001 + retryAfterMs, n).ok).toBe(true);
    }
  });

  test("is not led far astray by another clock", () => {
    const rate = { limit: 10, perMs: 1_000, burst: 4 };
    const { next } = take(rate, undefined, 3_600_000, 4);
    expect(take(rate, next!, 0, 1)).toMatchObject({ ok: false, retryAfterMs: 100 });
  });
});

describe("taking", () => {
  test("gives the burst, then as fast as the rule says", async () => {
    const answers = [];
    for (let n = 0; n < 5; n++) answers.push(await taking());
    expect(answers.map(({ ok, remaining, retryAfterMs }) => [ok, remaining, retryAfterMs])).toEqual([
      [true, 3, 0],
      [true, 2, 0],
      [true, 1, 0],
      [true, 0, 0],
      [false, 0, 100],
    ]);
    await lab.advance(99);
    expect((await taking()).retryAfterMs).toBe(1);
    await lab.advance(1);
    expect(await taking()).toMatchObject({ ok: true, remaining: 0, resetMs: 400 });
  });

  test("a refusal changes nothing, subjects are apart, and an idle one is forgotten with its lease", async () => {
    await taking(4);
    const { revision } = lab;
    expect(await taking(2)).toMatchObject({ ok: false, taken: 0, retryAfterMs: 200 });
    expect(lab.revision).toBe(revision);
    expect(await lab.run(takeFromLimit(context(), "api", ".rule", { rule: RULE }))).toMatchObject({ ok: true });
    expect(lab.keys("/quorate/limits/").map(({ key }) => key)).toEqual(["/quorate/limits/api/%2Erule", "/quorate/limits/api/me"]);
    expect(lab.leases()).toHaveLength(1);
    await lab.advance(60_000);
    expect([lab.keys(), lab.leases()]).toEqual([[], []]);
  });

  test("goes by the rule that was set", async () => {
    await expect(taking(1, { rule: undefined })).rejects.toMatchObject({ reason: "conflict" });
    await lab.run(setLimit(context(), "api", RULE));
    expect(await lab.run(limitRule(context(), "api"))).toMatchObject({ rate: { limit: 10, perMs: 1_000, burst: 4 } });
    expect(await taking(4, { rule: undefined })).toMatchObject({ ok: true, limit: 10 });
    await lab.run(setLimit(context(), "api", { ...RULE, burst: 6 }));
    expect(await taking(2, { rule: undefined })).toMatchObject({ ok: true, remaining: 0 });
  });

  test("of more than the burst, and rules that make no sense, are refused", async () => {
    await expect(taking(5)).rejects.toMatchObject({ reason: "badField", details: { field: "n" } });
    await expect(taking(0)).rejects.toMatchObject({ details: { field: "n" } });
    for (const [rule, field] of [
      [{ limit: 0, per: "1s" }, "limit"],
      [{ limit: 1, per: "0s" }, "per"],
      [{ limit: 1e9, per: "30d" }, "burst"],
    ] as const) {
      await expect(taking(1, { rule })).rejects.toMatchObject({ details: { field } });
    }
    await lab.txn(txnOf([], [putOp(ascii("/quorate/limits/api/me"), ascii("x"))]));
    await expect(taking()).rejects.toMatchObject({ reason: "conflict" });
  });

  test("reserves what is there", async () => {
    await taking();
    expect(await taking(2, { reserve: 50 })).toMatchObject({ ok: true, taken: 3, remaining: 0 });
  });

  test("by many at once never gives more than there is, and tells who lost every race", async () => {
    const all = Array.from({ length: 30 }, () => {
      const client = lab.client();
      client.latencyMs = () => 1;
      return takeFromLimit(client.context, "api", "me", { rule: { limit: 1, per: "1h", burst: 20 } });
    });
    const answers = await lab.run(Promise.all(all));
    expect(answers.filter(({ ok }) => ok).length).toBeLessThanOrEqual(20);
    expect(answers.filter(({ contended }) => contended).length).toBeGreaterThan(0);
    expect(answers.filter(({ ok, contended }) => ok && contended)).toEqual([]);
  });

  test("each call may be lost: taken once", async () => {
    const { runs } = await withEachFault(
      async (one, client) => {
        const rule = { limit: 1, per: "1h", burst: 10 };
        const first = await one.run(takeFromLimit(client.context, "api", "me", { rule }));
        const keyed = () => one.run(takeFromLimit(client.context, "api", "me", { n: 2, rule, idempotencyKey: "k" }));
        const second = await keyed();
        const other = await one.run(takeFromLimit(one.client().context, "api", "me", { n: 3, rule }));
        const again = await keyed();
        return [first, second, other, again].map(({ ok, remaining }) => [ok, remaining]);
      },
      (result, expected) => expect(result).toEqual(expected),
    );
    expect(runs).toBeGreaterThan(3 * 6);
  });
});

describe("a limiter", () => {
  test("spends what it reserved without asking, for as long as it may", async () => {
    const client = lab.client();
    const limiter = new Limiter(client.context, "api", { limit: 10, per: "1s", burst: 20, reserve: 10, for: "2s" });
    const all = await lab.run(Promise.all(Array.from({ length: 10 }, () => limiter.take("me"))));
    expect(all.every(({ ok }) => ok)).toBe(true);
    expect(client.calls.filter(({ kind }) => kind === "txn")).toHaveLength(2);
    expect(all.at(-1)).toMatchObject({ remaining: 10 });
    await lab.run(limiter.take("me"));
    await lab.advance(2_000);
    const before = client.calls.length;
    expect(await lab.run(limiter.take("me"))).toMatchObject({ ok: true }); // the nine that were left are lost
    expect(client.calls.length).toBeGreaterThan(before);
  });

  test.each([
    ["deny", { ok: false, retryAfterMs: 1_000, by: "error" }],
    ["allow", { ok: true, retryAfterMs: 0, by: "error" }],
  ] as const)("says %s when the store does not answer", async (onError, expected) => {
    const client = lab.client();
    client.fault = () => "refuse";
    const limiter = new Limiter(client.context, "api", { ...RULE, onError });
    const began = lab.time.now;
    expect(await lab.run(limiter.take("me"))).toMatchObject(expected);
    expect(lab.time.now - began).toBeLessThanOrEqual(1_000);
  });

  test("keeps a rule of its own when the store does not answer", async () => {
    const client = lab.client();
    client.fault = () => "refuse";
    const limiter = new Limiter(client.context, "api", { ...RULE, onError: { local: { limit: 1, per: "1m", burst: 2 } } });
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push((await lab.run(limiter.take("me"))).ok);
    expect(answers).toEqual([true, true, false]);
    client.fault = () => "none";
    expect(await lab.run(limiter.take("me"))).toMatchObject({ ok: true, by: "store" });
  });

  test("does not hide that it was told nonsense", async () => {
    expect(() => new Limiter(context(), "api", { ...RULE, reserve: 0 })).toThrow("reserve");
    expect(() => new Limiter(context(), "api", { ...RULE, onError: { local: { limit: 0, per: "1s" } } })).toThrow("limit");
    await expect(lab.run(new Limiter(context(), "api", { onError: "allow" }).take("me"))).rejects.toMatchObject({ reason: "conflict" });
  });
});
