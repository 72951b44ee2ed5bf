/** WebSockets on Node, by the library `ws`: who may open one, how fast it is written to, and when a silent one is given up. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Access } from "../core/api/access.ts";
import type { ApiReply, ApiRequest } from "../core/api/exchange.ts";
import { textPage } from "../core/api/pages.ts";
import type { TextSocket } from "../core/api/v1/watch-socket.ts";
import { EMPTY } from "../core/bytes/bytes.ts";
import { headerOf } from "./http-exchange.ts";

/** Of one message of a client. */
const MESSAGE_BYTES_MAX = 64 * 1024;
/** Beyond it, a socket is not written to until its client has read. */
const BUFFERED_BYTES_MAX = 256 * 1024;
/** How often a client is asked whether it is there; one that has not answered by the next time is let go. */
const PING_MS = 30_000;
/** RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;

/** What the routes have for WebSockets. */
interface Sockets {
  isAt(path: string): boolean;
  open(request: ApiRequest): Promise<((socket: TextSocket) => void) | ApiReply>;
}

export interface WebSocketsOptions {
  readonly sockets: Sockets;
  readonly access: Access;
  readonly every: (ms: number, act: () => void) => () => void;
  readonly onError: (error: unknown, request: { readonly method: string; readonly path: string }) => void;
}

export class WebSockets {
  readonly #options: WebSocketsOptions;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_BYTES_MAX, clientTracking: false });
  /** With whether each has answered since it was last asked. */
  readonly #open = new Map<WebSocket, boolean>();
  readonly #endPings: () => void;

  constructor(options: WebSocketsOptions) {
    this.#options = options;
    this.#endPings = options.every(PING_MS, () => this.#ping());
  }

  /** Whether a request is answered by a socket: others that would like to be upgraded, to HTTP/2 for one, are answered as they are. */
  accepts(request: IncomingMessage): boolean {
    return headerOf(request, "upgrade")?.toLowerCase() === "websocket" && this.#options.sockets.isAt(pathOf(request).path);
  }

  /** Never throws. */
  take(request: IncomingMessage, socket: Duplex, head: Buffer, certificateName: string | undefined): void {
    socket.on("error", () => socket.destroy()); // the client is gone
    this.#take(request, socket, head, certificateName).catch((error: unknown) => {
      this.#options.onError(error, { method: request.method!, path: pathOf(request).path });
      socket.destroy();
    });
  }

  async #take(request: IncomingMessage, socket: Duplex, head: Buffer, certificateName: string | undefined): Promise<void> {
    const header = (name: string): string | undefined => headerOf(request, name);
    if (!this.#isOfAllowedOrigin(request)) {
      return refuse(socket, textPage(403, "pages of this origin may not open a WebSocket here: see --cors\n"));
    }
    const at = pathOf(request);
    const opened = await this.#options.sockets.open({ method: "GET", ...at, header, certificateName, body: EMPTY });
    if (typeof opened !== "function") return refuse(socket, opened);
    this.#server.handleUpgrade(request, socket, head, (made) => {
      this.#open.set(made, true);
      made.on("pong", () => this.#open.set(made, true));
      made.on("close", () => this.#open.delete(made));
      made.on("error", () => made.terminate()); // the client breaks the protocol, or is gone
      opened(textSocket(made));
    });
  }

  /** Browsers ask nobody before they open a socket: what CORS is for other requests has to be looked at here. */
  #isOfAllowedOrigin(request: IncomingMessage): boolean {
    const origin = headerOf(request, "origin");
    if (origin === undefined || this.#options.access.corsFor(origin, pathOf(request).path) !== undefined) return true;
    return URL.canParse(origin) && new URL(origin).host === headerOf(request, "host");
  }

  #ping(): void {
    for (const [socket, answered] of this.#open) {
      if (!answered) socket.terminate();
      else {
        this.#open.set(socket, false);
        socket.ping();
      }
    }
  }

  /** Tells every client to go elsewhere. */
  close(): void {
    this.#endPings();
    for (const socket of this.#open.keys()) socket.close(GOING_AWAY, "the server ends");
  }
}

function pathOf({ url }: IncomingMessage): { path: string; query: string } {
  const [path, query] = [url!.split("?", 1)[0]!, url!.slice(url!.indexOf("?") + 1)];
  return { path, query: query === url ? "" : query };
}

/** The connection is not used again. */
function refuse(socket: Duplex, { status, headers, body }: ApiReply): void {
  const text = typeof body === "string" ? body : EMPTY;
  const head = Object.entries({ ...headers, "content-length": String(text.length), connection: "close" });
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`, ...head.map(([name, value]) => `${name}: ${value}`), "", text];
  socket.end(lines.join("\r\n"), "latin1");
}

function textSocket(socket: WebSocket): TextSocket {
  return {
    send: (text) =>
      new Promise((resolve) => {
        if (socket.readyState !== socket.OPEN) return resolve();
        // Called when it was handed to the kernel, also with an error: then the socket is closing, which is told by itself.
        socket.send(text, () => resolve());
        if (socket.bufferedAmount < BUFFERED_BYTES_MAX) resolve();
      }),
    close: (code, reason) => socket.close(code, reason),
    onMessage: (listener) => socket.on("message", (data, isBinary) => listener(isBinary ? "" : textOf(data))),
    onClose: (listener) => {
      if (socket.readyState === socket.CLOSED) listener();
      else socket.once("close", listener);
    },
  };
}

function textOf(data: Buffer | ArrayBuffer | Buffer[]): string {
  return (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)).toString("utf8");
}
