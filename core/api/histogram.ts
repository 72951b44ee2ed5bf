/**
 * A histogram that costs a few nanoseconds an observation: plain counters, which the metrics page reads when it is asked for. Without any
 * import, so that what is measured does not depend on what renders it.
 */
export class Histogram {
  /** Upper bounds, inclusive, ascending. */
  readonly bounds: readonly number[];
  /** Observations at most the bound of the same index, and above the one before; one more at the end for those above all. */
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
    this.count++;
  }
}

/** `count` bounds, the first one `start`, each the double of the one before. */
export function doubling(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => start * 2 ** n);
}
