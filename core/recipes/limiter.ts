/**
 * A rate limit as a program uses it: with blocks that are taken at once and spent without asking, and with what to do when the store does
 * not answer.
 */
import type { Host, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { type Arrival, type Rule, rateOf, take } from "./gcra.ts";
import { checkReserve, takeFromLimit } from "./limit.ts";
import { isPassing } from "./repeat.ts";

/** Subjects that are remembered here, in memory, at most. */
const SUBJECTS_MAX = 10_000;
const RETRY_MS = 1_000;

export interface LimiterOptions extends Partial<Rule> {
  /** Take so many at once, if they are there, and spend them without asking; those that are left when `for` is over are lost. */
  readonly reserve?: number | undefined;
  /** How long what was reserved may be spent. Default 1 s. */
  readonly for?: Duration | undefined;
  /** When the store does not answer: what is said then. A rule is kept by this program alone. Default `"deny"`. */
  readonly onError?: "allow" | "deny" | { readonly local: Rule } | undefined;
  /** How long to ask a store that does not answer. Default 1 s. */
  readonly patience?: Duration | undefined;
}

export interface LimiterAnswer {
  readonly ok: boolean;
  /** So many more would be allowed now, as far as it is known here. */
  readonly remaining: number;
  readonly retryAfterMs: number;
  /** `store`: the store said so, now or when a block was reserved. `error`: it did not answer, and this is what `onError` says. */
  readonly by: "store" | "error";
}

interface Block {
  left: number;
  readonly untilMs: number;
  readonly beyond: number;
}

export class Limiter {
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #options: LimiterOptions;
  readonly #rule: Rule | undefined;
  readonly #forMs: number;
  readonly #patienceMs: number;
  readonly #blocks = new Map<string, Block>();
  /** Of those who wait for a block of the subject: one asks at a time. */
  readonly #asking = new Map<string, Promise<unknown>>();
  readonly #local = new Map<string, Arrival>();

  /** @throws QuorateError badField */
  constructor(context: RecipeContext, name: string, options: LimiterOptions = {}) {
    const { limit, per, burst, onError } = options;
    this.#context = context;
    this.#name = name;
    this.#options = { ...options, reserve: checkReserve(options.reserve) };
    this.#rule = limit === undefined || per === undefined ? undefined : { limit, per, burst };
    this.#forMs = milliseconds(options.for ?? "1s", "for");
    this.#patienceMs = milliseconds(options.patience ?? "1s", "patience");
    if (this.#rule !== undefined) rateOf(this.#rule);
    if (typeof onError === "object") rateOf(onError.local);
  }

  /** @throws QuorateError badField, conflict when there is no rule; never because the store does not answer */
  async take(subject: string, n = 1, signal?: AbortSignal): Promise<LimiterAnswer> {
    const { reserve } = this.#options;
    if (reserve === undefined) return this.#ask(subject, n, n, signal);
    for (;;) {
      const spent = this.#spend(subject, n);
      if (spent !== undefined) return spent;
      const before = this.#asking.get(subject);
      if (before === undefined) break;
      await before;
    }
    const asked = this.#ask(subject, n, Math.max(n, reserve), signal);
    this.#asking.set(
      subject,
      asked.then(
        () => this.#asking.delete(subject),
        () => this.#asking.delete(subject),
      ),
    );
    return asked;
  }

  #spend(subject: string, n: number): LimiterAnswer | undefined {
    const block = this.#blocks.get(subject);
    if (block === undefined) return undefined;
    if (block.untilMs <= this.#context.host.monotonicMs()) {
      this.#blocks.delete(subject);
      return undefined;
    }
    if (block.left < n) return undefined;
    block.left -= n;
    return { ok: true, remaining: block.left + block.beyond, retryAfterMs: 0, by: "store" };
  }

  async #ask(subject: string, n: number, reserve: number, signal: AbortSignal | undefined): Promise<LimiterAnswer> {
    const { host } = this.#context;
    const askedMs = host.monotonicMs();
    try {
      const until = askedMs + this.#patienceMs;
      const { ok, taken, remaining, retryAfterMs } = await takeFromLimit(this.#context, this.#name, subject, {
        n,
        reserve,
        rule: this.#rule,
        signal,
        until,
      });
      // Counted from before the question: the store took them after that.
      if (taken > n) remember(this.#blocks, subject, { left: taken - n, untilMs: askedMs + this.#forMs, beyond: remaining });
      return { ok, remaining: remaining + Math.max(taken - n, 0), retryAfterMs, by: "store" };
    } catch (error) {
      if (!isPassing(error)) throw error;
      return this.#withoutStore(host, subject, n);
    }
  }

  #withoutStore(host: Host, subject: string, n: number): LimiterAnswer {
    const { onError = "deny" } = this.#options;
    if (onError === "allow") return { ok: true, remaining: 0, retryAfterMs: 0, by: "error" };
    if (onError === "deny") return { ok: false, remaining: 0, retryAfterMs: RETRY_MS, by: "error" };
    const { ok, remaining, retryAfterMs, next } = take(rateOf(onError.local), this.#local.get(subject), host.monotonicMs(), n);
    if (next !== null) remember(this.#local, subject, next);
    return { ok, remaining, retryAfterMs, by: "error" };
  }
}

/** Whoever was put in first is forgotten when there are too many. */
function remember<T>(map: Map<string, T>, subject: string, value: T): void {
  map.delete(subject);
  map.set(subject, value);
  if (map.size > SUBJECTS_MAX) map.delete(map.keys().next().value!);
}
