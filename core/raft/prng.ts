/**
 * The one source of chance in raft and in its simulator: xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2018), seeded through splitmix32. Its four words are plain state, so that a node can be cloned with its future.
 */

/** A stream of numbers; a clone continues at the same place. */
export interface Prng {
  /** Uniform in [0, 2^32). */
  u32(): number;
  clone(): Prng;
}

function rotateLeft(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

export class Xoshiro128 implements Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Equal seeds and names give equal streams; different names give independent ones. */
  constructor(seed: number, name = "") {
    let mix = seed >>> 0;
    // The high half of a seed above 2^32 counts too.
    mix ^= Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b1);
    for (let at = 0; at < name.length; at++) mix = Math.imul(mix ^ name.charCodeAt(at), 0x01000193);
    const next = (): number => {
      mix = (mix + 0x9e3779b9) | 0;
      let word = mix;
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      return (word ^ (word >>> 15)) | 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // never all zero: the one state from which the generator does not move
  }

  u32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  clone(): Xoshiro128 {
    const copy = new Xoshiro128(0);
    copy.#a = this.#a;
    copy.#b = this.#b;
    copy.#c = this.#c;
    copy.#d = this.#d;
    return copy;
  }
}
