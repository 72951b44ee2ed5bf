/**
 * Who asks: tokens, certificates, and names with passwords. While authentication is off nobody is asked, and requests cost nothing more.
 *
 * A simple token is given out for a password by one member and told to all through the log; each member forgets it when it was not used
 * there for a while, and when the user's password changes. A member that was restarted knows none: its clients authenticate anew, as in
 * etcd. Signed tokens take their place where there are keys for them: see signed-tokens.ts.
 */
import { decodeBase64 } from "../../bytes/base64.ts";
import { EMPTY } from "../../bytes/bytes.ts";
import { utf8Decode } from "../../bytes/utf8.ts";
import { errAuthFailed, errAuthNotEnabled, errTooManyRequests } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Credentials } from "../exchange.ts";
import type { KeyRange } from "../../store/command.ts";
import { type Audit, AuditedMember } from "./audited-member.ts";
import { AuthorisedMember, type Caller, checkRead, nameOf } from "./authorised-member.ts";
import { ScopedTokenReader, scopedTokenIn } from "./scoped-tokens.ts";
import { SignedTokenReader, type SignedTokens } from "./signed-tokens.ts";

/** Slow hashes, away from the event loop. */
export interface Passwords {
  hash(password: string): Promise<string>;
  matches(password: string, hash: string): Promise<boolean>;
}

export interface AuthenticatorOptions {
  readonly member: Member;
  readonly passwords: Passwords;
  /** Text that cannot be guessed, of letters and digits. */
  readonly randomToken: () => string;
  readonly monotonicMs: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Left out: tokens are simple ones. */
  readonly signedTokens?: SignedTokens | undefined;
  /** Told of each change that somebody asks for. Left out: nobody is told, and it costs nothing. */
  readonly audit?: Audit | undefined;
  /** A simple token that was not used for so long is forgotten. Default: etcd's five minutes. */
  readonly tokenIdleMs?: number | undefined;
}

