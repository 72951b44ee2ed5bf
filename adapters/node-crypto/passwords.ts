/** Slow hashes of passwords: scrypt of Node, which works in threads of its own. Its text names its cost, so that it can be raised later. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type { Passwords } from "../../core/api/auth/authenticator.ts";

/** RFC 7914: about 30 ms and 16 MiB. */
const COST = 16_384;
const BLOCK = 8;
const PARALLEL = 1;
const SALT_BYTES = 16;
const KEY_BYTES = 32;

function derive(password: string, salt: Buffer, cost: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, { N: cost, r: BLOCK, p: PARALLEL, maxmem: 256 * cost * BLOCK }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

export const passwords: Passwords = {
  async hash(password) {
    const salt = randomBytes(SALT_BYTES);
    const key = await derive(password, salt, COST);
    return `scrypt$${COST}$${salt.toString("base64")}$${key.toString("base64")}`;
  },

  /** Takes as long whether it matches or not. */
  async matches(password, hash) {
    const [kind, cost, salt, key] = hash.split("$");
    if (kind !== "scrypt" || salt === undefined || key === undefined) return false;
    const expected = Buffer.from(key, "base64");
    const found = await derive(password, Buffer.from(salt, "base64"), Number(cost));
    return expected.length === found.length && timingSafeEqual(expected, found);
  },
};

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TOKEN_CHARS = 24;

/** 24 random letters: 136 bits. */
export function randomToken(): string {
  let token = "";
  // Bytes at or above the largest multiple of 52 would make some letters likelier.
  while (token.length < TOKEN_CHARS) for (const byte of randomBytes(TOKEN_CHARS)) if (byte < 208) token += LETTERS[byte % 52];
  return token.slice(0, TOKEN_CHARS);
}
