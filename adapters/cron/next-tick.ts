/** When a schedule's next tick is: cron expressions and time zones, by the library croner. */
import { Cron } from "croner";
import type { NextTick } from "../../core/recipes/schedule.ts";

/** @throws Error in the words of the parser */
export const nextTick: NextTick = ({ cron, everyMs, tz = "UTC" }, afterMs) => {
  if (everyMs !== undefined) return afterMs + everyMs;
  return new Cron(cron!, { timezone: tz, paused: true }).nextRun(new Date(afterMs))?.getTime() ?? null;
};
