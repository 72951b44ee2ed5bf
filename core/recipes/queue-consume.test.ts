import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { isQuorateError } from "../errors.ts";
import { type ConsumeOptions, consumeMessages } from "./queue-consume.ts";
import type { Delivery } from "./queue-delivery.ts";
import { setQueue } from "./queue-settings.ts";
import { queueState } from "./queue-state.ts";
import { enqueue } from "./queue.ts";
import { oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

let lab: RecipeLab;
let stop: AbortController;
beforeEach(async () => {
  lab = await RecipeLab.start();
  stop = new AbortController();
});
afterEach(() => lab.close());

const put = (...bodies: string[]) => lab.run(enqueue(lab.client().context, "q", bodies.map(ascii)));
const counts = async (): Promise<number[]> => {
  const { visible, delayed, inFlight, dead } = await lab.run(queueState(lab.client().context, "q"));
  return [visible, delayed, inFlight, dead];
};
const sleep = (ms: number) => lab.time.sleep(ms);

interface Running {
  readonly done: Promise<void>;
  readonly told: string[];
  readonly errors: unknown[];
}

/** A consumer of its own. What it throws at the end is kept until it is asked for. */
function consuming(work: (delivery: Delivery) => Promise<unknown>, options: ConsumeOptions = {}, client = lab.client()): Running {
  const [told, errors]: [string[], unknown[]] = [[], []];
  const handle = (delivery: Delivery): Promise<unknown> => {
    told.push(delivery.message.body);
    return work(delivery);
  };
  const done = consumeMessages(client.context, "q", handle, {
    signal: stop.signal,
    onError: (error) => void errors.push(isQuorateError(error) ? error.reason : (error as Error).message),
    ...options,
  });
  done.catch(() => {});
  return { done, told, errors };
}

describe("a consumer", () => {
  test("does what is there and what comes, in order, and acknowledges it", async () => {
    await put("a", "b");
    const { told, errors } = consuming(() => sleep(10));
    await lab.advance(1_000);
    await put("c");
    await lab.advance(1_000);
    expect([told, errors, await counts()]).toEqual([["a", "b", "c"], [], [0, 0, 0, 0]]);
  });

  test("does so many at a time as it may, and no more", async () => {
    await put(..."abcdefghij");
    let [now, most] = [0, 0];
    const { told } = consuming(
      async () => {
        most = Math.max(most, ++now);
        await sleep(1_000);
        now--;
      },
      { concurrency: 3 },
    );
    await lab.advance(1_500);
    expect([told.length, most]).toEqual([6, 3]);
    await lab.advance(10_000);
    expect([told.join(""), most, await counts()]).toEqual(["abcdefghij", 3, [0, 0, 0, 0]]);
  });

  test("gives back what failed, later each time, until it is dead with the reason", async () => {
    await lab.run(setQueue(lab.client().context, "q", { maxDeliveries: 3 }));
    await put("a");
    const { told, errors } = consuming(() => Promise.reject(new Error("no such address")));
    await lab.advance(900);
    expect([told.length, await counts()]).toEqual([1, [0, 1, 0, 0]]);
    await lab.advance(10_000);
    expect([told.length, errors, await counts()]).toEqual([3, Array(3).fill("no such address"), [0, 0, 0, 1]]);
  });

  test("keeps what it works on for as long as it does, past any number of deadlines", async () => {
    await put("a");
    const { told, errors } = consuming(() => sleep(100_000), { visibilityMs: 2_000 });
    const other = consuming(() => sleep(0), { visibilityMs: 2_000 });
    await lab.advance(110_000);
    expect([told, other.told, errors, await counts()]).toEqual([["a"], [], [], [0, 0, 0, 0]]);
  });

  test("that dies leaves its message to another, once its time is over", async () => {
    await put("a");
    const client = lab.client();
    const first = consuming(() => sleep(60_000), { visibilityMs: 5_000 }, client);
    await lab.advance(100);
    client.kill();
    const second = consuming(() => sleep(0), { visibilityMs: 5_000 });
    await lab.advance(4_000);
    expect(second.told).toEqual([]);
    await lab.advance(2_000);
    expect([first.told, second.told, await counts()]).toEqual([["a"], ["a"], [0, 0, 0, 0]]);
  });

  test("that is cut off is told before another has the message, and acknowledges nothing", async () => {
    await put("a");
    const client = lab.client();
    let lostAtMs = Infinity;
    const first = consuming(
      async (delivery) => {
        delivery.signal.addEventListener("abort", () => void (lostAtMs = lab.time.now));
        client.cutOff();
        await sleep(30_000);
      },
      { visibilityMs: 6_000 },
      client,
    );
    let takenAtMs = 0;
    await lab.advance(100);
    const second = consuming(
      async () => {
        takenAtMs = lab.time.now;
        await sleep(60_000);
      },
      { visibilityMs: 6_000 },
    );
    await lab.advance(20_000);
    client.reconnect();
    await lab.advance(30_000);
    expect([first.told, second.told]).toEqual([["a"], ["a"]]);
    expect(lostAtMs).toBeLessThan(takenAtMs);
    expect(first.errors).toEqual(["receiptExpired"]);
    expect(await counts()).toEqual([0, 0, 1, 0]);
    await lab.advance(30_000);
    expect(await counts()).toEqual([0, 0, 0, 0]);
  });

  test("acknowledges together with an effect: once, however often the message was handed out", async () => {
    await put("a");
    const { context } = lab.client();
    const add = async (delivery: Delivery): Promise<unknown> => {
      const key = ascii("sum");
      const { responses } = await context.store.txn(txnOf([], [rangeOp(oneKey(key))]));
      const seen = responses[0]?.op === "range" ? Number(responses[0].kvs[0]?.value ?? 0) : NaN;
      return context.store.txn(delivery.guard(txnOf([], [putOp(key, ascii(`${seen + 1}`))])));
    };
    // The first one stands still while it works, and does its part after another has done it.
    consuming(
      async (delivery) => {
        delivery.stop();
        await sleep(10_000);
        await add(delivery);
      },
      { visibilityMs: 2_000 },
    );
    await lab.advance(100);
    const second = consuming(add, { visibilityMs: 2_000 });
    await lab.advance(20_000);
    expect(second.told).toEqual(["a"]);
    expect(lab.keys("sum").map(({ value }) => value)).toEqual(["1"]);
    expect(await counts()).toEqual([0, 0, 0, 0]);
  });

  test("that is told to end takes no more, and ends when what it does is done", async () => {
    await put("a", "b");
    const { done, told } = consuming(() => sleep(5_000));
    await lab.advance(100);
    stop.abort();
    let ended = false;
    void done.then(() => (ended = true));
    await lab.advance(4_000);
    expect(ended).toBe(false);
    await lab.advance(2_000);
    expect([ended, told, await counts()]).toEqual([true, ["a"], [1, 0, 0, 0]]);
  });

  test("goes on when the store was away", async () => {
    const client = lab.client();
    const { told } = consuming(() => sleep(0), {}, client);
    await lab.advance(100);
    client.cutOff();
    await put("a");
    await lab.advance(60_000);
    expect(told).toEqual([]);
    client.reconnect();
    await lab.advance(60_000);
    expect([told.at(-1), await counts()]).toEqual(["a", [0, 0, 0, 0]]);
  });

  test("whose listener throws ends with that", async () => {
    await put("a");
    const fail = (): never => {
      throw new Error("of the listener");
    };
    const { done } = consuming(() => Promise.reject(new Error("no")), { onError: fail });
    await expect(lab.run(done)).rejects.toThrow("of the listener");
  });

  test.each([0, 101, 1.5])("of concurrency %s is refused", async (concurrency) => {
    await expect(lab.run(consuming(() => sleep(0), { concurrency }).done)).rejects.toMatchObject({ reason: "badField" });
  });
});
