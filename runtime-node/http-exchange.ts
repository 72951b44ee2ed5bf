/**
 * One request and its reply on the direct path: the routes' own form of an exchange, on `node:http` without Fetch objects.
 *
 * Cheap in the usual case: a body that came in one piece is decoded once and handed over before the stream's end is announced; a
 * reply is one write of head and body. Nothing here outlives the exchange but what the handler of a stream keeps.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Bytes, EMPTY } from "../core/bytes/bytes.ts";
import { type ApiReply, type ApiRequest, type ReplySink, type RequestSource, REQUEST_ID, addressOf } from "../core/api/exchange.ts";
import { bodyTooLargeReply, internalErrorReply, slowBodyReply } from "../core/api/pages.ts";
import { type TableRoute, countReply } from "../core/api/route-table.ts";
import type { DirectPath } from "./http-listener.ts";

export class HttpExchange implements ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly chunks?: AsyncIterable<Uint8Array>;
  body: Bytes = EMPTY;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #route: TableRoute;
  readonly #direct: DirectPath;
  /** As announced; NaN when it was not. */
  #length = 0;
  #dispatched = false;
  /** 0: it was not. */
  #dispatchedMs = 0;
  /** By the listener's coarse clock. */
  waitingSince = 0;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    route: TableRoute,
    direct: DirectPath,
    at: { path: string; query: string },
  ) {
    this.method = request.method!;
    this.path = at.path;
    this.query = at.query;
    this.#request = request;
    this.#response = response;
    this.#route = route;
    this.#direct = direct;
    if (route.stream) this.chunks = chunksOf(request);
  }

  header(name: string): string | undefined {
    return headerOf(this.#request, name);
  }

  get certificateName(): string | undefined {
    return this.#direct.certificateNameOf(this.#request);
  }

  get source(): RequestSource {
    const request = `${this.method} ${this.path}`;
    return { from: addressOf(this.#request.socket), request, requestId: this.header(REQUEST_ID) };
  }

  /** Reads the body, unless the route streams it, and calls the handler. Never throws. */
  run(): void {
    if (this.#route.stream) return this.#dispatch();
    const announced = this.header("content-length");
    if (announced === undefined && this.header("transfer-encoding") === undefined) return this.#dispatch();
    this.#length = announced === undefined ? Number.NaN : Number(announced);
    if (this.#length === 0) return this.#dispatch();
    if (this.#length > this.#direct.bodyBytesMax) return this.#refuseBody(bodyTooLargeReply(this.path));
    const request = this.#request;
    this.#direct.waitForBody(this);
    request.on("data", (chunk: Buffer) => this.#chunk(chunk));
    if (announced === undefined) request.on("end", () => this.#dispatch());
  }

  /** A client that half-closes its side is taken for gone, as for streams. */
  onHangUp(listener: () => void): void {
    const { socket } = this.#request;
    const gone = () => {
      over();
      listener();
    };
    const over = () => {
      socket.off("close", gone);
      socket.off("end", gone);
    };
    // The request itself is done with as soon as its body has been read.
    if (socket.destroyed || socket.readableEnded) return queueMicrotask(listener);
    socket.once("close", gone);
    socket.once("end", gone);
    this.#response.once("finish", over);
  }

  /** The client hung up. */
  isGone(): boolean {
    return this.#request.destroyed;
  }

  /** Called by the listener when the body is not whole in time. */
  bodyOverdue(): void {
    if (!this.#dispatched) this.#refuseBody(slowBodyReply(this.path));
  }

  #chunk(chunk: Buffer): void {
    if (this.#dispatched) return; // what follows a refused body
    const text = chunk.toString("latin1");
    this.body = (this.body === EMPTY ? text : this.body + text) as Bytes;
    if (this.body.length === this.#length) return this.#dispatch();
    if (this.body.length > this.#direct.bodyBytesMax) return this.#refuseBody(bodyTooLargeReply(this.path));
  }

  /** The rest of the body is not wanted: the connection cannot be used again. */
  #refuseBody(reply: ApiReply): void {
    this.#dispatched = true;
    this.#direct.bodyDone(this);
    this.body = EMPTY;
    this.#send({ ...reply, headers: { ...reply.headers, connection: "close" } });
  }

  #dispatch(): void {
    if (this.#dispatched) return;
    this.#dispatched = true;
    this.#dispatchedMs = performance.now();
    if (this.#length !== 0) this.#direct.bodyDone(this);
    try {
      const reply = this.#route.handle(this);
      if (reply instanceof Promise) {
        reply.then(
          (made) => this.#send(made),
          (error: unknown) => this.#fail(error),
        );
      } else this.#send(reply);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#direct.onError(error, this);
    if (this.#response.headersSent) this.#request.destroy();
    else this.#send(internalErrorReply(this.path));
  }

  #send(reply: ApiReply): void {
    const { status, body } = reply;
    countReply(this.#route, this, reply, this.#dispatchedMs === 0 ? undefined : (performance.now() - this.#dispatchedMs) / 1_000);
    const response = this.#response;
    if (response.destroyed || this.#request.socket.destroyed) {
      if (typeof body !== "string") body(GONE);
      return;
    }
    const head = this.#direct.headOf(reply, this.#request, response);
    const requestId = this.header(REQUEST_ID);
    if (requestId !== undefined) head.push(REQUEST_ID, requestId);
    if (typeof body === "string") {
      const bare = this.method === "HEAD" || status === 204 || status === 304; // RFC 9110 section 8.6: no length either
      if (!bare) head.push("content-length", String(body.length));
      response.writeHead(status, head);
      response.end(bare ? undefined : body, "latin1");
      return;
    }
    response.writeHead(status, head);
    response.flushHeaders();
    this.#direct.stream(new ResponseSink(response, this.#request.socket), body);
  }
}

/** @param name in lower case. Reading the list costs less than having Node build the object of all headers. */
export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const raw = request.rawHeaders;
  for (let at = 0; at < raw.length; at += 2) {
    const found = raw[at]!;
    if (found.length === name.length && (found === name || found.toLowerCase() === name)) return raw[at + 1];
  }
  return undefined;
}

/** The body as it arrives. Ends without an error when the client hung up: the sink of the reply tells that. */
async function* chunksOf(request: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array;
  } catch (error) {
    if (!request.destroyed) throw error;
  }
}

/** For a handler whose client hung up before the reply began. */
const GONE: ReplySink = {
  write: () => false,
  onDrain: () => {},
  onClose: (closed) => queueMicrotask(closed),
  end: () => {},
};

/** A streaming reply. A client that half-closes its side is taken for gone, as etcd does: it wants no more. */
export class ResponseSink implements ReplySink {
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  #open = true;
  #closed: (() => void) | null = null;
  /** For the owner of the list of open streams. */
  onEnded: () => void = () => {};
  readonly #gone = () => {
    this.#close();
    this.#socket.destroy();
  };

  constructor(response: ServerResponse, socket: Socket) {
    this.#response = response;
    this.#socket = socket;
    socket.once("close", this.#gone);
    socket.once("end", this.#gone);
    response.once("error", this.#gone);
  }

  write(chunk: Bytes): boolean {
    if (!this.#open || this.#response.destroyed) return false;
    return this.#response.write(chunk, "latin1");
  }

  onDrain(resume: () => void): void {
    this.#response.once("drain", resume);
  }

  onClose(closed: () => void): void {
    if (this.#open) this.#closed = closed;
    else queueMicrotask(closed);
  }

  end(): void {
    if (!this.#open) return;
    this.#close();
    if (!this.#response.destroyed) this.#response.end();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.off("close", this.#gone);
    this.#socket.off("end", this.#gone);
    this.#response.off("error", this.#gone);
    this.#response.once("error", () => {}); // a write that was under way when the client hung up
    this.onEnded();
    this.#closed?.();
  }
}
