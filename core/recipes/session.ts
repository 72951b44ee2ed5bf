/**
 * A session: a lease that is kept alive, and the time until which whoever has it may believe so. The client chooses the lease's id, so
 * that granting it again is the same act.
 *
 * `validUntil` is counted from before the last renewal was sent, and ends a margin earlier than the TTL. The server begins to count later
 * than that, so the client gives up first, as long as the rates of the two clocks differ by less than a tenth; to know that the session
 * is over it needs no network. A session that is lost is lost for good.
 *
 * A pause of the process can pass `validUntil` unnoticed: no lease makes an act outside the store safe. That is what fences are for.
 */
import { errBadField, errSessionLost, isQuorateError } from "../errors.ts";
import type { LeaseId } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { type Duration, holdTtlSeconds } from "./durations.ts";
import { repeat } from "./repeat.ts";

const MARGIN_PART = 1 / 10;
const MARGIN_MS_MIN = 500;
const RENEWAL_PART = 1 / 3;
/** Of the time between renewals, either way. */
const JITTER = 0.1;
/** Between tries of a renewal that failed, as a part of the TTL, and at most. */
const RETRY_PART = 1 / 20;
const RETRY_MS_MAX = 1_000;

export interface SessionOptions {
  /** 2 s to 1 h; default 15 s. */
  readonly ttl?: Duration | undefined;
  /** Decimal, 1 to 2^63 − 1. Opening a session with the same id again is the same act. Default: a random one. */
  readonly id?: LeaseId | undefined;
  /** Whoever opens it does not wait any longer. */
  readonly signal?: AbortSignal | undefined;
}

/** All that another process needs to go on with a session. */
export interface SessionJson {
  readonly lease: LeaseId;
  readonly ttlSeconds: number;
}

export class Session {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly #context: RecipeContext;
  readonly #lost = new AbortController();
  /** Fires when there is nothing to keep any more. */
  readonly #over = new AbortController();
  #validUntil = 0;

