import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { type LabClient, RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import type { RecipeContext } from "./client-port.ts";
import { readGate, removeGate, setGate } from "./queue-gate.ts";
import { type EnqueueOptions, enqueue } from "./queue.ts";
import { acknowledge, extendMessage, rejectMessage } from "./queue-flight.ts";
import { setQueue } from "./queue-settings.ts";
import { peekMessages, purgeDead, queueState, redriveDead } from "./queue-state.ts";
import { type TakeMessagesOptions, takeMessages, untilWorthIt } from "./queue-take.ts";
import { appendOp, putOp, txnOf } from "./requests.ts";

let lab: RecipeLab;
let context: RecipeContext;
beforeEach(async () => {
  lab = await RecipeLab.start();
  ({ context } = lab.client());
});
afterEach(() => lab.close());

const put = (text: string, options: EnqueueOptions = {}): Promise<string[]> => lab.run(enqueue(context, "q", [ascii(text)], options));
const got = async (options: TakeMessagesOptions = {}, by = context) => (await lab.run(takeMessages(by, "q", options))).messages;
const bodies = async (options: TakeMessagesOptions = {}): Promise<string[]> => (await got(options)).map(({ body }) => body);
const counts = async (): Promise<number[]> => {
  const { visible, delayed, inFlight, dead } = await lab.run(queueState(context, "q"));
  return [visible, delayed, inFlight, dead];
};

describe("messages", () => {
  test("come in the order in which they were put, once, and are gone when they are acknowledged", async () => {
    for (const text of ["a", "b", "c"]) await put(text);
    expect(await counts()).toEqual([3, 0, 0, 0]);
    const [first] = await got();
    expect(first).toMatchObject({ body: "a", deliveries: 1, priority: 5, group: null });
    expect(await bodies({ max: 5 })).toEqual(["b", "c"]);
    expect(await counts()).toEqual([0, 0, 3, 0]);
    await lab.run(acknowledge(context, "q", first!.receipt!));
    await lab.run(acknowledge(context, "q", first!.receipt!)); // again is the same act
    expect(await counts()).toEqual([0, 0, 2, 0]);
  });

  test("come by priority, and a lower one gets its share where that is asked for", async () => {
    for (let n = 0; n < 40; n++) await put(`low${n}`, { priority: 7 });
    for (let n = 0; n < 40; n++) await put(`high${n}`, { priority: 2 });
    expect(await bodies()).toEqual(["high0"]);
    await lab.run(setQueue(lab.client().context, "q", { fair: "weighted" }));
    const taken: string[] = [];
    for (let n = 0; n < 24; n++) taken.push((await got())[0]!.body);
    expect(taken.filter((body) => body.startsWith("low")).length).toBeGreaterThan(4);
    expect(taken.filter((body) => body.startsWith("high")).length).toBeGreaterThan(4);
  });

  test("that were not acknowledged in time come again, in their old place", async () => {
    for (const text of ["a", "b", "c"]) await put(text);
    const [first] = await got({ visibilityMs: 1_000 });
    await lab.advance(1_001);
    expect(await bodies({ max: 2 })).toEqual(["a", "b"]);
    await expect(lab.run(acknowledge(context, "q", first!.receipt!))).rejects.toMatchObject({ reason: "receiptExpired" });
  });

  test("are not handed out before their time, and then before those that were put meanwhile", async () => {
    await put("late", { delayMs: 5_000 });
    await put("now");
    expect(await counts()).toEqual([1, 1, 0, 0]);
    expect(await bodies()).toEqual(["now"]);
    await put("later");
    await lab.advance(5_001);
    expect(await bodies({ max: 5 })).toEqual(["late", "later"]);
  });

  test("of one group come one at a time, in their order, while others go on", async () => {
    for (const [text, group] of [
      ["a1", "a"],
      ["a2", "a"],
      ["b1", "b"],
    ] as const)
      await put(text, { group });
    const taken = await got({ max: 5 });
    expect(taken.map(({ body, group }) => [body, group])).toEqual([
      ["a1", "a"],
      ["b1", "b"],
    ]);
    expect(await bodies()).toEqual([]);
    await lab.run(acknowledge(context, "q", taken[0]!.receipt!));
    const [second] = await got();
    expect(second).toMatchObject({ body: "a2" });
    await lab.run(rejectMessage(context, "q", second!.receipt!, { delayMs: 0 }));
    expect(await bodies()).toEqual(["a2"]);
  });

  test("that were popped are gone at once", async () => {
    await put("a");
    expect(await got({ pop: true })).toMatchObject([{ body: "a", receipt: null }]);
    expect(await counts()).toEqual([0, 0, 0, 0]);
  });

  test("put by hand over v2 are messages, too", async () => {
    await lab.txn(txnOf([], [appendOp(ascii("/quorate/queues/q/i/5/"), ascii(""), ascii("by hand"))]));
    expect(await got()).toMatchObject([{ body: "by hand", priority: 5, deliveries: 1 }]);
    expect((await lab.run(queueState(context, "q"))).oldestAtMs).toBeNull();
  });

  test("are put all or none, with ids of their own", async () => {
    const ids = await lab.run(enqueue(context, "q", [ascii("a"), ascii("b"), ascii("c")]));
    expect(new Set(ids).size).toBe(3);
    expect((await got({ max: 3 })).map(({ id, body }) => [id, body])).toEqual(ids.map((id, at) => [id, "abc"[at]]));
  });
});

describe("what becomes of a message", () => {
  test("more time makes the old receipt void", async () => {
    await put("a");
    const [message] = await got({ visibilityMs: 1_000 });
    const longer = await lab.run(extendMessage(context, "q", message!.receipt!, 60_000));
    await lab.advance(30_000);
    expect(await bodies()).toEqual([]);
    await expect(lab.run(acknowledge(context, "q", message!.receipt!))).rejects.toMatchObject({ reason: "receiptExpired" });
    await lab.run(acknowledge(context, "q", longer));
    expect(lab.keys("/quorate/queues/q/")).toEqual([]);
  });

  test("given back it comes again later each time, and is dead in the end; a person may send it round again", async () => {
    await lab.run(setQueue(context, "q", { maxDeliveries: 3 }));
    await put("a");
    for (const wait of [1_000, 2_000]) {
      const [message] = await got();
      await lab.run(rejectMessage(context, "q", message!.receipt!));
      await lab.advance(wait - 200);
      expect(await bodies()).toEqual([]);
      await lab.advance(201);
    }
    const [last] = await got();
    expect(last!.deliveries).toBe(3);
    await lab.run(rejectMessage(context, "q", last!.receipt!));
    expect(await counts()).toEqual([0, 0, 0, 1]);
    expect(await lab.run(peekMessages(context, "q", { dead: true }))).toMatchObject([
      { body: "a", deliveries: 3, reason: "maxDeliveries" },
    ]);
    expect(await lab.run(redriveDead(context, "q"))).toBe(1);
    expect(await got()).toMatchObject([{ body: "a", deliveries: 1 }]);
  });

  test("its consumers die one after the other: it is dead after so many", async () => {
    await lab.run(setQueue(context, "q", { maxDeliveries: 2 }));
    await put("poison");
    for (let n = 0; n < 2; n++) {
      expect(await bodies({ visibilityMs: 500 })).toEqual(["poison"]);
      await lab.advance(501);
    }
    expect(await bodies()).toEqual([]);
    expect(await counts()).toEqual([0, 0, 0, 1]);
    expect(await lab.run(purgeDead(context, "q"))).toBe(1);
  });
});

describe("a condition", () => {
  test("of a size holds messages back until there are so many, and stays open", async () => {
    await lab.run(setGate(context, "q", { kind: "size", size: 3, open: false, mode: "latch" }));
    await put("a");
    await put("b");
    expect(await bodies()).toEqual([]);
    await put("c");
    expect(await bodies({ max: 5 })).toEqual(["a", "b", "c"]);
    await put("d");
    expect(await bodies()).toEqual(["d"]);
  });

  test("that cycles closes when the queue is empty", async () => {
    await lab.run(setGate(context, "q", { kind: "size", size: 2, open: false, mode: "cycle" }));
    await put("a");
    await put("b");
    expect(await bodies({ max: 5, pop: true })).toEqual(["a", "b"]);
    expect(await bodies()).toEqual([]);
    await put("c");
    expect(await bodies()).toEqual([]);
    await put("d");
    expect(await bodies({ max: 5 })).toEqual(["c", "d"]);
  });

  test("of a named message opens when that is put; by hand, when it is said", async () => {
    await lab.run(setGate(context, "q", { kind: "has", item: "go", open: false, mode: "latch" }));
    await put("a");
    expect(await bodies()).toEqual([]);
    await put("b", { itemName: "go" });
    expect(await bodies({ max: 5 })).toEqual(["a", "b"]);
    await lab.run(setGate(context, "q", { kind: "manual", open: false, mode: "latch" }));
    await put("c");
    expect([await bodies(), (await lab.run(readGate(context, "q")))?.open]).toEqual([[], false]);
    await lab.run(removeGate(context, "q"));
    expect(await bodies()).toEqual(["c"]);
  });

  test("of members opens when a group has so many", async () => {
    await lab.run(setGate(context, "q", { kind: "members", group: "g", size: 1, open: false, mode: "latch" }));
    await put("a");
    const { nextAtMs } = await lab.run(takeMessages(context, "q"));
    expect(nextAtMs).not.toBeNull();
    await lab.txn(txnOf([], [putOp(ascii("/quorate/groups/g/m1"), ascii("{}"))]));
    expect(await bodies()).toEqual(["a"]);
  });

  test("written by hand that nobody understands is shut", async () => {
    await lab.txn(txnOf([], [putOp(ascii("/quorate/queues/q/condition"), ascii("ready"))]));
    await put("a");
    expect(await bodies()).toEqual([]);
  });
});

test("a queue with a bound refuses what is too much, also from several at once", async () => {
  await lab.run(setQueue(context, "q", { maxLength: 3 }));
  const outcomes = await lab.run(
    Promise.allSettled(Array.from({ length: 8 }, (_, n) => enqueue(lab.client().context, "q", [ascii(String(n))]))),
  );
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
  expect(await counts()).toEqual([3, 0, 0, 0]);
});

test("a queue that is full of what was put is not full for the repeat", async () => {
  await lab.run(setQueue(context, "q", { maxLength: 2 }));
  const puts = (bodies: string[]) => lab.run(enqueue(context, "q", bodies.map(ascii), { idempotencyKey: "k" }));
  const ids = await puts(["a", "b"]);
  expect(await puts(["a", "b"])).toEqual(ids);
  await expect(puts(["a", "c"])).rejects.toMatchObject({ reason: "keyReused" });
  expect(await counts()).toEqual([2, 0, 0, 0]);
});

test("several consumers at once never get the same message", async () => {
  for (let n = 0; n < 30; n++) await put(String(n));
  const clients = Array.from({ length: 6 }, () => lab.client());
  for (const client of clients) client.latencyMs = () => 2;
  const drain = async ({ context: by }: LabClient): Promise<string[]> => {
    const mine: string[] = [];
    for (;;) {
      const { messages } = await takeMessages(by, "q", { max: 3 });
      if (messages.length === 0) return mine;
      mine.push(...messages.map(({ body }) => body));
    }
  };
  const all = (await lab.run(Promise.all(clients.map(drain)))).flat();
  expect(all.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 30 }, (_, n) => String(n)));
});

