import type { Sample } from "./sample.ts";

const COUNTER = "/v1/counters/{name}";

export const COUNTER_SAMPLES: readonly Sample[] = [
  { method: "POST", path: COUNTER, status: 200, request: () => ({ path: "/v1/counters/visits" }) },
  {
    method: "POST",
    path: COUNTER,
    status: 200,
    request: () => ({ path: "/v1/counters/visits", body: { add: "9007199254740993" }, headers: { "idempotency-key": "once" } }),
  },
  { method: "POST", path: COUNTER, status: 409, request: () => ({ path: "/v1/counters/visits", body: { add: 1, max: 1 } }) },
  { method: "GET", path: COUNTER, status: 200, request: () => ({ path: "/v1/counters/visits" }) },
  { method: "PUT", path: COUNTER, status: 200, request: () => ({ path: "/v1/counters/visits", body: { value: 3 } }) },
  { method: "DELETE", path: COUNTER, status: 204, request: () => ({ path: "/v1/counters/visits" }) },
];
