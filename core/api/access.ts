/**
 * Who may ask: the `Host` names that are answered, against DNS rebinding, and the origins that a browser may read replies from (CORS).
 * Same rules and headers as etcd's `--host-whitelist` and `--cors`; both default to everybody.
 */
import { EMPTY } from "../bytes/bytes.ts";
import type { ApiReply } from "./exchange.ts";
import { textPage } from "./pages.ts";

const HEADERS_ALLOWED = "accept, content-type, authorization";
const METHODS_ALLOWED = "POST, GET, OPTIONS, PUT, DELETE";
/** The v1 API is made for browsers; what etcd's views say stays as etcd says it. */
const V1 = {
  "access-control-allow-headers": `${HEADERS_ALLOWED}, if-match, if-none-match, idempotency-key, last-event-id, quorate-ack, quorate-guard, quorate-min-revision, quorate-secret, traceparent, x-request-id`,
  "access-control-allow-methods": `${METHODS_ALLOWED}, PATCH`,
  "access-control-expose-headers":
    "etag, location, quorate-create-revision, quorate-lease, quorate-revision, quorate-time, quorate-version, quorate-watch, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, x-request-id",
};

const PREFLIGHT: ApiReply = { status: 200, headers: {}, body: EMPTY };

export interface AccessOptions {
  /** Origins, or `*`. */
  readonly corsOrigins: readonly string[];
  /** Host names without a port, or `*`. */
  readonly hosts: readonly string[];
}

export class Access {
  /** True: every origin may, and the headers are the same for all. */
  readonly openToAll: boolean;
  readonly #origins: ReadonlySet<string>;
  readonly #hosts: ReadonlySet<string> | null;

  constructor(options: AccessOptions) {
    this.#origins = new Set(options.corsOrigins);
    this.openToAll = this.#origins.has("*");
    this.#hosts = options.hosts.includes("*") || options.hosts.length === 0 ? null : new Set(options.hosts);
  }

  /** True when every host is answered, and none has to be looked at. */
  get anyHost(): boolean {
    return this.#hosts === null;
  }

  /**
   * Not asked for connections over TLS, as in etcd: whoever found the right certificate there was not led astray by DNS.
   *
   * @param host the `Host` header as sent
   * @returns the refusal, or undefined when the host is fine
   */
  refuseHost(host: string | undefined): ApiReply | undefined {
    if (this.#hosts === null) return undefined;
    const name = hostName(host ?? "");
    if (this.#hosts.has(name)) return undefined;
    return textPage(
      421,
      "The request arrived, but not for a host name that this server answers to.\n\n" +
        "To be answered, use TLS, or add the name to the list of the server's names:\n" +
        `  --host-whitelist ${JSON.stringify(name).replace(/[^\x20-\x7e]/g, "?")}\n\n` +
        'This prevents "DNS rebinding" by web pages (CVE-2018-5702).\n',
    );
  }

  /** CORS headers for an origin and a path; undefined when it may not read the reply. */
  corsFor(origin: string | undefined, path: string, isPreflight = false): Readonly<Record<string, string>> | undefined {
    const allowed = this.openToAll ? "*" : origin !== undefined && this.#origins.has(origin) ? origin : undefined;
    if (allowed === undefined) return undefined;
    if (!isPreflight && path.startsWith("/v1/")) {
      return { "access-control-allow-origin": allowed, "access-control-expose-headers": V1["access-control-expose-headers"] };
    }
    return {
      "access-control-allow-headers": HEADERS_ALLOWED,
      "access-control-allow-methods": METHODS_ALLOWED,
      "access-control-allow-origin": allowed,
      ...(path.startsWith("/v1/") ? V1 : undefined),
    };
  }

  /** The headers of a reply with those of CORS as this policy wants them, whatever the handler set. */
  headersFor(reply: ApiReply, origin: string | undefined, path: string): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(reply.headers)) {
      if (!name.startsWith("access-control-allow-")) headers[name] = value;
    }
    // Caches on the way keep replies to v1; who may read one depends on the origin, unless everybody may.
    if (!this.openToAll && path.startsWith("/v1/"))
      headers["vary"] = headers["vary"] === undefined ? "origin" : `${headers["vary"]}, origin`;
    return Object.assign(headers, this.corsFor(origin, path, reply === PREFLIGHT));
  }

  /** What OPTIONS is answered with, whatever the path. */
  preflight(): ApiReply {
    return PREFLIGHT;
  }
}

/** The name in a `Host` header, without its port; IPv6 without its brackets. */
function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host);
  if (bracketed) return bracketed[1]!;
  const colon = host.indexOf(":");
  return colon < 0 ? host : host.slice(0, colon);
}
