/**
 * The store over HTTP, by any wire: which endpoint is asked, how long an answer may take, what is asked again, and where.
 *
 * Asked again is what changes nothing or may be done twice, and every write that certainly was not done. A write of which nobody knows
 * whether it was done is the caller's to decide on: it fails with `connectionLost`, `timeout`, `stopped` or `leaderChanged`.
 */
import {
  type QuorateError,
  errBadField,
  errConnectionLost,
  errFutureRevision,
  errLeaseExists,
  errTimeout,
  errUnreachable,
  isQuorateError,
} from "../core/errors.ts";
import type { AsOf, CallOptions, Host, ReadOptions, Store, WatchBatch, WatchRequest } from "../core/recipes/client-port.ts";
import { isPassing } from "../core/recipes/repeat.ts";
import { openScope } from "../core/recipes/scope.ts";
import type { LeaseId, RangeRequest, RangeResult, TxnRequest, TxnResult } from "../core/store/command.ts";
import { Batcher } from "./batcher.ts";
import type { Endpoint, Endpoints } from "./endpoints.ts";
import { isUnknown } from "./outcome.ts";
import type { StoreClock } from "./store-clock.ts";
import { WatchIterator } from "./watch-iterator.ts";
import type { Call, HttpRequest, WatchForm, Wire } from "./wire.ts";

export interface RetryOptions {
  /** How often a call is sent, at most. Default: twice to each endpoint, and three times at least. */
  readonly attempts?: number;
  /** How long one attempt may take, in milliseconds. Default 5 s. */
  readonly attemptMs?: number;
}

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A token, or what fetches one; it is called again when the store does not take the last one any more. Empty: none. */
export type Token = string | (() => string | Promise<string>);

export interface TxnOptions extends CallOptions {
  /**
   * The same transaction with the same one, within an hour, is the same act, and is answered as it was the first time: so one whose outcome
   * is not known is asked for again. Another transaction with it is refused (`keyReused`).
   */
  readonly idempotencyKey?: string | undefined;
}

/** The store as the client has it. */
export interface ClientStore extends Store {
  txn(request: TxnRequest, options?: TxnOptions): Promise<TxnResult & AsOf>;
}

export interface HttpStoreOptions {
  readonly wire: Wire;
  readonly endpoints: Endpoints;
  readonly fetch: Fetch;
  readonly host: Host;
  readonly clock: StoreClock;
  /** What is said over a WebSocket, as lines; undefined where there are none. */
  readonly socketBody?: ((url: string, signal: AbortSignal) => ReadableStream<Uint8Array>) | undefined;
  readonly token?: Token | undefined;
  readonly retry?: RetryOptions | undefined;
}

const ATTEMPT_MS = 5_000;
const PAUSE_MS = 50;
const PAUSE_MS_MAX = 1_000;

export class HttpStore implements ClientStore {
  readonly #options: HttpStoreOptions;
  readonly #attempts: number;
  readonly #attemptMs: number;
  /** The newest revision that a reply told of: no later read is older. */
  #seen = 0;
  #token: string | undefined;
  /** It sleeps behind an open WebSocket, and would have to stay awake for a stream. */
  #prefersSockets = false;
  readonly #batcher: Batcher | undefined;

  constructor(options: HttpStoreOptions) {
    this.#options = options;
    this.#attempts = options.retry?.attempts ?? Math.max(3, 2 * options.endpoints.count);
    this.#attemptMs = options.retry?.attemptMs ?? ATTEMPT_MS;
    const { batch } = options.wire;
    if (batch !== undefined) this.#batcher = new Batcher(batch, (call) => this.#untilAnswered(call, undefined));
  }

