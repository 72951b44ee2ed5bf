/**
 * One port for HTTP/1.1 and HTTP/2. A plain connection is told by its first bytes: HTTP/2 with prior knowledge begins with a preface that
 * no request of HTTP/1.1 begins with (RFC 9113 section 3.4). On TLS the two sides agree on a protocol in the handshake (ALPN).
 *
 * The HTTP/1.1 server goes on accepting, counting and timing connections; only those of HTTP/2 are taken away from it.
 */
import type { Server } from "node:net";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** More of the preface than any method of HTTP/1.1 has in common with it. */
const TELLING_BYTES = 3;

export interface SplitOptions {
  readonly onHttp2: (socket: Socket) => void;
  /** From the beginning of a connection to its first bytes. */
  readonly firstBytesTimeoutMs: number;
  /** Told of each connection that sent nothing in that time. */
  readonly onSilent: () => void;
}

/** @param server of HTTP/1.1, plain or TLS, whose own listeners for connections are there already */
export function splitProtocols(server: Server, isTls: boolean, options: SplitOptions): void {
  const event = isTls ? "secureConnection" : "connection";
  const takers = server.listeners(event) as ((socket: Socket) => void)[];
  server.removeAllListeners(event);
  const toHttp1 = (socket: Socket): void => {
    for (const take of takers) take.call(server, socket);
  };
  server.on(event, (socket: Socket) => {
    if (isTls) {
      if ((socket as TLSSocket).alpnProtocol === "h2") options.onHttp2(socket);
      else toHttp1(socket);
    } else sniff(socket, toHttp1, options);
  });
}

function sniff(socket: Socket, toHttp1: (socket: Socket) => void, options: SplitOptions): void {
  const done = (): void => {
    clearTimeout(silence);
    socket.off("readable", look);
    socket.off("error", failed);
    socket.off("end", look);
  };
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) {
      socket.unshift(chunk);
      const begin = chunk.toString("latin1", 0, PREFACE.length);
      if (begin.length < TELLING_BYTES && PREFACE.startsWith(begin) && !socket.readableEnded) return;
      done();
      return PREFACE.startsWith(begin) || begin.startsWith(PREFACE) ? options.onHttp2(socket) : toHttp1(socket);
    }
    if (!socket.readableEnded && !socket.destroyed) return;
    done();
    toHttp1(socket); // which closes it its own way
  };
  const failed = (): void => {
    done();
    socket.destroy();
  };
  const silence = setTimeout(() => {
    options.onSilent();
    failed();
  }, options.firstBytesTimeoutMs);
  silence.unref();
  socket.on("readable", look);
  socket.once("error", failed);
  socket.once("end", look);
}
