/**
 * Acts of several requests, each written before the reply to the one before is known: what one user of a lock or a queue does. The v1 API
 * needs two of them; over the v3 gateway, ours or etcd's, the same is done with what that has.
 */
import { base64, type PlainRequest } from "./requests.ts";

export type CycleName = "v1-lock" | "v3-lock" | "v1-queue" | "v3-queue";

const PAYLOAD = "x".repeat(256);

/** @param connection each has a lock and a queue of its own @param n the how manieth time */
export function cycleOf(name: CycleName, connection: number, n: number): PlainRequest[] {
  const id = (connection + 1) * 10_000_000 + n;
  switch (name) {
    case "v1-lock":
      return [
        { method: "POST", path: `/v1/locks/bench-${connection}?id=${id}&ttl=1m` },
        { method: "DELETE", path: `/v1/locks/bench-${connection}/${id}` },
      ];
    case "v3-lock": {
      const lock = `bench-${connection}`;
      return [
        gateway("/v3/lease/grant", { TTL: "60", ID: String(id) }),
        gateway("/v3/lock/lock", { name: base64(lock), lease: String(id) }),
        gateway("/v3/lock/unlock", { key: base64(`${lock}/${id.toString(16)}`) }),
        gateway("/v3/lease/revoke", { ID: String(id) }),
      ];
    }
    case "v1-queue":
      return [
        { method: "POST", path: `/v1/queues/bench-${connection}`, contentType: "text/plain", body: PAYLOAD },
        { method: "POST", path: `/v1/queues/bench-${connection}/take?ack=auto` },
      ];
    case "v3-queue": {
      // As etcd's own recipe does it: a new key, then the first one, which is deleted if nobody else has been faster.
      const prefix = `/bench-queue/${connection}/`;
      const key = base64(prefix + String(n).padStart(20, "0"));
      return [
        gateway("/v3/kv/put", { key, value: base64(PAYLOAD) }),
        gateway("/v3/kv/range", { key: base64(prefix), range_end: base64(`/bench-queue/${connection}0`), limit: "1" }),
        gateway("/v3/kv/txn", {
          compare: [{ key, target: "VERSION", result: "EQUAL", version: "1" }],
          success: [{ request_delete_range: { key } }],
        }),
      ];
    }
  }
}

function gateway(path: string, body: unknown): PlainRequest {
  return { method: "POST", path, contentType: "application/json", body: JSON.stringify(body) };
}
