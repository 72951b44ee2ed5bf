/**
 * The requests of each workload, built once and sent again and again, so that the load generator spends nothing on making them.
 *
 * Each workload walks over `KEYS` keys. Values are 256 bytes, as in the memory row.
 */

/** Keys that a workload walks over. */
export const KEYS = 2_000;
export const VALUE_BYTES = 256;

export type UnaryWorkload = "put" | "range" | "txn" | "v2-put" | "v2-get" | "v1-put" | "v1-get";
export const UNARY_WORKLOADS: readonly UnaryWorkload[] = ["put", "range", "txn", "v2-put", "v2-get", "v1-put", "v1-get"];

/** What etcd is asked where it has no such API: the same, over its own. */
const OF_ETCD: Readonly<Partial<Record<UnaryWorkload, UnaryWorkload>>> = { "v1-put": "put", "v1-get": "range" };

/** One HTTP request without the connection: what both generators are given. */
export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
}

export function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** 256 printable bytes that differ from key to key, so that nothing compresses or deduplicates them unduly. */
export function valueOf(n: number): string {
  return `${n.toString(36)}-`.repeat(VALUE_BYTES).slice(0, VALUE_BYTES);
}

export function keyOf(n: number): string {
  return `/bench/${String(n).padStart(8, "0")}`;
}

export function putRequest(key: string, value: string): PlainRequest {
  return json("/v3/kv/put", { key: base64(key), value: base64(value) });
}

/** Many puts as one transaction: for filling a store quickly. */
export function fillRequest(first: number, count: number): PlainRequest {
  const success = Array.from({ length: count }, (_, n) => ({
    request_put: { key: base64(keyOf(first + n)), value: base64(valueOf(first + n)) },
  }));
  return json("/v3/kv/txn", { success });
}

export function requestsOf(workload: UnaryWorkload, of: "quorate" | "etcd" = "quorate"): PlainRequest[] {
  const asked = of === "etcd" ? (OF_ETCD[workload] ?? workload) : workload;
  return Array.from({ length: KEYS }, (_, n) => requestOf(asked, n));
}

function requestOf(workload: UnaryWorkload, n: number): PlainRequest {
  switch (workload) {
    case "put":
      return putRequest(keyOf(n), valueOf(n));
    case "range":
      return json("/v3/kv/range", { key: base64(keyOf(n)) });
    case "txn":
      // Compare-and-swap as a client library does it: the key exists, then write it, else read it.
      return json("/v3/kv/txn", {
        compare: [{ key: base64(keyOf(n)), target: "CREATE", result: "GREATER", create_revision: "0" }],
        success: [{ request_put: { key: base64(keyOf(n)), value: base64(valueOf(n)) } }],
        failure: [{ request_range: { key: base64(keyOf(n)) } }],
      });
    case "v2-put":
      return {
        method: "PUT",
        path: `/v2/keys${keyOf(n)}`,
        contentType: "application/x-www-form-urlencoded",
        body: `value=${valueOf(n)}`,
      };
    case "v1-put":
      return { method: "PUT", path: `/v1/kv${keyOf(n)}`, contentType: "text/plain", body: valueOf(n) };
    case "v1-get":
      return { method: "GET", path: `/v1/kv${keyOf(n)}` };
    case "v2-get":
      return { method: "GET", path: `/v2/keys${keyOf(n)}` };
  }
}

function json(path: string, body: unknown): PlainRequest {
  return { method: "POST", path, contentType: "application/json", body: JSON.stringify(body) };
}

/** The bytes of a request on a kept-alive HTTP/1.1 connection. */
export function toBytes(request: PlainRequest, host: string): Buffer {
  const body = request.body ?? "";
  const head = [`${request.method} ${request.path} HTTP/1.1`, `Host: ${host}`];
  if (request.contentType !== undefined) head.push(`Content-Type: ${request.contentType}`, `Content-Length: ${Buffer.byteLength(body)}`);
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`, "utf8");
}
