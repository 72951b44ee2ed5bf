/**
 * As much of vitest as the contract suites use, to run them where it cannot: inside a Durable Object, or a browser. `describe` and `test` gather; `run` does.
 */
type Body = () => unknown;

interface Gathered {
  readonly name: string;
  readonly body: Body;
  /** Done after it, whatever comes of it. */
  readonly after: readonly Body[];
}

const gathered: Gathered[] = [];
const path: string[] = [];
/** Of the suites around what is being gathered. */
let afters: Body[] = [];

export function describe(name: string, body: () => void): void {
  const outer = afters;
  afters = [...outer];
  path.push(name);
  body();
  path.pop();
  afters = outer;
}

/** To be called before the tests that it is for. */
export function afterEach(body: Body): void {
  afters.push(body);
}

export function test(name: string, ...rest: readonly [Body] | readonly [object, Body]): void {
  gathered.push({ name: [...path, name].join(" > "), body: rest.at(-1) as Body, after: [...afters] });
}
test.skipIf = (skipped: boolean) => (skipped ? () => {} : test);

export interface Report {
  readonly passed: number;
  readonly failed: readonly { readonly name: string; readonly error: string }[];
}

/** Runs what was gathered, and forgets it. @param before each of them */
export async function run(before: () => void = () => {}): Promise<Report> {
  const failed: { name: string; error: string }[] = [];
  const all = gathered.splice(0);
  for (const { name, body, after } of all) {
    before();
    try {
      await body();
    } catch (error) {
      failed.push({ name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    } finally {
      for (const one of after) await one();
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
  if ((found instanceof Error && !loose) || wanted instanceof Error) return String(found) === String(wanted);
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
  toThrow: (act: unknown, wanted: unknown) => isThrown(thrown(act), wanted),
};

/** @param wanted part of its text, or its class */
function isThrown(error: unknown, wanted: unknown): boolean {
  if (typeof wanted === "function") return error instanceof (wanted as new () => object);
  return error !== undefined && String(error).includes(wanted === undefined ? "" : String(wanted));
}

type Expectation = { readonly [name in keyof typeof MATCHERS]: (wanted?: unknown) => void };

type Rejection = { readonly [name in "toMatchObject" | "toThrow"]: (wanted?: unknown) => Promise<void> };

export function expect(found: unknown): Expectation & { readonly not: Expectation; readonly rejects: Rejection } {
  const of = (holds: boolean): Expectation =>
    Object.fromEntries(
      Object.entries(MATCHERS).map(([name, matches]) => [
        name,
        (wanted?: unknown) => {
          if (matches(found, wanted) !== holds) throw new Error(`${show(found)} ${holds ? "" : "not "}${name} ${show(wanted)}`);
        },
      ]),
    ) as unknown as Expectation;
  const rejected = (matches: (error: unknown, wanted: unknown) => boolean) => async (wanted?: unknown) => {
    const error: unknown = await (found as Promise<unknown>).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error === undefined || !matches(error, wanted)) throw new Error(`rejected with ${String(error)}, not ${show(wanted)}`);
  };
  const rejects = { toMatchObject: rejected((error, wanted) => same(error, wanted, true)), toThrow: rejected(isThrown) };
  return { ...of(true), not: of(false), rejects };
}
