/** What a scoped token opens, and what it does not, in the views that know nothing of it. */
import { beforeEach, describe, expect, test } from "vitest";
import { localAuthenticator } from "../../../test/helpers/local-authenticator.ts";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { type LocalV3, localV3 } from "../../../test/helpers/local-v3.ts";
import { encodeBase64 } from "../../bytes/base64.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { attenuate } from "../../tokens/scoped-token.ts";
import type { Authenticator } from "./authenticator.ts";
import { v2Routes } from "../v2/routes.ts";
import { TokenOffice } from "./token-office.ts";

let member: LocalMember;
let authenticator: Authenticator;
let v3: LocalV3;
let office: TokenOffice;
let wallMs: number;

beforeEach(() => {
  wallMs = 1_000_000;
  member = new LocalMember();
  authenticator = localAuthenticator(member, () => wallMs);
  v3 = localV3(member, { authenticator });
  let seed = 0;
  office = new TokenOffice({ member, wallMs: () => wallMs, randomBytes: (count) => new Uint8Array(count).fill(++seed) });
});

const b64 = (text: string): string => encodeBase64(utf8Encode(text));
const tokenFor = async (...allow: string[]): Promise<string> => (await office.give({ user: "" }, { allow, ttlMs: 60_000 })).token;

/** @returns the status, and the body of a good answer */
async function v3Call(token: string | undefined, path: string, body: object): Promise<{ status: number; json: Record<string, unknown> }> {
  const route = v3.table.find("POST", path)!;
  const header = (name: string): string | undefined => (name === "authorization" ? token : undefined);
  const reply = await route.handle({ method: "POST", path, query: "", header, body: utf8Encode(JSON.stringify(body)) });
  return { status: reply.status, json: JSON.parse(reply.body as string) as Record<string, unknown> };
}

const put = (token: string | undefined, key: string, more: object = {}): Promise<{ status: number; json: Record<string, unknown> }> =>
  v3Call(token, "/v3/kv/put", { key: b64(key), value: b64("v"), ...more });
const get = (token: string | undefined, key: string, end = ""): Promise<{ status: number; json: Record<string, unknown> }> =>
  v3Call(token, "/v3/kv/range", { key: b64(key), range_end: b64(end) });

describe("while authentication is off", () => {
  test("a token allows its keys and nothing else; without one everything is allowed", async () => {
    const token = await tokenFor("kv:/a/*:read,write", "kv:/b:read");
    expect((await put(token, "/a/1")).status).toBe(200);
    expect((await put(`Bearer ${token}`, "/a/1")).status).toBe(200);
    expect((await get(token, "/a/", "/a0")).status).toBe(200);
    expect((await get(token, "/b")).status).toBe(200);
    expect((await put(token, "/b")).status).toBe(403);
    expect((await get(token, "/a/", "/b")).status).toBe(403);
    expect((await get(token, "\0", "\0")).status).toBe(403);
    expect((await put(undefined, "/c")).status).toBe(200);
  });

  test("a narrower one made of it allows less", async () => {
    const token = await attenuate(await tokenFor("kv:/a/*:read,write"), { allow: ["kv:/a/*:read"] });
    expect((await get(token, "/a/1")).status).toBe(200);
    expect((await put(token, "/a/1")).status).toBe(403);
  });

  test("transactions are held against it whole", async () => {
    const token = await tokenFor("kv:/a/*:read,write");
    const txn = (key: string): Promise<{ status: number }> =>
      v3Call(token, "/v3/kv/txn", { failure: [{ requestPut: { key: b64("/a/1") } }, { requestDeleteRange: { key: b64(key) } }] });
    expect((await txn("/a/2")).status).toBe(200);
    expect((await txn("/b")).status).toBe(403);
  });

  test("keys that go with a lease are asked for before the lease is ended", async () => {
    const token = await tokenFor("kv:/a/*:read,write");
    await v3Call(undefined, "/v3/lease/grant", { ID: "7", TTL: "60" });
    await put(undefined, "/b", { lease: "7" });
    expect((await v3Call(token, "/v3/lease/revoke", { ID: "7" })).status).toBe(403);
    expect((await v3Call(token, "/v3/lease/grant", { ID: "8", TTL: "60" })).status).toBe(200);
    expect((await put(token, "/a/1", { lease: "8" })).status).toBe(200);
    expect((await v3Call(token, "/v3/lease/leases", {})).status).toBe(403);
    const { json } = await v3Call(token, "/v3/lease/timetolive", { ID: "7", keys: true });
    expect(json["keys"] ?? []).toEqual([]);
    expect((await v3Call(token, "/v3/lease/revoke", { ID: "8" })).status).toBe(200);
  });

  test("it administers nothing", async () => {
    const token = await tokenFor("kv:*:read,write");
    for (const [path, body] of [
      ["/v3/auth/user/add", { name: "eve", password: "p" }],
      ["/v3/auth/user/list", {}],
      ["/v3/kv/compaction", { revision: "1" }],
      ["/v3/maintenance/alarm", { action: "DEACTIVATE", alarm: "NOSPACE" }],
      ["/v3/cluster/member/add", { peerURLs: ["http://m:1"] }],
      ["/v3/maintenance/defragment", {}],
    ] as const) {
      const { status, json } = await v3Call(token, path, body);
      expect({ path, status, message: json["message"] }).toMatchObject({
        path,
        message: expect.stringContaining("permission denied") as string,
      });
    }
  });

  test("after its time, and after all were voided, it is nobody's", async () => {
    const token = await tokenFor("kv:*:read");
    expect((await get(token, "a")).status).toBe(200);
    wallMs += 60_000;
    expect((await get(token, "a")).status).toBe(401);
    const next = await tokenFor("kv:*:read");
    expect((await get(next, "a")).status).toBe(200);
    await office.voidAll(member);
    expect((await get(next, "a")).status).toBe(401);
    expect((await get(await tokenFor("kv:*:read"), "a")).status).toBe(200);
  });

  test("a key that another member has just made is waited for", async () => {
    const other = new LocalMember();
    const given = await new TokenOffice({
      member: other,
      wallMs: () => wallMs,
      randomBytes: (count) => new Uint8Array(count).fill(7),
    }).give({ user: "" }, { allow: ["kv:*:read"], ttlMs: 60_000 });
    const key = other.store.auth.tokenKey!;
    member.barrier = async () => {
      member.barrier = () => undefined;
      await member.propose({ kind: "auth", change: { op: "tokenKey", key, first: true } });
    };
    expect((await get(given.token, "a")).status).toBe(200);
  });

  test("one for a single act is good in no view that does not tell acts apart", async () => {
    const { token } = await office.give({ user: "" }, { allow: ["kv:*:read"], ttlMs: 60_000, act: { method: "GET", path: "/v1/kv/a" } });
    expect((await get(token, "a")).status).toBe(401);
  });

  test("v2 obeys it too", async () => {
    const [keys] = v2Routes({ member, authenticator, now: () => wallMs });
    const token = await tokenFor("kv:/a/*:read,write");
    const ask = async (method: string, path: string): Promise<number> => {
      const header = (name: string): string | undefined => (name === "authorization" ? `Bearer ${token}` : undefined);
      const request = { method, path: `/v2/keys${path}`, query: "value=1", header, body: utf8Encode("") };
      return (await keys!.handle(request)).status;
    };
    expect(await ask("PUT", "/a/1")).toBe(201);
    expect(await ask("GET", "/a/1")).toBe(200);
    expect(await ask("PUT", "/b")).toBe(401);
    expect(await ask("GET", "/b")).toBe(401);
    expect(await ask("GET", "/")).toBe(401);
  });
});

