/**
 * What is known here of the store's clock. A reply's header `Date` was true at some time between asking and hearing, to a second; each reply
 * narrows down how far the two clocks are apart. When they contradict each other a clock has moved, and the newest reply counts.
 */

/** Of the header `Date`. */
const RESOLUTION_MS = 1_000;

export class StoreClock {
  readonly #monotonicMs: () => number;
  /** Bounds of the store's clock less the monotonic one. */
  #low: number;
  #high: number;

  /** @param wallMs this machine's clock, believed until a reply says better */
  constructor(monotonicMs: () => number, wallMs: number) {
    this.#monotonicMs = monotonicMs;
    this.#low = this.#high = wallMs - monotonicMs();
  }

  /** Milliseconds since 1970. */
  nowMs(): number {
    return Math.round(this.#monotonicMs() + (this.#low + this.#high) / 2);
  }

  /** @param date the header, if there was one @param sentMs monotonic, as are all times here */
  learn(date: string | null, sentMs: number): void {
    const told = Date.parse(date ?? "");
    if (Number.isNaN(told)) return;
    const low = told - this.#monotonicMs();
    const high = told + RESOLUTION_MS - sentMs;
    this.#low = Math.max(this.#low, low);
    this.#high = Math.min(this.#high, high);
    if (this.#low > this.#high) [this.#low, this.#high] = [low, high];
  }
}
