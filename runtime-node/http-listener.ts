/**
 * The HTTP/1.1 listener of Node, plain or over TLS: requests of the routes go to their handlers directly, everything else to the Fetch app. Timeouts and
 * bounds keep a slow, silent or broken client from costing more than a connection and a bounded buffer (limits.ts).
 */
import { type IncomingMessage, type Server as HttpServer, type ServerResponse, createServer } from "node:http";
import { type Server as HttpsServer, createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Access } from "../core/api/access.ts";
import type { ApiReply, ApiRequest, ReplySink } from "../core/api/exchange.ts";
import { stoppingReply } from "../core/api/pages.ts";
import type { RouteTable } from "../core/api/route-table.ts";
import { HttpExchange, type ResponseSink, headerOf } from "./http-exchange.ts";
import {
  BODY_TIMEOUT_MS,
  HEADERS_TIMEOUT_MS,
  HEADER_BYTES_MAX,
  HEADER_LINES_MAX,
  IDLE_TIMEOUT_MS,
  PIPELINED_MAX,
  SHUTDOWN_GRACE_MS,
  TCP_KEEPALIVE_MS,
  TIMEOUT_CHECK_MS,
  TLS_HANDSHAKE_MS,
} from "./limits.ts";
import { splitProtocols } from "./protocol-split.ts";
import type { Refusal } from "./refusal-notices.ts";
import type { WebSockets } from "./web-sockets.ts";
import type { ListenerTls } from "./tls/listener-tls.ts";

/** Node from 24.9 on asks whether to upgrade; earlier ones upgrade whoever says so, as clients do that would like HTTP/2. */
const [NODE_MAJOR = 0, NODE_MINOR = 0] = process.versions.node.split(".").map(Number);
const ASKS_BEFORE_UPGRADE = NODE_MAJOR > 24 || (NODE_MAJOR === 24 && NODE_MINOR >= 9);

export interface HttpListenerOptions {
  readonly table: RouteTable;
  readonly access: Access;
  readonly bodyBytesMax: number;
  readonly connectionsMax: number;
  /** Answers what no route of the table has. */
  readonly fallback: (request: IncomingMessage, response: ServerResponse) => void;
  /** Told what a handler threw. */
  readonly onError: (error: unknown, request: Pick<ApiRequest, "method" | "path" | "source">) => void;
  /** Takes connections that speak HTTP/2. Left out: nobody does. */
  readonly onHttp2?: (socket: Socket) => void;
  /** Takes connections of TLS that come to a plain port: see {@link HttpListener.take}. Left out: they are refused. */
  readonly onTls?: (socket: Socket) => void;
  /** Takes requests that become WebSockets. Left out: none does. */
  readonly webSockets?: Pick<WebSockets, "accepts" | "take">;
  /** Left out: plain connections. */
  readonly tls?: ListenerTls;
  /** Told of each connection that TLS has turned away, and why. */
  readonly onRefused?: (refusal: Refusal) => void;
  /** For tests, which cannot wait as long as clients may. */
  readonly times?: Partial<ListenerTimes>;
}

/** In milliseconds; limits.ts says what they are for. */
export interface ListenerTimes {
  readonly handshake: number;
  readonly headers: number;
  readonly body: number;
  readonly check: number;
  readonly grace: number;
}

const TIMES: ListenerTimes = {
  handshake: TLS_HANDSHAKE_MS,
  headers: HEADERS_TIMEOUT_MS,
  body: BODY_TIMEOUT_MS,
  check: TIMEOUT_CHECK_MS,
  grace: SHUTDOWN_GRACE_MS,
};

/** What an exchange asks of its listener. */
export interface DirectPath {
  readonly bodyBytesMax: number;
  readonly onError: HttpListenerOptions["onError"];
  /** Names and values in turn, with CORS, without the length. A fresh array. */
  headOf(reply: ApiReply, request: IncomingMessage, response: ServerResponse): string[];
  stream(sink: ResponseSink, body: (sink: ReplySink) => void): void;
  /** See `Credentials`. */
  certificateNameOf(request: IncomingMessage): string | undefined;
  waitForBody(exchange: HttpExchange): void;
  bodyDone(exchange: HttpExchange): void;
}

