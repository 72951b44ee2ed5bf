/** Durations as Go's flags write them: etcd's settings are given so. Source: https://pkg.go.dev/time#ParseDuration */

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** @param written `1h30m`, `1.5h`, `300ms`, `0` @returns milliseconds; undefined when it is no duration */
export function parseDuration(written: string): number | undefined {
  if (written === "0") return 0;
  if (!/^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$/.test(written)) return undefined;
  let millis = 0;
  for (const [, amount, unit] of written.matchAll(/([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)/g)) millis += Number(amount) * UNIT_MS[unit!]!;
  return millis;
}
