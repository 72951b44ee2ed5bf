/**
 * One port for HTTP/1.1, HTTP/2 and TLS. A plain connection is told by its first bytes: HTTP/2 with prior knowledge begins with a preface that
 * no request of HTTP/1.1 begins with (RFC 9113 section 3.4), TLS with the type of its handshake record (RFC 8446 section 5.1). On TLS the two
 * sides agree on a protocol in the handshake (ALPN).
 *
 * The HTTP/1.1 server goes on accepting, counting and timing connections; only those of the others are taken away from it.
 */
import type { Server } from "node:net";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { PREFACE, greetHttp2 } from "./http2-greeting.ts";

/** More of the preface than any method of HTTP/1.1 has in common with it. */
const TELLING_BYTES = 3;

/** The first byte of each handshake of TLS; no method of HTTP begins with it. */
const TLS_HANDSHAKE = 0x16;

export interface SplitOptions {
  /** Left out: who speaks HTTP/2 is answered as HTTP/1.1 answers it. */
  readonly onHttp2?: (socket: Socket) => void;
  /** Plain ports only: takes connections that begin with a handshake of TLS. Left out: HTTP/1.1 refuses them. */
  readonly onTls?: (socket: Socket) => void;
  /** From the beginning of a connection to its first bytes, and from there to the first frames of HTTP/2. */
  readonly firstBytesTimeoutMs: number;
  /** Told of each connection that did not begin in that time. */
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
      if ((socket as TLSSocket).alpnProtocol === "h2" && options.onHttp2 !== undefined) options.onHttp2(socket);
      else toHttp1(socket);
    } else sniff(socket, toHttp1, options);
  });
}

function sniff(socket: Socket, toHttp1: (socket: Socket) => void, options: SplitOptions): void {
  // Put back once, at the end: bytes that are put back are `readable` again at once, for ever.
  let held = Buffer.alloc(0);
  const done = (): void => {
    clearTimeout(silence);
    socket.off("readable", look);
    socket.off("error", failed);
    socket.off("end", look);
  };
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) held = Buffer.concat([held, chunk]);
    else if (!socket.readableEnded && !socket.destroyed) return;
    const begin = held.toString("latin1", 0, PREFACE.length);
    const over = socket.readableEnded || socket.destroyed;
    if (!over && begin.length < TELLING_BYTES && PREFACE.startsWith(begin)) return;
    done();
    if (over) return void socket.destroy(); // nothing was asked
    socket.unshift(held);
    if (options.onTls !== undefined && held[0] === TLS_HANDSHAKE) return options.onTls(socket);
    if (options.onHttp2 === undefined || !PREFACE.startsWith(begin)) return toHttp1(socket);
    greetHttp2(socket, { onReady: options.onHttp2, onRefused: options.onSilent, timeoutMs: options.firstBytesTimeoutMs });
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
