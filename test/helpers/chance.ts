/** Draws from one named stream of numbers. Each kind of chance has its own, so that leaving one fault out does not shift the others. */
import { Xoshiro128 } from "../../core/raft/prng.ts";

export class Chance {
  readonly #prng: Xoshiro128;

  constructor(seed: number, name: string) {
    this.#prng = new Xoshiro128(seed, name);
  }

  /** Uniform in [0, 1). */
  real(): number {
    return this.#prng.u32() / 2 ** 32;
  }

  /** Uniform in [from, to], whole. */
  int(from: number, to: number): number {
    return from + (this.#prng.u32() % (to - from + 1));
  }

  hit(probability: number): boolean {
    return probability > 0 && this.real() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)] as T;
  }

  /** Exponential with this mean, cut off at ten times the mean. */
  exponential(mean: number): number {
    return Math.min(10 * mean, -mean * Math.log(1 - this.real()));
  }

  shuffle<T>(list: readonly T[]): T[] {
    const copy = list.slice();
    for (let at = copy.length - 1; at > 0; at--) {
      const other = this.int(0, at);
      [copy[at], copy[other]] = [copy[other] as T, copy[at] as T];
    }
    return copy;
  }
}
