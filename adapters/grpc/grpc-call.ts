/**
 * One call: messages in, messages out, and a status at the end, on one stream of HTTP/2. The status goes into the headers when nothing was
 * sent before it, and into the trailers otherwise. A call ends once; what comes after its end is dropped.
 */
import type { Buffer } from "node:buffer";
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream, constants } from "node:http2";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { OnInternalError } from "../../core/api/error-table.ts";
import { asQuorateError } from "../../core/api/error-table.ts";
import type { Credentials, ReplySink, RequestSource } from "../../core/api/exchange.ts";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import { errTooManyRequests, isQuorateError } from "../../core/errors.ts";
import { emptyLater } from "./closed-streams.ts";
import { packedMessage } from "./compression.ts";
import { type GrpcStatus, OK, encodeMessage, statusOf } from "./grpc-status.ts";
import { type HeldBytes, MessageReader } from "./message-reader.ts";

/** What a call asks of its connection and server. */
export interface CallHost {
  /** See `Credentials`. */
  readonly certificateName: string | undefined;
  /** Address and port of the client. */
  readonly from: string | undefined;
  readonly messageBytesMax: number;
  readonly heldBytes: HeldBytes;
  /** Of replies that the client has not taken yet. */
  readonly unsentBytes: HeldBytes;
  readonly onInternalError: OnInternalError;
  /** Something goes to the client. */
  sent(): void;
  /** Once for each call. */
  ended(call: GrpcCall): void;
}

/** What is done with the messages of a request. */
export interface CallHandler {
  /** @returns a promise to wait for before the next message is read */
  message(text: Bytes): void | Promise<void>;
  /** The client will send no more. */
  end(): void;
}

/** As lists of names and values in turn, which Node sends without looking at each. */
const HEADERS = Object.freeze([":status", "200", "content-type", "application/grpc"]);
const PACKED_HEADERS = Object.freeze([...HEADERS, "grpc-encoding", "gzip"]);
const OK_TRAILERS: OutgoingHttpHeaders = Object.freeze({ "grpc-status": "0" });
const WITH_TRAILERS = Object.freeze({ waitForTrailers: true, sendDate: false });
const WITHOUT_BODY = Object.freeze({ endStream: true, sendDate: false });
const CANCELED = 1;
/** Shorter replies cost less than counting them. */
const COUNTED_BYTES_MIN = 1024;

/**
 * The call of a stream. A stream that is closed may stay in memory until the collector's next great round; it must not keep its call, with
 * all that hangs on that, so the listeners find the call here until then, instead of holding it.
 */
const CALL = Symbol("call");
type Stream = ServerHttp2Stream & { [CALL]?: GrpcCall | undefined };

export class GrpcCall implements Credentials, ReplySink {
  readonly headers: IncomingHttpHeaders;
  /** In milliseconds of the monotonic clock; Infinity when there is none. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Where it stands in the list of its connection; `CallList` alone writes it. */
  place = -1;
  readonly #stream: Stream;
  readonly #host: CallHost;
  readonly #onEnded: (code: number) => void;
  #reader: MessageReader | null = null;
  #handler: CallHandler | null = null;
  #status: GrpcStatus | null = null;
  /** A message is being taken, and nothing after it. */
  #paused = false;
  /** The client has sent its last. */
  #ended = false;
  #begun = false;
  /** Of the reply, as long as the stream is there. */
  #unsentBytes = 0;
  /** Ended by a status, or by the client's going away. */
  #over = false;
  #closed: (() => void) | null = null;