test("who waits hears of a message that another took, when its time is over", async () => {
  await put("a");
  const seen = { messages: [], nextAtMs: null, revision: lab.revision };
  await got({ visibilityMs: 1_000 }, lab.client().context);
  const before = lab.time.now;
  const none = await (async () => {
    await lab.run(untilWorthIt(context, "q", seen, new AbortController().signal));
    return lab.run(takeMessages(context, "q"));
  })();
  expect([none.messages, lab.time.now - before < 1_000, none.nextAtMs !== null]).toEqual([[], true, true]);
  await lab.run(untilWorthIt(context, "q", none, new AbortController().signal));
  expect(await bodies()).toEqual(["a"]);
});

describe("when an answer is lost", () => {
  test("what is put with an idempotency key is there once", async () => {
    const { runs } = await withEachFault(
      async (one, client) => {
        const puts = () => one.run(enqueue(client.context, "q", [ascii("a"), ascii("b")], { idempotencyKey: "k" }));
        const ids = [await puts(), await puts()];
        const { messages } = await one.run(takeMessages(one.client().context, "q", { max: 9 }));
        return {
          same: ids[0]!.join() === ids[1]!.join(),
          ids: messages.map(({ id }) => id).join() === ids[0]!.join(),
          count: messages.length,
        };
      },
      (result) => expect(result).toEqual({ same: true, ids: true, count: 2 }),
    );
    expect(runs).toBeGreaterThan(8);
  });

  test("acknowledging, giving back and more time are the same act again", async () => {
    await withEachFault(
      async (one, client) => {
        await one.run(enqueue(one.client().context, "q", [ascii("a"), ascii("b"), ascii("c")]));
        const { messages } = await one.run(takeMessages(one.client().context, "q", { max: 3 }));
        const [a, b, c] = messages.map(({ receipt }) => receipt!);
        await one.run(acknowledge(client.context, "q", a!));
        await one.run(rejectMessage(client.context, "q", b!, { delayMs: 0 }));
        const later = await one.run(extendMessage(client.context, "q", c!, 90_000));
        await one.run(acknowledge(client.context, "q", later));
        return (await one.run(peekMessages(client.context, "q"))).map(({ body, deliveries }) => [body, deliveries]);
      },
      (left) => expect(left).toEqual([["b", 1]]),
    );
  });

  test("a message that was claimed unheard comes back when its time is over", async () => {
    await put("a");
    const client = lab.client();
    client.fault = ({ kind, number }) => (kind === "txn" && number > 2 ? "lose-reply" : "none");
    await lab.run(takeMessages(client.context, "q", { visibilityMs: 1_000 }).catch(() => {}));
    await lab.advance(1_001);
    expect(await bodies()).toEqual(["a"]);
  });
});

