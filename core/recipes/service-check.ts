/**
 * Checks of services from outside. An instance may say where it can be asked how it is; the member that leads asks, and writes down its
 * verdict when it changes: `checked`, beside what the instance says of itself. A verdict can make an instance critical, never delete it:
 * that is for its lease alone.
 *
 * Nothing is written while nothing changes. What has been counted is the leader's own and begins anew with the next one, which costs some
 * intervals and no verdict.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { isAt, modifiedAt, oneKey, putOp, readOf, txnOf } from "./requests.ts";
import { type Value, objectIn } from "./roster.ts";

/** How an instance is to be asked. */
export interface ServiceCheck {
  /** `http://…` and `https://…` are well when they answer 200 to 299, `tcp://host:port` when it takes a connection. */
  readonly url: string;
  /** Between two questions, 1 s to 1 h; default 10 s. */
  readonly interval?: Duration | undefined;
  /** For an answer, at most the interval; default 2 s. */
  readonly timeout?: Duration | undefined;
  /** Failures in a row until it is critical, 1 to 100; default 3. */
  readonly failAfter?: number | undefined;
}

/** What came of it. `refused`: the server asks nobody there. */
export interface Verdict {
  readonly status: "passing" | "critical" | "refused";
  /** Why. */
  readonly output: string;
}

/** Port: whoever asks. */
export interface Prober {
  /** Whether it may ask there at all: clients choose the address, and the server may reach what they cannot. */
  allows(url: URL): boolean;
  /** Asks once. Never throws. @returns null when all is well; otherwise what is not */
  probe(url: URL, timeoutMs: number): Promise<string | null>;
}

export interface Terms {
  readonly url: URL;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failAfter: number;
}

const PROTOCOLS = ["http:", "https:", "tcp:"];
const INTERVAL_MS_MIN = 1_000;
const INTERVAL_MS_MAX = 3_600_000;
const TIMEOUT_MS = 2_000;

/** @throws QuorateError badField */
export function termsOf({ url: text, interval = "10s", timeout, failAfter = 3 }: ServiceCheck): Terms {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !PROTOCOLS.includes(url.protocol) || url.hostname === "")
    throw errBadField("check.url", "check.url must be http://…, https://… or tcp://HOST:PORT");
  if (url.protocol === "tcp:" && url.port === "") throw errBadField("check.url", "check.url must have a port: tcp://HOST:PORT");
  if (url.username !== "" || url.password !== "") throw errBadField("check.url", "check.url must have no name and no password");
  const intervalMs = milliseconds(interval, "check.interval");
  if (intervalMs < INTERVAL_MS_MIN || intervalMs > INTERVAL_MS_MAX) throw errBadField("check.interval", "check.interval must be 1s to 1h");
  const timeoutMs = timeout === undefined ? Math.min(TIMEOUT_MS, intervalMs) : milliseconds(timeout, "check.timeout");
  if (timeoutMs < 1 || timeoutMs > intervalMs) throw errBadField("check.timeout", "check.timeout must be 1ms to the interval");
  if (!(Number.isInteger(failAfter) && failAfter >= 1 && failAfter <= 100))
    throw errBadField("check.failAfter", "check.failAfter must be a whole number from 1 to 100");
  return { url, intervalMs, timeoutMs, failAfter };
}

/** The verdict stays when the owner says something else, as long as the same is to be asked. */
export function keepVerdict(value: Value, there: Value): Value {
  const { checked: _, ...said } = value;
  const isSame = said["check"] !== undefined && JSON.stringify(said["check"]) === JSON.stringify(there["check"]);
  return isSame && there["checked"] !== undefined ? { ...said, checked: there["checked"] } : said;
}

/** How an instance is, by what it says and by what was found; what it says of itself may only make it worse. */
export function statusWith<S extends string>(said: S, checked: unknown): S | "critical" {
  const isCritical = typeof checked === "object" && checked !== null && (checked as Partial<Verdict>).status === "critical";
  return isCritical && said !== "draining" ? "critical" : said;
}

