/**
 * Where to ask. The endpoint that answered fastest of late is asked; now and then another one, so that it is known when one becomes faster.
 * One that failed is left alone for a time that doubles with each failure in a row; when all have failed, the one whose time ends first is
 * asked all the same.
 */
import { errBadField } from "../core/errors.ts";

const FIRST_BAN_MS = 500;
const BAN_MS_MAX = 30_000;
/** Weight of the newest measurement. */
const NEWEST = 0.2;
/** One in so many choices looks at another endpoint than the fastest. */
const LOOK_ELSEWHERE = 32;

export interface Endpoint {
  /** Without a slash at its end. */
  readonly url: string;
  /** Moving average of the time an answer takes; undefined: never asked. */
  latencyMs: number | undefined;
  failures: number;
  /** Monotonic. */
  bannedUntil: number;
}

export class Endpoints {
  readonly #all: readonly Endpoint[];
  readonly #monotonicMs: () => number;
  readonly #randomByte: () => number;
  #choices = 0;

  /** @throws QuorateError badField */
  constructor(urls: readonly string[], monotonicMs: () => number, randomByte: () => number) {
    this.#all = [...new Set(urls.map(checked))].map((url) => ({ url, latencyMs: undefined, failures: 0, bannedUntil: -Infinity }));
    if (this.#all.length === 0) throw errBadField("url", "url must be the address of the store, or endpoints a list of some");
    this.#monotonicMs = monotonicMs;
    this.#randomByte = randomByte;
  }

  get count(): number {
    return this.#all.length;
  }

  /** The one to ask next. @param not those that this call has tried already, which are the last choice */
  choose(not: ReadonlySet<Endpoint> = new Set()): Endpoint {
    const now = this.#monotonicMs();
    const fresh = this.#all.filter((one) => !not.has(one));
    const among = fresh.length > 0 ? fresh : this.#all;
    const free = among.filter(({ bannedUntil }) => bannedUntil <= now);
    if (free.length === 0) return among.reduce((best, one) => (one.bannedUntil < best.bannedUntil ? one : best));
    if (free.length > 1 && ++this.#choices % LOOK_ELSEWHERE === 0) return free[this.#randomByte() % free.length]!;
    return free.reduce((best, one) => ((one.latencyMs ?? 0) < (best.latencyMs ?? 0) ? one : best));
  }

  answered(endpoint: Endpoint, ms: number): void {
    endpoint.failures = 0;
    endpoint.bannedUntil = -Infinity;
    endpoint.latencyMs = endpoint.latencyMs === undefined ? ms : endpoint.latencyMs * (1 - NEWEST) + ms * NEWEST;
  }

  failed(endpoint: Endpoint): void {
    const ban = Math.min(FIRST_BAN_MS * 2 ** endpoint.failures++, BAN_MS_MAX);
    endpoint.bannedUntil = this.#monotonicMs() + ban;
  }
}

function checked(url: string): string {
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw errBadField("url", `url must be http:// or https://; it is ${JSON.stringify(url)}`);
  return url.replace(/\/+$/, "");
}
