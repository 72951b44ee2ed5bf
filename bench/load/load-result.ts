/** What a load generator saw. */

export interface LoadResult {
  readonly generator: "node" | "wrk" | "h2load";
  readonly replies: number;
  /** Replies with status 400 or higher. A run with any is not a result. */
  readonly errors: number;
  readonly seconds: number;
  /** Milliseconds from the last byte of the request to the last of the reply. */
  readonly p50: number;
  readonly p99: number;
}

/** @param samples milliseconds, in any order; sorted in place */
export function latencies(samples: Float32Array): { p50: number; p99: number } {
  samples.sort();
  const at = (part: number): number => samples[Math.min(samples.length - 1, Math.floor(samples.length * part))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** The middle one, or the mean of the two in the middle; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}
