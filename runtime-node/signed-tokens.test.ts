import { type KeyObject, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tempDir } from "../test/helpers/temp-dir.ts";
import { signedTokensOf } from "./signed-tokens.ts";

const directory = tempDir("keys");
const write = (name: string, content: string): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const pair = (name: string, { publicKey, privateKey }: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }) => ({
  priv: write(`${name}.key`, String(privateKey.export({ type: "pkcs8", format: "pem" }))),
  pub: write(`${name}.pub`, String(publicKey.export({ type: "spki", format: "pem" }))),
});
const ec = pair("ec", generateKeyPairSync("ec", { namedCurve: "P-256" }));
const other = pair("other", generateKeyPairSync("ec", { namedCurve: "P-256" }));
const weak = pair("weak", generateKeyPairSync("rsa", { modulusLength: 1024 }));
const empty = write("empty", "");

const NOW = 1_700_000_000_000;
const read = (text: string) => signedTokensOf(text, () => NOW);

describe("signedTokensOf()", () => {
  test("makes nothing of simple", async () => expect(await read("simple")).toBeUndefined());

  test("makes tokens that say whose they are until they expire", async () => {
    const tokens = (await read(`jwt,sign-method=ES256,priv-key=${ec.priv},ttl=90s`))!;
    const token = await tokens.sign("somebody", 7);
    expect(await tokens.verify(token)).toEqual({ user: "somebody", revision: 7, expiresAtMs: NOW + 90_000 });
    const later = (await signedTokensOf(`jwt,sign-method=ES256,pub-key=${ec.pub}`, () => NOW + 90_000))!;
    expect(await later.verify(token)).toBeNull();
    const stranger = (await read(`jwt,sign-method=ES256,pub-key=${other.pub}`))!;
    expect(await stranger.verify(token)).toBeNull();
    await expect(stranger.sign("somebody", 7)).rejects.toThrow("verify-only key");
  });

  test.each([
    ["none", '--auth-token is "none"; wanted: simple, or jwt,'],
    ["simple,x=y", "--auth-token is"],
    ["jwt", '--auth-token has the sign-method ""; wanted: RS256'],
    ["jwt,sign-method=none", '--auth-token has the sign-method "none"'],
    ["jwt,sign-method=RS256", "--auth-token needs a priv-key, or a pub-key"],
    ["jwt,sign-method=HS256", "--auth-token needs a priv-key, which is the secret"],
    [`jwt,sign-method=HS256,priv-key=${empty}`, "which is empty"],
    [`jwt,sign-method=ES256,priv-key=${join(directory, "nope")}`, "which cannot be read: ENOENT"],
    [`jwt,sign-method=ES256,priv-key=${empty}`, "which is no key in PEM"],
    [`jwt,sign-method=ES384,priv-key=${ec.priv}`, "has a priv-key that is none for ES384: wanted: a key on the curve secp384r1"],
    [`jwt,sign-method=RS256,priv-key=${ec.priv}`, "has a priv-key that is none for RS256"],
    [`jwt,sign-method=RS256,pub-key=${weak.pub}`, "has a pub-key that is none for RS256: wanted: an RSA key of 2048 bits or more"],
    [`jwt,sign-method=ES256,priv-key=${ec.priv},pub-key=${other.pub}`, "that do not belong together"],
    [`jwt,sign-method=ES256,priv-key=${ec.priv},ttl=soon`, '--auth-token has the ttl "soon"'],
    [`jwt,sign-method=ES256,priv-key=${ec.priv},ttl=0s`, '--auth-token has the ttl "0s"'],
    [`jwt,sign-method=ES256,priv-key=${ec.priv},key=x`, '--auth-token has "key=x"'],
  ])("refuses %s", async (text, told) => {
    await expect(read(text)).rejects.toThrow(told);
  });
});
