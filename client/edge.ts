/**
 * The entry `quorate/edge`: a read replica without state, for functions near the users. It answers reads from what it has seen, when that is
 * proved to be new enough, and passes everything else on to the store.
 *
 * What a reply of the store shows is true as of its `Quorate-Revision`. So a reply of revision R answers every read that asks for
 * `Quorate-Min-Revision` R or below, however old it is; and a `?serializable` read for a moment. Any other read is linearizable, and is asked of
 * the store: with the ETag, so that what has not changed is not sent again, and once for all who ask at the same time.
 *
 * Long polls that wait for the same thing are one at the store.
 */
import { type Duration, milliseconds } from "../core/recipes/durations.ts";

export interface EdgeOptions {
  /** Of the store. */
  readonly url: string;
  /** Default: the host's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** How old a reply to a `?serializable` read may be. Default 2 s. */
  readonly maxAge?: Duration;
  /** Bytes of bodies that are kept. Default 8 MiB; one of more than an eighth of it is not. */
  readonly bytesMax?: number;
  readonly now?: () => number;
}

/** Of an edge function's context. */
export interface EdgeContext {
  waitUntil(work: Promise<unknown>): void;
}

export type EdgeHandler = (request: Request, context?: EdgeContext) => Promise<Response>;

interface Kept {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array<ArrayBuffer>;
  readonly etag: string | null;
  /** As of which it is true; a reply that nothing has changed raises it. */
  readonly revision: number;
  readonly atMs: number;
}

/** A reply that is the same for several: kept, or passed on as it came. */
type Answer = { readonly kept: Kept } | { readonly status: number; readonly headers: Headers; readonly body: Uint8Array<ArrayBuffer> };

/** Asked of the store at a time, so that a function that ends takes no others along for long. */
const POLL_MS = 20_000;
const WAIT_MS_MAX = 55_000;
/** Of the connection between two, which are made anew. */
const HOP_BY_HOP = ["connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "host", "upgrade"];
const CACHE_STATUS = "cache-status";

export function edgeReplica(options: EdgeOptions): EdgeHandler {
  const replica = new EdgeReplica(options);
  return (request, context) => replica.answer(request, context);
}

class EdgeReplica {
  readonly #url: string;
  readonly #fetch: NonNullable<EdgeOptions["fetch"]>;
  readonly #maxAgeMs: number;
  readonly #bytesMax: number;
  readonly #now: () => number;
  /** The one used last is last. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** Reads that are under way, and those that begin when they are done: a read must not begin before it is asked for. */
  readonly #reads = new Map<string, { readonly now: Promise<Answer>; next: Promise<Answer> | null }>();
  readonly #polls = new Map<string, Promise<Answer>>();

  constructor({ url, fetch: ask = (at, init) => fetch(at, init), maxAge = "2s", bytesMax = 8 * 1024 * 1024, now = Date.now }: EdgeOptions) {
    this.#url = url.replace(/\/$/, "");
    this.#fetch = ask;
    this.#maxAgeMs = milliseconds(maxAge, "maxAge");
    this.#bytesMax = bytesMax;
    this.#now = now;
  }

  async answer(request: Request, context?: EdgeContext): Promise<Response> {
    const url = new URL(request.url);
    if (!isRead(request, url)) return this.#pass(request, url);
    const wait = url.searchParams.get("wait");
    url.searchParams.delete("wait");
    const isSerializable = url.searchParams.has("serializable");
    url.searchParams.delete("serializable");
    const at = url.pathname + url.search;
    // What one may see, another may not.
    const key = `${request.headers.get("authorization") ?? ""}\n${at}`;
    const known = request.headers.get("if-none-match");
    const headers = forwarded(request.headers);
    if (wait !== null && known !== null) return this.#wait(request, { key, at, headers, known, wait }, context);
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#isNewEnough(kept, request.headers.get("quorate-min-revision"), isSerializable)) {
      this.#touch(key, kept);
      return respond(request, kept, known, "hit");
    }
    const answer = await this.#readOnce(key, () => this.#read(key, at, headers), context);
    return "kept" in answer ? respond(request, answer.kept, known, "fwd=stale") : plain(answer);
  }

  #isNewEnough(kept: Kept, minRevision: string | null, isSerializable: boolean): boolean {
    if (minRevision !== null && /^\d+$/.test(minRevision)) return kept.revision >= Number(minRevision);
    return isSerializable && this.#now() - kept.atMs <= this.#maxAgeMs;
  }

  /** Everything that is no read of one thing: as it is, streams and all. */
  #pass(request: Request, { pathname, search }: URL): Promise<Response> {
    const { method, body, signal } = request;
    const init: RequestInit & { duplex?: "half" } = { method, headers: forwarded(request.headers), signal, redirect: "manual" };
    if (body !== null) Object.assign(init, { body, duplex: "half" });
    return this.#fetch(this.#url + pathname + search, init);
  }

  /** Those who ask while a read is under way share the one after it. */
  #readOnce(key: string, read: () => Promise<Answer>, context: EdgeContext | undefined): Promise<Answer> {
    const running = this.#reads.get(key);
    if (running !== undefined && running.next !== null) return running.next;
    const begin = (): Promise<Answer> => {
      const now = read().finally(() => {
        if (this.#reads.get(key)?.now === now && this.#reads.get(key)?.next === null) this.#reads.delete(key);
      });
      this.#reads.set(key, { now, next: null });
      keepAlive(context, now);
      return now;
    };
    if (running === undefined) return begin();
    return (running.next = running.now.then(begin, begin));
  }

  async #read(key: string, at: string, headers: Headers, signal?: AbortSignal): Promise<Answer> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.etag !== null) headers.set("if-none-match", kept.etag);
    else headers.delete("if-none-match");
    headers.delete("quorate-min-revision");
    const reply = await this.#fetch(this.#url + at, { headers, redirect: "manual", ...(signal === undefined ? {} : { signal }) });
    return this.#take(key, reply, kept);
  }

  async #take(key: string, reply: Response, before: Kept | undefined): Promise<Answer> {
    const revision = Number(reply.headers.get("quorate-revision"));
    if (reply.status === 304 && before !== undefined) {
      return { kept: this.#keep(key, { ...before, revision: Math.max(before.revision, revision), atMs: this.#now() }) };
    }
    const body = new Uint8Array(await reply.arrayBuffer());
    const headers = new Headers(reply.headers);
    for (const name of HOP_BY_HOP) headers.delete(name);
    if (reply.status !== 200 || !Number.isSafeInteger(revision) || revision < 1) {
      if (reply.status === 404) this.#forget(key);
      return { status: reply.status, headers, body };
    }
    const etag = reply.headers.get("etag");
    return { kept: this.#keep(key, { status: 200, headers: [...headers], body, etag, revision, atMs: this.#now() }) };
  }

  /** Never an older one in the place of a newer one. */
  #keep(key: string, kept: Kept): Kept {
    const before = this.#kept.get(key);
    if (before !== undefined && before.revision > kept.revision) return before;
    this.#forget(key);
    if (kept.body.length > this.#bytesMax / 8) return kept;
    this.#kept.set(key, kept);
    this.#bytes += kept.body.length;
    for (const [oldest] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#forget(oldest);
    }
    return kept;
  }

  #forget(key: string): void {
    this.#bytes -= this.#kept.get(key)?.body.length ?? 0;
    this.#kept.delete(key);
  }

  #touch(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
  }

  // ---- long polls

  async #wait(
    request: Request,
    { key, at, headers, known, wait }: { key: string; at: string; headers: Headers; known: string; wait: string },
    context: EdgeContext | undefined,
  ): Promise<Response> {
    const endMs = this.#now() + Math.min(milliseconds(wait, "wait"), WAIT_MS_MAX);
    for (;;) {
      const leftMs = endMs - this.#now();
      const answer = await within(leftMs, request.signal, this.#poll(key, at, headers, known, context));
      if (answer === null) return new Response(null, { status: 304, headers: { etag: known, [CACHE_STATUS]: "quorate; detail=waited" } });
      if (!("kept" in answer)) {
        if (answer.status === 304) continue;
        return plain(answer);
      }
      if (answer.kept.etag !== known) return respond(request, answer.kept, null, "fwd=miss; collapsed");
    }
  }

  /** One at the store for all who know the same. */
  #poll(key: string, at: string, headers: Headers, known: string, context: EdgeContext | undefined): Promise<Answer> {
    const name = `${key}\n${known}`;
    const running = this.#polls.get(name);
    if (running !== undefined) return running;
    const poll = (async (): Promise<Answer> => {
      headers.set("if-none-match", known);
      headers.delete("quorate-min-revision");
      const path = `${at}${at.includes("?") ? "&" : "?"}wait=${POLL_MS}`;
      return this.#take(key, await this.#fetch(this.#url + path, { headers, redirect: "manual" }), undefined);
    })().finally(() => this.#polls.delete(name));
    this.#polls.set(name, poll);
    keepAlive(context, poll);
    return poll;
  }
}

