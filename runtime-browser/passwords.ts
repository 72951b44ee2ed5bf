/** Slow hashes of passwords in the form that members on Node keep them in: scrypt of @noble/hashes, for browsers have none of their own. */
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { decodeBase64, encodeBase64 } from "../core/bytes/base64.ts";
import { type Bytes, fromUint8Array, toUint8Array } from "../core/bytes/bytes.ts";
import type { Passwords } from "../core/api/auth/authenticator.ts";
import { randomBytes } from "../adapters/web-platform/host.ts";

/** RFC 7914. */
const COST = 16_384;
const BLOCK = 8;
const SALT_BYTES = 16;
const KEY_BYTES = 32;

const derive = (password: string, salt: Uint8Array, cost: number): Promise<Uint8Array> =>
  scryptAsync(password, salt, { N: cost, r: BLOCK, p: 1, dkLen: KEY_BYTES });

export const passwords: Passwords = {
  async hash(password) {
    const salt = randomBytes(SALT_BYTES);
    const key = await derive(password, salt, COST);
    return `scrypt$${COST}$${encodeBase64(fromUint8Array(salt))}$${encodeBase64(fromUint8Array(key))}`;
  },

  async matches(password, hash) {
    const [kind, cost, salt, key] = hash.split("$");
    const expected: Bytes | undefined = key === undefined ? undefined : decodeBase64(key);
    if (kind !== "scrypt" || salt === undefined || expected === undefined) return false;
    const found = await derive(password, toUint8Array(decodeBase64(salt)!), Number(cost));
    // Whoever measures this could read the database, too: it is in the same browser.
    return fromUint8Array(found) === expected;
  },
};
