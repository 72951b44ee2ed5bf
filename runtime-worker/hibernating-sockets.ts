/**
 * WebSockets that stay open while their object sleeps, at no cost but what is sent. What a socket watches, and up to which revision it has
 * been told, is kept beside it by the platform; the next instance goes on from there, out of the revision log.
 */
import type { Access } from "../core/api/access.ts";
import type { ApiReply, ApiRequest } from "../core/api/exchange.ts";
import { pathAndQuery } from "../core/api/exchange-fetch.ts";
import { textPage } from "../core/api/pages.ts";
import { credentialsOf } from "../core/api/v1/dispatch.ts";
import type { V1Sockets } from "../core/api/v1/routes.ts";
import type { KeptWatch, TextSocket } from "../core/api/v1/watch-socket.ts";
import { EMPTY } from "../core/bytes/bytes.ts";
import { errBadField } from "../core/errors.ts";

/** The platform's limit of what is kept beside a socket. */
const ATTACHMENT_BYTES_MAX = 16_384;
/** RFC 6455 section 7.4.1: policy violation. */
const POLICY = 1008;
/** RFC 6455 section 7.4.1: try again later, with a new connection. */
const AGAIN = 1013;

interface Attachment {
  /** Who had opened it; undefined: nobody said. */
  readonly authorization: string | undefined;
  readonly watches: readonly KeptWatch[];
}

interface Listeners {
  message: (text: string) => void;
  closed: () => void;
}

export interface SocketsOptions {
  readonly sockets: V1Sockets;
  readonly access: Access;
  readonly onError: (error: unknown) => void;
}

export class HibernatingSockets {
  readonly #options: SocketsOptions;
  readonly #listeners = new Map<HibernatableWebSocket, Listeners>();

  constructor(options: SocketsOptions) {
    this.#options = options;
  }

  /** Whether a request is answered by a socket. */
  accepts(request: Request): boolean {
    return request.headers.get("upgrade")?.toLowerCase() === "websocket" && this.#options.sockets.isAt(pathAndQuery(request.url).path);
  }

  /** @param accept hands a socket to the platform @returns the reply that refuses, or the client's end of the socket */
  async open(request: Request, accept: (socket: HibernatableWebSocket) => void): Promise<ApiReply | HibernatableWebSocket> {
    if (!this.#isOfAllowedOrigin(request)) return textPage(403, "pages of this origin may not open a WebSocket here: see CORS\n");
    const asked = requestOf(pathAndQuery(request.url), (name) => request.headers.get(name) ?? undefined);
    const opened = await this.#options.sockets.open(asked);
    if (typeof opened !== "function") return opened;
    const { 0: client, 1: server } = new WebSocketPair();
    accept(server);
    opened(this.#textSocket(server, credentialsOf(asked).header("authorization")));
    return client;
  }

  /** Goes on with the sockets that an earlier instance had. */
  async resume(sockets: readonly HibernatableWebSocket[]): Promise<void> {
    for (const socket of sockets) {
      try {
        const { authorization, watches } = socket.deserializeAttachment() as Attachment;
        const header = (name: string): string | undefined => (name === "authorization" ? authorization : undefined);
        const resumed = await this.#options.sockets.resume(requestOf({ path: "/v1/watch", query: "" }, header), watches);
        if (typeof resumed === "function") resumed(this.#textSocket(socket, authorization));
        else socket.close(POLICY, "what was allowed when the socket was opened is not any longer: open it anew");
      } catch (error) {
        this.#options.onError(error);
        socket.close(AGAIN, "the socket could not be resumed: open it anew");
      }
    }
  }

  message(socket: HibernatableWebSocket, data: string | ArrayBuffer): void {
    this.#listeners.get(socket)?.message(typeof data === "string" ? data : "");
  }

  closed(socket: HibernatableWebSocket): void {
    const listeners = this.#listeners.get(socket);
    this.#listeners.delete(socket);
    listeners?.closed();
  }

  /** Browsers ask nobody before they open a socket: what CORS is for other requests has to be looked at here. */
  #isOfAllowedOrigin(request: Request): boolean {
    const origin = request.headers.get("origin");
    if (origin === null || this.#options.access.corsFor(origin, pathAndQuery(request.url).path) !== undefined) return true;
    return URL.canParse(origin) && new URL(origin).host === new URL(request.url).host;
  }

  #textSocket(socket: HibernatableWebSocket, authorization: string | undefined): TextSocket {
    const listeners: Listeners = { message: () => {}, closed: () => {} };
    this.#listeners.set(socket, listeners);
    keep(socket, { authorization, watches: [] });
    return {
      send: (text) => {
        try {
          socket.send(text);
        } catch {
          this.closed(socket); // it is closing, which the platform tells later or not at all
        }
        return Promise.resolve();
      },
      close: (code, reason) => socket.close(code, reason),
      onMessage: (listener) => void (listeners.message = listener),
      onClose: (listener) => void (listeners.closed = listener),
      keep: (watches) => keep(socket, { authorization, watches }),
    };
  }
}

/** @throws QuorateError badField */
function keep(socket: HibernatableWebSocket, attachment: Attachment): void {
  try {
    socket.serializeAttachment(attachment);
  } catch (error) {
    const limit = `${ATTACHMENT_BYTES_MAX} bytes can be remembered of the watches of one socket`;
    throw errBadField("watch", `watch: ${limit}: open another one (${(error as Error).message})`);
  }
}

function requestOf({ path, query }: { path: string; query: string }, header: (name: string) => string | undefined): ApiRequest {
  return { method: "GET", path, query, header, body: EMPTY };
}
