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

test("the key belongs to the request: any other one is refused, and does nothing", async () => {
  const headers = { "idempotency-key": "same" };
  expect((await ask("PUT", "/v1/kv/one?ttl=60s", "1", headers)).status).toBe(201);
  const others: [string, string, string?][] = [
    ["PUT", "/v1/kv/two?ttl=60s", "1"],
    ["PUT", "/v1/kv/one?ttl=60s", "2"],
    ["PUT", "/v1/kv/one?ttl=61s", "1"],
    ["POST", "/v1/kv/one", "1"],
    ["DELETE", "/v1/kv/one"],
  ];
  for (const [method, path, body] of others) {
    const reply = await ask(method, path, body, headers);
    expect([reply.status, reply.headers.get("content-type")]).toEqual([422, "application/problem+json"]);
    expect(await reply.json()).toMatchObject({ code: "key_reused", outcome: "none" });
  }
  expect((await ask("GET", "/v1/kv/two")).status).toBe(404);
  const kept = await ask("GET", "/v1/kv/one");
  expect([await kept.text(), kept.headers.get("quorate-version")]).toEqual(["1", "1"]);
  const lease = (await (await ask("GET", `/v1/leases/${kept.headers.get("quorate-lease")!}`)).json()) as { ttl: number };
  expect(lease.ttl).toBe(60);
});

test.each([
  ["queues", ["/v1/queues/jobs", "a"], ["/v1/queues/jobs", "b"]],
  ["topics", ["/v1/topics/news", "a"], ["/v1/topics/news", "b"]],
  ["counters", ["/v1/counters/hits", '{"add":1}'], ["/v1/counters/hits", '{"add":2}']],
  ["limits", ["/v1/limits/api/me?n=1"], ["/v1/limits/api/me?n=2"]],
] as const)("and so it is with %s", async (_, [path, body], [otherPath, otherBody]) => {
  await ask("PUT", "/v1/limits/api/.rule", '{"limit":9,"per":"1m"}');
  const headers = { "idempotency-key": "one" };
  const first = await ask("POST", path, body, headers);
  expect(first.ok).toBe(true);
  const again = await ask("POST", path, body, headers);
  expect([again.status, await again.json()]).toEqual([first.status, await first.json()]);
  const reply = await ask("POST", otherPath, otherBody, headers);
  expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([422, "key_reused"]);
});

test("so is each transaction of a batch", async () => {
  const append = (value: string) => ({ success: [{ op: "append", prefix: "batch/", value }] });
  const send = async (...values: string[]) => {
    const reply = await ask("POST", "/v1/batch", JSON.stringify({ txns: values.map(append) }), { "idempotency-key": "b" });
    expect(reply.status).toBe(200);
    return (await reply.json()) as { results: { problem?: { code: string } }[] };
  };
  const first = await send("1", "2");
  expect(await send("1", "2")).toEqual(first);
  expect((await send("1", "3")).results.map(({ problem }) => problem?.code)).toEqual(["key_reused", "key_reused"]);
  expect(await (await ask("GET", "/v1/kv/batch/?prefix")).json()).toMatchObject({ count: 2 });
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
