/** Services, groups, configuration and limits over HTTP at a real server: waiting, streams, and what the headers say. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { asking } from "./http.ts";

let server: ServerProcess;
const ask = asking(() => server);
beforeAll(async () => {
  server = await startQuorate({ flags: ["--service-check-hosts", "127.0.0.1"] });
});
afterAll(() => server.stop());

const headers = { "quorate-secret": "s" };
const enter = (path: string, body: object) => ask("PUT", path, { body, headers });

type Told = readonly [name: string, data: Readonly<Record<string, unknown>>, id: string];

/** The first events of a stream: name, data, id. `act` is done once it has begun. */
async function events(path: string, count: number, act: () => Promise<unknown>, more = {}): Promise<Told[]> {
  const end = new AbortController();
  const reply = await fetch(server.url + path, { headers: { accept: "text/event-stream", ...more }, signal: end.signal });
  expect(reply.headers.get("content-type")).toBe("text/event-stream");
  let text = "";
  const found = (): Told[] =>
    [...text.matchAll(/event: (\w+)\nid: (\d+)\ndata: (.*)\n\n/g)].map(([, name, id, data]) => [name!, JSON.parse(data!) as Told[1], id!]);
  let acted = false;
  for await (const chunk of reply.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (!acted && (found().length > 0 || "last-event-id" in more)) {
      acted = true;
      await act();
    }
    if (found().length >= count) break;
  }
  end.abort();
  return found();
}

test("a list is waited for by its ETag, and may be cached for a moment", async () => {
  await enter("/v1/services/api/a", { address: "10.0.0.1" });
  const { headers: first } = await ask("GET", "/v1/services/api");
  expect(first.get("cache-control")).toBe("max-age=2, stale-while-revalidate=30, stale-if-error=600");
  const waiting = ask("GET", "/v1/services/api?wait=20s", { headers: { "if-none-match": first.get("etag")! } });
  await enter("/v1/services/api/b", { address: "10.0.0.2" });
  const { status, json, headers: second } = await waiting;
  expect([status, (json!["instances"] as { id: string }[]).map(({ id }) => id)]).toEqual([200, ["a", "b"]]);
  expect(second.get("etag")).not.toBe(first.get("etag"));
});

test("a stream of services tells who comes, changes and leaves, and goes on where it was", async () => {
  await enter("/v1/services/web/a", { address: "10.0.0.1" });
  const told = await events("/v1/services/web", 4, async () => {
    await enter("/v1/services/web/b", { address: "10.0.0.2" });
    await ask("PATCH", "/v1/services/web/b", { body: { weight: 2 }, headers });
    await ask("DELETE", "/v1/services/web/b", { headers });
  });
  expect(told.map(([name, { id, cause }]) => [name, id, cause].filter((one) => one !== undefined))).toEqual([
    ["snapshot"],
    ["up", "b"],
    ["changed", "b"],
    ["down", "b", "delete"],
  ]);
  const rest = await events("/v1/services/web", 2, async () => {}, { "last-event-id": told[1]![2] });
  expect(rest).toEqual(told.slice(2));
});

test("a stream of a group tells who left", async () => {
  const told = await events("/v1/groups/g", 3, async () => {
    await enter("/v1/groups/g/a", { x: 1 });
    await ask("DELETE", "/v1/groups/g/a", { headers });
  });
  expect(told.map(([name, { data }]) => [name, data])).toEqual([
    ["view", undefined],
    ["join", { x: 1 }],
    ["leave", { x: 1 }],
  ]);
});

test("a stream of configuration has what is published together in one event", async () => {
  const told = await events("/v1/config/app", 3, async () => {
    await ask("PATCH", "/v1/config/app", { body: { set: { a: 1, b: [2] } } });
    await ask("DELETE", "/v1/config/app/a");
  });
  expect(told.map(([name, { values, deleted }]) => [name, values, deleted])).toEqual([
    ["snapshot", {}, undefined],
    ["change", { a: 1, b: [2] }, []],
    ["change", {}, ["a"]],
  ]);
});

test("a rollout is waited for", async () => {
  const { json } = await ask("PUT", "/v1/config/roll/a", { body: "1" });
  const revision = json!["revision"];
  await ask("PUT", "/v1/config/roll/rollout/w1", { body: { revision: 1 } });
  expect((await ask("GET", "/v1/config/roll/rollout?wait=20ms")).json).toEqual({ target: revision, consumers: { w1: 1 }, done: false });
  const waiting = ask("GET", "/v1/config/roll/rollout?wait=20s");
  await ask("PUT", "/v1/config/roll/rollout/w1", { body: { revision } });
  expect((await waiting).json).toMatchObject({ done: true });
});

test("a limit says in headers what is left, and when to come again", async () => {
  const path = "/v1/limits/api/me?limit=2&per=1h";
  const first = await ask("POST", path);
  const names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"];
  expect([first.status, ...names.map((name) => first.headers.get(name))]).toEqual([200, "2", "1", "1800", null]);
  await ask("POST", path);
  const refused = await ask("POST", path);
  expect([refused.status, refused.headers.get("ratelimit-remaining"), refused.json!["code"]]).toEqual([429, "0", "limited"]);
  const retry = Number(refused.json!["retryAfterMs"]);
  expect(retry).toBeGreaterThan(1_700_000);
  expect(refused.headers.get("retry-after")).toBe(String(Math.ceil(retry / 1_000)));
});

test("a service that is checked is critical while its check fails, and whoever follows the list is told", async () => {
  let status = 500;
  const checked = createServer((_request, reply) => void reply.writeHead(status).end());
  await new Promise<void>((resolve) => checked.listen(0, "127.0.0.1", resolve));
  const { port } = checked.address() as AddressInfo;
  const check = { url: `http://127.0.0.1:${port}/health`, interval: "1s", failAfter: 1 };
  await enter("/v1/services/checked/a?ttl=1m", { address: "127.0.0.1", port, check });
  const told = await events("/v1/services/checked", 3, async () => {
    const list = async () => (await ask("GET", "/v1/services/checked?status=critical")).text;
    await expect.poll(list).toContain('"output":"HTTP 500"');
    status = 200;
  });
  checked.close();
  expect(told.map(([name, { status: now }]) => `${name} ${now as string}`)).toEqual([
    "snapshot undefined",
    "changed critical",
    "changed passing",
  ]);
});

test("a check where the server asks nobody is refused, and nothing is registered", async () => {
  const check = { url: "http://169.254.169.254/latest/meta-data" };
  const put = await enter("/v1/services/refused/a", { address: "127.0.0.1", check });
  expect([put.status, put.json?.["field"]]).toEqual([400, "check.url"]);
  expect(put.json?.["detail"]).toContain("--service-check-hosts");
  await enter("/v1/services/refused/b", { address: "127.0.0.1" });
  const patch = await ask("PATCH", "/v1/services/refused/b", { body: { check }, headers });
  expect([patch.status, patch.json?.["field"]]).toEqual([400, "check.url"]);
  expect((await ask("GET", "/v1/services/refused")).json).toMatchObject({ instances: [{ id: "b" }] });
});
