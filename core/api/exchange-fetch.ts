/**
 * Carries the exchanges of the routes over the Fetch API: `Request` in, `Response` out. Used as it is by runtimes that speak Fetch,
 * and by the Node runtime for everything that is not on its direct path.
 *
 * A body is read up to a limit and then refused. A streaming reply is pulled by its reader: when the reader is slow, `write` says so.
 */
import { type Bytes, EMPTY, fromUint8Array, toUint8Array } from "../bytes/bytes.ts";
import type { Access } from "./access.ts";
import { type ApiReply, type ApiRequest, type ConnectionFacts, REQUEST_ID, type ReplySink, type RequestSource } from "./exchange.ts";
import { bodyTooLargeReply, internalErrorReply } from "./pages.ts";
import { type TableRoute, countReply } from "./route-table.ts";

export interface FetchBinding {
  readonly access: Access;
  /** The longest body taken, in bytes. */
  readonly bodyBytesMax: number;
  /** Told what a handler threw; the client gets a reply with status 500. */
  readonly onError: (error: unknown, request: Pick<ApiRequest, "method" | "path" | "source">) => void;
  /** Left out: it is not measured how long replies take. */
  readonly monotonicMs?: (() => number) | undefined;
}

/** Chunks a slow reader may leave waiting before `write` says so. */
const CHUNKS_WAITING = 16;

/** Path and query of a URL as they were sent, still encoded. */
export function pathAndQuery(url: string): { path: string; query: string } {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return { path: "/", query: "" };
  const hash = url.indexOf("#", start);
  const whole = hash < 0 ? url.slice(start) : url.slice(start, hash);
  const mark = whole.indexOf("?");
  return mark < 0 ? { path: whole, query: "" } : { path: whole.slice(0, mark), query: whole.slice(mark + 1) };
}

/** Answers one request by its route. Never rejects. @param connection what the host knows of it, if it does */
export async function answerFetch(
  route: TableRoute,
  request: Request,
  binding: FetchBinding,
  connection: ConnectionFacts | undefined,
): Promise<Response> {
  const { path, query } = pathAndQuery(request.url);
  const { method, headers } = request;
  const header = (name: string): string | undefined => headers.get(name) ?? undefined;
  const beganMs = binding.monotonicMs?.();
  let reply: ApiReply;
  try {
    const onHangUp = (listener: () => void): void => request.signal.addEventListener("abort", listener, { once: true });
    reply = await answer(
      route,
      request,
      {
        method,
        path,
        query,
        header,
        certificateName: connection?.certificateName,
        source: sourceOf(request, path, connection),
        body: EMPTY,
        onHangUp,
      },
      binding,
    );
  } catch (error) {
    binding.onError(error, { method, path, source: sourceOf(request, path, connection) });
    reply = internalErrorReply(path);
  }
  countReply(route, { method, query }, reply, binding.monotonicMs && (binding.monotonicMs() - beganMs!) / 1_000);
  return toResponse(reply, request, binding);
}

function sourceOf({ method, headers }: Request, path: string, connection: ConnectionFacts | undefined): RequestSource {
  return { from: connection?.from, request: `${method} ${path}`, requestId: headers.get(REQUEST_ID) ?? undefined };
}

/** Nobody is there to read it. */
const BROKEN_OFF: ApiReply = { status: 400, headers: {}, body: EMPTY };

async function answer(route: TableRoute, sent: Request, request: ApiRequest, binding: FetchBinding): Promise<ApiReply> {
  if (route.stream) return await route.handle({ ...request, chunks: chunksOf(sent) });
  let body: Bytes | undefined;
  try {
    body = await readBody(sent, binding.bodyBytesMax);
  } catch {
    return BROKEN_OFF; // by the client, whose doing it is; nothing here has failed
  }
  return body === undefined ? bodyTooLargeReply(request.path) : await route.handle({ ...request, body });
}

/** The body as it arrives. Ends without an error when the client broke off: the sink of the reply tells that. */
async function* chunksOf(request: Request): AsyncIterable<Uint8Array> {
  if (request.body === null) return;
  try {
    yield* readChunks(request.body);
  } catch {
    return; // see BROKEN_OFF
  }
}

async function* readChunks(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}

/** @returns undefined when the body is longer than allowed @throws whatever the host throws when the client breaks off */
export async function readBody(request: Request, bytesMax: number): Promise<Bytes | undefined> {
  if (request.body === null) return EMPTY;
  const length = request.headers.get("content-length");
  if (length !== null) {
    // The host holds the body to what the header says: then it is quicker read as a whole.
    return Number(length) > bytesMax ? undefined : fromUint8Array(new Uint8Array(await request.arrayBuffer()));
  }
  let body = "";
  for await (const chunk of readChunks(request.body)) {
    if (body.length + chunk.length > bytesMax) return undefined;
    body += fromUint8Array(chunk);
  }
  return body as Bytes;
}

/** The reply as a `Response`, with CORS headers as the policy wants them. */
export function toResponse(reply: ApiReply, request: Request, binding: FetchBinding): Response {
  const { status, body } = reply;
  const headers = binding.access.headersFor(reply, request.headers.get("origin") ?? undefined, pathAndQuery(request.url).path);
  const requestId = request.headers.get(REQUEST_ID);
  if (requestId !== null) headers[REQUEST_ID] = requestId;
  if (typeof body === "string") {
    // An empty body would be given a type by the host.
    const bare = request.method === "HEAD" || status === 204 || status === 304 || body === EMPTY;
    return new Response(bare ? null : toUint8Array(body), { status, headers });
  }
  return new Response(streamOf(body, request.signal), { status, headers });
}

/** @param hungUp fires where the host does not cancel the stream of a client that is gone: workerd */
function streamOf(write: (sink: ReplySink) => void, hungUp: AbortSignal): ReadableStream<Uint8Array> {
  let resume: (() => void) | undefined;
  let closed: (() => void) | undefined;
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    closed?.();
  };
  hungUp.addEventListener("abort", close, { once: true });
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        write({
          write(chunk) {
            if (!open) return false;
            controller.enqueue(toUint8Array(chunk));
            return (controller.desiredSize ?? 0) > 0;
          },
          onDrain: (then) => void (resume = then),
          onClose: (then) => void (closed = then),
          end() {
            if (!open) return;
            controller.close();
            close();
          },
        });
      },
      pull() {
        const then = resume;
        resume = undefined;
        then?.();
      },
      cancel: close,
    },
    { highWaterMark: CHUNKS_WAITING },
  );
}
