/** Schedules. */
import type { Sample } from "./sample.ts";

const SCHEDULE = "/v1/schedules/{name}";
const schedule = "/v1/schedules/nightly";

export const SCHEDULE_SAMPLES: readonly Sample[] = [
  {
    method: "PUT",
    path: SCHEDULE,
    status: 200,
    request: () => ({ path: schedule, body: { cron: "30 4 * * *", tz: "Europe/Berlin", queue: "reports", body: "all" } }),
  },
  { method: "PUT", path: SCHEDULE, status: 400, request: () => ({ path: schedule, body: { cron: "at noon", queue: "reports" } }) },
  {
    method: "PUT",
    path: SCHEDULE,
    status: 400,
    request: () => ({ path: schedule, body: { cron: "* * * * *", tz: "Moon/North", queue: "reports" } }),
  },
  { method: "GET", path: SCHEDULE, status: 200, request: () => ({ path: schedule }) },
  { method: "GET", path: "/v1/schedules", status: 200, request: () => ({ path: "/v1/schedules" }) },
  { method: "POST", path: `${SCHEDULE}/run`, status: 201, request: () => ({ path: `${schedule}/run` }) },
  { method: "DELETE", path: SCHEDULE, status: 204, request: () => ({ path: schedule }) },
  { method: "GET", path: SCHEDULE, status: 404, request: () => ({ path: schedule }) },
];
