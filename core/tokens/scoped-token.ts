/**
 * Scoped tokens: who asks, and how little of what he may do he is to do with this token. Whoever holds one can make a narrower one of it
 * by himself, without a key and without asking anybody, and nobody can make it wider: each block is signed with the signature of the block
 * before it, which the narrower token no longer shows (macaroons: Birgisson et al., NDSS 2014). docs/decisions/0007-scoped-tokens.md says why not a JWT.
 *
 *     q1.<block>.<block>…<signature>      blocks: base64url of JSON; signature: base64url of HMAC-SHA-256
 *
 * The key belongs to the cluster. Functions here run in the server, in the SDK and in browsers alike.
 */
import { type Bytes, fromUint8Array, toUint8Array } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { TokenKey } from "../store/auth/auth-change.ts";

/** What one block says. Each block only takes away: a request has to be allowed by all of them. */
export interface Restriction {
  /** Entries `kind:name:verbs`, see scope.ts; left out: the block says nothing of keys. Empty: nothing is allowed. */
  readonly allow?: readonly string[];
  /** Seconds since 1970: good before this, and from this on. */
  readonly exp?: number;
  readonly nbf?: number;
  /** Good for one request only: this method, and this path with its query. */
  readonly act?: Act;
}

export interface Act {
  readonly method: string;
  readonly path: string;
}

/** The first block, which the server makes. */
export interface Root extends Restriction {
  /** Which key of the cluster it is signed with. */
  readonly kid: string;
  /** Whose rights are narrowed; empty: those of whoever shows no token while authentication is off. */
  readonly sub: string;
  /** Tells it from others in an audit log. */
  readonly jti: string;
  /** Seconds since 1970 at which it was made. */
  readonly iat: number;
}

/** A token whose signature was found to be right. */
export interface VerifiedToken {
  readonly root: Root;
  /** All blocks, the root among them. */
  readonly restrictions: readonly Restriction[];
}

const MARK = "q1";
/** Longer ones are not looked at: each block costs a signature. */
export const TOKEN_CHARS_MAX = 4096;
const BLOCKS_MAX = 16;
const RESTRICTIONS = new Set(["allow", "exp", "nbf", "act"]);
const ROOT_FIELDS = new Set([...RESTRICTIONS, "kid", "sub", "jti", "iat"]);

/** Whether text wants to be a token of this kind. */
export function isScopedToken(text: string): boolean {
  return text.startsWith(`${MARK}.`);
}

export async function mintToken(key: TokenKey, root: Omit<Root, "kid">): Promise<string> {
  checkRestriction(root);
  const whole: Root = { ...root, kid: key.id };
  const block = encodeBlock(whole);
  return `${MARK}.${block}.${toBase64Url(await sign(key.secret, `${MARK}.${block}`))}`;
}

/**
 * A narrower token, made of one that is held: no key, no server.
 * @throws QuorateError badField, naming what cannot be a restriction or a token
 */
export async function attenuate(token: string, restriction: Restriction): Promise<string> {
  checkRestriction(restriction);
  const { blocks, signature } = split(token);
  if (blocks.length === BLOCKS_MAX) throw errBadField("token", `a token has at most ${BLOCKS_MAX} blocks`);
  const block = encodeBlock(restriction);
  const narrower = `${MARK}.${[...blocks, block].join(".")}.${toBase64Url(await sign(signature, block))}`;
  if (narrower.length > TOKEN_CHARS_MAX) throw errBadField("token", `the token would be longer than ${TOKEN_CHARS_MAX} characters`);
  return narrower;
}

/** What a token says of itself, whoever signed it: to show it to its holder. @throws QuorateError badField */
export function readToken(token: string): VerifiedToken {
  const [first, ...rest] = split(token).blocks.map(decodeBlock);
  if (!isRoot(first) || !rest.every((block) => isRestriction(block, RESTRICTIONS))) throw errBadField("token", "this is no scoped token");
  return { root: first, restrictions: [first, ...rest] };
}

