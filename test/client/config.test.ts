/** Configuration in the client, with values of a type, on a store with virtual time. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { type FullClient, json, setConfigSchema } from "../../client/all.ts";
import { TestStore } from "../../testing/test-store.ts";

let store: TestStore;
let q: FullClient;
beforeEach(async () => {
  store = await TestStore.start();
  ({ q } = store.client());
});
afterEach(() => store[Symbol.asyncDispose]());

const limits = json(z.object({ max: z.number() }));

describe("a namespace of configuration", () => {
  test("has values of its type, published under a condition", async () => {
    const app = q.config("app", limits);
    const first = await store.run(app.set("mail", { max: 1 }, { ifRevision: 0 }));
    expect(await store.run(app.get("mail"))).toEqual({ value: { max: 1 }, revision: first });
    expect(await store.run(app.get("none"))).toBeNull();
    await expect(store.run(app.set("mail", { max: 2 }, { ifRevision: 0 }))).rejects.toMatchObject({ reason: "preconditionFailed" });
    const second = await store.run(app.set("mail", { max: 2 }, { ifRevision: first }));
    await expect(store.run(app.delete("mail", { ifRevision: first }))).rejects.toMatchObject({ reason: "preconditionFailed" });
    await store.run(app.delete("mail", { ifRevision: second }));
    expect((await store.run(app.read())).entries.size).toBe(0);
    expect((await store.run(app.read({ revision: first }))).entries.get("mail")?.value).toEqual({ max: 1 });
    expect((await store.run(app.rollBack(second))).changed).toEqual(["mail"]);
    expect((await store.run(app.get("mail")))?.value).toEqual({ max: 2 });
  });

  test("refuses a value that is not of its type, and publishes nothing of the others then", async () => {
    const app = q.config("app", limits);
    const publishing = app.transact((changes) => {
      changes.set("a", { max: 1 });
      changes.set("b", { max: "many" } as never);
    });
    await expect(store.run(publishing)).rejects.toMatchObject({ reason: "badValue" });
    expect((await store.run(app.read())).entries.size).toBe(0);
    await store.run(q.config("app").set("b", { max: "many" }));
    await expect(store.run(app.get("b"))).rejects.toMatchObject({ reason: "badValue" });
  });

  test("is published together and seen together, each state in order", async () => {
    const app = q.config("app", limits);
    const over = new AbortController();
    const seen: (readonly [string, readonly string[] | "reset"])[] = [];
    const following = (async () => {
      for await (const { entries, changed } of app.subscribe({ signal: over.signal })) {
        seen.push([[...entries].map(([key, { value }]) => `${key}=${value.max}`).join(), changed]);
      }
    })();
    await store.advance(10);
    const both = (max: number) =>
      app.transact((changes) => {
        changes.set("a", { max });
        changes.set("b", { max });
      });
    const first = await store.run(both(1));
    await store.run(both(2));
    const removing = app.transact((changes) => changes.delete("a", { ifRevision: "any" }), { idempotencyKey: "once" });
    const removed = await store.run(removing);
    expect(await store.run(app.transact((changes) => changes.delete("a", { ifRevision: "any" }), { idempotencyKey: "once" }))).toBe(
      removed,
    );
    await store.advance(10);
    over.abort();
    await store.run(following);
    expect(seen).toEqual([
      ["", "reset"],
      ["a=1,b=1", ["a", "b"]],
      ["a=2,b=2", ["a", "b"]],
      ["b=2", ["a"]],
    ]);
    expect(first).toBeLessThan(removed);
  });

  test("is JSON of any form without a type, obeys the schema of the namespace, and has a copy that asks nobody", async () => {
    await store.run(setConfigSchema(q, "app", { type: "object", properties: { port: { type: "integer" } } }));
    await expect(store.run(q.config("app").set("port", 1))).rejects.toMatchObject({ reason: "schemaFailed" });
    const check = (_schema: unknown, _key: string, value: unknown) => (Number.isInteger(value) ? null : "no whole number");
    const app = q.config("app", { check });
    await expect(store.run(app.set("port", "x"))).rejects.toMatchObject({ reason: "schemaFailed" });
    const copy = app.near();
    await store.run(app.set("port", 8080));
    await store.advance(10);
    expect(copy.get("port")).toBe(8080);
    copy.close();
  });
});
