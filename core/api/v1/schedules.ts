/** Schedules: see core/recipes/schedule.ts. */
import { z } from "zod";
import { errBadField, errKeyAbsent } from "../../errors.ts";
import {
  type Schedule,
  type ScheduleState,
  deleteSchedule,
  listSchedules,
  putSchedule,
  readSchedule,
  runSchedule,
} from "../../recipes/schedule.ts";
import { recipeIdempotencyKey } from "./conditions.ts";
import { durationField, nameParam } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, etagOf, json } from "./reply.ts";
import type { V1Services } from "./services.ts";

const params = z.object({ name: nameParam });
const PATH = "/v1/schedules/{name}";

const scheduleIn = z.strictObject({
  cron: z.string().optional().describe("Five fields, or six with seconds first."),
  every: durationField.optional().describe("Instead of cron: at least 1s."),
  tz: z.string().optional().describe("Of the cron expression, such as `Europe/Berlin`; default UTC."),
  queue: nameParam.describe("Where messages are put."),
  body: z.string().default("").describe("Of each message."),
  catchUp: z
    .enum(["none", "one", "all"])
    .default("one")
    .describe("After a time in which nobody could fire: nothing, one message, or one for each tick that was missed."),
});

const scheduleOut = z.object({
  name: z.string(),
  cron: z.string().optional(),
  every: z.number().optional().describe("Milliseconds."),
  tz: z.string().optional(),
  queue: z.string(),
  body: z.string(),
  catchUp: z.enum(["none", "one", "all"]),
  next: z.int().nullable().describe("Milliseconds since 1970, by the store's clock; null: not known yet."),
  problem: z.string().nullable().describe("Why it is not fired; null: it is."),
});

function toJson({ everyMs, nextAtMs, modRevision: _, ...rest }: ScheduleState): z.infer<typeof scheduleOut> {
  return { ...rest, ...(everyMs === undefined ? {} : { every: everyMs }), next: nextAtMs === null ? null : Math.round(nextAtMs) };
}

/** @throws QuorateError badField, in the words of the parser */
function check(schedule: Schedule, { nextTick }: V1Services): void {
  if (schedule.cron === undefined) return;
  try {
    nextTick(schedule, 0);
  } catch (error) {
    const { message } = error as Error;
    const field = /time ?zone/i.test(message) ? "tz" : "cron";
    throw errBadField(field, `${field}: ${message}`);
  }
}

const put = operation({
  method: "PUT",
  path: PATH,
  tag: "schedules",
  summary: "Puts messages into a queue at their times.",
  params,
  body: scheduleIn,
  replies: { 200: { description: "It is set.", schema: z.object({ revision: z.int() }) } },
  handle: async ({ params: { name }, body: { every, ...rest }, context, services, signal }) => {
    const schedule = { ...rest, everyMs: every };
    check(schedule, services);
    const { revision } = await putSchedule(context, name, schedule, { signal });
    return json(200, { revision }, revision);
  },
});

const read = operation({
  method: "GET",
  path: PATH,
  tag: "schedules",
  summary: "A schedule, and when it fires next.",
  params,
  replies: { 200: { description: "As it is.", schema: scheduleOut } },
  handle: async ({ params: { name }, context, signal }) => {
    const found = await readSchedule(context, name, { signal });
    if (found === undefined) throw errKeyAbsent({ name });
    return json(200, toJson(found), undefined, { etag: etagOf(found.modRevision), "cache-control": "no-cache" });
  },
});

const list = operation({
  method: "GET",
  path: "/v1/schedules",
  tag: "schedules",
  summary: "All schedules.",
  replies: { 200: { description: "As they are.", schema: z.array(scheduleOut) } },
  handle: async ({ context, signal }) => json(200, (await listSchedules(context, { signal })).map(toJson)),
});

const run = operation({
  method: "POST",
  path: `${PATH}/run`,
  tag: "schedules",
  summary: "Puts its message now, beside its times.",
  params,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  replies: { 201: { description: "It is put.", schema: z.object({ revision: z.int() }) } },
  handle: async ({ params: { name }, headers, context, signal }) => {
    const { revision } = await runSchedule(context, name, { idempotencyKey: headers["idempotency-key"], signal });
    return json(201, { revision }, revision);
  },
});

const remove = operation({
  method: "DELETE",
  path: PATH,
  tag: "schedules",
  summary: "It fires no more.",
  params,
  replies: { 204: { description: "It is gone." } },
  handle: async ({ params: { name }, context }) => {
    await deleteSchedule(context, name);
    return empty(204);
  },
});

export const scheduleOperations: readonly Operation[] = [put, read, list, run, remove];
