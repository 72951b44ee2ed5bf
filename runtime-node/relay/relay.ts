/**
 * The entry `quorate/relay`: the APIs of a cluster, served where no member can live: on hosts that have `fetch` and neither files nor listening
 * sockets of their own (Deno Deploy and its like), and in front of members that the public cannot reach. It keeps no state, so any number of
 * them may run.
 *
 *     Deno.serve(relay({ endpoints: ["http://10.0.0.1:2379", "http://10.0.0.2:2379"] }));
 *
 * Asked of another member is what only reads, and what certainly has not reached the first. Of a write whose member was lost nobody knows
 * whether it was done, and the reply says so, in the words of the API it came by.
 */
import { platform } from "../../client/host.ts";
import { type Endpoint, Endpoints } from "../../client/endpoints.ts";
import { neverSent } from "../../client/http-store.ts";
import { Access } from "../../core/api/access.ts";
import type { ApiReply } from "../../core/api/exchange.ts";
import { type FetchBinding, pathAndQuery, readBody, toResponse } from "../../core/api/exchange-fetch.ts";
import { bodyTooLargeReply, lostReply, noUpgradeReply, unknownPathPage, unreachableReply } from "../../core/api/pages.ts";
import { toUint8Array } from "../../core/bytes/bytes.ts";

export interface RelayOptions {
  /** Client URLs of the members, of one or more. */
  readonly endpoints: readonly string[];
  /** The longest body that is passed on, in bytes. Default 2 MiB, which is what a member takes. */
  readonly bodyBytesMax?: number;
  /** How long a member may take to begin its answer to what only reads and does not wait, in milliseconds. Default 5 s. */
  readonly attemptMs?: number;
  /** Default: the host's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** What is passed on. Metrics are a member's own. */
const PATHS = /^\/(v1|v2|v3|v3beta)\/|^\/(version|health|livez|readyz)$/;

/** They belong to one connection (RFC 9110, 7.6.1), or are made anew for the next one. */
const OF_ONE_CONNECTION = [
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding"],
  ...["upgrade", "host", "content-length", "expect", "accept-encoding"],
];

const BODY_BYTES_MAX = 2 * 1024 * 1024;
const ATTEMPT_MS = 5_000;

/** A request that is being passed on. */
interface Relayed {
  readonly request: Request;
  readonly pathAndQuery: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** Whether asking twice is the same as asking once. */
  readonly isRead: boolean;
  /** Until the head of the answer; undefined: as long as it takes. */
  readonly attemptMs: number | undefined;
}

/**
 * @returns a handler for `Deno.serve` and whatever else takes one of Fetch's. It never rejects.
 * @throws QuorateError badField for an endpoint that is none
 */
export function relay(options: RelayOptions): (request: Request) => Promise<Response> {
  const { bodyBytesMax = BODY_BYTES_MAX, attemptMs = ATTEMPT_MS } = options;
  const app = new Relayer({ ...options, bodyBytesMax, attemptMs, fetch: options.fetch ?? ((url, init) => fetch(url, init)) });
  return (request) => app.answer(request);
}

class Relayer {
  readonly #options: Required<RelayOptions>;
  readonly #endpoints: Endpoints;
  /** For replies of its own: they say nothing that a page may not read. Those of members come with the members' headers. */
  readonly #binding: FetchBinding;

  constructor(options: Required<RelayOptions>) {
    this.#options = options;
    this.#endpoints = new Endpoints(
      options.endpoints,
      () => platform.monotonicMs(),
      () => platform.randomBytes(1)[0]!,
    );
    const access = new Access({ corsOrigins: ["*"], hosts: ["*"] });
    this.#binding = { access, bodyBytesMax: options.bodyBytesMax, onError: () => {} }; // no handler of routes is called here
  }

