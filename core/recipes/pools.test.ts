import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { type Candidate, Picker } from "./picker.ts";
import { Pool, PoolMember, readPool } from "./pools.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const node = (id: string, more: Partial<Candidate> = {}): Candidate => ({ id, capacity: 10, inflight: 0, weight: 1, ...more });
const picker = (options = {}) => new Picker(lab.client().context.host, options);

/** How often each is picked. */
function count(picks: number, pick: (n: number) => { readonly id: string } | undefined): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let n = 0; n < picks; n++) {
    const { id } = pick(n)!;
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

describe("picking", () => {
  const four = ["a", "b", "c", "d"].map((id) => node(id));

  test.each(["p2c", "weighted", "hash"] as const)("by %s spreads evenly over equals", (strategy) => {
    const one = picker({ strategy });
    const counts = count(10_000, (n) => one.pick(four, `key-${n}`));
    for (const { id } of four) expect(Math.abs(counts[id]! - 2_500)).toBeLessThan(250);
  });

  test("by p2c takes the one with less to do, as it says and as is known here", () => {
    const one = picker();
    expect(count(200, () => one.pick([node("a", { inflight: 5 }), node("b")]))).toEqual({ b: 200 });
    for (let n = 0; n < 6; n++) one.began("b");
    expect(one.pick([node("a", { inflight: 5 }), node("b")])?.id).toBe("a");
    for (let n = 0; n < 6; n++) one.ended("b", true);
    expect(one.pick([node("a", { inflight: 5 }), node("b")])?.id).toBe("b");
    expect(one.pick([node("a", { capacity: 100, inflight: 5 }), node("b")])?.id).toBe("a");
  });

  test("by weight gives each its part, and nothing to those that weigh nothing", () => {
    const one = picker({ strategy: "weighted" });
    const counts = count(4_000, () => one.pick([node("a", { weight: 3 }), node("b"), node("c", { weight: 0 })]));
    expect(Math.abs(counts["a"]! - 3_000)).toBeLessThan(200);
    expect(counts["c"]).toBeUndefined();
  });

  test("by hash moves only the keys of who left", () => {
    const one = picker({ strategy: "hash" });
    const keys = Array.from({ length: 2_000 }, (_, n) => `key-${n}`);
    const moved = keys.filter((key) => one.pick(four, key) !== one.pick(four.slice(1), key));
    expect(moved.every((key) => one.pick(four, key)!.id === "a")).toBe(true);
    expect(moved.length).toBeLessThan(2_000 / 3);
  });

  test("by zone stays near while half of what is usual is well, then spills in proportion", () => {
    const near = ["a", "b", "c", "d"].map((id) => node(id, { zone: "eu" }));
    const all = [...near, node("x", { zone: "us" })];
    const one = picker({ strategy: "zone", zone: "eu" });
    const far = (nodes: readonly Candidate[]) => count(1_000, () => one.pick(nodes))["x"] ?? 0;
    expect(far(all)).toBe(0);
    expect(far(all.slice(2))).toBe(0);
    expect(Math.abs(far(all.slice(3)) - 500)).toBeLessThan(100);
    expect(far(all.slice(4))).toBe(1_000);
    expect(count(10, () => one.pick(near))["x"]).toBeUndefined();
  });

  test("puts a node aside that fails again and again, longer each time, but never more than half", async () => {
    const one = picker();
    const fail = (id: string) => {
      for (let n = 0; n < 3; n++) one.ended(id, false);
    };
    const healthy = () =>
      Object.keys(count(300, () => one.pick(four)))
        .toSorted()
        .join("");
    one.ended("a", false);
    one.ended("a", false);
    one.ended("a", true);
    one.ended("a", false);
    expect(healthy()).toBe("abcd");
    fail("a");
    expect(healthy()).toBe("bcd");
    await lab.advance(10_001);
    expect(healthy()).toBe("abcd");
    fail("a");
    await lab.advance(10_001);
    expect(healthy()).toBe("bcd");
    await lab.advance(10_000);
    for (const { id } of four) fail(id);
    expect(healthy()).toHaveLength(2);
    expect(one.pick([four[0]!])?.id).toBe("a");
  });

  test("of nothing gives nothing", () => {
    for (const strategy of ["p2c", "weighted", "zone", "hash"] as const) expect(picker({ strategy }).pick([], "k")).toBeUndefined();
  });
});

describe("a pool", () => {
  const join = (id: string, client = lab.client(), more = {}) =>
    lab.run(PoolMember.join(client.context, "web", id, { capacity: 10, ...more }, { ttl: "5s" }));

  test("picks what is there, and not any more what is gone", async () => {
    const dying = lab.client();
    await join("a", dying);
    const b = await join("b");
    const pool = await lab.run(Pool.open(lab.client().context, "web"));
    const ids = () => Object.keys(count(100, () => pool.pick()!.node)).toSorted();
    expect(ids()).toEqual(["a", "b"]);
    dying.kill();
    await lab.advance(6_000);
    expect(ids()).toEqual(["b"]);
    await lab.run(b.leave());
    await lab.advance(0);
    expect(pool.pick()).toBeUndefined();
    pool.close();
  });

  test("a call that is over twice is over once", async () => {
    await join("a");
    await join("b");
    const pool = await lab.run(Pool.open(lab.client().context, "web"));
    const first = pool.pick()!;
    for (let n = 0; n < 5; n++) first.done({ ok: false });
    expect(Object.keys(count(100, () => pool.pick()!.node))).toHaveLength(2);
    pool.close();
  });

  test("keeps its nodes while the store does not answer", async () => {
    await join("a");
    const client = lab.client();
    const pool = await lab.run(Pool.open(client.context, "web"));
    client.cutOff();
    await lab.advance(60_000);
    expect(pool.pick()?.node.id).toBe("a");
    pool.close();
  });

  test("hears of a node once a second at most, and only what is news", async () => {
    const one = await join("a");
    await lab.advance(1_000);
    const { revision } = lab;
    for (let inflight = 1; inflight <= 9; inflight++) {
      one.report({ inflight });
      await lab.advance(100);
    }
    await lab.advance(2_000);
    expect(lab.revision - revision).toBeLessThanOrEqual(2);
    expect((await lab.run(readPool(lab.client().context, "web"))).nodes[0]).toMatchObject({ inflight: 9, capacity: 10 });
    const after = lab.revision;
    one.report({ inflight: 8 });
    await lab.advance(5_000);
    expect(lab.revision).toBe(after);
    one.report({ inflight: 7 });
    await lab.advance(2_000);
    expect(lab.revision).toBe(after + 1);
    expect(() => one.report({ cpu: -1 })).toThrow("cpu");
  });

  test("each call may be lost", async () => {
    await withEachFault(
      async (fresh, client) => {
        const one = await fresh.run(PoolMember.join(client.context, "web", "a", { capacity: 10 }, { ttl: "30s" }));
        one.report({ inflight: 5 });
        await fresh.advance(8_000);
        const seen = (await fresh.run(readPool(client.context, "web"))).nodes.map(({ id, inflight }) => [id, inflight]);
        await fresh.run(one.leave());
        await fresh.advance(4_000);
        return { seen, left: [fresh.keys(), fresh.leases()] };
      },
      (result) => expect(result).toEqual({ seen: [["a", 5]], left: [[], []] }),
    );
  });
});
