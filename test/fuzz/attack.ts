/** One way to be a bad client. */
import type { Random } from "../differential/random.ts";

export interface Target {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  /** Speaks TLS. */
  readonly tlsPort: number;
  /** Greatest size of a request, of the server's setting. */
  readonly maxRequestBytes: number;
}

export interface Attack {
  readonly name: string;
  /** How often it is drawn beside others; those that take seconds are rare. */
  readonly weight: number;
  /**
   * Does it once. @returns how many inputs it sent @throws Error that says what the server did that it must not
   */
  run(target: Target, random: Random): Promise<number>;
}

export function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message());
}

export function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.int(256)));
}

/** Bytes changed, put in, left out, said twice, or the end cut off. */
export function mutated(random: Random, bytes: Buffer): Buffer {
  let out = bytes;
  for (let n = 1 + random.int(4); n > 0; n--) {
    const at = random.int(out.length + 1);
    const length = 1 + random.int(8);
    out = random.weighted<() => Buffer>([
      [40, () => Buffer.concat([out.subarray(0, at), randomBytes(random, 1), out.subarray(at + 1)])],
      [15, () => Buffer.concat([out.subarray(0, at), randomBytes(random, length), out.subarray(at)])],
      [15, () => Buffer.concat([out.subarray(0, at), out.subarray(at + length)])],
      [15, () => Buffer.concat([out.subarray(0, at), out.subarray(Math.max(0, at - length))])],
      [15, () => out.subarray(0, at)],
    ])();
  }
  return out;
}