/** A read of one thing, whose reply may be kept. Streams, and what another protocol asks, are passed on. */
function isRead({ method, headers }: Request, { pathname, searchParams }: URL): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  if (!pathname.startsWith("/v1/") || pathname === "/v1/watch") return false;
  if (headers.get("accept")?.includes("text/event-stream") === true || headers.has("upgrade")) return false;
  return !searchParams.has("token"); // a link of one's own
}

function forwarded(headers: Headers): Headers {
  const out = new Headers(headers);
  for (const name of HOP_BY_HOP) out.delete(name);
  return out;
}

function respond(request: Request, kept: Kept, known: string | null, status: string): Response {
  const headers = new Headers(kept.headers.map(([name, value]): [string, string] => [name, value]));
  headers.set("quorate-revision", String(kept.revision));
  headers.set(CACHE_STATUS, `quorate; ${status}`);
  const isKnown =
    known !== null && kept.etag !== null && (known === "*" || known.split(",").some((one) => one.trim().replace(/^W\//, "") === kept.etag));
  if (isKnown) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : kept.body, { status: kept.status, headers });
}

function plain({ status, headers, body }: Exclude<Answer, { readonly kept: Kept }>): Response {
  const isEmpty = status === 204 || status === 304;
  return new Response(isEmpty ? null : body, { status, headers });
}

/** A function that ends must not take along what others wait for. */
function keepAlive(context: EdgeContext | undefined, work: Promise<unknown>): void {
  context?.waitUntil(work.catch(() => {})); // whoever asked has the error
}

/** @returns null when the time is over @throws the signal's reason */
function within<T>(ms: number, signal: AbortSignal, work: Promise<T>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(() => resolve(null)), Math.max(0, ms));
    const stop = (): void => done(() => reject(signal.reason as Error));
    const done = (tell: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      tell();
    };
    signal.addEventListener("abort", stop);
    work.then(
      (value) => done(() => resolve(value)),
      (error: Error) => done(() => reject(error)),
    );
  });
}
