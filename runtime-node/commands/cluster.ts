/**
 * The cluster, as the client commands see it: etcd's v3 messages over the JSON gateway, at whichever endpoint or at a named one, and the
 * client with its recipes. Both are the stores of `client/`: endpoints, repeats and tokens are handled there, and nowhere else.
 *
 * Messages are as the gateway has them: bytes in base64, 64-bit numbers as texts, what is zero or empty left out.
 */
import type { AgentOptions } from "node:https";
import { Client, openStore } from "../../client/connect.ts";
import { etcdWire } from "../../client/etcd.ts";
import type { HttpStore, Token } from "../../client/http-store.ts";
import { v1Wire } from "../../client/v1.ts";
import type { Wire } from "../../client/wire.ts";
import { isQuorateError } from "../../core/errors.ts";
import { type ClientSettings, urlOf } from "./client-settings.ts";
import { type NodeFetch, nodeFetch } from "./node-fetch.ts";

export interface Header {
  readonly cluster_id?: string;
  readonly member_id?: string;
  readonly revision?: string;
  readonly raft_term?: string;
}

export interface CallOptions {
  /** Twice is the same as once: asked again when its outcome is not known. */
  readonly repeatable?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What a member says that does not ask who it is; then nobody has to tell. */
const NOT_ASKED = "etcdserver: authentication is not enabled";

export class Cluster {
  readonly settings: ClientSettings;
  readonly #net: NodeFetch;
  readonly #stores = new Map<string, HttpStore>();

  /** @throws ConfigError for files of TLS that cannot be used */
  static async open(settings: ClientSettings): Promise<Cluster> {
    return new Cluster(settings, nodeFetch(await tlsOf(settings)));
  }

  private constructor(settings: ClientSettings, net: NodeFetch) {
    this.settings = settings;
    this.#net = net;
  }

  /** etcd's wire, at any endpoint: for watches and recipes whose keys are etcd's own. */
  get store(): HttpStore {
    return this.#store(this.settings.endpoints.join(","), this.settings.endpoints);
  }

  /** For the recipes. */
  client(): Client {
    const { store, host } = openStore(this.#options(this.settings.endpoints, v1Wire()));
    return new Client(store, host);
  }

  /** A client whose keys are reached by etcd's own API. */
  etcdClient(): Client {
    const { store, host } = openStore(this.#options(this.settings.endpoints, etcdWire()));
    return new Client(store, host);
  }

  /** Whether recipes and content types are spoken of there: an etcd has no v1. */
  async servesV1(): Promise<boolean> {
    const urls = this.#options(this.settings.endpoints, v1Wire()).endpoints;
    const asked = urls.map((url) => this.#net.fetch(`${url}/v1/openapi.json`, { method: "HEAD" }));
    return Promise.any(asked).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** One of etcd's methods. @param path below /v3/ @throws QuorateError */
  call<T>(path: string, message: object, options: CallOptions = {}): Promise<T> {
    return this.#call(this.store, path, message, options);
  }

  /** The same, of one member and of no other. @param endpoint as it was given */
  callAt<T>(endpoint: string, path: string, message: object, options: CallOptions = {}): Promise<T> {
    return this.#call(this.#store(endpoint, [endpoint]), path, message, options);
  }

  /** One request of the v1 API that no recipe has. @param path with its query @throws QuorateError */
  v1<T>(method: string, path: string, message?: object): Promise<T> {
    const { store } = openStore(this.#options(this.settings.endpoints, v1Wire()));
    const body = message === undefined ? {} : { body: JSON.stringify(message) };
    return store.call({ method, path, ...body, repeatable: method === "GET", decode: (text) => JSON.parse(text) as T });
  }

  close(): void {
    this.#net.close();
  }

  #call<T>(store: HttpStore, path: string, message: object, { repeatable = false, signal }: CallOptions): Promise<T> {
    const decode = (body: string): T => JSON.parse(body) as T;
    return store.call({ method: "POST", path: `/v3/${path}`, body: JSON.stringify(message), repeatable, decode }, signal);
  }

  #store(key: string, endpoints: readonly string[]): HttpStore {
    let store = this.#stores.get(key);
    if (store === undefined) this.#stores.set(key, (store = openStore(this.#options(endpoints, etcdWire())).store));
    return store;
  }

  #options(endpoints: readonly string[], wire: Wire) {
    const { cacert, cert, token, login, commandTimeoutMs } = this.settings;
    const secure = cacert !== undefined || cert !== undefined;
    const whose: Token | undefined = login === undefined ? token : () => this.#logIn(endpoints);
    return {
      endpoints: endpoints.map((one) => urlOf(one, secure)),
      wire,
      fetch: this.#net.fetch,
      retry: { attemptMs: commandTimeoutMs },
      ...(whose === undefined ? {} : { token: whose }),
    };
  }

  /** @returns the empty text where nobody is asked who he is */
  async #logIn(endpoints: readonly string[]): Promise<string> {
    const { login, cacert, cert, commandTimeoutMs } = this.settings;
    const secure = cacert !== undefined || cert !== undefined;
    const { store } = openStore({
      endpoints: endpoints.map((one) => urlOf(one, secure)),
      wire: etcdWire(),
      fetch: this.#net.fetch,
      retry: { attemptMs: commandTimeoutMs },
    });
    try {
      return (await this.#call<{ token: string }>(store, "auth/authenticate", login!, { repeatable: true })).token;
    } catch (error) {
      if (isQuorateError(error) && error.message === NOT_ASKED) return "";
      throw error;
    }
  }
}

async function tlsOf({ cacert, cert, key, insecureSkipTlsVerify }: ClientSettings): Promise<AgentOptions> {
  const trust = insecureSkipTlsVerify ? { rejectUnauthorized: false } : {};
  if (cacert === undefined && cert === undefined) return trust;
  const { readTlsFiles } = await import("../tls/tls-files.ts");
  const file = (flag: string, path: string | undefined) => (path === undefined ? undefined : { flag, path });
  const { options } = readTlsFiles({ ca: file("cacert", cacert), cert: file("cert", cert), key: file("key", key) }, {}, Date.now());
  return { ...options, ...trust };
}
