import type { Sample } from "./sample.ts";

const SUBJECT = "/v1/limits/{name}/{subject}";
const RULE = "/v1/limits/{name}/.rule";

export const LIMIT_SAMPLES: readonly Sample[] = [
  { method: "GET", path: RULE, status: 404, request: () => ({ path: "/v1/limits/none/.rule" }) },
  { method: "PUT", path: RULE, status: 200, request: () => ({ path: "/v1/limits/api/.rule", body: { limit: 100, per: "1m", burst: 20 } }) },
  { method: "PUT", path: RULE, status: 400, request: () => ({ path: "/v1/limits/api/.rule", body: { limit: 100, per: "40d" } }) },
  { method: "GET", path: RULE, status: 200, request: () => ({ path: "/v1/limits/api/.rule" }) },
  { method: "POST", path: SUBJECT, status: 200, request: () => ({ path: "/v1/limits/api/user-7" }) },
  {
    method: "POST",
    path: SUBJECT,
    status: 200,
    request: () => ({ path: "/v1/limits/api/user-8?n=2&reserve=10&for=2s", headers: { "idempotency-key": "once" } }),
  },
  {
    method: "POST",
    path: SUBJECT,
    status: 429,
    request: async (server) => {
      await server.call("POST", "/v1/limits/api/user-9?n=20");
      return { path: "/v1/limits/api/user-9" };
    },
  },
  { method: "POST", path: SUBJECT, status: 409, request: () => ({ path: "/v1/limits/no-rule/user-7" }) },
  { method: "POST", path: SUBJECT, status: 200, request: () => ({ path: "/v1/limits/no-rule/user-7?limit=5&per=1s" }) },
  { method: "POST", path: SUBJECT, status: 400, request: () => ({ path: "/v1/limits/api/user-7?n=21" }) },
];
