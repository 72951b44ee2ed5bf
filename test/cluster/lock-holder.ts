/**
 * A process that wants a lock, and tells what it comes to know, a line each: `held <fence>`, `wrote` after each write under the lock's guard,
 * `stale` after one that was refused, `lost` when its hold tells it so. For tests that kill and stop it.
 *
 *     node test/cluster/lock-holder.ts <endpoints, with commas> <name> <ttl>
 */
import { setTimeout as sleep } from "node:timers/promises";
import { acquireLock, connect, isQuorateError } from "../../client/client.ts";

const [endpoints = "", name = "", ttl = ""] = process.argv.slice(2);
const q = connect({ endpoints: endpoints.split(",") });
const hold = await acquireLock(q, name, { ttl });
console.log(`held ${hold.fence}`);
hold.signal.addEventListener("abort", () => console.log("lost"));
// Writes past the end of its hold on purpose: the store is to refuse what a holder that does not look at its signal would do.
const { compare } = hold.guard({ compare: [], success: [], failure: [] });
const guard = { guard: () => ({ compare, success: [], failure: [] }) };
for (;;) {
  try {
    const { succeeded } = await q.txn().ifHeld(guard).put(`data/${name}`, String(hold.fence)).commit();
    console.log(succeeded ? "wrote" : "stale");
  } catch (error) {
    if (!isQuorateError(error)) throw error; // the store does not answer: once more
  }
  await sleep(100);
}