/** One instance that is to be asked. */
interface Watched {
  readonly terms: Terms;
  /** As it stands there, to tell when it is another. */
  readonly text: string;
  verdict: Verdict["status"] | undefined;
  failures: number;
  nextAtMs: number;
  isAsking: boolean;
}

/** Questions under way at the same time; others wait for their turn. */
const ASKING_MAX = 64;

/** All checks that there are, made by whoever holds this. */
export class ServiceChecks {
  readonly #context: RecipeContext;
  readonly #prober: Prober | undefined;
  readonly #watched = new Map<Bytes, Watched>();
  #asking = 0;

  /** @param prober left out: nobody is asked, and every check is refused */
  constructor(context: RecipeContext, prober: Prober | undefined) {
    this.#context = context;
    this.#prober = prober;
  }

  /** Forgets everything: another one makes the checks now. */
  clear(): void {
    this.#watched.clear();
  }

  /** To be called with each instance that is new or changed. */
  see({ key, value }: Pick<KeyValue, "key" | "value">): void {
    const said = objectIn(value);
    const check = said?.["check"];
    if (check === undefined) return void this.#watched.delete(key);
    const text = JSON.stringify(check);
    const before = this.#watched.get(key);
    const verdict = (said?.["checked"] as Partial<Verdict> | undefined)?.status;
    if (before?.text === text) {
      before.verdict = verdict;
      return;
    }
    try {
      const terms = termsOf(check as ServiceCheck);
      // Spread over the interval, so that what was registered together is not asked together.
      const spread = (this.#context.host.randomBytes(1)[0]! / 256) * Math.min(terms.intervalMs, 10_000);
      const nextAtMs = this.#context.host.monotonicMs() + spread;
      this.#watched.set(key, { terms, text, verdict, failures: 0, nextAtMs, isAsking: false });
    } catch {
      this.#watched.delete(key); // another program's
    }
  }

  /** Asks whoever is due. To be called several times a second. @param onError told of what goes wrong in the store */
  tick(onError: (error: unknown) => void): void {
    const now = this.#context.host.monotonicMs();
    for (const [key, one] of this.#watched) {
      if (one.isAsking || one.nextAtMs > now) continue;
      if (this.#asking >= ASKING_MAX) return;
      one.isAsking = true;
      one.nextAtMs = now + one.terms.intervalMs;
      this.#asking++;
      this.#ask(key, one)
        .catch(onError)
        .finally(() => {
          one.isAsking = false;
          this.#asking--;
        });
    }
  }

  async #ask(key: Bytes, one: Watched): Promise<void> {
    const { url, timeoutMs, failAfter } = one.terms;
    if (this.#prober?.allows(url) !== true) {
      return this.#tell(key, one, { status: "refused", output: `this server asks nobody at ${url.host}: --service-check-hosts` });
    }
    const fault = await this.#prober.probe(url, timeoutMs);
    one.failures = fault === null ? 0 : one.failures + 1;
    if (fault === null) return this.#tell(key, one, { status: "passing", output: "" });
    if (one.failures >= failAfter) await this.#tell(key, one, { status: "critical", output: fault });
  }

  async #tell(key: Bytes, one: Watched, verdict: Verdict): Promise<void> {
    if (one.verdict === verdict.status || this.#watched.get(key) !== one) return;
    const { store } = this.#context;
    const [kv] = (await store.range(readOf(oneKey(key)))).kvs;
    const said = kv && objectIn(kv.value);
    if (kv === undefined || said === undefined) return void this.#watched.delete(key); // gone
    if (JSON.stringify(said["check"]) !== one.text) return this.see(kv);
    const value = utf8Encode(JSON.stringify({ ...said, checked: verdict }));
    // Whoever writes at the same time is asked about anew.
    const same = [modifiedAt(key, kv.modRevision), isAt("lease", oneKey(key), kv.lease as Bytes)];
    const { succeeded } = await store.txn(txnOf(same, [putOp(key, value, kv.lease)], []));
    if (succeeded) one.verdict = verdict.status;
  }
}