  private constructor(context: RecipeContext, id: LeaseId, ttlSeconds: number, sentMs: number) {
    this.#context = context;
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.#renewed(sentMs);
    const { host } = context;
    host.background(this.#untilInvalid());
    host.background(this.#keepAlive());
  }

  /** Grants the lease and keeps it alive from then on. @throws QuorateError badField, leaseExists when the id has another TTL */
  static async open(context: RecipeContext, { ttl, id, signal }: SessionOptions = {}): Promise<Session> {
    const ttlSeconds = holdTtlSeconds(ttl);
    const lease = id === undefined ? randomLease(context) : checkLease(id);
    const sentMs = await repeat(context, () => sentBefore(context, () => context.store.grant(lease, ttlSeconds, { signal })), { signal });
    return new Session(context, lease, ttlSeconds, sentMs);
  }

  /** Goes on with a session that another process opened, and renews it. @throws QuorateError sessionLost, badField */
  static async resume(context: RecipeContext, lease: LeaseId, signal?: AbortSignal): Promise<Session> {
    checkLease(lease);
    let ttlSeconds = 0;
    const renew = async (): Promise<void> => void (ttlSeconds = await context.store.keepAlive(lease, { signal }));
    try {
      const sentMs = await repeat(context, () => sentBefore(context, renew), { signal });
      return new Session(context, lease, ttlSeconds, sentMs);
    } catch (error) {
      throw isGone(error) ? errSessionLost("its lease is gone", { lease }) : error;
    }
  }

  /** Fires when the session is lost, with that as the reason. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Fires when it is kept alive no longer, for whatever reason. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** On the host's monotonic clock, in milliseconds. */
  get validUntil(): number {
    return this.#validUntil;
  }

  /** @throws QuorateError sessionLost, also when it ended */
  check(): void {
    if (this.#context.host.monotonicMs() >= this.#validUntil) this.lose("it was not renewed in time");
    this.#lost.signal.throwIfAborted();
    if (this.#over.signal.aborted) throw errSessionLost("it has ended", { lease: this.id });
  }

  /** Renews it now. @throws QuorateError sessionLost */
  async renew(): Promise<void> {
    this.check();
    await repeat(this.#context, () => this.#renew(), { signal: this.signal, until: this.#validUntil });
  }

  /** Somebody has seen that what the session stands for is gone. */
  lose(why: string): void {
    if (this.#over.signal.aborted) return;
    this.#lost.abort(errSessionLost(why, { lease: this.id }));
    this.#over.abort();
  }

  /** Keeps it alive no longer; it goes on until its TTL is over, or another process goes on with it. */
  detach(): void {
    this.#over.abort();
  }

  /** Ends it: its keys go at once, or, when the store does not answer, after its TTL. */
  async end(): Promise<void> {
    this.detach();
    await repeat(this.#context, () => this.#context.store.revoke(this.id), { until: this.#validUntil });
  }

  /** As `end`, unless it is over or was handed on; behind the answer, where the host carries on. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over.signal.aborted) return;
    const end = this.end();
    const { host } = this.#context;
    if (!host.carriesOn) return end;
    host.background(end.catch(() => {})); // what cannot be ended now ends with its TTL
  }

  toJSON(): SessionJson {
    return { lease: this.id, ttlSeconds: this.ttlSeconds };
  }

  #renewed(sentMs: number): void {
    const ttlMs = this.ttlSeconds * 1_000;
    this.#validUntil = Math.max(this.#validUntil, sentMs + ttlMs - Math.max(ttlMs * MARGIN_PART, MARGIN_MS_MIN));
  }

  async #renew(): Promise<void> {
    const { store } = this.#context;
    try {
      const sentMs = await sentBefore(this.#context, () => store.keepAlive(this.id, { signal: this.#over.signal }));
      this.#renewed(sentMs);
    } catch (error) {
      if (isGone(error)) this.lose("its lease is gone");
      this.#lost.signal.throwIfAborted();
      throw error;
    }
  }

  async #untilInvalid(): Promise<void> {
    const { host } = this.#context;
    for (;;) {
      const left = this.#validUntil - host.monotonicMs();
      if (left <= 0) return this.lose("it was not renewed in time");
      if (!(await this.#sleep(left))) return;
    }
  }

  async #keepAlive(): Promise<void> {
    const ttlMs = this.ttlSeconds * 1_000;
    for (let pause = ttlMs * RENEWAL_PART; await this.#sleep(this.#jittered(pause));) {
      try {
        await this.#renew();
        pause = ttlMs * RENEWAL_PART;
      } catch {
        // Whatever it was: tried again for as long as the session is valid. Its loss is told by the signal.
        pause = Math.min(ttlMs * RETRY_PART, RETRY_MS_MAX);
      }
    }
  }

  #jittered(ms: number): number {
    return ms * (1 - JITTER + (2 * JITTER * this.#context.host.randomBytes(1)[0]!) / 255);
  }

  /** @returns false when there is nothing to keep any more */
  async #sleep(ms: number): Promise<boolean> {
    try {
      await this.#context.host.sleep(ms, this.#over.signal);
    } catch {
      return false;
    }
    return !this.#over.signal.aborted;
  }
}

/** When, on the monotonic clock, the call was made that has been answered. */
async function sentBefore({ host }: RecipeContext, call: () => Promise<unknown>): Promise<number> {
  const sentMs = host.monotonicMs();
  await call();
  return sentMs;
}

function isGone(error: unknown): boolean {
  return isQuorateError(error) && error.reason === "leaseNotFound";
}

/** A random lease id, decimal, of 63 bits. */
export function randomLease({ host }: RecipeContext): LeaseId {
  let id = 0n;
  for (const byte of host.randomBytes(8)) id = (id << 8n) | BigInt(byte);
  return ((id & 0x7fff_ffff_ffff_ffffn) | 1n).toString();
}

/** @throws QuorateError badField when it is no decimal number from 1 to 2^63 − 1 */
export function checkLease(id: string): LeaseId {
  if (!/^[1-9]\d{0,18}$/.test(id) || BigInt(id) > 0x7fff_ffff_ffff_ffffn) {
    throw errBadField("id", `id must be a decimal number from 1 to 2^63 - 1; it is ${JSON.stringify(id)}`);
  }
  return id;
}