  async range(request: RangeRequest, { signal, serializable = false, minRevision = 0 }: ReadOptions = {}): Promise<RangeResult & AsOf> {
    const wanted = serializable ? Math.max(minRevision, this.#seen) : minRevision;
    const ask = (anyMember: boolean) =>
      this.call(this.#options.wire.range(request, { serializable: anyMember, minRevision: wanted }), signal);
    let found = await ask(serializable);
    if (serializable && found.revision < wanted) found = await ask(false);
    if (found.revision < wanted) throw errFutureRevision({ revision: wanted });
    return this.#noted(found);
  }

  async txn(request: TxnRequest, { signal, idempotencyKey }: TxnOptions = {}): Promise<TxnResult & AsOf> {
    if (idempotencyKey !== undefined) checkIdempotencyKey(idempotencyKey);
    return this.#noted(await this.call(this.#options.wire.txn(request, idempotencyKey), signal));
  }

  #noted<T extends AsOf>(result: T): T {
    this.#seen = Math.max(this.#seen, result.revision);
    return result;
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    const { wire, endpoints, host, socketBody } = this.#options;
    const { watchForms = ["stream"] } = wire;
    const forms = (): readonly WatchForm[] =>
      watchForms.filter((form) => form !== "socket" || (this.#prefersSockets && socketBody !== undefined));
    const open = async (startRevision: number, form: WatchForm, signal: AbortSignal) => {
      const call = wire.watch({ ...request, startRevision }, form);
      const endpoint = endpoints.choose();
      const broke = (): void => endpoints.failed(endpoint);
      if (form === "socket") {
        await this.#authorization();
        signal.throwIfAborted();
        const token = this.#token ? `&token=${encodeURIComponent(this.#token)}` : "";
        return { body: socketBody!(endpoint.url + call.path + token, signal), call, broke };
      }
      const { body } = await this.#authorised(async () => {
        const head = await this.#send(endpoint, call, signal);
        if (!head.ok) throw this.#refusal(head.status, await head.text(), endpoint);
        return head;
      });
      return { body, call, broke };
    };
    return { [Symbol.asyncIterator]: () => new WatchIterator(host, request, { forms, open }) };
  }

  async grant(id: LeaseId, ttlSeconds: number, { signal }: CallOptions = {}): Promise<void> {
    const { wire } = this.#options;
    for (;;) {
      try {
        return await this.call(wire.grant(id, ttlSeconds), signal);
      } catch (error) {
        if (!isQuorateError(error) || error.reason !== "leaseExists") throw error;
      }
      try {
        const granted = await this.call(wire.keepAlive(id), signal);
        if (granted === ttlSeconds) return;
        throw errLeaseExists({ id, ttlSeconds: granted });
      } catch (error) {
        // It has ended meanwhile, and can be granted.
        if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
      }
    }
  }

  keepAlive(id: LeaseId, { signal }: CallOptions = {}): Promise<number> {
    return this.call(this.#options.wire.keepAlive(id), signal);
  }

  async revoke(id: LeaseId, { signal }: CallOptions = {}): Promise<void> {
    try {
      await this.call(this.#options.wire.revoke(id), signal);
    } catch (error) {
      if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
    }
  }

  remaining(id: LeaseId, { signal }: CallOptions = {}): Promise<number> {
    return this.call(this.#options.wire.remaining(id), signal);
  }

  /** A call of the wire that is none of `Store`'s, with the same endpoints, repeats and token. @throws QuorateError */
  call<T>(call: Call<T>, signal?: AbortSignal): Promise<T> {
    const alone = () => this.#untilAnswered(call, signal);
    if (this.#batcher === undefined || call.part === undefined) return alone();
    return unlessAborted(() => this.#batcher!.add(call.part!, call.repeatable, alone), signal);
  }

  async #untilAnswered<T>(call: Call<T>, signal: AbortSignal | undefined): Promise<T> {
    const { endpoints, host } = this.#options;
    const tried = new Set<Endpoint>();
    for (let attempt = 1, pause = PAUSE_MS; ; attempt++) {
      signal?.throwIfAborted();
      const endpoint = endpoints.choose(tried);
      try {
        return await this.#authorised(() => this.#attempt(endpoint, call, signal));
      } catch (error) {
        if (signal?.aborted || !isPassing(error) || (isUnknown(error) && !call.repeatable) || attempt >= this.#attempts) throw error;
      }
      tried.add(endpoint);
      if (tried.size < endpoints.count) continue;
      tried.clear();
      await host.sleep(pause * (0.5 + host.randomBytes(1)[0]! / 256), signal);
      pause = Math.min(2 * pause, PAUSE_MS_MAX);
    }
  }

  async #attempt<T>(endpoint: Endpoint, call: Call<T>, signal: AbortSignal | undefined): Promise<T> {
    const { host, endpoints } = this.#options;
    const scope = openScope(host, [signal], this.#attemptMs);
    const sentMs = host.monotonicMs();
    try {
      const response = await this.#send(endpoint, call, scope.signal);
      const body = await response.text();
      if (!response.ok) throw this.#refusal(response.status, body, endpoint);
      const answer = call.decode(body);
      endpoints.answered(endpoint, host.monotonicMs() - sentMs);
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (isQuorateError(error) && !scope.timedOut()) throw error;
      endpoints.failed(endpoint);
      if (scope.timedOut()) throw errTimeout({ url: endpoint.url });
      throw errConnectionLost(endpoint.url, error);
    } finally {
      scope.close();
    }
  }

  /** @throws QuorateError unreachable when it certainly has not arrived; else whatever `fetch` throws */
  async #send(endpoint: Endpoint, { method, path, headers, body }: HttpRequest, signal: AbortSignal): Promise<Response> {
    const { fetch, clock, host } = this.#options;
    const all = { ...(body === undefined ? {} : { "content-type": "application/json" }), ...(await this.#authorization()), ...headers };
    signal.throwIfAborted();
    const sentMs = host.monotonicMs();
    try {
      const response = await fetch(endpoint.url + path, { method, headers: all, ...(body === undefined ? {} : { body }), signal });
      clock.learn(response.headers, sentMs);
      this.#prefersSockets ||= response.headers.get("quorate-watch") === "websocket";
      return response;
    } catch (error) {
      if (signal.aborted || !neverSent(error)) throw error;
      this.#options.endpoints.failed(endpoint);
      throw errUnreachable(endpoint.url, error);
    }
  }

  /** With a new token, if the store does not take the one that there was. */
  async #authorised<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      const refused = isQuorateError(error) && (error.code === "unauthenticated" || error.reason === "authOldRevision");
      if (!refused || typeof this.#options.token !== "function") throw error;
      this.#token = undefined;
      return ask();
    }
  }

  async #authorization(): Promise<Record<string, string>> {
    const { token, wire } = this.#options;
    if (token === undefined) return {};
    this.#token ??= typeof token === "string" ? token : await token();
    return this.#token === "" ? {} : { authorization: wire.authorization(this.#token) };
  }

  /** What a reply that is no success says. Whoever has no leader is left alone for a while. */
  #refusal(status: number, body: string, endpoint: Endpoint): QuorateError {
    const error = this.#options.wire.errorOf(status, body);
    if (error !== undefined && !isPassing(error)) return error;
    this.#options.endpoints.failed(endpoint);
    return error ?? errConnectionLost(endpoint.url, `it answered ${status} ${body.slice(0, 200)}`);
  }
}

/** What a header can carry. @throws QuorateError badField */
function checkIdempotencyKey(key: string): void {
  if (!/^[\x21-\x7e]{1,256}$/.test(key)) throw errBadField("idempotencyKey", "idempotencyKey: must be 1 to 256 characters of ASCII");
}

/** As Node, Deno and Bun tell, where they do; others do not let code know. */
const NO_CONNECTION = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CONNECT_TIMEOUT|ConnectionRefused|Connection refused/;

/** Of what `fetch` threw: there was no connection, so nothing has arrived. False where the host does not tell. */
export function neverSent(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (NO_CONNECTION.test(`${(at as { code?: string }).code} ${at.message}`)) return true;
    if (at instanceof AggregateError && at.errors.length > 0) return at.errors.every(neverSent);
  }
  return false;
}

/** What was asked goes on, because others may wait for the same request; the one who does not wait any longer is told at once. */
async function unlessAborted<T>(ask: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return ask();
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([ask(), aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