const NOBODY: Caller = { user: "" };
const TOKEN_IDLE_MS = 300_000;
const TOKENS_MAX = 100_000;
/** A random text and an index, as `authenticate` makes them. */
const SIMPLE_TOKEN = /^[0-9A-Za-z]+\.[0-9]+$/;
/** Passwords looked at at a time, and waiting for it: more are refused, so that guessing costs the guesser. */
const HASHES_AT_ONCE = 2;
const HASHES_WAITING_MAX = 1_000;
/** Right passwords of requests that carry one each time, remembered by what was sent. */
const BASIC_MAX = 1_000;

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #signed: SignedTokenReader | null;
  readonly #scoped: ScopedTokenReader;
  readonly #idleMs: number;
  /** Least recently used first. */
  readonly #tokens = new Map<string, { readonly user: string; usedAt: number }>();
  readonly #basic = new Map<string, { readonly user: string; readonly hash: string }>();
  #hashing = 0;
  #waiting: (() => void)[] = [];
  /** A password that is nobody's: whoever asks for an unknown user waits as long as for a known one. */
  #nobody: Promise<string> | null = null;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#signed = options.signedTokens === undefined ? null : new SignedTokenReader(options.signedTokens);
    this.#scoped = new ScopedTokenReader(
      () => options.member.store.auth.tokenKey,
      options.wallMs,
      () => this.#caughtUp(),
    );
    this.#idleMs = options.tokenIdleMs ?? TOKEN_IDLE_MS;
    options.member.store.auth.listen({
      token: (token, user) => this.#keep(token, user),
      voided: (user) => this.#void(user),
    });
  }

  /** To be called before anything else is asked about a request of v3. @returns undefined when all is known already */
  prepare(request: Credentials): Promise<void> | undefined {
    const scoped = scopedTokenIn(request);
    if (scoped !== undefined) return this.#scoped.prepare(request, scoped);
    return this.#signed === null ? this.#untilTold(request) : this.#signed.prepare(request);
  }

  /**
   * A simple token that another member gave out a moment ago may not have come here yet, and clients use all members in turn: who shows one
   * that is not known is heard once this member has seen all that was agreed on by now. (etcd waits for the index in the token.)
   */
  #untilTold(request: Credentials): Promise<void> | undefined {
    const token = request.header("authorization");
    if (token === undefined || this.#tokens.has(token) || !SIMPLE_TOKEN.test(token)) return undefined;
    return this.#caughtUp();
  }

  /** If it fails, the token stays unknown, and is told so. */
  #caughtUp(): Promise<void> | undefined {
    return this.#options.member.readBarrier()?.catch(() => {});
  }

  /**
   * The member as whoever sent the request may use it: the member itself while authentication is off. A token that is not known is refused
   * even then, as etcd 3.4 does: its sender believes to be somebody.
   */
  memberFor(request: Credentials): Member {
    const { member } = this.#options;
    const { enabled } = member.store.auth;
    if (!enabled && request.header("authorization") === undefined) return this.#audited(member, request, NOBODY);
    const caller = this.callerOf(request);
    const isAsked = enabled || caller.user === null || caller.scope !== undefined;
    return this.#audited(isAsked ? new AuthorisedMember(member, caller) : member, request, caller);
  }

  #audited(member: Member, { source }: Credentials, { user, scope }: Caller): Member {
    const { audit } = this.#options;
    if (audit === undefined) return member;
    return new AuditedMember(member, audit, { ...source, user, ...(scope === undefined ? {} : { scoped: true }) });
  }

  /**
   * Whether a request to the JSON gateway comes from somebody whose certificate would be its user elsewhere. The gateway takes tokens only:
   * etcd, whose gateway is a client of its own, refuses such requests rather than have them be somebody else's, and so do we.
   */
  isMistakenForUser(request: Credentials): boolean {
    return this.#options.member.store.auth.enabled && request.certificateName !== undefined && request.certificateName !== "";
  }

  /** As `memberFor`, by name and password, or certificate. */
  basicMemberFor(request: Credentials): Member | Promise<Member> {
    const { member } = this.#options;
    const isScoped = scopedTokenIn(request) !== undefined;
    if (!member.store.auth.enabled && !isScoped) return this.#audited(member, request, NOBODY);
    return this.basicCaller(request).then((caller) => this.#audited(new AuthorisedMember(member, caller), request, caller));
  }

  /** By the token in the header `authorization`, as etcd's gateway takes it; without one, by the client's certificate. */
  callerOf(request: Credentials): Caller {
    const token = request.header("authorization");
    if (token === undefined) return { user: request.certificateName ?? "" };
    if (scopedTokenIn(request) !== undefined) return this.#scoped.callerOf(request);
    if (this.#signed !== null) return this.#signed.of(request) ?? { user: null };
    const known = this.#tokens.get(token);
    const now = this.#options.monotonicMs();
    if (known === undefined) return { user: null };
    this.#tokens.delete(token);
    if (now - known.usedAt > this.#idleMs) return { user: null };
    this.#tokens.set(token, { user: known.user, usedAt: now });
    return { user: known.user };
  }

  /** @throws QuorateError userEmpty, invalidAuthToken, permissionDenied */
  checkRead(request: Credentials, range: KeyRange): void {
    const { auth } = this.#options.member.store;
    if (auth.enabled || request.header("authorization") !== undefined) checkRead(auth, this.callerOf(request), range);
  }

  /**
   * By name and password in every request, as v2 has it; without them, by the client's certificate.
   * @returns a caller without a name when there are none, or wrong ones
   */
  async basicCaller(request: Credentials): Promise<Caller> {
    const header = request.header("authorization");
    if (header === undefined) return { user: request.certificateName ?? "" };
    if (scopedTokenIn(request) !== undefined) {
      await this.prepare(request);
      return this.#scoped.callerOf(request);
    }
    const known = this.#basic.get(header);
    if (known !== undefined && this.#options.member.store.auth.user(known.user)?.hash === known.hash) return { user: known.user };
    const [, encoded] = /^basic (.*)$/i.exec(header) ?? [];
    const text = utf8Decode(decodeBase64(encoded ?? "") ?? EMPTY);
    const colon = text.indexOf(":");
    if (colon < 0) return { user: "" };
    const [name, password] = [text.slice(0, colon), text.slice(colon + 1)];
    const hash = await this.#check(name, password).catch(() => null);
    if (hash === null) return { user: "" };
    if (this.#basic.size >= BASIC_MAX) this.#basic.clear();
    this.#basic.set(header, { user: name, hash });
    return { user: name };
  }

  /** @returns a token. @throws QuorateError authNotEnabled, authFailed, invalidAuthToken, verifyOnly */
  async authenticate(name: string, password: string, caller: Caller): Promise<string> {
    const { member, randomToken, signedTokens } = this.#options;
    if (!member.store.auth.enabled) throw errAuthNotEnabled();
    await member.readBarrier();
    const hash = await this.#check(name, password);
    nameOf(caller); // who shows a token that is none is refused even with a right password, as in etcd
    if (signedTokens !== undefined) {
      const { auth } = member.store;
      if (auth.user(name)?.hash !== hash) throw errAuthFailed(); // changed since it was checked
      return signedTokens.sign(name, auth.revision);
    }
    const token = `${randomToken()}.${member.status().appliedIndex}`;
    await member.propose({ kind: "auth", change: { op: "token", name, token, hash } });
    return token;
  }

  hash(password: string): Promise<string> {
    return this.#slowly(() => this.#options.passwords.hash(password));
  }

  /** @returns the hash that the password matches. @throws QuorateError authFailed */
  async #check(name: string, password: string): Promise<string> {
    const { member, passwords } = this.#options;
    const hash = member.store.auth.user(name)?.hash ?? null;
    this.#nobody ??= passwords.hash("nobody has this password");
    const against = hash ?? (await this.#nobody);
    const matches = await this.#slowly(() => passwords.matches(password, against));
    if (!matches || hash === null) throw errAuthFailed();
    return hash;
  }

  async #slowly<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length >= HASHES_WAITING_MAX) throw errTooManyRequests();
    if (this.#hashing >= HASHES_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#hashing++;
    try {
      return await work();
    } finally {
      this.#hashing--;
      this.#waiting.shift()?.();
    }
  }

  #keep(token: string, user: string): void {
    const now = this.#options.monotonicMs();
    this.#tokens.set(token, { user, usedAt: now });
    for (const [old, { usedAt }] of this.#tokens) {
      if (this.#tokens.size <= TOKENS_MAX && now - usedAt <= this.#idleMs) break;
      this.#tokens.delete(old);
    }
  }

  #void(user: string | null): void {
    for (const [token, known] of this.#tokens) if (user === null || known.user === user) this.#tokens.delete(token);
    this.#basic.clear();
  }
}
