/**
 * The client: `fetch` only, for edge functions, browsers and servers. To connect opens no socket and starts no timer; both come with what
 * is held or watched, and go with it.
 *
 * A client is also the context that recipes run on, so each of them is a function that takes it: `acquireLock(q, "deploy")`.
 */
import type { Host, RecipeContext } from "../core/recipes/client-port.ts";
import { Endpoints } from "./endpoints.ts";
import { type Platform, platform } from "./host.ts";
import { type ClientStore, type Fetch, HttpStore, type RetryOptions, type Token } from "./http-store.ts";
import { Keys } from "./keys.ts";
import { socketBody } from "./socket-body.ts";
import { StoreClock } from "./store-clock.ts";
import { Txn } from "./txn.ts";
import { type Codec, text } from "./values.ts";
import { v1Wire } from "./v1.ts";
import type { Wire } from "./wire.ts";

export interface ConnectOptions {
  /** Of the store. With several members, the addresses of all: `endpoints`. */
  readonly url?: string | undefined;
  readonly endpoints?: readonly string[] | undefined;
  readonly token?: Token | undefined;
  /** Default: the host's. */
  readonly fetch?: Fetch | undefined;
  readonly retry?: RetryOptions | undefined;
  /** Of an edge function's context: keeps it alive for renewals and releases, which go on behind the answer. */
  readonly waitUntil?: ((work: Promise<unknown>) => void) | undefined;
  /** How the store is spoken to. Default: the v1 API; `quorate/client/etcd` has etcd's. */
  readonly wire?: Wire | undefined;
  /** Time and chance, for tests. */
  readonly platform?: Platform | undefined;
}

export class Client implements RecipeContext {
  readonly store: ClientStore;
  readonly host: Host;
  /** All keys, with values of text. */
  readonly kv: Keys<string>;

  constructor(store: ClientStore, host: Host) {
    this.store = store;
    this.host = host;
    this.kv = this.keys("", text);
  }

  /** Keys that begin with the prefix, with values of one type; without a codec, of text. */
  keys(prefix: string): Keys<string>;
  keys<T, In>(prefix: string, codec: Codec<T, In>): Keys<T, In>;
  keys(prefix: string, codec: Codec<unknown> = text as Codec<unknown>): Keys<unknown> {
    return new Keys(this, prefix, codec);
  }

  txn(): Txn {
    return new Txn(this.store);
  }
}

/** @throws QuorateError badField for an address that is none */
export function connect(options: ConnectOptions | string): Client {
  const { store, host } = openStore(typeof options === "string" ? { url: options } : options);
  return new Client(store, host);
}

/** What a client stands on, for programs that speak a wire by themselves too. @throws QuorateError badField */
export function openStore(given: ConnectOptions): { readonly store: HttpStore; readonly host: Host } {
  const { url, endpoints = url === undefined ? [] : [url], waitUntil, platform: place = platform } = given;
  const clock = new StoreClock(() => place.monotonicMs(), place.wallMs());
  const host: Host = {
    monotonicMs: () => place.monotonicMs(),
    clockMs: () => clock.nowMs(),
    sleep: (ms, signal) => place.sleep(ms, signal),
    randomBytes: (count) => place.randomBytes(count),
    background: (work) => waitUntil?.(work),
    carriesOn: waitUntil !== undefined,
  };
  const store = new HttpStore({
    wire: given.wire ?? v1Wire(),
    endpoints: new Endpoints(
      endpoints,
      () => place.monotonicMs(),
      () => place.randomBytes(1)[0]!,
    ),
    // Bound to no object: hosts refuse to be called as a method of another.
    fetch: given.fetch ?? ((input, init) => fetch(input, init)),
    // Whoever gives a `fetch` wants all that is asked to go through it.
    socketBody: given.fetch === undefined && typeof WebSocket === "function" ? socketBody : undefined,
    host,
    clock,
    token: given.token,
    retry: given.retry,
  });
  return { store, host };
}