  async answer(request: Request): Promise<Response> {
    const own = (reply: ApiReply): Response => toResponse(reply, request, this.#binding);
    const { method, headers } = request;
    const { path, query } = pathAndQuery(request.url);
    if (headers.get("content-type")?.startsWith("application/grpc") === true) return noGrpc();
    if (!PATHS.test(path)) return own(unknownPathPage(path, false));
    if (headers.has("upgrade")) return own(noUpgradeReply(path));
    let body: Relayed["body"] = null;
    try {
      const read = await readBody(request, this.#options.bodyBytesMax);
      if (read === undefined) return own(bodyTooLargeReply(path));
      if (request.body !== null) body = toUint8Array(read);
    } catch {
      return own(lostReply(path)); // the client broke off: nobody reads this
    }
    const isRead = ["GET", "HEAD", "OPTIONS"].includes(method) || /^\/v3(beta)?\/kv\/range$/.test(path);
    const waits = new URLSearchParams(query).has("wait") || headers.get("accept")?.includes("text/event-stream") === true;
    const reply = await this.#passOn({
      request,
      pathAndQuery: query === "" ? path : `${path}?${query}`,
      headers: passedOn(headers),
      body,
      isRead,
      attemptMs: isRead && !waits ? this.#options.attemptMs : undefined,
    });
    if (reply === "unreachable") return own(unreachableReply(path));
    return reply === "lost" ? own(lostReply(path)) : reply;
  }

  async #passOn(relayed: Relayed): Promise<Response | "unreachable" | "lost"> {
    const tried = new Set<Endpoint>();
    while (tried.size < this.#endpoints.count) {
      const endpoint = this.#endpoints.choose(tried);
      tried.add(endpoint);
      try {
        const answer = await this.#ask(endpoint, relayed);
        // No leader, or it is ending: what another member says counts as much.
        if (answer.status !== 503 || !relayed.isRead || tried.size === this.#endpoints.count) return replyOf(answer);
        this.#endpoints.failed(endpoint);
        await answer.body?.cancel();
      } catch (error) {
        if (relayed.request.signal.aborted) return "lost"; // by the client: the member has done nothing wrong
        this.#endpoints.failed(endpoint);
        if (!relayed.isRead && !neverSent(error)) return "lost";
      }
    }
    return "unreachable";
  }

  async #ask(endpoint: Endpoint, { request, pathAndQuery: at, headers, body, attemptMs }: Relayed): Promise<Response> {
    const late = new AbortController();
    const timer = attemptMs === undefined ? undefined : setTimeout(() => late.abort(), attemptMs);
    const sentMs = platform.monotonicMs();
    try {
      const answer = await this.#options.fetch(endpoint.url + at, {
        method: request.method,
        headers,
        body,
        redirect: "manual",
        signal: AbortSignal.any([request.signal, late.signal]),
      });
      // How long somebody was content to wait says nothing about the member.
      if (attemptMs !== undefined) this.#endpoints.answered(endpoint, platform.monotonicMs() - sentMs);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }
}

function passedOn(given: Headers): Headers {
  const headers = withoutConnection(given);
  // The body is passed on as it comes: packed, a stream would be held back, and its length would be another.
  headers.set("accept-encoding", "identity");
  return headers;
}

function replyOf(answer: Response): Response {
  const headers = withoutConnection(answer.headers);
  const length = answer.headers.get("content-length");
  const packed = answer.headers.get("content-encoding") ?? "identity";
  // `fetch` has unpacked what something between packed all the same.
  if (packed !== "identity") headers.delete("content-encoding");
  else if (length !== null) headers.set("content-length", length);
  return new Response(answer.body, { status: answer.status, headers });
}

function withoutConnection(given: Headers): Headers {
  const headers = new Headers(given);
  const named = (given.get("connection") ?? "").split(",").map((name) => name.trim());
  for (const name of [...OF_ONE_CONNECTION, ...named.filter((one) => /^[\w-]+$/.test(one))]) headers.delete(name);
  return headers;
}

/** A gRPC client reads its status from the head of a reply without messages; a reply of Fetch cannot end with trailers. */
function noGrpc(): Response {
  const message = "gRPC is not served here: use the JSON gateway at /v3, /v2 or /v1";
  return new Response(null, {
    status: 200,
    headers: { "content-type": "application/grpc", "grpc-status": "12", "grpc-message": encodeURI(message) },
  });
}
