import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import {
  type ConfigSnapshot,
  type ConfigStep,
  NearConfig,
  newestConfig,
  publishConfig,
  readConfig,
  rollBackConfig,
  setConfigSchema,
  subscribeConfig,
} from "./config.ts";
import { acknowledgeConfig, configRollout, whenRolledOut } from "./rollout.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
type Values = Readonly<Record<string, string | null>>;
const changes = (values: Values, ifRevision?: number) =>
  Object.entries(values).map(([key, value]) => ({ key, value: value === null ? null : ascii(value), ifRevision }));
const publish = async (values: Values, ifRevision?: number, options = {}): Promise<number> =>
  (await lab.run(publishConfig(context(), "app", changes(values, ifRevision), options))).revision;
const valuesOf = ({ entries }: ConfigSnapshot) => Object.fromEntries([...entries].map(([key, { value }]) => [key, value]));
const now = async (revision?: number) => valuesOf(await lab.run(readConfig(context(), "app", { revision })));

function subscribed(client = lab.client(), options = {}): ConfigStep[] {
  const steps: ConfigStep[] = [];
  void (async () => {
    for await (const step of subscribeConfig(client.context, "app", options)) steps.push(step);
  })();
  return steps;
}

describe("publishing", () => {
  test("several at once is one revision, which subscribers see whole", async () => {
    const steps = subscribed();
    const revision = await publish({ a: "1", b: "2" });
    await publish({ a: null, c: "3" });
    await lab.advance(0);
    expect(steps.map(valuesOf)).toEqual([{}, { a: "1", b: "2" }, { b: "2", c: "3" }]);
    expect(steps.map(({ changes: what }) => (what === "reset" ? what : [...what]))).toEqual([
      "reset",
      [
        ["a", "1"],
        ["b", "2"],
      ],
      [
        ["a", null],
        ["c", "3"],
      ],
    ]);
    expect(await now(revision)).toEqual({ a: "1", b: "2" });
  });

  test("under a condition is done by one of those who see the same", async () => {
    const seen = await publish({ a: "1" }, 0);
    const both = await lab.run(Promise.allSettled(["2", "3"].map((value) => publishConfig(context(), "app", changes({ a: value }, seen)))));
    expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    await expect(publish({ a: "1" }, 0)).rejects.toMatchObject({ reason: "preconditionFailed", details: { etag: expect.any(String) } });
    await expect(publish({ b: "1", a: "1" }, 0)).rejects.toMatchObject({ reason: "preconditionFailed" });
    expect(await now()).not.toHaveProperty("b");
  });

  test("is checked by the schema, which cannot change in between", async () => {
    const check = (schema: unknown, key: string, value: unknown) =>
      typeof value === (schema as Record<string, string>)[key] ? null : "no";
    await lab.run(setConfigSchema(context(), "app", { a: "number" }));
    await expect(publish({ a: "1" })).rejects.toMatchObject({ reason: "schemaFailed" });
    await expect(publish({ a: '"x"' }, undefined, { check })).rejects.toMatchObject({ reason: "schemaFailed", details: { field: "a" } });
    await expect(publish({ a: "x" }, undefined, { check })).rejects.toMatchObject({ reason: "schemaFailed" });
    await publish({ a: "1" }, undefined, { check });
    const client = lab.client();
    let calls = 0;
    client.latencyMs = () => (calls++ === 2 ? 100 : 0); // the write is slow
    const slow = publishConfig(client.context, "app", changes({ a: "2" }), { check });
    await lab.advance(50);
    await lab.run(setConfigSchema(context(), "app", { a: "string" }));
    await expect(lab.run(slow)).rejects.toMatchObject({ reason: "schemaFailed" });
    expect(await now()).toEqual({ a: "1" });
    await lab.run(setConfigSchema(context(), "app", null));
    await publish({ a: "x" });
  });

  test("takes names that mean something elsewhere, and refuses those that cannot be", async () => {
    await publish({ ".schema": "1", "a/b": "2" });
    expect(await now()).toEqual({ ".schema": "1", "a/b": "2" });
    await expect(publish({ rollout: "1" })).rejects.toMatchObject({ details: { field: "key" } });
    await expect(publish({})).rejects.toMatchObject({ details: { field: "changes" } });
  });

  test("a repeat that comes late brings nothing back", async () => {
    const client = lab.client();
    client.fault = ({ kind, number }) => (kind === "txn" && number === 3 ? "late" : "none");
    await lab.run(publishConfig(client.context, "app", changes({ a: "old" })));
    await publish({ a: "new" });
    await lab.advance(5_000);
    expect(await now()).toEqual({ a: "new" });
  });

  test("each call may be lost: published once, also under a condition", async () => {
    const { runs } = await withEachFault(
      async (one, client) => {
        const first = await one.run(publishConfig(client.context, "app", changes({ a: "1" }, 0)));
        await one.run(publishConfig(client.context, "app", changes({ a: "2", b: "1" })));
        const { changed } = await one.run(rollBackConfig(client.context, "app", first.revision));
        const writes = one.history.flatMap(({ events }) => events).filter(({ kv }) => kv.key.startsWith("/quorate/config/"));
        return { values: valuesOf(await one.run(readConfig(client.context, "app"))), changed, writes: writes.length };
      },
      (result) => expect(result).toEqual({ values: { a: "1" }, changed: ["a", "b"], writes: 5 }),
    );
    expect(runs).toBeGreaterThan(3 * 6);
  });
});

