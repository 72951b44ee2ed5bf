/**
 * The arithmetic of rate limits: the generic cell rate algorithm (ITU-T I.371, annex A). A subject has one number, its theoretical arrival
 * time: up to then everything it has taken is spread out evenly. What is taken moves it on; it may be ahead of the clock by as much as the
 * burst takes to come back.
 *
 * A limit of 7 per second does not come out even in milliseconds, so the part of one beyond the point is kept too, in units of 1/limit:
 * nothing is ever rounded.
 */
import { errBadField } from "../errors.ts";
import { type Duration, milliseconds } from "./durations.ts";

/** So many in such a time, and so many at once. */
export interface Rule {
  /** At least 1. */
  readonly limit: number;
  /** 1 ms to 30 days. */
  readonly per: Duration;
  /** At least 1; default: as `limit`. */
  readonly burst?: number | undefined;
}

/** A rule whose fields have been checked. */
export interface Rate {
  readonly limit: number;
  readonly perMs: number;
  readonly burst: number;
}

/** A point in time: milliseconds since 1970, and `part / limit` more. */
export interface Arrival {
  readonly tat: number;
  readonly part: number;
}

export interface Decision {
  readonly ok: boolean;
  /** So many were taken. */
  readonly taken: number;
  /** So many more would be allowed now. */
  readonly remaining: number;
  /** Of a refusal: the same is allowed after so long, if nobody else takes any; otherwise 0. */
  readonly retryAfterMs: number;
  /** After so long the whole burst is there again. */
  readonly resetMs: number;
  /** To be kept; null when nothing changes. */
  readonly next: Arrival | null;
}

const COUNT_MAX = 1_000_000_000;
const PER_MS_MAX = 30 * 86_400_000;

/** @throws QuorateError badField */
export function rateOf({ limit, per, burst = limit }: Rule): Rate {
  const perMs = milliseconds(per, "per");
  for (const [field, value] of Object.entries({ limit, burst })) {
    if (!Number.isSafeInteger(value) || value < 1 || value > COUNT_MAX) {
      throw errBadField(field, `${field} must be a whole number from 1 to ${COUNT_MAX}; it is ${value}`);
    }
  }
  if (perMs < 1 || perMs > PER_MS_MAX) throw errBadField("per", `per must be 1ms to 30d; it is ${JSON.stringify(per)}`);
  // What is counted in units of 1/limit of a millisecond has to be exact.
  if (!Number.isSafeInteger(2 * burst * perMs)) throw errBadField("burst", "burst, times per, is too much");
  return { limit, perMs, burst };
}

/** How long a burst takes to come back; nothing of a subject has to be kept longer. In milliseconds. */
export function refillMs({ limit, perMs, burst }: Rate): number {
  return Math.ceil((burst * perMs) / limit);
}

/**
 * Takes at least `n`, and up to `upTo` of what is there.
 * @param last undefined: of a subject that is not known
 * @throws QuorateError badField when `n` is more than the burst, and so is never allowed
 */
export function take({ limit, perMs, burst }: Rate, last: Arrival | undefined, nowMs: number, n: number, upTo = n): Decision {
  if (!Number.isSafeInteger(n) || n < 1 || n > burst) {
    throw errBadField("n", `n must be a whole number from 1 to the burst, ${burst}; it is ${n}`);
  }
  const now = Math.floor(nowMs);
  // In units of 1/limit of a millisecond; one that is taken costs perMs of them.
  const most = burst * perMs;
  // Further ahead it is only by another rule, or another clock.
  const ahead = last === undefined || last.tat < now ? 0 : Math.min((last.tat - now) * limit + Math.min(last.part, limit - 1), most);
  const free = Math.floor((most - ahead) / perMs);
  if (n > free) {
    const retryAfterMs = Math.ceil((ahead + n * perMs - most) / limit);
    return { ok: false, taken: 0, remaining: free, retryAfterMs, resetMs: Math.ceil(ahead / limit), next: null };
  }
  const taken = Math.max(n, Math.min(upTo, free));
  const after = ahead + taken * perMs;
  const next = { tat: now + Math.floor(after / limit), part: after % limit };
  return { ok: true, taken, remaining: free - taken, retryAfterMs: 0, resetMs: Math.ceil(after / limit), next };
}
