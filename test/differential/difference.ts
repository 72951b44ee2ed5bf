/** Where two comparable answers differ. */

/** Fields that tell a time left: seconds, and the clocks of two requests differ. */
const SECONDS_FIELDS = new Set(["TTL", "ttl"]);
const SECONDS_TOLERANCE = 1;
const DATE_TOLERANCE_MS = 2_500;
/** More of them add nothing. */
const DIFFERENCES_MAX = 12;

/** @returns one sentence a difference, empty when the answers are alike */
export function differences(left: unknown, right: unknown): string[] {
  const found: string[] = [];
  compare(left, right, "", found);
  return found;
}

function compare(left: unknown, right: unknown, path: string, found: string[]): void {
  if (found.length >= DIFFERENCES_MAX) return;
  if (Array.isArray(left) && Array.isArray(right)) {
    for (let n = 0; n < Math.max(left.length, right.length); n++) compare(left[n], right[n], `${path}[${n}]`, found);
    return;
  }
  if (isObject(left) && isObject(right)) {
    for (const name of new Set([...Object.keys(left), ...Object.keys(right)]))
      compare(left[name], right[name], path === "" ? name : `${path}.${name}`, found);
    return;
  }
  if (!alike(left, right, path.slice(path.lastIndexOf(".") + 1))) found.push(`${path}: ${JSON.stringify(left)} | ${JSON.stringify(right)}`);
}

function alike(left: unknown, right: unknown, name: string): boolean {
  if (left === right) return true;
  if (left === undefined || right === undefined || typeof left !== typeof right) return false;
  if (SECONDS_FIELDS.has(name)) return Math.abs(Number(left) - Number(right)) <= SECONDS_TOLERANCE;
  if (name === "expiration") return Math.abs(Date.parse(String(left)) - Date.parse(String(right))) <= DATE_TOLERANCE_MS;
  return false;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
