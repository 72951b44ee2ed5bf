/** Scoped tokens over HTTP: what whoever holds one can do, from a header or from a link. */
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

const give = async (body: object): Promise<string> =>
  ((await (await ask("POST", "/v1/tokens", JSON.stringify(body))).json()) as { token: string }).token;

test("a token for one prefix opens that prefix, in each of the APIs", async () => {
  await ask("PUT", "/v1/kv/open/a", "1");
  await ask("PUT", "/v1/kv/closed/a", "1");
  const authorization = `Bearer ${await give({ allow: ["kv:open/*:read"], ttl: "1m" })}`;
  const read = async (path: string): Promise<number> => (await ask("GET", path, undefined, { authorization })).status;
  expect([await read("/v1/kv/open/a"), await read("/v1/kv/closed/a"), await read("/v1/kv/?prefix")]).toEqual([200, 403, 403]);
  expect((await ask("PUT", "/v1/kv/open/a", "2", { authorization })).status).toBe(403);
  const range = async (key: string): Promise<number> =>
    (await ask("POST", "/v3/kv/range", JSON.stringify({ key: btoa(key) }), { authorization })).status;
  expect([await range("open/a"), await range("closed/a")]).toEqual([200, 403]);
});

test("a token for a lock takes that lock, and no other", async () => {
  const authorization = `Bearer ${await give({ allow: ["locks:deploy web:acquire"], ttl: "1m" })}`;
  expect((await ask("POST", "/v1/locks/deploy%20web", undefined, { authorization })).status).toBe(201);
  expect((await ask("POST", "/v1/locks/other", undefined, { authorization })).status).toBe(403);
});

test("a link with a token opens what it is for, and nothing else", async () => {
  await ask("PUT", "/v1/kv/shared/file", "content");
  const act = { method: "GET", path: "/v1/kv/shared/file?serializable" };
  const token = await give({ allow: ["kv:shared/*:read"], ttl: "1m", act });
  expect(await (await ask("GET", `/v1/kv/shared/file?serializable&token=${token}`)).text()).toBe("content");
  expect((await ask("GET", `/v1/kv/shared/file?token=${token}`)).status).toBe(401);
  expect((await ask("DELETE", `/v1/kv/shared/file?token=${token}`)).status).toBe(401);
});

test("a token is given by nobody who holds one, and for nothing that is not understood", async () => {
  const authorization = `Bearer ${await give({ allow: ["kv:*:read"], ttl: "1m" })}`;
  expect((await ask("POST", "/v1/tokens", JSON.stringify({ allow: ["kv:a:read"], ttl: "1m" }), { authorization })).status).toBe(400);
  for (const allow of [["cats:a:read"], ["kv:a:fly"], []]) {
    expect((await ask("POST", "/v1/tokens", JSON.stringify({ allow, ttl: "1m" }))).status).toBe(400);
  }
  expect((await ask("POST", "/v1/tokens/void", undefined, { authorization })).status).toBe(403);
  expect((await ask("POST", "/v1/tokens/void")).status).toBe(204);
  expect((await ask("GET", "/v1/kv/a", undefined, { authorization })).status).toBe(401);
});

/** Each verb does what it says with one request, and a reader may not. */
const ACTS: readonly (readonly [
  entry: string,
  method: string,
  path: string,
  body?: string | undefined,
  headers?: Record<string, string>,
])[] = [
  ["services:x:register", "PUT", "/v1/services/x/i1", '{"address":"10.0.0.1"}'],
  ["config:x:publish", "PUT", "/v1/config/x/port", "80", { "idempotency-key": "k" }],
  ["config:x:acknowledge", "PUT", "/v1/config/x/rollout/w1", '{"revision":1}'],
  ["pools:x:report", "PUT", "/v1/pools/x/n1", '{"address":"10.0.0.1","capacity":1,"inflight":0}'],
  ["topics:x:publish", "POST", "/v1/topics/x", "hello", { "idempotency-key": "k" }],
  ["topics:x:consume", "PUT", "/v1/topics/x/cursors/c", '{"after":1}', { "if-match": '"0"' }],
  ["tasks:x:direct", "PUT", "/v1/tasks/x", "do"],
  ["tasks:x:report", "PUT", "/v1/tasks/x/workers/w", "{}"],
  ["locks:x:acquire", "POST", "/v1/locks/x"],
  ["rwlocks:x:acquire", "POST", "/v1/rwlocks/x/read"],
  ["semaphores:x:acquire", "POST", "/v1/semaphores/x?limit=2"],
  ["barriers:x:close", "PUT", "/v1/barriers/x"],
  ["rendezvous:x:enter", "POST", "/v1/rendezvous/x?parties=2"],
  ["queues:x:put", "POST", "/v1/queues/x?group=g", "job", { "idempotency-key": "k" }],
  ["queues:x:take", "POST", "/v1/queues/x/take"],
  ["schedules:x:manage", "PUT", "/v1/schedules/x", '{"every":"1h","queue":"q"}'],
  ["elections:x:campaign", "POST", "/v1/elections/x", "me"],
  ["groups:x:join", "PUT", "/v1/groups/x/m", "{}"],
  ["counters:x:add", "POST", "/v1/counters/x", "{}", { "idempotency-key": "k" }],
  ["limits:x:take", "POST", "/v1/limits/x/s?limit=5&per=1m", undefined, { "idempotency-key": "k" }],
  ["fences:x:advance", "POST", "/v1/fences/x", '{"fence":3}'],
];

test.each(ACTS.map((act) => [act[0], act] as const))(
  "%s is what its request needs",
  async (entry, [, method, path, body, headers = {}]) => {
    const as = async (allow: string): Promise<number> => {
      const authorization = `Bearer ${await give({ allow: [allow], ttl: "1m" })}`;
      return (await ask(method, path, body, { ...headers, authorization })).status;
    };
    const [kind] = entry.split(":");
    expect(await as(`${kind}:x:read`)).toBe(403);
    expect(await as(entry.replace(":x:", ":y:"))).toBe(403);
    expect(await as(entry)).toBeLessThan(300);
    expect(await as(entry.replace(":x:", ":*:"))).not.toBe(403); // though it may be done or held already
  },
);
