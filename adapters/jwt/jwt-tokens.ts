/**
 * JSON Web Tokens (RFC 7519) as etcd's `--auth-token jwt` makes them: the claims `username`, `revision` and `exp`. Tokens of an etcd with the
 * same keys are good here, and the other way round.
 */
import type { KeyObject } from "node:crypto";
import { SignJWT, errors, jwtVerify } from "jose";
import type { SignedToken, SignedTokens } from "../../core/api/auth/signed-tokens.ts";
import { errVerifyOnly } from "../../core/errors.ts";

export interface JwtOptions {
  /** As RFC 7518 names it: RS256, ES256, HS256 … Tokens of any other are refused. */
  readonly algorithm: string;
  /** null: tokens are given out elsewhere. */
  readonly signingKey: KeyObject | Uint8Array | null;
  readonly verifyingKey: KeyObject | Uint8Array;
  readonly ttlMs: number;
  readonly wallMs: () => number;
}

export class JwtTokens implements SignedTokens {
  readonly wallMs: () => number;
  readonly #options: JwtOptions;

  constructor(options: JwtOptions) {
    this.#options = options;
    this.wallMs = options.wallMs;
  }

  sign(user: string, revision: number): Promise<string> {
    const { signingKey, algorithm, ttlMs, wallMs } = this.#options;
    if (signingKey === null) return Promise.reject(errVerifyOnly());
    return new SignJWT({ username: user, revision })
      .setProtectedHeader({ alg: algorithm, typ: "JWT" })
      .setExpirationTime(Math.floor((wallMs() + ttlMs) / 1000))
      .sign(signingKey);
  }

  async verify(token: string): Promise<SignedToken | null> {
    const { verifyingKey, algorithm, wallMs } = this.#options;
    try {
      const { payload } = await jwtVerify(token, verifyingKey, { algorithms: [algorithm], currentDate: new Date(wallMs()) });
      const { username, revision, exp } = payload;
      if (typeof username !== "string" || !Number.isSafeInteger(revision)) return null;
      return { user: username, revision: revision as number, expiresAtMs: exp === undefined ? Number.POSITIVE_INFINITY : exp * 1000 };
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  }
}