describe("rolling back", () => {
  test("publishes the old values as a new revision, and is refused when they are gone", async () => {
    const old = await publish({ a: "1", b: "1" });
    await publish({ a: "2", b: null, c: "1" });
    const { revision, changed } = await lab.run(rollBackConfig(context(), "app", old));
    expect([changed.toSorted(), await now(), await now(revision - 1)]).toEqual([["a", "b", "c"], { a: "1", b: "1" }, { a: "2", c: "1" }]);
    expect(await lab.run(rollBackConfig(context(), "app", old))).toMatchObject({ changed: [] });
    await lab.compact();
    await expect(lab.run(rollBackConfig(context(), "app", old))).rejects.toMatchObject({ reason: "compacted" });
  });

  test("does not lose what others publish at the same time", async () => {
    const old = await publish({ a: "1" });
    await publish({ a: "2" });
    const client = lab.client();
    let calls = 0;
    client.latencyMs = () => (calls++ > 3 ? 50 : 0);
    const rolling = rollBackConfig(client.context, "app", old);
    await lab.advance(20);
    const other = await publish({ b: "1" });
    const { revision } = await lab.run(rolling);
    expect(revision).toBeGreaterThan(other);
    expect(await now()).toEqual({ a: "1" });
    expect(await now(other)).toEqual({ a: "2", b: "1" });
  });
});

describe("a subscription", () => {
  test("goes on where it was, or resets where history is gone", async () => {
    const first = await publish({ a: "1" });
    await publish({ a: "2" });
    await publish({ a: "3" });
    const steps = subscribed(lab.client(), { after: first });
    await lab.advance(0);
    expect(steps.map(valuesOf)).toEqual([{ a: "2" }, { a: "3" }]);
    await lab.compact();
    const late = subscribed(lab.client(), { after: first });
    await lab.advance(0);
    expect(late.map(({ changes: what }) => what)).toEqual(["reset"]);
  });

  test("that is cut off loses nothing", async () => {
    const client = lab.client();
    const steps = subscribed(client);
    await publish({ a: "0" });
    client.cutOff();
    for (let n = 1; n < 4; n++) await publish({ a: `${n}` });
    await lab.advance(10_000);
    expect(steps).toHaveLength(2);
    client.reconnect();
    await lab.advance(1_000);
    expect(steps.map((step) => valuesOf(step)["a"])).toEqual([undefined, "0", "1", "2", "3"]);
  });

  test("conflated, gives who is slow the newest", async () => {
    await publish({ a: "0" });
    const seen: unknown[] = [];
    const { host, store } = context();
    void (async () => {
      for await (const snapshot of newestConfig({ host, store }, "app")) {
        seen.push(valuesOf(snapshot)["a"]);
        await host.sleep(1_000);
      }
    })();
    for (let n = 1; n < 10; n++) await publish({ a: `${n}` });
    await lab.advance(5_000);
    expect([seen[0], seen.at(-1), seen.length]).toEqual(["0", "9", 2]);
  });

  test("near, answers by itself and never goes back", async () => {
    const client = lab.client();
    const near = new NearConfig(client.context, "app");
    expect(near.current).toBeUndefined();
    await publish({ a: '{"x":1}' });
    await lab.advance(0);
    expect([near.get("a"), near.get("b")]).toEqual([{ x: 1 }, undefined]);
    client.cutOff();
    await publish({ a: "2" });
    await lab.advance(60_000);
    expect(near.get("a")).toEqual({ x: 1 });
    client.reconnect();
    expect(valuesOf((await lab.run(near.newerThan(near.current!.revision)))!)).toEqual({ a: "2" });
    near.close();
    expect(await lab.run(near.newerThan(1_000))).toBeUndefined();
  });
});

describe("a rollout", () => {
  test("is done when all consumers run it, and forgets who says nothing", async () => {
    const old = await publish({ a: "1" });
    const revision = await publish({ a: "2" });
    for (const one of ["x", "y"]) await lab.run(acknowledgeConfig(context(), "app", one, old, { ttl: "10s" }));
    const all = whenRolledOut(context(), "app", revision);
    expect(await lab.run(whenRolledOut(context(), "app", revision, { wait: "1s" }))).toBeNull();
    const steps = subscribed();
    await lab.advance(0);
    await lab.run(acknowledgeConfig(context(), "app", "x", revision, { ttl: "10m" }));
    await lab.run(acknowledgeConfig(context(), "app", "x", old, { ttl: "10m" })); // it comes late
    expect([...(await lab.run(whenRolledOut(context(), "app", revision, { atLeast: 1 })))!.consumers]).toContainEqual(["x", revision]);
    expect(steps).toHaveLength(1); // nobody is woken by it
    await lab.advance(40_000);
    expect([...(await lab.run(all))!.consumers]).toEqual([["x", revision]]);
    expect([...(await lab.run(configRollout(context(), "app"))).consumers.keys()]).toEqual(["x"]);
  });

  test("each acknowledgement may be lost", async () => {
    await withEachFault(
      async (one, client) => {
        await one.run(acknowledgeConfig(client.context, "app", "x", 5));
        await one.run(acknowledgeConfig(client.context, "app", "x", 7));
        return [...(await one.run(configRollout(client.context, "app"))).consumers];
      },
      (result) => expect(result).toEqual([["x", 7]]),
    );
  });
});
