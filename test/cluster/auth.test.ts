/** Authentication on a cluster of real processes: what one member is told, all obey. */
import { Agent } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Cluster } from "../helpers/start-cluster.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { ask, base64 } from "./http.ts";

const agent = new Agent({ keepAlive: true });
let cluster: Cluster | undefined;
afterEach(() => cluster?.stop());

async function call(url: string, path: string, body: unknown, token?: string): Promise<{ status: number; json: Record<string, unknown> }> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const reply = await fetch(`${url}/v3/${path}`, { method: "POST", body: JSON.stringify(body), headers });
  return { status: reply.status, json: (await reply.json()) as Record<string, unknown> };
}

const tokenOf = async (url: string, name: string): Promise<string> =>
  (await call(url, "auth/authenticate", { name, password: "pw" })).json["token"] as string;

test("users, roles and tokens hold on every member, through the loss of one, and in v2", { timeout: 60_000 }, async () => {
  cluster = await Cluster.start({ size: 3 });
  const leader = await cluster.untilLeader();
  const [a, b] = cluster.members.filter(({ name }) => name !== leader).map(({ url }) => url) as [string, string];
  const steps: [string, unknown][] = [
    ["auth/user/add", { name: "root", password: "pw" }],
    ["auth/user/grant", { user: "root", role: "root" }],
    ["auth/user/add", { name: "u", password: "pw" }],
    ["auth/role/add", { name: "r" }],
    ["auth/role/grant", { name: "r", perm: { permType: "READWRITE", key: base64("/mine"), range_end: base64("/minf") } }],
    ["auth/user/grant", { user: "u", role: "r" }],
    ["auth/enable", {}],
  ];
  for (const [path, body] of steps) expect((await call(a, path, body)).status, path).toBe(200);

  // A token of one member is good on the others; what it allows is the same everywhere.
  const token = await tokenOf(a, "u");
  for (const url of cluster.urls) {
    expect((await call(url, "kv/put", { key: base64("/mine/k"), value: base64("v") }, token)).status).toBe(200);
    expect((await call(url, "kv/put", { key: base64("/other"), value: "" }, token)).status).toBe(403);
    expect((await call(url, "kv/range", { key: base64("/mine/k"), serializable: true })).status).toBe(400);
    expect((await call(url, "cluster/member/add", { peerURLs: ["http://127.0.0.1:1"] }, token)).status).toBe(403);
  }

  // Also at once, before the others have heard of it by themselves.
  for (let at = 0; at < 60; at++) {
    const [here, there] = [cluster.urls[at % 3]!, cluster.urls[(at + 1) % 3]!];
    const fresh = await tokenOf(here, "u");
    expect((await call(there, "kv/range", { key: base64("/mine/k"), serializable: true }, fresh)).status).toBe(200);
  }

  // v2 asks for name and password in each request.
  const basic = (name: string, password: string) => ({ authorization: `Basic ${base64(`${name}:${password}`)}` });
  const v2 = async (path: string, headers: Record<string, string> = {}, method = "GET") =>
    (await fetch(`${b}/v2/keys${path}`, { method, headers, ...(method === "PUT" ? { body: new URLSearchParams({ value: "1" }) } : {}) }))
      .status;
  expect(await v2("/mine/k")).toBe(401);
  expect(await v2("/mine/k", basic("u", "wrong"))).toBe(401);
  expect(await v2("/mine/k", basic("nobody", "pw"))).toBe(401);
  expect(await v2("/mine/k", basic("u", "pw"))).toBe(200);
  expect(await v2("/?recursive=true", basic("u", "pw"))).toBe(401);
  expect(await v2("/mine/n", basic("u", "pw"), "PUT")).toBe(201);
  expect(await v2("/other", basic("u", "pw"), "PUT")).toBe(401);
  expect(await v2("/other", basic("root", "pw"), "PUT")).toBe(201);
  // What may come to be below a key is not its own: neither read nor waited for.
  expect(
    (await call(a, "auth/role/grant", { name: "r", perm: { permType: "READ", key: base64("/leaf") } }, await tokenOf(a, "root"))).status,
  ).toBe(200);
  expect(await v2("/leaf", basic("u", "pw"))).toBe(404);
  expect(await v2("/leaf?wait=true&recursive=true", basic("u", "pw"))).toBe(401);
  const change = async (headers: Record<string, string>) => (await fetch(`${b}/v2/members/99`, { method: "DELETE", headers })).status;
  expect([await change({}), await change(basic("u", "pw")), await change(basic("root", "pw"))]).toEqual([401, 401, 404]);

  // A new password voids the tokens of the old one, also on the others; the next leader knows all of it.
  const root = await tokenOf(b, "root");
  expect((await call(b, "auth/user/changepw", { name: "u", password: "new" }, root)).status).toBe(200);
  expect((await call(a, "kv/put", { key: base64("/mine/k"), value: "" }, token)).status).toBe(401);
  await cluster.member(leader).process.kill("SIGKILL");
  // What was on its way to the dead leader is asked for again.
  const again = async () => (await call(a, "kv/put", { key: base64("/mine/k"), value: "" }, root)).status === 200;
  await untilTrue(again, { what: () => "the token is good for the next leader" });
  expect((await call(b, "kv/range", { key: base64("/mine/k") })).status).toBe(400);
  // A member that was restarted has the users and asks for a token anew.
  await cluster.restart(leader, [], false);
  await cluster.untilLeader();
  const back = cluster.member(leader).url;
  expect((await call(back, "kv/range", { key: base64("/mine/k") }, root)).status).toBe(401);
  expect((await call(back, "kv/range", { key: base64("/mine/k") }, await tokenOf(back, "root"))).status).toBe(200);
  expect((await ask(agent, back, "GET", "/health"))?.status).toBe(200);
});