test.each([
  ["priority", { priority: 10 }],
  ["delay", { delayMs: -1 }],
  ["group", { group: "x".repeat(300) }],
  ["name", { itemName: "" }],
])("a bad %s is refused by its name", async (field, options) => {
  await expect(put("a", options)).rejects.toMatchObject({ reason: "badField", details: { field } });
});

describe("between the look of a consumer and its claim", () => {
  const LATE_MS = 5_000;
  /** Takes; its last transaction, which is the claim, arrives late. */
  const takeLate = (claim: number): Promise<readonly { body: string }[]> => {
    const client = lab.client();
    let isClaim = false;
    let txns = 0;
    client.fault = ({ kind }) => {
      isClaim = kind === "txn" && ++txns === claim;
      return "none";
    };
    client.latencyMs = () => (isClaim ? LATE_MS : 0);
    return takeMessages(client.context, "q").then(({ messages }) => messages);
  };

  test("another may have begun a message of the same group: then it gets none", async () => {
    await put("first", { group: "g", delayMs: 1_000 });
    await put("second", { group: "g" });
    const late = takeLate(3);
    await lab.advance(1_001);
    expect(await bodies()).toEqual(["first"]);
    expect(await lab.run(late)).toEqual([]);
    expect(await counts()).toEqual([1, 0, 1, 0]);
  });

  test("the gate may have been shut: then it gets none", async () => {
    await lab.run(setGate(context, "q", { kind: "manual", open: true, mode: "latch" }));
    await put("a");
    const late = takeLate(3);
    await lab.advance(1_000);
    await lab.run(setGate(context, "q", { kind: "manual", open: false, mode: "latch" }));
    expect(await lab.run(late)).toEqual([]);
    expect(await counts()).toEqual([1, 0, 0, 0]);
  });

  test("the gate that is to be opened may be another one: then it stays as it was set", async () => {
    await lab.run(setGate(context, "q", { kind: "size", size: 1, open: false, mode: "latch" }));
    await lab.txn(txnOf([], [putOp(ascii("/quorate/queues/q/i/5/00000000000000000009"), ascii("a"))]));
    const late = takeLate(3);
    await lab.advance(1_000);
    await lab.run(setGate(context, "q", { kind: "size", size: 100, open: false, mode: "latch" }));
    expect(await lab.run(late)).toEqual([]);
    expect(await lab.run(readGate(context, "q"))).toMatchObject({ size: 100, open: false });
  });
});

