import { afterAll, beforeAll, expect, test } from "vitest";
import { attenuate, connect, presign, readToken } from "../../client/client.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

let server: ServerProcess;
let token: string;
beforeAll(async () => {
  server = await startQuorate();
  await fetch(`${server.url}/v1/kv/app/a`, { method: "PUT", body: "1" });
  const body = JSON.stringify({ allow: ["kv:app/*:read,write"], ttl: "1m" });
  ({ token } = (await (await fetch(`${server.url}/v1/tokens`, { method: "POST", body })).json()) as { token: string });
});
afterAll(() => server.stop());

test("a token that the holder made narrower opens less", async () => {
  const narrow = await attenuate(token, { allow: ["kv:app/a:read"] });
  expect(readToken(narrow).restrictions).toHaveLength(2);
  const status = async (method: string, path: string): Promise<number> =>
    (await fetch(server.url + path, { method, headers: { authorization: `Bearer ${narrow}` } })).status;
  expect([await status("GET", "/v1/kv/app/a"), await status("DELETE", "/v1/kv/app/a"), await status("GET", "/v1/kv/app/b")]).toEqual([
    200, 403, 403,
  ]);
  const q = connect({ url: server.url, token: narrow });
  expect((await q.keys("app/").get("a"))?.value).toBe("1");
});

test("a link opens one thing", async () => {
  const link = await presign(`${server.url}/v1/kv/app/a?serializable`, { token });
  expect(await (await fetch(link)).text()).toBe("1");
  expect((await fetch(link, { method: "PUT", body: "2" })).status).toBe(400);
  expect((await fetch(link.replace("serializable&", ""))).status).toBe(401);
  expect((await fetch(link.replace("/a?", "/b?"))).status).toBe(401);
});
