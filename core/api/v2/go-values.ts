/** Values in requests and replies as Go reads and writes them (https://pkg.go.dev/strconv, https://pkg.go.dev/time). */

const UINT64_MAX = 18_446_744_073_709_551_615n;

/** `strconv.ParseBool`: 1, t, T, TRUE, true, True and their opposites. @returns undefined for anything else */
export function parseBool(text: string): boolean | undefined {
  switch (text) {
    case "true":
    case "1":
    case "t":
    case "T":
    case "TRUE":
    case "True":
      return true;
    case "false":
    case "0":
    case "f":
    case "F":
    case "FALSE":
    case "False":
      return false;
    default:
      return undefined;
  }
}

/** `strconv.ParseUint` with base 10 and 64 bits: digits only. Above 2^53 the number is near, not exact. @returns undefined otherwise */
export function parseUint(text: string): number | undefined {
  if (text.length === 0) return undefined;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return undefined;
  }
  if (text.length > 15 && BigInt(text) > UINT64_MAX) return undefined;
  return Number(text);
}

const MS_PER_DAY = 86_400_000;

const pad = (number: number, digits: number) => String(number).padStart(digits, "0");

/**
 * RFC 3339 in UTC with as many digits after the second as are needed, as Go marshals a time.
 * @param ms milliseconds since 1970, of a year from 1 to 9999
 */
export function formatTime(ms: number): string {
  const whole = Math.floor(ms);
  const days = Math.floor(whole / MS_PER_DAY);
  const inDay = whole - days * MS_PER_DAY;
  const [year, month, day] = civilDate(days);
  const seconds = Math.floor(inDay / 1000);
  const fraction = inDay % 1000 === 0 ? "" : "." + pad(inDay % 1000, 3).replace(/0+$/, "");
  const clock = `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}`;
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${clock}${fraction}Z`;
}

/** Year, month and day of a day number (0 = 1 January 1970) in the Gregorian calendar, counted in years that begin in March. */
function civilDate(days: number): [year: number, month: number, day: number] {
  const sinceEra = days + 719_468; // since 1 March of year 0
  const era = Math.floor(sinceEra / 146_097); // 400 years
  const dayOfEra = sinceEra - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return [era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, day];
}

/** `time.Duration.String` for a span of whole milliseconds: `1h2m3.5s`, `1.5s`, `500ms`, `0s`. */
export function formatDuration(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  if (whole === 0) return "0s";
  if (whole < 1000) return `${whole}ms`;
  const seconds = (whole % 60_000) / 1000;
  const minutes = Math.floor(whole / 60_000) % 60;
  const hours = Math.floor(whole / 3_600_000);
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
