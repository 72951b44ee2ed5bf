/**
 * What is known here of the store's clock. What a reply says of it (`Quorate-Time`, to a millisecond; of a server that knows none `Date`, to a
 * second) was true at some time between asking and hearing; each reply narrows down how far the two clocks are apart. When they contradict each other a clock has moved, and the newest reply counts.
 */

/** Of the header `Date`. */
const DATE_RESOLUTION_MS = 1_000;

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

  /** @param headers of a reply @param sentMs monotonic, as are all times here */
  learn(headers: Pick<Headers, "get">, sentMs: number): void {
    const time = headers.get("quorate-time");
    const told = time === null ? Date.parse(headers.get("date") ?? "") : Number(time);
    if (Number.isNaN(told)) return;
    const low = told - this.#monotonicMs();
    const high = told + (time === null ? DATE_RESOLUTION_MS : 1) - sentMs;
    this.#low = Math.max(this.#low, low);
    this.#high = Math.min(this.#high, high);
    if (this.#low > this.#high) [this.#low, this.#high] = [low, high];
  }
}
