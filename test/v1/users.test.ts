/** Who may do what over v1, once somebody is asked: by token, with and without "Bearer", or by name and password. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { addUsers, tokenOf } from "../auth/users.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { asking } from "./http.ts";

let server: ServerProcess;
let token: string;
beforeAll(async () => {
  server = await startQuorate();
  await addUsers(server);
  token = await tokenOf(server, "u");
});
afterAll(() => server.stop());
const ask = asking(() => server);

/** Of the user u, who may use the key "a" alone. */
const WAYS: readonly [string, () => string][] = [
  ["a token", () => token],
  ["a bearer token", () => `Bearer ${token}`],
  ["a name and a password", () => `Basic ${btoa("u:pw")}`],
];

describe.each(WAYS)("u, by %s", (_, authorization) => {
  const as = () => ({ headers: { authorization: authorization() } });

  test("reads, writes and watches what he may", async () => {
    expect((await ask("PUT", "/v1/kv/a", { body: "1", ...as() })).status).toBeLessThan(202);
    expect(await ask("GET", "/v1/kv/a", as())).toMatchObject({ status: 200, text: "1" });
    expect(await ask("GET", "/v1/watch?key=a&after=1", as())).toMatchObject({ status: 200 });
    expect(await ask("POST", "/v1/txn", { body: { success: [{ op: "get", key: "a" }] }, ...as() })).toMatchObject({ status: 200 });
  });

  test("is refused everything else", async () => {
    const refused = { status: 403, json: { code: "permission_denied" } };
    expect(await ask("GET", "/v1/kv/b", as())).toMatchObject(refused);
    expect(await ask("GET", "/v1/kv/a?prefix", as())).toMatchObject(refused);
    expect(await ask("PUT", "/v1/kv/b", { body: "1", ...as() })).toMatchObject(refused);
    expect(await ask("POST", "/v1/kv/a", { body: "1", ...as() })).toMatchObject(refused);
    expect(await ask("DELETE", "/v1/kv/a?prefix", as())).toMatchObject(refused);
    expect(await ask("GET", "/v1/watch?prefix=a&after=1", as())).toMatchObject(refused);
    const stream = { headers: { ...as().headers, accept: "text/event-stream" } };
    expect(await ask("GET", "/v1/watch?prefix=a", stream)).toMatchObject(refused);
    expect(await ask("POST", "/v1/txn", { body: { success: [{ op: "put", key: "b", value: "" }] }, ...as() })).toMatchObject(refused);
    const txns = [{ success: [{ op: "get", key: "b" }] }, { success: [{ op: "get", key: "a" }] }];
    const batch = await ask("POST", "/v1/batch", { body: { txns }, ...as() });
    expect(batch.json).toMatchObject({ results: [{ problem: { code: "permission_denied" } }, { succeeded: true }] });
  });

  test("watches over a WebSocket what he may, and nothing else", async () => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/watch`, as());
    const told: unknown[] = [];
    const both = new Promise<void>((resolve) => {
      socket.on("message", (data: Buffer) => void (told.push(JSON.parse(data.toString("utf8"))) === 2 && resolve()));
    });
    await new Promise((resolve) => socket.on("open", resolve));
    socket.send(JSON.stringify({ id: "1", watch: { key: "b" } }));
    socket.send(JSON.stringify({ id: "2", watch: { key: "a" } }));
    await both;
    expect(told).toMatchObject([
      { id: "1", event: "error", data: { code: "permission_denied" } },
      { id: "2", event: "open" },
    ]);
    socket.close();
  });
});

test("nobody, and somebody with a wrong password, are asked who they are", async () => {
  for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: `Basic ${btoa("u:wrong")}` }]) {
    const answer = await ask("GET", "/v1/kv/a", { headers });
    expect({ status: answer.status, asked: answer.headers.get("www-authenticate") }).toEqual({ status: 401, asked: "Bearer" });
  }
});

test("an Idempotency-Key is its user's: another one who uses the same makes a write of his own", async () => {
  const put = async (user: string, body: string) =>
    ask("PUT", "/v1/kv/a", { body, headers: { authorization: await tokenOf(server, user), "idempotency-key": "same" } });
  const first = await put("u", "of u");
  await put("root", "of root");
  expect(await put("u", "of u")).toMatchObject({ json: { revision: first.json!["revision"] } });
  expect(await ask("GET", "/v1/kv/a", { headers: { authorization: token } })).toMatchObject({ text: "of root" });
});
