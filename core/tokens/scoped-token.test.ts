import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Bytes, EMPTY, ascii, prefixEnd } from "../bytes/bytes.ts";
import { Scope } from "./scope.ts";
import { type Restriction, attenuate, mintToken, readToken, verifyToken } from "./scoped-token.ts";

const key = { id: "k1", secret: "s".repeat(32) as Bytes };
const keyOf = (id: string): typeof key | undefined => (id === key.id ? key : undefined);
const root = { sub: "ann", jti: "t1", iat: 1000 };
const mint = (restriction: Restriction = {}): Promise<string> => mintToken(key, { ...root, ...restriction });
const scopeOf = async (token: string): Promise<Scope> => new Scope((await verifyToken(token, keyOf))!);

describe("a token", () => {
  test("is good as it was made, and says what it was made with", async () => {
    const token = await mint({ allow: ["locks:deploy:acquire"], exp: 2000 });
    expect(await verifyToken(token, keyOf)).toMatchObject({ root: { ...root, kid: "k1", exp: 2000 } });
    expect(readToken(token).restrictions).toHaveLength(1);
  });

  test("can be made narrower without the key, again and again, and then allows what all of its blocks allow", async () => {
    const wide = await mint({ allow: ["kv:/app/*:read,write", "kv:/log/*:read"], exp: 2000 });
    const narrow = await attenuate(await attenuate(wide, { allow: ["kv:/app/*:read", "kv:/secret:read"] }), { exp: 1500 });
    const scope = await scopeOf(narrow);
    expect(scope.permits("read", { key: ascii("/app/a"), end: EMPTY })).toBe(true);
    expect(scope.permits("write", { key: ascii("/app/a"), end: EMPTY })).toBe(false);
    expect(scope.permits("read", { key: ascii("/log/a"), end: EMPTY })).toBe(false);
    expect(scope.permits("read", { key: ascii("/secret"), end: EMPTY })).toBe(false);
    expect([scope.isInTime(1_499_999), scope.isInTime(1_500_000)]).toEqual([true, false]);
  });

  test("cannot be made wider: no block can be taken away, changed, moved or added with another key", async () => {
    const wide = await mint({ allow: ["kv:*:read,write"] });
    const narrow = await attenuate(wide, { allow: ["kv:/a:read"] });
    const [mark, first, second, signature] = narrow.split(".");
    const own = (await mintToken({ ...key, secret: "x".repeat(32) as Bytes }, root)).split(".");
    const forged = [
      [mark, first, signature],
      [mark, second, signature],
      [mark, first, first, signature],
      [mark, second, first, signature],
      [mark, first, second, own[2]],
      own,
    ];
    for (const parts of forged) expect(await verifyToken(parts.join("."), keyOf)).toBeNull();
  });

  test("with any one character changed is none", async () => {
    const token = await attenuate(await mint({ allow: ["kv:/a:read"] }), { exp: 5000 });
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(..."aZ09-_.="), async (at, char) => {
        if (token[at] === char) return;
        expect(await verifyToken(token.slice(0, at) + char + token.slice(at + 1), keyOf)).toBeNull();
      }),
    );
  });

  test("of another key, or with a field that is not understood, is none", async () => {
    expect(await verifyToken(await mint(), () => undefined)).toBeNull();
    expect(await verifyToken(await attenuate(await mint(), { only: "on Mondays" } as Restriction), keyOf)).toBeNull();
  });

  test.each([
    ["exp", { exp: 1.5 }],
    ["nbf", { nbf: Number.NaN }],
    ["act", { act: { method: "GET", path: "v1" } }],
    ["allow", { allow: "kv:a:read" as unknown as string[] }],
  ])("is not made with a bad %s", async (field, restriction) => {
    await expect(mint(restriction)).rejects.toMatchObject({ reason: "badField", details: { field } });
    await expect(attenuate(await mint(), restriction)).rejects.toMatchObject({ details: { field } });
  });

  test("has a bound", async () => {
    let token = await mint();
    for (let n = 1; n < 16; n++) token = await attenuate(token, { exp: 5000 });
    await expect(attenuate(token, { exp: 1 })).rejects.toMatchObject({ details: { field: "token" } });
    await expect(attenuate(await mint(), { allow: ["kv:" + "x".repeat(4000) + ":read"] })).rejects.toMatchObject({ reason: "badField" });
  });
});

