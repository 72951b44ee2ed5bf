import { afterEach, beforeEach, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { barrierState, closeBarrier, observeBarrier, openBarrier, waitAtBarrier } from "./barrier.ts";
import { putOp, txnOf } from "./requests.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
const close = (options = {}) => lab.run(closeBarrier(context(), "x", options));
const open = () => lab.run(openBarrier(context(), "x"));

function waiting(options = {}): { passed: boolean } {
  const state = { passed: false };
  void waitAtBarrier(context(), "x", options).then(() => (state.passed = true));
  return state;
}

test("who waits passes when it is opened; where none is closed, at once", async () => {
  await lab.run(waitAtBarrier(context(), "x"));
  await close();
  const all = [waiting(), waiting(), waiting()];
  await lab.advance(3_600_000);
  expect(all.map(({ passed }) => passed)).toEqual([false, false, false]);
  expect(await open()).toBe(true);
  await lab.advance(0);
  expect(all.map(({ passed }) => passed)).toEqual([true, true, true]);
  expect(await open()).toBe(false);
});

test("closing what is closed is the same closing", async () => {
  const first = await close({ owner: "a" });
  const second = await close({ owner: "b" });
  expect([second.closed, lab.keys().length]).toEqual([first.closed, 1]);
  expect(await lab.run(barrierState(context(), "x"))).toMatchObject({ closed: first.closed });
});

test("who waits for one closing is not caught by the next", async () => {
  const { closed } = await close();
  const client = lab.client();
  let passed = false;
  void waitAtBarrier(client.context, "x").then(() => (passed = true));
  await lab.advance(0);
  client.pause();
  await open();
  const again = await close();
  await lab.txn(txnOf([], [putOp(ascii("/other"), ascii("1"))]));
  await lab.compact();
  client.resume();
  await lab.advance(0);
  expect(passed).toBe(true);
  // and neither is one that comes back with the closing it saw
  await lab.run(waitAtBarrier(context(), "x", { closed }));
  await expect(lab.run(waitAtBarrier(context(), "x", { closed: again.closed, wait: "1s" }))).rejects.toMatchObject({
    reason: "held",
    details: { closed: again.closed },
  });
});

test("closed on a session, it opens when its owner dies", async () => {
  const client = lab.client();
  const { session } = await lab.run(closeBarrier(client.context, "x", { ttl: "10s" }));
  await lab.advance(60_000);
  const waiter = waiting();
  await lab.advance(0);
  expect([waiter.passed, session?.id]).toEqual([false, lab.leases()[0]]);
  client.kill();
  await lab.advance(11_000);
  expect(waiter.passed).toBe(true);
});

test("a session that finds it closed by another is not kept", async () => {
  await close();
  const { before, session } = await close({ ttl: "10s" });
  expect([before, session, lab.leases()]).toEqual([true, null, []]);
});

test("observeBarrier() tells of each change, and goes on after a compaction", async () => {
  const client = lab.client();
  const stop = new AbortController();
  const seen: (number | null)[] = [];
  void (async () => {
    for await (const { closed } of observeBarrier(client.context, "x", stop.signal)) seen.push(closed);
    seen.push(-1);
  })();
  await lab.advance(0);
  const first = await close();
  await open();
  await lab.advance(0);
  client.pause();
  const second = await close();
  await lab.compact();
  client.resume();
  await lab.advance(0);
  stop.abort();
  await lab.advance(0);
  expect(seen).toEqual([null, first.closed, null, second.closed, -1]);
});

test("a wait ends with its signal", async () => {
  await close();
  const gone = new AbortController();
  lab.time.after(1_000, () => gone.abort(new Error("gone")));
  await expect(lab.run(waitAtBarrier(context(), "x", { signal: gone.signal }))).rejects.toThrow("gone");
});

test("each call may be lost", async () => {
  const { expected } = await withEachFault(
    async (fresh, client) => {
      const closing = await fresh.run(closeBarrier(client.context, "x", { ttl: "30s", id: "11" }));
      fresh.time.after(3_000, () => void openBarrier(fresh.client().context, "x"));
      await fresh.run(waitAtBarrier(client.context, "x"));
      const second = await fresh.run(closeBarrier(client.context, "x"));
      await fresh.run(openBarrier(client.context, "x"));
      await fresh.run(closing.session!.end());
      return { mine: [closing.before, second.before], left: [fresh.keys(), fresh.leases()] };
    },
    (result, first) => expect(result).toEqual(first),
  );
  expect(expected).toEqual({ mine: [false, false], left: [[], []] });
});
