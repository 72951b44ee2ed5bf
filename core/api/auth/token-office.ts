/**
 * Gives out scoped tokens. The key that they are signed with is the cluster's: it goes through the log when the first one is asked for, so
 * that every member knows it and it is in every snapshot.
 */
import { fromUint8Array } from "../../bytes/bytes.ts";
import { errBadField, errUserEmpty } from "../../errors.ts";
import { must } from "../../invariant.ts";
import type { Member } from "../../replica/member.ts";
import type { TokenKey } from "../../store/auth/auth-change.ts";
import { checkEntries } from "../../tokens/scope.ts";
import { type Act, mintToken } from "../../tokens/scoped-token.ts";
import { type Caller, nameOf } from "./authorised-member.ts";

export interface TokenOfficeOptions {
  readonly member: Member;
  /** Cryptographically random. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

export interface TokenRequest {
  /** Entries `kind:name:verbs`. */
  readonly allow: readonly string[];
  /** From now. */
  readonly ttlMs: number;
  readonly act?: Act | undefined;
}

export interface GivenToken {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export class TokenOffice {
  readonly #options: TokenOfficeOptions;

  constructor(options: TokenOfficeOptions) {
    this.#options = options;
  }

  /**
   * A token for the caller himself, which allows nothing that he may not do.
   * @throws QuorateError badField, userEmpty, invalidAuthToken
   */
  async give(caller: Caller, { allow, ttlMs, act }: TokenRequest): Promise<GivenToken> {
    const { wallMs, randomBytes, member } = this.#options;
    const user = nameOf(caller);
    if (caller.scope !== undefined)
      throw errBadField("authorization", "whoever holds a scoped token makes a narrower one of it by himself");
    if (member.store.auth.enabled && user === "") throw errUserEmpty();
    checkEntries(allow);
    const now = Math.floor(wallMs() / 1000);
    const exp = now + Math.ceil(ttlMs / 1000);
    const jti = hex(randomBytes(8));
    const token = await mintToken(await this.#key(), { sub: user, jti, iat: now, exp, allow, ...(act === undefined ? {} : { act }) });
    return { token, expiresAtMs: exp * 1000 };
  }

  /** Voids every scoped token there is. @param member as whoever asks may use it: users of the role root only @throws QuorateError */
  async voidAll(member: Member): Promise<void> {
    await member.propose({ kind: "auth", change: { op: "tokenKey", key: this.#newKey(), first: false } });
  }

  async #key(): Promise<TokenKey> {
    const { member } = this.#options;
    if (member.store.auth.tokenKey === null) {
      // Of several that are proposed at the same time the first one counts.
      await member.propose({ kind: "auth", change: { op: "tokenKey", key: this.#newKey(), first: true } });
    } else await member.readBarrier(); // a key that has been changed signs nothing that is good
    return must(member.store.auth.tokenKey, () => "no key for tokens after it was proposed");
  }

  #newKey(): TokenKey {
    const { randomBytes } = this.#options;
    return { id: hex(randomBytes(4)), secret: fromUint8Array(randomBytes(32)) };
  }
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
