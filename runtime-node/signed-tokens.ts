/** `--auth-token`: which tokens users are given, and the keys of those that are signed. */
import { type KeyObject, createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { SignedTokens } from "../core/api/auth/signed-tokens.ts";
import { ConfigError } from "./config.ts";
import { parseDuration } from "./duration.ts";

/** etcd's. */
const TTL_MS = 300_000;
/** What a signing method wants of its key: see RFC 7518 section 3. */
const CURVES: Readonly<Record<string, string>> = { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" };
/** RFC 7518 section 3.3. */
const RSA_BITS_MIN = 2048;
const METHOD = /^(RS|PS|ES|HS)(256|384|512)$/;
const OPTIONS = new Set(["sign-method", "pub-key", "priv-key", "ttl"]);

/**
 * @param text as etcd writes it: `simple`, or `jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m`
 * @returns undefined for simple tokens. @throws ConfigError
 */
export async function signedTokensOf(text: string, wallMs: () => number): Promise<SignedTokens | undefined> {
  const [kind, ...parts] = text.split(",");
  if (text === "simple") return undefined;
  if (kind !== "jwt") throw refusal(`is ${JSON.stringify(text)}; wanted: simple, or jwt,sign-method=METHOD,priv-key=FILE`);
  const options = new Map<string, string>();
  for (const part of parts) {
    const [name, ...value] = part.split("=");
    if (!OPTIONS.has(name!) || value.length === 0)
      throw refusal(`has ${JSON.stringify(part)}; wanted: ${[...OPTIONS].join(", ")}, each with =`);
    options.set(name!, value.join("="));
  }
  const algorithm = options.get("sign-method");
  if (algorithm === undefined || !METHOD.test(algorithm)) {
    throw refusal(`has the sign-method ${JSON.stringify(algorithm ?? "")}; wanted: RS256, PS256, ES256, HS256, or with 384 or 512`);
  }
  const ttlMs = options.has("ttl") ? parseDuration(options.get("ttl")!) : TTL_MS;
  if (ttlMs === undefined || ttlMs < 1000)
    throw refusal(`has the ttl ${JSON.stringify(options.get("ttl"))}; wanted: a second or more, such as 5m`);
  const keys = algorithm.startsWith("HS") ? sharedSecret(options) : keyPair(options, algorithm);
  const { JwtTokens } = await import("../adapters/jwt/jwt-tokens.ts");
  return new JwtTokens({ algorithm, ttlMs, wallMs, ...keys });
}

const refusal = (why: string): ConfigError => new ConfigError(`--auth-token ${why}`);

interface Keys {
  readonly signingKey: KeyObject | Uint8Array | null;
  readonly verifyingKey: KeyObject | Uint8Array;
}

/** The bytes of the file as they are. */
function sharedSecret(options: ReadonlyMap<string, string>): Keys {
  const path = options.get("priv-key");
  if (path === undefined) throw refusal("needs a priv-key, which is the secret that all members share");
  const secret = read("priv-key", path);
  if (secret.length === 0) throw refusal(`has the priv-key ${JSON.stringify(path)}, which is empty`);
  return { signingKey: secret, verifyingKey: secret };
}

function keyPair(options: ReadonlyMap<string, string>, algorithm: string): Keys {
  const [secretPath, publicPath] = [options.get("priv-key"), options.get("pub-key")];
  const signingKey = secretPath === undefined ? null : parse("priv-key", secretPath, createPrivateKey);
  const publicKey = publicPath === undefined ? null : parse("pub-key", publicPath, createPublicKey);
  const verifyingKey = publicKey ?? (signingKey === null ? null : createPublicKey(signingKey));
  if (verifyingKey === null) throw refusal("needs a priv-key, or a pub-key to verify tokens with that are given out elsewhere");
  for (const [name, key] of [
    ["priv-key", signingKey],
    ["pub-key", publicKey],
  ] as const) {
    if (key !== null && !suits(key, algorithm)) throw refusal(`has a ${name} that is none for ${algorithm}: ${wantedKey(algorithm)}`);
  }
  if (signingKey !== null && !createPublicKey(signingKey).equals(verifyingKey))
    throw refusal("has a priv-key and a pub-key that do not belong together");
  return { signingKey, verifyingKey };
}

function suits(key: KeyObject, algorithm: string): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm.startsWith("ES")) return type === "ec" && details?.namedCurve === CURVES[algorithm];
  return type === "rsa" && (details?.modulusLength ?? 0) >= RSA_BITS_MIN;
}

const wantedKey = (algorithm: string): string =>
  algorithm.startsWith("ES") ? `wanted: a key on the curve ${CURVES[algorithm]}` : `wanted: an RSA key of ${RSA_BITS_MIN} bits or more`;

function parse(name: string, path: string, create: (pem: Buffer) => KeyObject): KeyObject {
  const pem = read(name, path);
  try {
    return create(pem);
  } catch (error) {
    throw refusal(`has the ${name} ${JSON.stringify(path)}, which is no key in PEM: ${(error as Error).message}`);
  }
}

function read(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw refusal(`has the ${name} ${JSON.stringify(path)}, which cannot be read: ${(error as Error).message}`);
  }
}
