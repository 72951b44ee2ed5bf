/** Requests that are sent twice, and happen once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

let server: ServerProcess;
beforeAll(async () => {
  server = await startQuorate();
});
afterAll(() => server.stop());

const ask = (method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.url + path, { method, headers, ...(body === undefined ? {} : { body }) });

test("a write with an Idempotency-Key again is answered as it was the first time", async () => {
  const headers = { "idempotency-key": "order-17" };
  const first = await ask("POST", "/v1/kv/orders/", "a", headers);
  await ask("PUT", "/v1/kv/between", "");
  const again = await ask("POST", "/v1/kv/orders/", "a", headers);
  expect([again.status, again.headers.get("location")]).toEqual([201, first.headers.get("location")]);
  const { count } = (await (await ask("GET", "/v1/kv/orders/?prefix")).json()) as { count: number };
  expect(count).toBe(1);
});

test("also one that is made of several acts: the lease of a key is the same", async () => {
  const headers = { "idempotency-key": "mine" };
  const put = async (): Promise<string> =>
    ((await (await ask("PUT", "/v1/kv/dying?ttl=60s", "x", headers)).json()) as { lease: string }).lease;
  const leases = [await put(), await put()];
  expect(leases[0]).toBe(leases[1]);
  expect((await ask("GET", "/v1/kv/dying")).headers.get("quorate-lease")).toBe(leases[0]);
});

test("the key belongs to the method and the path", async () => {
  const headers = { "idempotency-key": "same" };
  expect((await ask("PUT", "/v1/kv/one", "1", headers)).status).toBe(201);
  expect((await ask("PUT", "/v1/kv/two", "2", headers)).status).toBe(201);
  expect((await ask("DELETE", "/v1/kv/one", undefined, headers)).status).toBe(200);
  expect((await ask("GET", "/v1/kv/one")).status).toBe(404);
});

test("a transaction, too; and a key of no length is refused", async () => {
  const body = JSON.stringify({ success: [{ op: "append", prefix: "t/", value: "1" }] });
  const replies = [
    await ask("POST", "/v1/txn", body, { "idempotency-key": "t" }),
    await ask("POST", "/v1/txn", body, { "idempotency-key": "t" }),
  ];
  const [first, second] = await Promise.all(replies.map(async (reply) => (await reply.json()) as object));
  expect(second).toEqual(first);
  expect((await ask("PUT", "/v1/kv/one", "1", { "idempotency-key": "x".repeat(257) })).status).toBe(400);
});
