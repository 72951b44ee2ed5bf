import type { Sample } from "./sample.ts";

const NS = "/v1/config/{namespace}";
const KEY = "/v1/config/{namespace}/{key}";
const SCHEMA = "/v1/config/{namespace}/.schema";
const ROLLBACK = "/v1/config/{namespace}/rollback";
const ROLLOUT = "/v1/config/{namespace}/rollout";
const ACK = "/v1/config/{namespace}/rollout/{consumer}";
const TYPED = { type: "object", properties: { port: { type: "integer" } }, required: ["port"] };

export const CONFIG_SAMPLES: readonly Sample[] = [
  {
    method: "PUT",
    path: KEY,
    status: 200,
    request: () => ({ path: "/v1/config/app/port", body: "80", headers: { "if-none-match": "*" } }),
  },
  {
    method: "PUT",
    path: KEY,
    status: 412,
    request: () => ({ path: "/v1/config/app/port", body: "81", headers: { "if-none-match": "*" } }),
  },
  { method: "PUT", path: KEY, status: 412, request: () => ({ path: "/v1/config/app/port", body: "81", headers: { "if-match": '"1"' } }) },
  { method: "GET", path: KEY, status: 200, request: () => ({ path: "/v1/config/app/port" }) },
  { method: "GET", path: KEY, status: 404, request: () => ({ path: "/v1/config/app/none" }) },
  { method: "GET", path: NS, status: 200, request: () => ({ path: "/v1/config/app" }) },
  { method: "GET", path: NS, status: 304, request: () => ({ path: "/v1/config/none?wait=10ms", headers: { "if-none-match": '"0-0"' } }) },
  {
    method: "PATCH",
    path: NS,
    status: 200,
    request: () => ({ path: "/v1/config/app", body: { set: { host: "a", port: 82 }, delete: ["old"], if: { old: 0 } } }),
  },
  { method: "PATCH", path: NS, status: 412, request: () => ({ path: "/v1/config/app", body: { set: { port: 83 }, if: { port: 1 } } }) },
  { method: "PATCH", path: NS, status: 400, request: () => ({ path: "/v1/config/app", body: { set: { a: 1 }, delete: ["a"] } }) },
  { method: "GET", path: SCHEMA, status: 404, request: () => ({ path: "/v1/config/app/.schema" }) },
  { method: "PUT", path: SCHEMA, status: 200, request: () => ({ path: "/v1/config/app/.schema", body: TYPED }) },
  { method: "GET", path: SCHEMA, status: 200, request: () => ({ path: "/v1/config/app/.schema" }) },
  { method: "PUT", path: KEY, status: 422, request: () => ({ path: "/v1/config/app/port", body: '"eighty"' }) },
  { method: "PUT", path: KEY, status: 422, request: () => ({ path: "/v1/config/app/port", body: "no JSON" }) },
  { method: "PUT", path: KEY, status: 200, request: () => ({ path: "/v1/config/app/host", body: '"b"' }) },
  {
    method: "POST",
    path: ROLLBACK,
    status: 200,
    request: async (server) => {
      const { revision } = await server.call("GET", "/v1/config/app");
      await server.call("PUT", "/v1/config/app/port", "84");
      return { path: "/v1/config/app/rollback", body: { to: revision } };
    },
  },
  { method: "DELETE", path: SCHEMA, status: 204, request: () => ({ path: "/v1/config/app/.schema" }) },
  { method: "PUT", path: ACK, status: 204, request: () => ({ path: "/v1/config/app/rollout/w1?ttl=30s", body: { revision: 5 } }) },
  { method: "GET", path: ROLLOUT, status: 200, request: () => ({ path: "/v1/config/app/rollout?quorum=all&wait=10ms" }) },
  { method: "GET", path: ROLLOUT, status: 200, request: () => ({ path: "/v1/config/app/rollout?revision=5&quorum=1" }) },
  { method: "DELETE", path: KEY, status: 204, request: () => ({ path: "/v1/config/app/port", headers: { "if-match": "*" } }) },
];
