/**
 * Scoped tokens as they come with requests. A signature takes time to check, so it is done before a request is answered, and once for each
 * token; what the token allows is held against each request anew.
 */
import type { TokenKey } from "../../store/auth/auth-change.ts";
import { Scope } from "../../tokens/scope.ts";
import { isScopedToken, readToken, verifyToken } from "../../tokens/scoped-token.ts";
import type { Credentials } from "../exchange.ts";
import type { Caller } from "./authorised-member.ts";

interface Known {
  readonly user: string;
  readonly scope: Scope;
  /** The key that it was signed with: when there is another one, it is void. */
  readonly key: TokenKey;
}

/** Good tokens that are not looked at anew each time; when there are more, all are forgotten. */
const KNOWN_MAX = 10_000;
const NOBODY: Caller = Object.freeze({ user: null });

/** The scoped token in the header `authorization`, with `Bearer` before it or without. */
export function scopedTokenIn(request: Credentials): string | undefined {
  const header = request.header("authorization");
  if (header === undefined) return undefined;
  const token = header.startsWith("Bearer ") ? header.slice("Bearer ".length) : header;
  return isScopedToken(token) ? token : undefined;
}

export class ScopedTokenReader {
  readonly #key: () => TokenKey | null;
  readonly #wallMs: () => number;
  readonly #caughtUp: () => Promise<void> | undefined;
  readonly #known = new Map<string, Known>();
  readonly #shown = new WeakMap<Credentials, Known>();

  /**
   * @param key the one that is in force
   * @param caughtUp resolves when this member has seen all that was agreed on by now: a key that another one has just made may be among it
   */
  constructor(key: () => TokenKey | null, wallMs: () => number, caughtUp: () => Promise<void> | undefined) {
    this.#key = key;
    this.#wallMs = wallMs;
    this.#caughtUp = caughtUp;
  }

  /** @returns undefined when that took no time */
  prepare(request: Credentials, token: string): Promise<void> | undefined {
    const known = this.#known.get(token);
    if (known === undefined || known.key !== this.#key()) return this.#look(request, token);
    this.#shown.set(request, known);
    return undefined;
  }

  /** Of a request that was prepared; nobody when its token is not good, not any more, or not for this request. */
  callerOf(request: Credentials): Caller {
    const known = this.#shown.get(request);
    if (known === undefined || known.key !== this.#key()) return NOBODY;
    const { user, scope } = known;
    return scope.isInTime(this.#wallMs()) && scope.allowsAct(request.act) ? { user, scope } : NOBODY;
  }

  async #look(request: Credentials, token: string): Promise<void> {
    if (this.#key()?.id !== keyIdOf(token)) await this.#caughtUp();
    const key = this.#key();
    if (key === null) return;
    const verified = await verifyToken(token, (id) => (id === key.id ? key : undefined));
    if (verified === null) return;
    let scope: Scope;
    try {
      scope = new Scope(verified);
    } catch {
      return; // an entry that is not understood could be meant to allow less
    }
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    const known = { user: verified.root.sub, scope, key };
    this.#known.set(token, known);
    this.#shown.set(request, known);
  }
}

/** Which key it says that it is signed with; undefined for what is no token. */
function keyIdOf(token: string): string | undefined {
  try {
    return readToken(token).root.kid;
  } catch {
    return undefined;
  }
}
