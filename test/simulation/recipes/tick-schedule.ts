/** One seeded run of schedules that everybody fires, under the faults of schedule.ts, and what must be true of each of their ticks. */
import { nextTick } from "../../../adapters/cron/next-tick.ts";
import { type ScheduleState, fireSchedules, putSchedule } from "../../../core/recipes/schedule.ts";
import { STARTED_AT } from "../../../testing/memory-member.ts";
import { expected, runActors } from "./actors.ts";

const EVERY = { fast: 2_000, slow: 7_000 } as const;

/** @returns what was found wrong, and how many ticks there were */
export async function runTicks(seed: number): Promise<{ readonly faults: readonly string[]; ticks: number }> {
  let isPut: Promise<unknown> | undefined;
  const { lab, faults } = await runActors(seed, "ticks", async ({ context }, { lab: place, chance, isFaulty }) => {
    const put = (name: keyof typeof EVERY): Promise<unknown> =>
      putSchedule(place.client().context, name, { everyMs: EVERY[name], queue: name, body: name, catchUp: "all" });
    isPut ??= Promise.all([put("fast"), put("slow")]);
    await isPut;
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(800));
      await fireSchedules(context, nextTick).catch((error: unknown) => expected(error));
    }
  });
  const { context } = lab.client();
  for (let n = 0; n < 10; n++) await lab.run(fireSchedules(context, nextTick));
  const now = STARTED_AT + lab.time.now;
  let ticks = 0;
  for (const [name, every] of Object.entries(EVERY)) {
    let next: number | null = null;
    for (const { revision, at, events } of lab.history) {
      const kept = events.find(({ kv }) => kv.key === `/quorate/schedules/${name}`);
      const put = events.filter(({ type, kv }) => type === "put" && kv.key.startsWith(`/quorate/queues/${name}/i/`)).length;
      if (kept === undefined) {
        if (put > 0) faults.push(`${revision}: ${name} has a tick of which it knows nothing`);
        continue;
      }
      const { nextAtMs } = JSON.parse(kept.kv.value) as ScheduleState;
      const due = next === null || nextAtMs === null ? 0 : (nextAtMs - next) / every;
      if (put !== due) faults.push(`${revision}: ${name} goes on by ${due} ticks, and ${put} were put`);
      if (put > 0 && nextAtMs! - every > STARTED_AT + at) faults.push(`${revision}: ${name} is put before its time`);
      next = nextAtMs;
      ticks += put;
    }
    if (next === null || next <= now) faults.push(`${name} is not fired any more: it was to be at ${next}, and it is ${now}`);
  }
  await lab.close();
  return { faults, ticks };
}
