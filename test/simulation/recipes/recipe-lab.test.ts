import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bytes, EMPTY } from "../../../core/bytes/bytes.ts";
import type { Operation, RangeRequest } from "../../../core/store/command.ts";
import { clientContract } from "../../contract/client-port.ts";
import { RecipeLab } from "../../helpers/recipe-lab.ts";

clientContract("a client of the lab", async () => {
  const lab = await RecipeLab.start();
  return { store: lab.client().context.store, compact: () => lab.compact(), close: () => lab.close() };
});

const KEY = "/k" as Bytes;
const put = (value: string, lease = "0"): Operation => ({
  op: "put",
  key: KEY,
  value: value as Bytes,
  lease,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
});
const writes = (...success: Operation[]) => ({ compare: [], success, failure: [] });
const READ: RangeRequest = {
  key: KEY,
  end: EMPTY,
  revision: 0,
  limit: 0,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

describe("RecipeLab", () => {
  let lab: RecipeLab;
  beforeEach(async () => {
    lab = await RecipeLab.start();
  });
  afterEach(() => lab.close());

  test("leases end in virtual time, and the history tells when", async () => {
    const { store } = lab.client().context;
    await store.grant("5", 10);
    await store.txn(writes(put("1", "5")));
    await lab.advance(9_000);
    expect(lab.keys("/k")).toHaveLength(1);
    await lab.advance(1_200);
    expect(lab.keys("/k")).toEqual([]);
    expect(lab.history.map(({ at, events }) => [at, events[0]!.type, events[0]!.prev?.value])).toEqual([
      [0, "put", undefined],
      [10_000, "delete", "1"],
    ]);
  });

  test("a call whose reply is lost is done, one whose request is lost is not", async () => {
    const client = lab.client();
    client.fault = ({ number }) => (number === 1 ? "lose-request" : number === 2 ? "lose-reply" : number === 3 ? "refuse" : "none");
    const { store } = client.context;
    const reasons: unknown[] = [];
    for (const value of ["1", "2", "3"]) await store.txn(writes(put(value))).catch((error) => reasons.push(error.reason));
    expect(reasons).toEqual(["timeout", "timeout", "noLeader"]);
    expect(lab.keys().map(({ value }) => value)).toEqual(["2"]);
    expect(client.calls.map(({ kind }) => kind)).toEqual(["txn", "txn", "txn"]);
  });

  test("a paused client hears nothing, and wakes late; a killed one never", async () => {
    const [client, other] = [lab.client(), lab.client()];
    const seen: string[] = [];
    const { store, host } = client.context;
    void host.sleep(1_000).then(() => seen.push(`woke at ${host.monotonicMs()}`));
    void store.range(READ).then(() => seen.push("read"));
    client.pause();
    void other.context.host.sleep(1_000).then(() => seen.push("other"));
    await lab.advance(5_000);
    expect(seen).toEqual(["other"]);
    client.resume();
    await lab.advance(0);
    expect(seen.toSorted()).toEqual(["other", "read", "woke at 5000"]);
    client.kill();
    void host.sleep(1).then(() => seen.push("never"));
    await lab.advance(100);
    expect(seen).toHaveLength(3);
  });

  test("a client that is cut off hears of time-outs, and its watch goes on afterwards", async () => {
    const client = lab.client();
    const { store } = client.context;
    const iterator = store.watch({ key: KEY, end: EMPTY, startRevision: 1 })[Symbol.asyncIterator]();
    let events = 0;
    void iterator.next().then((step) => (events = step.done ? -1 : step.value.events.length));
    client.cutOff();
    await lab.txn(writes(put("1")));
    await expect(lab.run(store.range(READ))).rejects.toMatchObject({ reason: "timeout" });
    expect(events).toBe(0);
    client.reconnect();
    await lab.advance(0);
    expect(events).toBe(1);
  });

  test("a clock may run fast", async () => {
    const client = lab.client();
    client.clockRate = 1.1;
    await lab.run(client.context.host.sleep(1_100));
    expect(lab.time.now).toBe(1_000);
    expect(client.context.host.monotonicMs()).toBeCloseTo(1_100);
  });
});