/** Numbers for the metrics. */
export interface ListenerCounts {
  /** Refused because there were too many. */
  connectionsDropped: number;
  /** Requests that were no HTTP, or over a limit or a time. */
  clientErrors: number;
  openStreams: number;
}

export class HttpListener implements DirectPath {
  readonly bodyBytesMax: number;
  readonly onError: HttpListenerOptions["onError"];
  readonly counts: ListenerCounts = { connectionsDropped: 0, clientErrors: 0, openStreams: 0 };
  readonly #options: HttpListenerOptions;
  readonly #times: ListenerTimes;
  readonly #server: HttpServer | HttpsServer;
  readonly #streams = new Set<ResponseSink>();
  /** Flat heads of replies whose headers are frozen, that is, shared by many replies. */
  readonly #heads = new WeakMap<object, readonly string[]>();
  readonly #queued = new WeakMap<Socket, number>();
  /** Bodies that are not whole yet; looked through now and then, which costs less than a timer each. */
  readonly #bodies = new Set<HttpExchange>();
  /** Counts the looks. */
  #looks = 0;
  readonly #looking: NodeJS.Timeout;
  /** Every connection, also one that has not said yet what it speaks, or is in the middle of a handshake: Node's own list has none of these. */
  readonly #incoming = new Set<Socket>();
  #closing = false;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    this.bodyBytesMax = options.bodyBytesMax;
    this.onError = options.onError;
    const server = this.#createServer(options.tls);
    server.maxConnections = options.connectionsMax;
    // A client that closes its sending side after a request gets its reply all the same.
    (server as HttpServer & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    server.on("drop", () => void this.counts.connectionsDropped++);
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => this.#clientError(error, socket));
    if (options.onHttp2 !== undefined || options.onTls !== undefined) {
      splitProtocols(server, options.tls !== undefined, {
        ...(options.onHttp2 === undefined ? {} : { onHttp2: options.onHttp2 }),
        ...(options.onTls === undefined ? {} : { onTls: options.onTls }),
        firstBytesTimeoutMs: this.#times.headers,
        onSilent: () => void this.counts.clientErrors++,
      });
    }
    if (options.tls !== undefined) guard(server as HttpsServer, options.tls, (socket, reason) => this.#refused(socket, reason));
    if (options.webSockets !== undefined && ASKS_BEFORE_UPGRADE) {
      server.on("upgrade", (request, socket, head) => {
        options.webSockets!.take(request, socket, head, this.certificateNameOf(request));
      });
    }
    server.prependListener("connection", (socket: Socket) => {
      this.#incoming.add(socket);
      socket.once("close", () => this.#incoming.delete(socket));
    });
    this.#server = server;
    this.#looking = setInterval(() => this.#lookForSlowBodies(), this.#times.check).unref();
  }

  #createServer(tls: ListenerTls | undefined): HttpServer | HttpsServer {
    const handle = (request: IncomingMessage, response: ServerResponse): void => this.#handle(request, response);
    const options = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: this.#times.headers,
      requestTimeout: 0, // the body of a stream has no end; other bodies have BODY_TIMEOUT_MS
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: this.#times.check,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      noDelay: true,
      shouldUpgradeCallback: (request: IncomingMessage) => this.#becomesSocket(request),
    };
    if (tls === undefined) return createServer(options, handle);
    let used = tls.current();
    const server = createHttpsServer(
      {
        ...options,
        ...used,
        requestCert: tls.requiresCertificate,
        rejectUnauthorized: tls.requiresCertificate,
        handshakeTimeout: this.#times.handshake,
        ALPNProtocols: this.#options.onHttp2 === undefined ? ["http/1.1"] : ["h2", "http/1.1"],
      },
      handle,
    );
    server.prependListener("connection", (socket: Socket) => {
      void socket.remoteAddress; // asked now, it is remembered: see remoteOf
      const now = tls.current();
      if (now !== used) server.setSecureContext((used = now));
    });
    server.removeAllListeners("tlsClientError"); // Node's own answers in plain HTTP
    server.on("tlsClientError", (error, socket) => this.#tlsError(error, socket));
    return server;
  }

  /** What the client's certificate lacks says more than that the connection was ended because of it, OpenSSL's reason more than its trace. */
  #tlsError(error: Error & { readonly reason?: string }, socket: TLSSocket): void {
    this.#refused(socket, `TLS: ${socket.authorizationError ?? error.reason ?? error.message}`);
  }

