/**
 * A place on a roster that keeps itself: on a session of its own, and on a new one when that is lost — after a cut, say. Unlike what is held,
 * nothing is at stake when it comes back: the id is the same, and only its owner can have it.
 */
import { type QuorateError, isQuorateError } from "../errors.ts";
import type { RecipeContext } from "./client-port.ts";
import type { Duration } from "./durations.ts";
import { isPassing, repeat } from "./repeat.ts";
import { type Enrolled, type RosterPlace, type Value, enroll, randomSecret, rosterKey, withdraw } from "./roster.ts";
import { openScope } from "./scope.ts";
import { Session } from "./session.ts";
import { untilOneGone } from "./turns.ts";

const AGAIN_MS = 1_000;

export interface RegistrationOptions {
  /** 2 s to 1 h. */
  readonly ttl?: Duration | undefined;
  /** Whoever has it may take the place over: to be kept if a program that starts again is to have its place at once. Default: random. */
  readonly secret?: string | undefined;
  /** Whoever registers does not wait any longer. */
  readonly signal?: AbortSignal | undefined;
}

export class Registration {
  readonly id: string;
  readonly secret: string;
  readonly #context: RecipeContext;
  readonly #place: RosterPlace;
  readonly #ttl: Duration | undefined;
  readonly #lost = new AbortController();
  readonly #left = new AbortController();
  #value: Value;
  #session: Session;
  #entry: Enrolled;
  /** Writes of its own, one after another. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(
    context: RecipeContext,
    place: RosterPlace,
    ttl: Duration | undefined,
    value: Value,
    session: Session,
    entry: Enrolled,
  ) {
    this.#context = context;
    this.#place = place;
    this.#ttl = ttl;
    this.#value = value;
    this.#session = session;
    this.#entry = entry;
    this.id = place.id;
    this.secret = place.secret;
    context.host.background(this.#stay());
  }

  /** @throws QuorateError conflict when the id is another's; badField */
  static async open(
    context: RecipeContext,
    { prefix, id, merge }: Omit<RosterPlace, "secret">,
    value: Value,
    { ttl, secret = randomSecret(context), signal }: RegistrationOptions,
  ): Promise<Registration> {
    const place = { prefix, id, secret, merge };
    rosterKey(prefix, id); // what cannot be taken is told before anything is granted
    const session = await Session.open(context, { ttl, signal });
    try {
      return new Registration(context, place, ttl, value, session, await enroll(context, place, value, session));
    } catch (error) {
      context.host.background(session.end().catch(() => {})); // otherwise it ends with its TTL
      throw error;
    }
  }

  /** Fires when another has the id; with that as the reason. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** The revision at which it came; after a loss it comes anew. */
  get incarnation(): number {
    return this.#entry.incarnation;
  }

  /** As of its last change. */
  get revision(): number {
    return this.#entry.revision;
  }

  /** What it says now. */
  get value(): Value {
    return this.#value;
  }

  /** Says something else. @throws QuorateError conflict when another has the id; what does not pass within 5 s */
  async update(change: (value: Value) => Value): Promise<void> {
    await this.#write(async () => {
      const value = change(this.#value);
      await repeat(this.#context, () => this.#enroll(value), { signal: this.#lost.signal });
    });
  }

  /** Is off the roster, and says that it left. */
  async leave(): Promise<void> {
    if (this.#left.signal.aborted) return;
    this.#left.abort();
    await this.#write(async () => {
      await withdraw(this.#context, this.#place, this.#session.id);
      await this.#session.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  #write<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(act);
    this.#writing = done.catch(() => {});
    return done;
  }

  /** On the session there is, or on a new one when that is lost. */
  async #enroll(value: Value): Promise<void> {
    if (this.#session.over.aborted) this.#session = await Session.open(this.#context, { ttl: this.#ttl });
    this.#value = value;
    try {
      this.#entry = await enroll(this.#context, this.#place, value, this.#session);
    } catch (error) {
      if (isQuorateError(error) && error.reason === "conflict") this.#lose(error);
      throw error;
    }
  }

  #lose(error: QuorateError): void {
    this.#lost.abort(error);
    this.#session.detach();
  }

  /** Comes back whenever it is off the roster, until it leaves or another has the id. */
  async #stay(): Promise<void> {
    const { host } = this.#context;
    const key = rosterKey(this.#place.prefix, this.id);
    const scope = openScope(host, [this.#left.signal, this.#lost.signal]);
    const over = scope.signal;
    while (!over.aborted) {
      const gone = openScope(host, [over, this.#session.over]);
      try {
        await untilOneGone(this.#context, [key], this.#entry.asOf, gone.signal);
      } catch {
        // The session is over, or the store says nothing: what is there is found out by coming again.
      } finally {
        gone.close();
      }
      if (over.aborted) return;
      try {
        await this.#write(async () => {
          if (!over.aborted) await this.#enroll(this.#value);
        });
      } catch (error) {
        if (over.aborted) return;
        if (!isPassing(error) && !isLost(error)) return this.#lose(error as QuorateError);
        await host.sleep(AGAIN_MS + 4 * host.randomBytes(1)[0]!, over).catch(() => {});
      }
    }
  }
}

function isLost(error: unknown): boolean {
  return isQuorateError(error) && error.reason === "sessionLost";
}

/** For those who have no name. */
export function randomId({ host }: RecipeContext): string {
  return [...host.randomBytes(8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
