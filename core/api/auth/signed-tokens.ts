/**
 * Tokens that say themselves whose they are, signed by a key that all members have: none of them has to remember any. Looking at one takes
 * time, so it is done before a request is answered; while the request lasts, what was found is known.
 */
import type { Credentials } from "../exchange.ts";

/** What a good token says. */
export interface SignedToken {
  readonly user: string;
  /** Of users and roles when it was given out: it is void for keys once they have changed, as in etcd. */
  readonly revision: number;
  /** By the wall clock; Infinity for one that never does. */
  readonly expiresAtMs: number;
}

export interface SignedTokens {
  /** @throws QuorateError verifyOnly, where there is no key to sign with */
  sign(user: string, revision: number): Promise<string>;
  /** @returns null for one that is none, is of another key, or has expired */
  verify(token: string): Promise<SignedToken | null>;
  readonly wallMs: () => number;
}

/** Good tokens that are not looked at anew each time; when there are more, all are forgotten. */
const KNOWN_MAX = 10_000;

export class SignedTokenReader {
  readonly #tokens: SignedTokens;
  readonly #known = new Map<string, SignedToken>();
  readonly #shown = new WeakMap<Credentials, SignedToken>();

  constructor(tokens: SignedTokens) {
    this.#tokens = tokens;
  }

  /** Looks at the token of a request. @returns undefined when that took no time */
  prepare(request: Credentials): Promise<void> | undefined {
    const token = request.header("authorization");
    if (token === undefined) return undefined;
    const known = this.#known.get(token);
    if (known === undefined) return this.#look(request, token);
    this.#shown.set(request, known);
    return undefined;
  }

  /** Of a request that was prepared: what its token says, or null when it is not good, or no longer. */
  of(request: Credentials): SignedToken | null {
    const shown = this.#shown.get(request);
    return shown !== undefined && shown.expiresAtMs > this.#tokens.wallMs() ? shown : null;
  }

  async #look(request: Credentials, token: string): Promise<void> {
    const found = await this.#tokens.verify(token);
    if (found === null) return;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(token, found);
    this.#shown.set(request, found);
  }
}
