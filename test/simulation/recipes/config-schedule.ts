/** One seeded run of configuration under the faults of schedule.ts, and what must be true of it at every revision. */
import { ascii } from "../../../core/bytes/bytes.ts";
import { type ConfigStep, publishConfig, readConfig, subscribeConfig } from "../../../core/recipes/config.ts";
import { expected, runActors } from "./actors.ts";

const PREFIX = "/quorate/config/x/";

/** @returns what was found wrong, and how much was published, refused and seen */
export async function runConfig(
  seed: number,
): Promise<{ readonly faults: readonly string[]; published: number; refused: number; seen: number }> {
  const accepted: number[] = [];
  const seen: { readonly who: number; readonly step: ConfigStep }[] = [];
  let refused = 0;
  let watchers = 0;
  let pairs = 0;
  const { lab, faults } = await runActors(seed, "config", async ({ context }, { chance, isFaulty }) => {
    const who = ++watchers;
    void (async () => {
      for await (const step of subscribeConfig(context, "x")) seen.push({ who, step });
    })();
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(1_000));
      try {
        if (chance.hit(0.5)) {
          // Two values that belong together.
          const value = ascii(`${++pairs}`);
          await publishConfig(context, "x", [
            { key: "left", value },
            { key: "right", value },
          ]);
          continue;
        }
        const { entries } = await readConfig(context, "x");
        const before = entries.get("n");
        const value = ascii(`${Number(before?.value ?? 0) + 1}`);
        const { revision } = await publishConfig(context, "x", [{ key: "n", value, ifRevision: before?.revision ?? 0 }]);
        accepted.push(revision);
      } catch (error) {
        if (expected(error, "preconditionFailed") === "preconditionFailed") refused++;
      }
    }
  });
  const states = new Map<number, ReadonlyMap<string, string>>();
  let state: ReadonlyMap<string, string> = new Map();
  for (const { revision, events } of lab.history) {
    const next = new Map(state);
    for (const { kv } of events) if (kv.key.startsWith(PREFIX)) next.set(kv.key.slice(PREFIX.length), kv.value);
    if (next.get("left") !== next.get("right")) faults.push(`${revision}: half of what belongs together`);
    const steps = Number(next.get("n") ?? 0) - Number(state.get("n") ?? 0);
    if (steps !== 0 && steps !== 1) faults.push(`${revision}: n went by ${steps}`);
    if (steps === 0 && accepted.includes(revision)) faults.push(`${revision}: accepted, and not done`);
    states.set(revision, (state = next));
  }
  if (new Set(accepted).size < accepted.length) faults.push("two were accepted under one condition");
  const values = lab.history.flatMap(({ events }) => events.filter(({ kv }) => kv.key === `${PREFIX}left`).map(({ kv }) => kv.value));
  if (new Set(values).size < values.length) faults.push("something was published twice");
  const last = new Map<number, number>();
  for (const { who, step } of seen) {
    const { revision, entries, changes } = step;
    if (revision <= (last.get(who) ?? 0)) faults.push(`${who} saw ${revision} after ${last.get(who)}`);
    const is = [...entries].map(([key, { value }]) => `${key}=${value}`).toSorted();
    const should = [...(states.get(revision) ?? [])].map(([key, value]) => `${key}=${value}`).toSorted();
    if (states.has(revision) && is.join() !== should.join()) faults.push(`${who} saw ${is.join()} at ${revision}, not ${should.join()}`);
    const between = lab.history.filter((one) => one.revision > (last.get(who) ?? 0) && one.revision < revision);
    const missed = between.some(({ events }) => events.some(({ kv }) => kv.key.startsWith(PREFIX)));
    if (changes !== "reset" && missed) faults.push(`${who} missed what was before ${revision}`);
    last.set(who, revision);
  }
  await lab.close();
  return { faults, published: accepted.length, refused, seen: seen.length };
}