/** @returns null for one that was not signed with one of the keys, or says what is not understood: it might be a restriction */
export async function verifyToken(token: string, keyOf: (id: string) => TokenKey | undefined): Promise<VerifiedToken | null> {
  if (token.length > TOKEN_CHARS_MAX) return null;
  try {
    const { blocks, signature } = split(token);
    const read = readToken(token);
    const key = keyOf(read.root.kid);
    if (key === undefined || blocks.length > BLOCKS_MAX) return null;
    let secret = key.secret;
    for (const [at, block] of blocks.entries()) {
      const text = at === 0 ? `${MARK}.${block}` : block;
      if (at === blocks.length - 1) return (await isSigned(secret, text, signature)) ? read : null;
      secret = await sign(secret, text);
    }
    return null;
  } catch {
    return null; // not made by any of these functions
  }
}

/** @throws QuorateError badField */
function checkRestriction(restriction: Restriction): void {
  const { exp, nbf, act, allow } = restriction;
  for (const [field, value] of Object.entries({ exp, nbf })) {
    if (value !== undefined && !Number.isSafeInteger(value)) throw errBadField(field, `${field} is a whole number of seconds since 1970`);
  }
  if (act !== undefined && !isAct(act)) throw errBadField("act", "act is a method and a path that begins with a slash");
  if (allow !== undefined && !isTexts(allow)) throw errBadField("allow", "allow is a list of entries kind:name:verbs");
}

function split(token: string): { blocks: string[]; signature: Bytes } {
  const parts = token.split(".");
  const signature = fromBase64Url(parts.at(-1) ?? "");
  if (parts[0] !== MARK || parts.length < 3 || signature?.length !== 32) throw errBadField("token", "this is no scoped token");
  return { blocks: parts.slice(1, -1), signature };
}

function encodeBlock(block: Restriction): string {
  return toBase64Url(utf8Encode(JSON.stringify(block)));
}

function decodeBlock(text: string): unknown {
  const bytes = fromBase64Url(text);
  if (bytes === undefined) throw errBadField("token", "this is no scoped token");
  try {
    return JSON.parse(utf8Decode(bytes));
  } catch {
    throw errBadField("token", "this is no scoped token");
  }
}

function isRestriction(block: unknown, fields: ReadonlySet<string>): block is Restriction {
  if (typeof block !== "object" || block === null || Object.keys(block).some((field) => !fields.has(field))) return false;
  const { allow, exp, nbf, act } = block as Record<string, unknown>;
  const isTime = (value: unknown): boolean => value === undefined || Number.isSafeInteger(value);
  return isTime(exp) && isTime(nbf) && (allow === undefined || isTexts(allow)) && (act === undefined || isAct(act));
}

function isRoot(block: unknown): block is Root {
  if (!isRestriction(block, ROOT_FIELDS)) return false;
  const { kid, sub, jti, iat } = block as Partial<Root>;
  return typeof kid === "string" && typeof sub === "string" && typeof jti === "string" && Number.isSafeInteger(iat);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isAct(value: unknown): value is Act {
  const { method, path, ...rest } = (value ?? {}) as Record<string, unknown>;
  return typeof method === "string" && typeof path === "string" && path.startsWith("/") && Object.keys(rest).length === 0;
}

const HMAC = { name: "HMAC", hash: "SHA-256" } as const;

async function sign(secret: Bytes, text: string): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", toUint8Array(secret), HMAC, false, ["sign"]);
  return fromUint8Array(new Uint8Array(await crypto.subtle.sign("HMAC", key, toUint8Array(text as Bytes))));
}

/** In the same time, however much of a signature is right. */
async function isSigned(secret: Bytes, text: string, signature: Bytes): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", toUint8Array(secret), HMAC, false, ["verify"]);
  return crypto.subtle.verify("HMAC", key, toUint8Array(signature), toUint8Array(text as Bytes));
}

function toBase64Url(bytes: Bytes): string {
  return btoa(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Without padding, and with nothing behind the last byte: there is one text for each value. */
function fromBase64Url(text: string): Bytes | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  try {
    const bytes = atob(text.replace(/-/g, "+").replace(/_/g, "/")) as Bytes;
    return toBase64Url(bytes) === text ? bytes : undefined;
  } catch {
    return undefined; // of a length that no bytes have
  }
}
