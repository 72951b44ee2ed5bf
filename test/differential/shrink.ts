/** Makes a failing sequence smaller: drops parts of it as long as what is left still fails (delta debugging). */

export interface ShrinkLimits {
  /** Trials, each a whole run. */
  readonly trialsMax: number;
  readonly msMax: number;
}

/**
 * @param items fails as it is
 * @param fails tries a shorter sequence
 * @returns a sub-sequence that fails; when the limits allowed, one of which no single item can be dropped
 */
export async function shrink<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
  limits: ShrinkLimits,
): Promise<readonly T[]> {
  const end = performance.now() + limits.msMax;
  let trials = 0;
  let left = items;
  let size = Math.ceil(left.length / 2);
  while (left.length > 1) {
    let dropped = false;
    for (let at = 0; at < left.length;) {
      if (++trials > limits.trialsMax || performance.now() > end) return left;
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      if (without.length < left.length && without.length > 0 && (await fails(without))) {
        left = without;
        dropped = true;
      } else at += size;
    }
    if (size === 1 && !dropped) return left;
    if (!dropped || size > left.length) size = Math.max(1, Math.floor(size / 2));
  }
  return left;
}
