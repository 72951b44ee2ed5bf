/**
 * gRPC over HTTP/2, on connections that somebody else accepts: the port is shared with HTTP/1.1. Calls are found by their path in the
 * tables of services; what is no gRPC goes to another server of the same connections.
 *
 * Written on Node's HTTP/2 streams directly: docs/decisions/0006 says why. A client costs a bounded amount: streams at a time, headers,
 * one message a call, resets and pings have limits, and a call that waits for a slow reader takes nothing from the store.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; the limits and texts are those of etcd 3.4.
 */
import {
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  constants,
  createServer,
} from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { performance } from "node:perf_hooks";
import type { Method, Service } from "../../core/api/v3/services.ts";
import { errNoLeader, errTooManyRequests } from "../../core/errors.ts";
import { addressOf } from "../../core/api/exchange.ts";
import type { OnInternalError } from "../../core/api/error-table.ts";
import type { Member } from "../../core/replica/member.ts";
import { CallList } from "./call-list.ts";
import { type CallHost, GrpcCall } from "./grpc-call.ts";
import { type CallStarter, type MethodDeps, starterOf } from "./grpc-methods.ts";
import { statusOf, timeoutMs } from "./grpc-status.ts";
import { HeldBytes } from "./message-reader.ts";
import { PingPolicy } from "./ping-policy.ts";

export interface GrpcServerOptions extends MethodDeps {
  readonly member: Member;
  readonly services: readonly Service[];
  /** A call that asks for a leader ends when there was none for three of these. */
  readonly electionTimeoutMs: number;
  readonly keepAlive: KeepAliveTimes;
  /** Calls of one connection at a time; etcd's flag `--max-concurrent-streams`. One connection of a Go client carries all of its watches. */
  readonly streamsMax: number;
  /** Of the client of a connection; see `Credentials`. */
  readonly certificateNameOf?: (socket: Socket | TLSSocket) => string | undefined;
  /** Takes streams of HTTP/2 that are no gRPC. */
  readonly onOther: StreamTaker;
  /** Whether the body of such a stream has no end; any other must be whole in `bodyMs`. */
  readonly isEndless: (headers: IncomingHttpHeaders) => boolean;
  readonly bodyMs: number;
  /** For tests, which cannot make as many. */
  readonly callsMax?: number;
  /** Likewise: of replies that one connection has not taken. */
  readonly unsentBytesMax?: number;
}

export type StreamTaker = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => void;

/** In milliseconds; etcd's flags `--grpc-keepalive-…`. */
export interface KeepAliveTimes {
  /** A client may ping once in this time. */
  readonly minTimeMs: number;
  /** A connection on which nothing was heard for so long is pinged. */
  readonly intervalMs: number;
  /** It is closed when the ping is not answered in this time. */
  readonly timeoutMs: number;
}

/** What gRPC takes beyond the limit of a request, for its envelope (etcd's `grpcOverheadBytes`). */
const ENVELOPE_BYTES = 512 * 1024;
const HEADER_BYTES_MAX = 64 * 1024;
/** Megabytes that one connection may hold in buffers before its streams are refused. */
const SESSION_MEGABYTES_MAX = 256;
/** Calls of all connections at a time; more are refused. Most of them are streams that wait, of some 10 KiB each. */
const CALLS_MAX = 100_000;
/** Of messages that are not whole yet, of one connection and of all: what would exceed it is refused. */
const HELD_BYTES_MAX = 128 * 1024 * 1024;
const ALL_HELD_BYTES_MAX = 512 * 1024 * 1024;
/** Of replies that clients have not taken yet, likewise. */
const UNSENT_BYTES_MAX = 256 * 1024 * 1024;
const ALL_UNSENT_BYTES_MAX = 1024 * 1024 * 1024;
/** Requests that are no gRPC and not whole yet, of one connection and of all: each may hold a body of some megabytes. */
const BODIES_MAX = 32;
const ALL_BODIES_MAX = 256;
/** Streams a client may reset in a row, and a second: clients that cancel many calls do; "rapid reset" floods do more. */
const RESETS_BURST = 10_000;
const RESETS_PER_SECOND = 2_000;
/** From the first bytes of a connection to its settings, with which HTTP/2 begins. */
const GREETING_MS = 10_000;
/** How often deadlines are looked at. Clients look at their own too. */
const DEADLINE_CHECK_MS = 50;
/** Times without a leader, one election timeout apart, after which calls that want one are ended, as in etcd. */
const LEADERLESS_MAX = 3;
/** How long the end waits for replies under way. */
const CLOSE_GRACE_MS = 5_000;

