/** Queues and schedules of the client, with values of a type, on a store with virtual time. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { type FullClient, json } from "../../client/all.ts";
import { TestStore } from "../../testing/test-store.ts";

let store: TestStore;
let q: FullClient;
beforeEach(async () => {
  store = await TestStore.start();
  ({ q } = store.client());
});
afterEach(() => store[Symbol.asyncDispose]());

const mail = json(z.object({ to: z.string() }));

describe("a queue", () => {
  test("has values of its type, which are acknowledged, extended and given back", async () => {
    const jobs = q.queue("mail", mail, { visibility: "10s" });
    const [first] = await store.run(jobs.putAll([{ to: "ann" }, { to: "bob" }]));
    await store.run(jobs.put({ to: "eve" }, { priority: 0 }));
    const taken = await store.run(jobs.take({ max: 3 }));
    expect(taken.map(({ value, deliveries }) => [value.to, deliveries])).toEqual([
      ["eve", 1],
      ["ann", 1],
      ["bob", 1],
    ]);
    expect(taken[1]!.id).toBe(first);
    await store.run(taken[0]!.ack());
    await store.run(taken[1]!.extend("1m"));
    await store.run(taken[2]!.nack({ delay: "1s" }));
    await store.advance(11_000);
    expect((await store.run(jobs.take({ max: 3 }))).map(({ value }) => value.to)).toEqual(["bob"]);
    await store.run(taken[1]!.ack());
    expect(await store.run(jobs.state())).toMatchObject({ visible: 0, inFlight: 1, dead: 0 });
  });

  test("is text without a type, and waits for what comes", async () => {
    const jobs = q.queue("jobs");
    const waiting = jobs.take({ wait: "20s" });
    await store.advance(5_000);
    await store.run(jobs.put("hello"));
    expect((await store.run(waiting)).map(({ value }) => value)).toEqual(["hello"]);
    const before = store.time.now;
    expect(await store.run(jobs.take({ wait: "20s" }))).toEqual([]);
    expect(store.time.now - before).toBeGreaterThanOrEqual(20_000);
    expect(await store.run(jobs.take())).toEqual([]);
  });

  test("puts what does not fit its type among the dead, and goes on", async () => {
    await store.run(q.queue("mail").put("no JSON"));
    await store.run(q.queue("mail", mail).put({ to: "ann" }));
    const jobs = q.queue("mail", mail);
    expect((await store.run(jobs.take({ max: 5 }))).map(({ value }) => value.to)).toEqual(["ann"]);
    expect(await store.run(jobs.state())).toMatchObject({ visible: 0, dead: 1 });
    expect(await store.run(jobs.dead.redrive())).toBe(1);
    expect(await store.run(jobs.take({ wait: "1s" }))).toEqual([]);
    expect(await store.run(jobs.dead.purge())).toBe(1);
  });

  test("is consumed: done together with what it does, behind a condition, with a bound", async () => {
    const jobs = q.queue("mail", mail);
    await store.run(jobs.configure({ maxLength: 2 }));
    await store.run(jobs.condition.set({ kind: "size", size: 2, open: false, mode: "latch" }));
    const stop = new AbortController();
    const seen: string[] = [];
    const consuming = jobs.consume(
      async (message) => {
        seen.push(message.value.to);
        await q.txn().put(`sent/${message.value.to}`, "yes").acknowledge(message).commit();
      },
      { signal: stop.signal },
    );
    await store.run(jobs.put({ to: "ann" }, { idempotencyKey: "1" }));
    await store.run(jobs.put({ to: "ann" }, { idempotencyKey: "1" }));
    await store.advance(60_000);
    expect(seen).toEqual([]);
    await store.run(jobs.put({ to: "bob" }));
    await store.advance(1_000);
    expect(seen).toEqual(["ann", "bob"]);
    expect(store.keys("sent/")).toEqual({ "sent/ann": "yes", "sent/bob": "yes" });
    stop.abort();
    await store.run(consuming);
    await store.run(jobs.condition.remove());
    await store.run(jobs.putAll([{ to: "a" }, { to: "b" }]));
    await expect(store.run(jobs.put({ to: "c" }))).rejects.toMatchObject({ reason: "queueFull" });
  });
});

test("schedules put into a queue at their times, and now", async () => {
  await store.run(q.schedules.put("poll", { every: "10s", queue: "polls", body: "look" }));
  await store.advance(35_000);
  expect((await store.run(q.queue("polls").state())).visible).toBe(3);
  expect(await store.run(q.schedules.list())).toMatchObject([{ name: "poll", everyMs: 10_000, catchUp: "one" }]);
  await store.run(q.schedules.run("poll", { idempotencyKey: "now" }));
  await store.run(q.schedules.run("poll", { idempotencyKey: "now" }));
  expect((await store.run(q.queue("polls").state())).visible).toBe(4);
  await store.run(q.schedules.delete("poll"));
  expect(await store.run(q.schedules.get("poll"))).toBeUndefined();
  await expect(store.run(q.schedules.run("poll"))).rejects.toMatchObject({ reason: "keyAbsent" });
});
