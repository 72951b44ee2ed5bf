/** One seeded run of a counter under the faults of schedule.ts: what its callers were told must be what one counter could have told. */
import { addToCounter, readCounter, setCounter } from "../../../core/recipes/counter.ts";
import { search } from "../../history/search.ts";
import { type Actors, expected, runActors } from "./actors.ts";
import { COUNTER, type CounterCall } from "./sequential.ts";

const MAX = 60n;
/** Of the search; far more than it needs. */
const STEPS_MS = 20_000;

/** @returns what was found wrong, and the calls */
export async function runCounter(seed: number): Promise<{ readonly faults: readonly string[]; readonly calls: readonly CounterCall[] }> {
  const calls: CounterCall[] = [];
  let keys = 0;
  const { lab, faults } = await runActors(seed, "counter", async ({ context }, { chance, isFaulty, lab: { time } }: Actors) => {
    const told = async (act: CounterCall["act"], ask: () => Promise<bigint>): Promise<void> => {
      const call: { -readonly [field in keyof CounterCall]: CounterCall[field] } = { act, call: time.now, return: null, response: null };
      calls.push(call);
      try {
        call.response = await ask();
        call.return = time.now;
      } catch (error) {
        if (expected(error, "conflict") !== "conflict") return; // nobody knows
        call.response = "bound";
        call.return = time.now;
      }
    };
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(2_500));
      const n = BigInt(chance.int(1, 9));
      const idempotencyKey = chance.hit(0.5) ? `${seed}.${++keys}` : undefined;
      if (chance.hit(0.03)) await told({ kind: "set", value: n }, async () => (await setCounter(context, "c", n)).value);
      else if (chance.hit(0.2)) await told({ kind: "get" }, async () => (await readCounter(context, "c")).value);
      else await told({ kind: "add", n, max: MAX }, async () => (await addToCounter(context, "c", n, { max: MAX, idempotencyKey })).value);
    }
  });
  const { verdict, blocked } = search(calls, COUNTER, { now: Date.now, limit: STEPS_MS });
  if (verdict !== "linearizable") faults.push(`${verdict}: no one counter could have told ${told(blocked)}`);
  await lab.close();
  return { faults, calls };
}

function told(call: CounterCall | null): string {
  return JSON.stringify(call, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
}
