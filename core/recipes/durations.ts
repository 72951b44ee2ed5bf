/** Spans of time as people write them: `"15s"`, `"250ms"`, or a number of milliseconds. */
import { errBadField } from "../errors.ts";

export type Duration = number | string;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * In milliseconds, whole.
 * @param field names it in errors
 * @throws QuorateError badField
 */
export function milliseconds(duration: Duration, field: string): number {
  const [, digits, unit = "ms"] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(duration.toString().trim()) ?? [];
  const ms = Math.round(Number(digits) * UNITS[unit]!);
  if (Number.isSafeInteger(ms)) return ms;
  throw errBadField(
    field,
    `${field} must be a duration such as "15s", "250ms" or a number of milliseconds; it is ${JSON.stringify(duration)}`,
  );
}

/**
 * Of a lease that something is held by, in whole seconds, rounded up: 2 s to 1 h, by default 15 s.
 * @throws QuorateError badField
 */
export function holdTtlSeconds(ttl: Duration = "15s"): number {
  const seconds = Math.ceil(milliseconds(ttl, "ttl") / 1_000);
  if (seconds < 2 || seconds > 3_600) throw errBadField("ttl", `ttl must be 2s to 1h; it is ${JSON.stringify(ttl)}`);
  return seconds;
}
