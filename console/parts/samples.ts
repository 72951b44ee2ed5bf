/** Numbers of a page of metrics, in the text format of Prometheus. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @param page https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function samplesIn(page: string): Sample[] {
  return page.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label!, text!] as const);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

/** Of all samples of that name. */
export function sumOf(samples: readonly Sample[], name: string): number {
  return samples.reduce((sum, one) => (one.name === name ? sum + one.value : sum), 0);
}

/**
 * The value that so large a share of what a histogram has counted between two looks is below: the upper bound of its bucket.
 * @returns undefined when nothing was counted
 */
export function quantileBetween(before: readonly Sample[], after: readonly Sample[], name: string, share: number): number | undefined {
  const counts = new Map<number, number>();
  const add = (samples: readonly Sample[], sign: number): void => {
    for (const { name: one, labels, value } of samples) {
      if (one !== `${name}_bucket`) continue;
      const bound = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
    }
  };
  add(after, 1);
  add(before, -1);
  const total = counts.get(Infinity) ?? 0;
  if (total <= 0) return undefined;
  const bounds = [...counts].toSorted(([a], [b]) => a - b);
  return bounds.find(([, count]) => count >= share * total)?.[0];
}
