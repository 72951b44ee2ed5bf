/** Keys, transactions, watches, leases, tokens. */
import type { Sample } from "./sample.ts";

const KEY = "/v1/kv/{key*}";

export const KV_SAMPLES: readonly Sample[] = [
  { method: "PUT", path: KEY, status: 201, request: () => ({ path: "/v1/kv/samples/one?ttl=60s", body: "1" }) },
  { method: "PUT", path: KEY, status: 200, request: () => ({ path: "/v1/kv/samples/one", body: "2", headers: { "if-match": "*" } }) },
  { method: "PUT", path: KEY, status: 412, request: () => ({ path: "/v1/kv/samples/one", body: "3", headers: { "if-none-match": "*" } }) },
  { method: "GET", path: KEY, status: 200, request: () => ({ path: "/v1/kv/samples/one" }) },
  { method: "GET", path: KEY, status: 200, request: () => ({ path: "/v1/kv/samples/?prefix&limit=1" }) },
  { method: "GET", path: KEY, status: 304, request: () => ({ path: "/v1/kv/samples/one?wait=10ms", headers: { "if-none-match": "*" } }) },
  { method: "GET", path: KEY, status: 404, request: () => ({ path: "/v1/kv/samples/none" }) },
  { method: "POST", path: KEY, status: 201, request: () => ({ path: "/v1/kv/samples/line/", body: "a" }) },
  { method: "DELETE", path: KEY, status: 200, request: () => ({ path: "/v1/kv/samples/one" }) },
  {
    method: "POST",
    path: "/v1/txn",
    status: 200,
    request: () => ({
      path: "/v1/txn",
      body: {
        compare: [{ key: "samples/txn", than: false }],
        success: [
          { op: "put", key: "samples/txn", value: { json: { a: 1 } } },
          { op: "get", prefix: "samples/", sort: { by: "modRevision", order: "descend" } },
          { op: "append", prefix: "samples/t/", value: { base64: "AP8=" } },
          { op: "delete", key: "samples/none", prev: true },
          { op: "txn", compare: [{ key: "samples/txn", target: "version", is: "greater", than: 0 }], failure: [{ op: "get", key: "a" }] },
        ],
      },
    }),
  },
  {
    method: "POST",
    path: "/v1/batch",
    status: 200,
    request: () => ({
      path: "/v1/batch",
      body: {
        txns: [{ success: [{ op: "get", key: "samples/txn" }] }, { success: [{ op: "put", key: "samples/b", value: "", lease: "404" }] }],
      },
    }),
  },
  { method: "GET", path: "/v1/watch", status: 200, request: () => ({ path: "/v1/watch?prefix=samples/&after=1" }) },
  { method: "GET", path: "/v1/watch", status: 204, request: () => ({ path: "/v1/watch?key=samples/silent&wait=10ms" }) },
  { method: "POST", path: "/v1/leases", status: 201, request: () => ({ path: "/v1/leases", body: { id: "4711", ttl: "60s" } }) },
  { method: "PUT", path: "/v1/leases/{lease}", status: 200, request: () => ({ path: "/v1/leases/4711" }) },
  { method: "GET", path: "/v1/leases/{lease}", status: 200, request: () => ({ path: "/v1/leases/4711" }) },
  { method: "DELETE", path: "/v1/leases/{lease}", status: 204, request: () => ({ path: "/v1/leases/4711" }) },
  { method: "POST", path: "/v1/tokens", status: 201, request: () => ({ path: "/v1/tokens", body: { allow: ["kv:a:read"], ttl: "1m" } }) },
  { method: "POST", path: "/v1/tokens/void", status: 204, request: () => ({ path: "/v1/tokens/void" }) },
  { method: "GET", path: "/v1/openapi.json", status: 200, request: () => ({ path: "/v1/openapi.json" }) },
];
