/** Clients killed and paused at each call they make, of each recipe that is held: what they held is free in time, and nobody believes wrongly. */
import { describe, expect, test } from "vitest";
import { type LabClient, RecipeLab } from "../../helpers/recipe-lab.ts";
import { HOLDERS, type Holder, writeGuarded } from "./holders.ts";

const TTL_MS = 10_000;

/** One client that acquires, writes and releases, with another one before it for a while. @returns how many calls it made */
async function run(holder: Holder, at: number, what: "kill" | "pause"): Promise<number> {
  const lab = await RecipeLab.start();
  const client: LabClient = lab.client();
  const first = await lab.run(holder.acquire(lab.client().context, { ttl: TTL_MS }, 0.99));
  lab.time.after(2_000, () => void first.hold.release());
  let struck = false;
  client.fault = ({ number }) => {
    if (number === at && !struck) {
      struck = true;
      if (what === "kill") client.kill();
      else {
        client.pause();
        lab.time.after(2 * TTL_MS, () => client.resume());
      }
    }
    return "none";
  };
  let told = "";
  const { context } = client;
  void (async () => {
    const { hold } = await holder.acquire(context, { ttl: TTL_MS }, 0.99);
    const done = await writeGuarded(context, holder, hold);
    told = done ? "wrote" : "stale";
    await hold.release();
  })().catch((error) => (told = error.reason ?? error.message));
  await lab.advance(3_000);
  const began = lab.time.now;
  const third = lab.client();
  const next = await lab.run(holder.acquire(third.context, { ttl: TTL_MS }, 0.99));
  if (struck) expect(lab.time.now - began, `free after ${what} at call ${at}`).toBeLessThanOrEqual(TTL_MS + 1_000);
  expect(await lab.run(writeGuarded(third.context, holder, next.hold))).toBe(true);
  await lab.advance(3 * TTL_MS);
  expect(holder.check(lab.history)).toEqual([]);
  if (struck && what === "pause") expect(["wrote", "stale", "sessionLost"]).toContain(told);
  if (!struck) expect(told).toBe("wrote");
  await lab.run(next.hold.release());
  expect(lab.leases()).toEqual([]);
  const calls = client.calls.length;
  await lab.close();
  return calls;
}

describe.each(HOLDERS)("$name", (holder) => {
  test.each(["kill", "pause"] as const)("%s at each call", async (what) => {
    const calls = await run(holder, 0, what);
    expect(calls).toBeGreaterThanOrEqual(6);
    for (let at = 1; at <= calls; at++) await run(holder, at, what);
  });
});