  #refused(socket: TLSSocket, reason: string): void {
    this.counts.clientErrors++;
    this.#options.onRefused?.({ remote: remoteOf(socket), reason });
    socket.destroy();
  }

  /** @throws the host's error: EADDRINUSE, EACCES … */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** Instead of {@link listen}: from now on connections come through {@link take}, from a listener that shares its port with this one. */
  shareAPort(): void {
    // Node keeps no list of connections, and so has no time limits for them, before its server says that it listens.
    this.#server.emit("listening");
  }

  /** A connection that another listener has accepted and counted; what has been read of it was put back. */
  take(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Those that this listener has accepted itself. */
  connections(): Promise<number> {
    return new Promise((resolve) => this.#server.getConnections((error, count) => resolve(error ? 0 : count)));
  }

  /** Takes no more; ends streams; lets replies under way finish for a while. Resolves when all connections are closed. */
  close(): Promise<void> {
    this.#closing = true;
    // A server that shares a port has nothing to close, and its connections end all the same.
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve())).then(() => this.#incomingGone());
    for (const stream of [...this.#streams]) stream.end();
    this.#server.closeIdleConnections();
    const sweep = setInterval(() => this.#server.closeIdleConnections(), 50);
    const cut = setTimeout(() => {
      this.#server.closeAllConnections();
      for (const socket of this.#incoming) socket.destroy();
    }, this.#times.grace);
    return closed.finally(() => {
      clearInterval(this.#looking);
      clearInterval(sweep);
      clearTimeout(cut);
    });
  }

  #incomingGone(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#incoming.size === 0) resolve();
        for (const socket of this.#incoming) return void socket.once("close", look);
      };
      look();
    });
  }

  /** What does not is answered as any other request, and told there whatever is wrong with it. */
  #becomesSocket(request: IncomingMessage): boolean {
    const { access, webSockets, tls } = this.#options;
    if (webSockets?.accepts(request) !== true || this.#closing) return false;
    return access.anyHost || tls !== undefined || access.refuseHost(headerOf(request, "host")) === undefined;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { access, table, fallback } = this.#options;
    if (request.rawHeaders.length > 2 * HEADER_LINES_MAX) return this.#refuseFlood(response);
    if (response.socket === null && !this.#countQueued(request.socket, response)) return;
    const url = request.url!;
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    if (this.#closing) return this.#answer(request, response, stoppingReply(path));
    if (!access.anyHost && this.#options.tls === undefined) {
      const refusal = access.refuseHost(headerOf(request, "host"));
      if (refusal !== undefined) return this.#answer(request, response, refusal);
    }
    if (request.method === "OPTIONS") return this.#answer(request, response, access.preflight());
    const route = table.find(request.method!, path);
    if (route === undefined) return fallback(request, response);
    new HttpExchange(request, response, route, this, { path, query: mark < 0 ? "" : url.slice(mark + 1) }).run();
  }

  #answer(request: IncomingMessage, response: ServerResponse, reply: ApiReply): void {
    const body = reply.body as string;
    response.writeHead(reply.status, [...this.headOf(reply, request, response), "content-length", String(body.length)]);
    response.end(request.method === "HEAD" ? undefined : body, "latin1");
  }

  headOf(reply: ApiReply, request: IncomingMessage, response: ServerResponse): string[] {
    const { access } = this.#options;
    // HTTP/1.1 keeps connections open without saying so; ending is what has to be said.
    if (this.#closing || request.socket.readableEnded) response.shouldKeepAlive = false;
    else if (response.shouldKeepAlive && request.httpVersionMinor === 1) response.removeHeader("connection");
    if (!access.openToAll) return flat(access.headersFor(reply, headerOf(request, "origin"), request.url!));
    let head = this.#heads.get(reply.headers);
    if (head === undefined) {
      head = flat(access.headersFor(reply, undefined, request.url!));
      if (!Object.isFrozen(reply.headers)) return head as string[];
      this.#heads.set(reply.headers, head);
    }
    return head.slice();
  }

  stream(sink: ResponseSink, body: (sink: ReplySink) => void): void {
    this.#streams.add(sink);
    this.counts.openStreams++;
    sink.onEnded = () => {
      if (this.#streams.delete(sink)) this.counts.openStreams--;
    };
    body(sink);
  }

  certificateNameOf({ socket }: IncomingMessage): string | undefined {
    return this.#options.tls?.certificateNameOf(socket);
  }

  waitForBody(exchange: HttpExchange): void {
    exchange.waitingSince = this.#looks;
    this.#bodies.add(exchange);
  }

  bodyDone(exchange: HttpExchange): void {
    this.#bodies.delete(exchange);
  }

  #lookForSlowBodies(): void {
    this.#looks++;
    const looksMax = this.#times.body / this.#times.check;
    for (const exchange of this.#bodies) {
      if (exchange.isGone()) this.#bodies.delete(exchange);
      else if (this.#looks - exchange.waitingSince > looksMax) exchange.bodyOverdue();
      else return; // in the order of their arrival
    }
  }

  /** A request that came before the replies to earlier ones on its connection. @returns false when there are too many */
  #countQueued(socket: Socket, response: ServerResponse): boolean {
    const waiting = (this.#queued.get(socket) ?? 0) + 1;
    if (waiting > PIPELINED_MAX) {
      this.counts.clientErrors++;
      socket.destroy();
      return false;
    }
    socket.setMaxListeners(3 * PIPELINED_MAX);
    this.#queued.set(socket, waiting);
    response.once("finish", () => void this.#queued.set(socket, this.#queued.get(socket)! - 1));
    return true;
  }

  #refuseFlood(response: ServerResponse): void {
    this.counts.clientErrors++;
    response.writeHead(431, { "content-type": "text/plain; charset=utf-8", connection: "close" });
    response.end("431 Request Header Fields Too Large\n");
  }

  #clientError(error: NodeJS.ErrnoException, socket: Socket): void {
    this.counts.clientErrors++;
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const status =
      error.code === "HPE_HEADER_OVERFLOW"
        ? "431 Request Header Fields Too Large"
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? "408 Request Timeout"
          : "400 Bad Request";
    socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${status}`);
    socket.once("finish", () => socket.destroySoon());
  }
}

/** A connection that Node has closed already knows its address no more; the plain one below it does, having been asked in time. */
function remoteOf(socket: TLSSocket & { readonly _parent?: Socket }): string {
  return socket.remoteAddress ?? socket._parent?.remoteAddress ?? "?";
}

/** Connections that the rules of TLS do not let in are ended before anything of theirs is read, in either protocol. */
function guard(server: HttpsServer, tls: ListenerTls, refused: (socket: TLSSocket, reason: string) => void): void {
  const takers = server.listeners("secureConnection") as ((socket: TLSSocket) => void)[];
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", (socket) => {
    const reason = tls.refuse(socket);
    if (reason !== null) return refused(socket, reason);
    for (const take of takers) take.call(server, socket);
  });
}

function flat(headers: Readonly<Record<string, string>>): string[] {
  const out: string[] = [];
  for (const name in headers) out.push(name, headers[name]!);
  return out;
}
