/**
 * As much of vitest as the contract suites use, to run them where it cannot: inside a Durable Object. `describe` and `test` gather; `run` does.
 */
type Body = () => unknown;

interface Gathered {
  readonly name: string;
  readonly body: Body;
}

const gathered: Gathered[] = [];
const path: string[] = [];

export function describe(name: string, body: () => void): void {
  path.push(name);
  body();
  path.pop();
}

export function test(name: string, ...rest: readonly [Body] | readonly [object, Body]): void {
  gathered.push({ name: [...path, name].join(" > "), body: rest.at(-1) as Body });
}
test.skipIf = (skipped: boolean) => (skipped ? () => {} : test);

export interface Report {
  readonly passed: number;
  readonly failed: readonly { readonly name: string; readonly error: string }[];
}

/** Runs what was gathered, and forgets it. @param before each of them */
export async function run(before: () => void): Promise<Report> {
  const failed: { name: string; error: string }[] = [];
  const all = gathered.splice(0);
  for (const { name, body } of all) {
    before();
    try {
      await body();
    } catch (error) {
      failed.push({ name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
  return { passed: all.length - failed.length, failed };
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (one === undefined ? "undefined" : one))?.slice(0, 600) ?? "undefined";

/** As toEqual: what is undefined is as if it were not there. @param loose what `wanted` does not name may be anything */
function same(found: unknown, wanted: unknown, loose = false): boolean {
  if (Object.is(found, wanted)) return true;
  if (typeof found !== "object" || typeof wanted !== "object" || found === null || wanted === null) return false;
  if (found instanceof Error || wanted instanceof Error) return String(found) === String(wanted);
  if (Array.isArray(found) !== Array.isArray(wanted)) return false;
  if (Array.isArray(found) && found.length !== (wanted as unknown[]).length) return false;
  const [a, b] = [found as Record<string, unknown>, wanted as Record<string, unknown>];
  const names = loose ? Object.keys(b) : [...Object.keys(a), ...Object.keys(b)];
  return names.every((name) => same(a[name], b[name], loose));
}

function thrown(act: unknown): unknown {
  try {
    (act as () => unknown)();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Each says whether it holds. */
const MATCHERS = {
  toBe: (found: unknown, wanted: unknown) => Object.is(found, wanted),
  toEqual: (found: unknown, wanted: unknown) => same(found, wanted),
  toMatchObject: (found: unknown, wanted: unknown) => same(found, wanted, true),
  toBeUndefined: (found: unknown) => found === undefined,
  toBeNull: (found: unknown) => found === null,
  toBeGreaterThan: (found: unknown, wanted: unknown) => Number(found) > Number(wanted),
  toBeGreaterThanOrEqual: (found: unknown, wanted: unknown) => Number(found) >= Number(wanted),
  toBeLessThan: (found: unknown, wanted: unknown) => Number(found) < Number(wanted),
  toBeLessThanOrEqual: (found: unknown, wanted: unknown) => Number(found) <= Number(wanted),
  toHaveProperty: (found: unknown, name: unknown) => String(name) in (found as object),
  toThrow: (act: unknown, text: unknown) => {
    const error = thrown(act);
    return error !== undefined && String(error).includes(text === undefined ? "" : String(text));
  },
};

type Expectation = { readonly [name in keyof typeof MATCHERS]: (wanted?: unknown) => void };

export function expect(found: unknown): Expectation & { readonly not: Expectation } {
  const of = (holds: boolean): Expectation =>
    Object.fromEntries(
      Object.entries(MATCHERS).map(([name, matches]) => [
        name,
        (wanted?: unknown) => {
          if (matches(found, wanted) !== holds) throw new Error(`${show(found)} ${holds ? "" : "not "}${name} ${show(wanted)}`);
        },
      ]),
    ) as unknown as Expectation;
  return { ...of(true), not: of(false) };
}