  /** @param stream whose errors somebody listens to @param onEnded told the code of the status, once; that of CANCELED when the client went away */
  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, host: CallHost, onEnded: (code: number) => void) {
    this.#stream = stream;
    this.headers = headers;
    this.#host = host;
    this.#onEnded = onEnded;
    this.#stream[CALL] = this;
    stream.on("close", GrpcCall.#onClose);
  }

  static #onData(this: Stream, chunk: Buffer): void {
    const call = this[CALL];
    if (call !== undefined) call.#data(chunk);
  }

  static #onEnd(this: Stream): void {
    const call = this[CALL];
    if (call !== undefined) call.#end();
  }

  static #onWantTrailers(this: Stream): void {
    const call = this[CALL];
    if (call === undefined) return;
    this.sendTrailers(call.#trailers());
    call.#leave();
  }

  static #onClose(this: Stream): void {
    const call = this[CALL];
    this[CALL] = undefined;
    emptyLater(this);
    if (call === undefined) return;
    call.#host.unsentBytes.remove(call.#unsentBytes);
    call.#ends(CANCELED);
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** etcd's clients send their token as `token`, others as `authorization`. */
  header(name: string): string | undefined {
    const value = (name === "authorization" ? this.headers["token"] : undefined) ?? this.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  get certificateName(): string | undefined {
    return this.#host.certificateName;
  }

  get source(): RequestSource {
    return { from: this.#host.from, request: this.headers[":path"], requestId: this.header("x-request-id") };
  }

  // ---- requests

  /** Begins to read the request. */
  read(handler: CallHandler): void {
    const stream = this.#stream;
    this.#handler = handler;
    stream.on("data", GrpcCall.#onData);
    stream.on("end", GrpcCall.#onEnd);
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    try {
      this.#reader ??= new MessageReader(this.#host.messageBytesMax, this.header("grpc-encoding") ?? "", this.#host.heldBytes);
      const messages = this.#reader.read(chunk);
      if (messages.length === 1) {
        const wait = this.#handler!.message(messages[0]!);
        if (wait !== undefined) this.#pause(wait);
      } else if (messages.length > 1) this.#pause(this.#deliver(messages));
    } catch (error) {
      this.fail(error);
    }
  }

  async #deliver(messages: readonly Bytes[]): Promise<void> {
    for (const message of messages) {
      if (this.#over) return;
      const wait = this.#handler!.message(message);
      if (wait !== undefined) await wait;
    }
  }

  #pause(wait: Promise<void>): void {
    this.#stream.pause();
    this.#paused = true;
    wait.then(
      () => {
        this.#paused = false;
        if (this.#over) return; // the stream may be emptied by now
        this.#stream.resume();
        if (this.#ended) this.#end();
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** Node tells the end of a stream that is paused, too. */
  #end(): void {
    if (this.#over) return;
    this.#ended = true;
    if (this.#paused) return;
    if (this.#reader !== null && !this.#reader.isBetweenMessages) this.finish(statusOf("internal", "unexpected EOF"));
    else this.#handler!.end();
  }

  // ---- replies

  write(chunk: Bytes): boolean {
    if (this.#over || this.#stream.destroyed) return false;
    this.#begin();
    this.#host.sent();
    return this.#stream.write(chunk, "latin1");
  }

  onDrain(resume: () => void): void {
    this.#stream.once("drain", resume);
  }

  onClose(closed: () => void): void {
    if (this.#over) queueMicrotask(closed);
    else this.#closed = closed;
  }

  end(): void {
    this.finish(null);
  }

  /** A message as this call may send it: packed when the client packs its own, as gRPC in Go does. */
  framed(message: Bytes): Bytes {
    return this.#packs ? packedMessage(message) : grpcMessage(message);
  }

  get #packs(): boolean {
    return this.headers["grpc-encoding"] === "gzip";
  }

  /** The whole reply of a call that has one. */
  reply(message: Bytes): void {
    if (this.#over || this.#stream.destroyed) return;
    if (message.length >= COUNTED_BYTES_MIN) {
      // Node counts what it holds only when it is asked for a new stream, which may be thousands of replies later.
      if (!this.#host.unsentBytes.add(message.length)) return this.fail(errTooManyRequests());
      this.#unsentBytes = message.length;
    }
    this.#begin();
    this.#ends(OK);
    this.#host.sent();
    this.#stream.end(message, "latin1");
  }

  /** Ends the call with a status. @param status null: it went well */
  finish(status: GrpcStatus | null): void {
    if (this.#over) return;
    this.#status = status;
    this.#ends(status?.code ?? OK);
    const stream = this.#stream;
    if (stream.destroyed) return;
    this.#host.sent();
    if (this.#begun) return void stream.end();
    const { code, message } = status ?? { code: OK, message: "" };
    stream.respond([...HEADERS, "grpc-status", String(code), "grpc-message", encodeMessage(message)], WITHOUT_BODY);
    this.#leave();
  }

  /** Ends the call with an error; one that is none of an operation is reported, and told as no more than internal. */
  fail(error: unknown): void {
    if (this.#over && isQuorateError(error)) return;
    const { code, message } = asQuorateError(error, this.#host.onInternalError);
    this.finish(statusOf(code, message));
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const stream = this.#stream;
    stream.on("wantTrailers", GrpcCall.#onWantTrailers);
    stream.respond(this.#packs ? PACKED_HEADERS : HEADERS, WITH_TRAILERS);
  }

  #trailers(): OutgoingHttpHeaders {
    if (this.#status === null) return OK_TRAILERS;
    return { "grpc-status": String(this.#status.code), "grpc-message": encodeMessage(this.#status.message) };
  }

  /** The status is said: a client that has not ended its request need not send the rest. The reset must not overtake the status. */
  #leave(): void {
    const stream = this.#stream;
    if (stream.readableEnded) return;
    stream.resume();
    setImmediate(() => {
      if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #ends(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#reader?.release();
    this.#host.ended(this);
    this.#onEnded(code);
    this.#closed?.();
  }
}