describe("a scope", () => {
  const permits = (allow: string, need: "read" | "write", from: string, end: Bytes = EMPTY): boolean =>
    new Scope({ restrictions: [{ allow: [allow] }] }).permits(need, { key: ascii(from), end });
  const under = (prefix: string): [string, Bytes] => [prefix, prefixEnd(ascii(prefix))];

  test("of a name is about that name only", () => {
    const entry = "locks:a:acquire";
    expect(permits(entry, "write", ...under("/quorate/locks/a/"))).toBe(true);
    expect(permits(entry, "write", "/quorate/locks/a/1f")).toBe(true);
    for (const other of ["/quorate/locks/ab/1f", "/quorate/locks/b/1f", "/quorate/elections/a/1f"]) {
      expect(permits(entry, "write", other)).toBe(false);
    }
    expect(permits(entry, "read", ...under("/quorate/locks/a"))).toBe(false); // would show ab as well
    expect(permits(entry, "read", ...under("/quorate/locks/"))).toBe(false);
    expect(permits(entry, "read", "/quorate/locks/a/", "\0" as Bytes)).toBe(false);
  });

  test("of the beginning of names is about those", () => {
    const entry = "locks:deploy-*:acquire";
    expect(permits(entry, "write", "/quorate/locks/deploy-web/1f")).toBe(true);
    expect(permits(entry, "write", "/quorate/locks/deploy/1f")).toBe(false);
  });

  test("to read is not to write", () => {
    expect(permits("locks:a:read", "read", "/quorate/locks/a/1")).toBe(true);
    expect(permits("locks:a:read", "write", "/quorate/locks/a/1")).toBe(false);
  });

  test("of a part of a name's keys is about that part, whatever the name", () => {
    expect(permits("topics:news-*:consume", "write", "/quorate/topics/news-eu/c/me")).toBe(true);
    expect(permits("topics:news-*:consume", "write", "/quorate/topics/news-eu/e/1")).toBe(false);
    expect(permits("topics:news-*:consume", "write", "/quorate/topics/news-/x/c/me")).toBe(false);
  });

  test("of keys may name any byte", () => {
    expect(permits("kv:a%3Ab%00:write", "write", "a:b\0")).toBe(true);
    expect(permits("kv:/a/*:read", "read", "/a/", "/a/\xff\xff" as Bytes)).toBe(true);
    expect(permits("kv:/a/*:read", "read", "/a/", "/b" as Bytes)).toBe(false);
  });

  test("of a range is right for every key in it", () => {
    const byte = fc.constantFrom("a", "b", "/");
    const text = fc.string({ unit: byte, maxLength: 4 });
    fc.assert(
      fc.property(text, text, text, fc.boolean(), (name, from, to, star) => {
        if (from >= to || name === "") return;
        const range = { key: ascii(from), end: ascii(to) };
        const scope = new Scope({ restrictions: [{ allow: [`kv:${name}${star ? "*" : ""}:read`] }] });
        if (!scope.permits("read", range)) return;
        // Some keys of the range, its first and late ones among them.
        for (const one of [from, `${from}\0`, `${from}a`, `${to.slice(0, -1)}\xff`].filter((k) => k >= from && k < to)) {
          expect(star ? one.startsWith(name) : one === name).toBe(true);
        }
      }),
    );
  });

  test.each([
    "locks",
    "locks:a",
    "locks:a:",
    "locks::read",
    "locks:a:fly",
    "cats:a:read",
    "locks:a*b:read",
    "locks:a/b:read",
    "kv:a%2:read",
  ])("%o is not understood", (entry) => {
    expect(() => new Scope({ restrictions: [{ allow: [entry] }] })).toThrow(/cannot be read/);
  });

  test("for one act is for that act", () => {
    const scope = new Scope({ restrictions: [{ act: { method: "PUT", path: "/v1/kv/a" } }] });
    expect(scope.allowsAct({ method: "PUT", path: "/v1/kv/a" })).toBe(true);
    for (const act of [{ method: "GET", path: "/v1/kv/a" }, { method: "PUT", path: "/v1/kv/a?x" }, undefined]) {
      expect(scope.allowsAct(act)).toBe(false);
    }
  });
});