test("who has left a group is no member of it, for a condition", async () => {
  await lab.run(setGate(context, "q", { kind: "members", group: "g", size: 2, open: false, mode: "latch" }));
  await put("a");
  for (const key of ["m1", ".left"]) await lab.txn(txnOf([], [putOp(ascii(`/quorate/groups/g/${key}`), ascii("{}"))]));
  expect(await bodies()).toEqual([]);
  await lab.txn(txnOf([], [putOp(ascii("/quorate/groups/g/m2"), ascii("{}"))]));
  expect(await bodies()).toEqual(["a"]);
});

test("what other programs put beside the messages is left alone", async () => {
  for (const place of ["i/5/", "d/000000000000001/5/", "f/000000000000001/", "x/"]) {
    await lab.txn(txnOf([], [putOp(ascii(`/quorate/queues/q/${place}note`), ascii("not ours"))]));
  }
  await put("a");
  const [message] = await got({ max: 5 });
  expect(message).toMatchObject({ body: "a" });
  await lab.run(rejectMessage(context, "q", message!.receipt!, { dead: true }));
  expect(await lab.run(redriveDead(context, "q"))).toBe(1);
  expect(lab.keys("/quorate/queues/q/").filter(({ key }) => key.endsWith("/note"))).toHaveLength(4);
});

test("who waits hears of a message also when history is forgotten meanwhile", async () => {
  const client = lab.client();
  const taken = await lab.run(takeMessages(client.context, "q"));
  await put("a");
  await put("b");
  await lab.run(lab.compact());
  const never = new AbortController();
  await lab.run(untilWorthIt(client.context, "q", taken, never.signal));
  expect(await bodies()).toEqual(["a"]);
});