const OVERDUE = statusOf("deadlineExceeded", "context deadline exceeded");

/** What was called how often, for metrics. */
export interface MethodCounts {
  readonly service: string;
  readonly method: string;
  /** As go-grpc-prometheus names the kinds of methods. */
  readonly type: "unary" | "server_stream" | "bidi_stream";
  readonly started: number;
  /** Ended calls by code. */
  readonly handled: ReadonlyMap<number, number>;
}

const TYPES: Readonly<Record<Method["kind"], MethodCounts["type"]>> = {
  unary: "unary",
  waiting: "unary",
  serverStream: "server_stream",
  inTurn: "bidi_stream",
  watch: "bidi_stream",
};

class ServedMethod implements MethodCounts {
  readonly start: CallStarter;
  readonly service: string;
  readonly method: string;
  readonly type: MethodCounts["type"];
  started = 0;
  readonly handled = new Map<number, number>();

  constructor(service: Service, method: Method, deps: MethodDeps) {
    this.start = starterOf(method, deps);
    this.service = service.name;
    this.method = method.name;
    this.type = TYPES[method.kind];
  }

  ended(code: number): void {
    this.handled.set(code, (this.handled.get(code) ?? 0) + 1);
  }
}

export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #server: Http2Server;
  /** By path: `/etcdserverpb.KV/Range`. */
  readonly #methods = new Map<string, ServedMethod>();
  readonly #serviceNames: ReadonlySet<string>;
  readonly #sessions = new Map<ServerHttp2Session, Connection>();
  readonly #heldBytes = new HeldBytes(ALL_HELD_BYTES_MAX);
  readonly #unsentBytes = new HeldBytes(ALL_UNSENT_BYTES_MAX);
  readonly #timed = new Set<GrpcCall>();
  /** Calls that end when there is no leader. */
  readonly #needLeader = new Set<GrpcCall>();
  readonly #timers: NodeJS.Timeout[];
  /** Of all connections at this time. */
  #calls = 0;
  /** Of requests that are no gRPC and not whole yet. */
  #bodies = 0;
  #leaderless = 0;
  #closing = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    for (const service of options.services) {
      for (const method of service.methods) {
        this.#methods.set(`/${service.name}/${method.name}`, new ServedMethod(service, method, options));
      }
    }
    this.#serviceNames = new Set(options.services.map(({ name }) => name));
    this.#server = createServer({
      maxSessionMemory: SESSION_MEGABYTES_MAX,
      streamResetBurst: RESETS_BURST,
      streamResetRate: RESETS_PER_SECOND,
      settings: { maxConcurrentStreams: options.streamsMax, maxHeaderListSize: HEADER_BYTES_MAX, enablePush: false },
    });
    this.#server.on("session", (session) => this.#session(session));
    this.#server.on("stream", (stream, headers, flags, rawHeaders) => this.#stream(stream, headers, flags, rawHeaders));
    this.#server.on("sessionError", () => {}); // a broken client; `close` of the session follows
    this.#timers = [
      setInterval(() => this.#endOverdue(), DEADLINE_CHECK_MS).unref(),
      setInterval(() => this.#lookForLeader(), options.electionTimeoutMs).unref(),
    ];
  }

  /** Serves a connection that has begun, or will begin, to speak HTTP/2. */
  readonly accept = (socket: Duplex): void => {
    // Who says that it will send no more cannot open windows or acknowledge: its connection is over, as in Go's servers.
    socket.once("end", () => socket.destroy());
    this.#server.emit("connection", socket);
  };

  /** Of every method that was ever called. */
  counts(): MethodCounts[] {
    return [...this.#methods.values()].filter(({ started }) => started > 0);
  }

  /** Takes no more calls, ends those that stream, and lets replies under way finish for a while. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const timer of this.#timers) clearInterval(timer);
    const stopped = statusOf("unavailable", "etcdserver: server stopped");
    const closed = [...this.#sessions].map(([session, connection]) => {
      for (const call of connection.calls.all()) call.finish(stopped);
      return new Promise<void>((resolve) => {
        session.once("close", () => resolve());
        session.close();
      });
    });
    const cut = setTimeout(() => {
      for (const session of this.#sessions.keys()) session.destroy();
    }, CLOSE_GRACE_MS);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  #session(session: ServerHttp2Session): void {
    const onEnded = (call: GrpcCall): void => {
      this.#calls--;
      this.#timed.delete(call);
      this.#needLeader.delete(call);
    };
    const connection = new Connection(session, this.#options, {
      allHeldBytes: this.#heldBytes,
      allUnsentBytes: this.#unsentBytes,
      onEnded,
    });
    this.#sessions.set(session, connection);
    session.once("close", () => {
      this.#sessions.delete(session);
      connection.stop();
    });
    if (this.#closing) session.close();
  }

  #stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]): void {
    // What went wrong with the connection or by the client's doing, perhaps before this: `close` follows.
    stream.on("error", () => {});
    const connection = this.#sessions.get(stream.session as ServerHttp2Session);
    if (connection === undefined) return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    if (!isGrpc(headers["content-type"])) {
      if (!stream.endAfterHeaders && !this.#takeBody(stream, headers, connection)) return stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return this.#options.onOther(stream, headers, flags, rawHeaders);
    }
    const path = headers[":path"] ?? "";
    const method = this.#methods.get(path);
    const call = new GrpcCall(stream, headers, connection, (code) => method?.ended(code));
    connection.calls.add(call);
    this.#calls++;
    if (method === undefined) return call.finish(this.#unknown(path));
    method.started++;
    if (this.#calls > (this.#options.callsMax ?? CALLS_MAX)) return call.fail(errTooManyRequests());
    if (!this.#admit(call, headers)) return;
    const preparing = this.#options.authenticator.prepare(call);
    if (preparing === undefined) return method.start(call);
    preparing.then(
      () => {
        if (!call.isOver) method.start(call);
      },
      (error: unknown) => call.fail(error),
    );
  }

  /** Of a request that is no gRPC. @returns false when there are too many: their clients may try again (RFC 9113 section 8.7) */
  #takeBody(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, connection: Connection): boolean {
    stream.once("finish", () => {
      // Answered before the body was whole: the rest need not be sent. The reset must not overtake the reply.
      setImmediate(() => stream.readableEnded || stream.close(constants.NGHTTP2_NO_ERROR));
    });
    if (!this.#options.isEndless(headers)) return this.#holdBody(stream, connection);
    if (this.#calls >= (this.#options.callsMax ?? CALLS_MAX)) return false;
    this.#calls++;
    stream.once("close", () => void this.#calls--);
    return true;
  }

  /** Counts a body until it is whole, and ends its stream when that takes too long. */
  #holdBody(stream: ServerHttp2Stream, connection: Connection): boolean {
    if (connection.bodies >= BODIES_MAX || this.#bodies >= ALL_BODIES_MAX) return false;
    connection.bodies++;
    this.#bodies++;
    let held = true;
    const overdue = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), this.#options.bodyMs).unref();
    const release = (): void => {
      if (!held) return;
      held = false;
      clearTimeout(overdue);
      connection.bodies--;
      this.#bodies--;
    };
    stream.once("end", release);
    stream.once("close", release);
    return true;
  }

  /** What is asked of every call, before its messages. @returns false when it was ended */
  #admit(call: GrpcCall, headers: IncomingHttpHeaders): boolean {
    const encoding = call.header("grpc-encoding");
    if (encoding !== undefined && encoding !== "gzip" && encoding !== "identity") {
      call.finish(statusOf("unimplemented", `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`));
      return false;
    }
    const timeout = call.header("grpc-timeout");
    if (timeout !== undefined) {
      const millis = timeoutMs(timeout);
      if (millis === undefined) {
        call.finish(statusOf("internal", `transport: malformed grpc-timeout: ${timeout}`));
        return false;
      }
      if (millis === 0) {
        call.finish(OVERDUE);
        return false;
      }
      call.deadlineMs = performance.now() + millis;
      this.#timed.add(call);
    }
    if (headers["hasleader"] === "true") {
      if (this.#options.member.status().leaderId === "0") {
        call.fail(errNoLeader());
        return false;
      }
      this.#needLeader.add(call);
    }
    return true;
  }

  #unknown(path: string): ReturnType<typeof statusOf> {
    const slash = path.lastIndexOf("/");
    if (!path.startsWith("/") || slash < 1) return statusOf("resourceExhausted", `malformed method name: ${JSON.stringify(path)}`);
    const service = path.slice(1, slash);
    const known = this.#serviceNames.has(service);
    return statusOf(
      "unimplemented",
      known ? `unknown method ${path.slice(slash + 1)} for service ${service}` : `unknown service ${service}`,
    );
  }

  #endOverdue(): void {
    if (this.#timed.size === 0) return;
    const now = performance.now();
    for (const call of this.#timed) if (call.deadlineMs <= now) call.finish(OVERDUE);
  }

  #lookForLeader(): void {
    this.#leaderless = this.#options.member.status().leaderId === "0" ? this.#leaderless + 1 : 0;
    if (this.#leaderless < LEADERLESS_MAX) return;
    for (const call of this.#needLeader) call.fail(errNoLeader());
  }
}

interface ConnectionHost {
  /** Of all connections. */
  readonly allHeldBytes: HeldBytes;
  readonly allUnsentBytes: HeldBytes;
  readonly onEnded: (call: GrpcCall) => void;
}

/** One client's connection: its calls, and what its pings and silence cost. */
class Connection implements CallHost {
  readonly messageBytesMax: number;
  readonly heldBytes: HeldBytes;
  readonly unsentBytes: HeldBytes;
  readonly onInternalError: OnInternalError;
  readonly certificateName: string | undefined;
  readonly from: string | undefined;
  readonly calls = new CallList();
  /** Of requests that are no gRPC and not whole yet. */
  bodies = 0;
  readonly #session: ServerHttp2Session;
  readonly #keepAlive: KeepAliveTimes;
  readonly #onEnded: (call: GrpcCall) => void;
  readonly #pings: PingPolicy;
  /** Runs until the client's first frame has come. */
  readonly #greeting: NodeJS.Timeout;
  readonly #pinging: NodeJS.Timeout;

  constructor(session: ServerHttp2Session, options: GrpcServerOptions, { allHeldBytes, allUnsentBytes, onEnded }: ConnectionHost) {
    this.messageBytesMax = options.maxRequestBytes + ENVELOPE_BYTES;
    this.onInternalError = options.onInternalError;
    this.certificateName = options.certificateNameOf?.(session.socket);
    this.from = addressOf(session.socket);
    this.heldBytes = new HeldBytes(HELD_BYTES_MAX, allHeldBytes);
    this.unsentBytes = new HeldBytes(options.unsentBytesMax ?? UNSENT_BYTES_MAX, allUnsentBytes);
    this.#session = session;
    this.#keepAlive = options.keepAlive;
    this.#onEnded = onEnded;
    this.#pings = new PingPolicy(options.keepAlive.minTimeMs);
    session.on("error", () => {}); // told by `close`
    session.on("ping", () => this.#pinged());
    this.#greeting = setTimeout(() => session.destroy(), GREETING_MS).unref();
    session.once("remoteSettings", () => clearTimeout(this.#greeting));
    this.#pinging = setInterval(() => this.#ping(), options.keepAlive.intervalMs).unref();
  }

  stop(): void {
    clearTimeout(this.#greeting);
    clearInterval(this.#pinging);
  }

  sent(): void {
    this.#pings.sent();
  }

  ended(call: GrpcCall): void {
    this.calls.delete(call);
    this.#onEnded(call);
  }

  #pinged(): void {
    if (this.#pings.ping(performance.now(), this.calls.size) || this.#session.destroyed) return;
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    this.#session.destroy();
  }

  /** Finds out whether a silent client is still there. */
  #ping(): void {
    const session = this.#session;
    if (session.destroyed) return;
    const cut = setTimeout(() => session.destroy(), this.#keepAlive.timeoutMs).unref();
    session.ping((error) => {
      clearTimeout(cut);
      if (error !== null && !session.destroyed) session.destroy();
    });
  }
}

function isGrpc(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith("application/grpc")) return false;
  const next = contentType.charAt("application/grpc".length);
  return next === "" || next === "+" || next === ";";
}
