/**
 * The clock that is stamped into commands: wall time at the start plus monotonic time, slewed towards the wall clock by at most a
 * tenth, never going back. A jump of the wall clock therefore moves nothing at once, and a stopped or wrong one cannot make a key
 * expire early. It decides *when* something happens, never *whether two may hold the same thing*.
 */
import type { Clock } from "./clock-port.ts";

/** Part of elapsed time by which the reading may run faster or slower than the monotonic clock. */
const SLEW = 0.1;

export class StoreClock {
  readonly #clock: Clock;
  #reading: number;
  #readAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#reading = clock.wallMs();
    this.#readAt = clock.monotonicMs();
  }

  /** Milliseconds since 1970, whole, never less than an earlier answer. */
  now(): number {
    const monotonic = this.#clock.monotonicMs();
    const elapsed = Math.max(0, monotonic - this.#readAt);
    this.#readAt = monotonic;
    const even = this.#reading + elapsed;
    const behind = this.#clock.wallMs() - even;
    this.#reading = even + Math.max(-SLEW * elapsed, Math.min(SLEW * elapsed, behind));
    return Math.floor(this.#reading);
  }

  /** Raises the reading to what the log already holds: time in the store never goes back, over restarts too. */
  atLeast(ms: number): void {
    if (ms > this.#reading) this.#reading = ms;
  }
}