describe("while authentication is on", () => {
  beforeEach(async () => {
    for (const [path, body] of [
      ["/v3/auth/user/add", { name: "root", password: "r" }],
      ["/v3/auth/user/grant", { user: "root", role: "root" }],
      ["/v3/auth/user/add", { name: "ann", password: "a" }],
      ["/v3/auth/role/add", { name: "team" }],
      ["/v3/auth/role/grant", { name: "team", perm: { permType: "READWRITE", key: b64("/a/"), range_end: b64("/a0") } }],
      ["/v3/auth/user/grant", { user: "ann", role: "team" }],
    ] as const) {
      await v3Call(undefined, path, body);
    }
    expect((await v3Call(undefined, "/v3/auth/enable", {})).status).toBe(200);
  });

  test("a token never allows more than its user may do, then and now", async () => {
    const { token } = await office.give({ user: "ann" }, { allow: ["kv:*:read,write"], ttlMs: 60_000 });
    expect(await put(token, "/a/1")).toMatchObject({ status: 200 });
    expect((await put(token, "/b")).status).toBe(403);
    const root = await v3Call(undefined, "/v3/auth/authenticate", { name: "root", password: "r" });
    await v3Call(root.json["token"] as string, "/v3/auth/user/revoke", { name: "ann", role: "team" });
    expect((await put(token, "/a/1")).status).toBe(403);
  });

  test("one of root is no root", async () => {
    const { token } = await office.give({ user: "root" }, { allow: ["kv:/a/*:read"], ttlMs: 60_000 });
    expect((await get(token, "/a/1")).status).toBe(200);
    expect((await put(token, "/a/1")).status).toBe(403);
    expect((await v3Call(token, "/v3/auth/user/list", {})).json["message"]).toMatch(/permission denied/);
  });

  test("nobody gets one without saying who he is, or with another one", async () => {
    const request = { allow: ["kv:*:read"], ttlMs: 1000 };
    await expect(office.give({ user: "" }, request)).rejects.toMatchObject({ reason: "userEmpty" });
    await expect(office.give({ user: null }, request)).rejects.toMatchObject({ reason: "invalidAuthToken" });
    await expect(office.give({ user: "ann" }, { ...request, allow: ["cats:a:read"] })).rejects.toMatchObject({
      details: { field: "allow" },
    });
  });
});
