/**
 * A gRPC client held in the hand, on Node's HTTP/2: a test sends any bytes as a call, piece by piece, and sees messages, headers and
 * trailers as they come.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  connect,
  constants,
} from "node:http2";
import { GRPC_PREFIX_BYTES, grpcMessage } from "../../core/api/v3/grpc-message.ts";
import type { MessageTable } from "../../core/api/v3/message-table.ts";
import { protobufDecoder, protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";

export class GrpcClient {
  readonly session: ClientHttp2Session;
  /** Code and data of the GOAWAY that came, if one did. */
  goaway: { readonly code: number; readonly text: string } | null = null;
  readonly closed: Promise<void>;

  /** @param url `http://host:port` */
  constructor(url: string) {
    this.session = connect(url);
    this.session.on("goaway", (code, _last, data) => (this.goaway = { code, text: data?.toString() ?? "" }));
    this.session.on("error", () => {}); // the calls see it
    this.closed = new Promise((resolve) => this.session.once("close", () => resolve()));
  }

  /** @param path `/etcdserverpb.KV/Range` */
  call(path: string, headers: OutgoingHttpHeaders = {}): ClientCall {
    const own = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    return new ClientCall(this.session.request({ ...own, ...headers }));
  }

  /** One message there, and what came back. @param message of protobuf, without the prefix */
  async unary(path: string, message: Bytes, headers: OutgoingHttpHeaders = {}): Promise<CallOutcome> {
    const call = this.call(path, headers);
    call.send(grpcMessage(message));
    call.end();
    return call.outcome;
  }

  /** @throws Error with the status of a call that failed */
  async ask<Request, Reply>(
    path: string,
    tables: { readonly request: MessageTable<Request>; readonly reply: MessageTable<Reply> },
    request: Partial<Request>,
    headers: OutgoingHttpHeaders = {},
  ): Promise<Reply> {
    const message = protobufEncoder(tables.request)({ ...tables.request.defaults, ...request });
    const { status, text, messages } = await this.unary(path, message, headers);
    if (status !== 0) throw new Error(`${path}: ${status} ${text}`);
    return protobufDecoder(tables.reply)(messages[0]!);
  }

  close(): void {
    this.session.destroy();
  }
}

export interface CallOutcome {
  /** null: the stream ended without a status. */
  readonly status: number | null;
  readonly text: string;
  readonly messages: readonly Bytes[];
  readonly headers: IncomingHttpHeaders;
  /** Of HTTP/2, when the stream was reset; else 0. */
  readonly resetCode: number;
}

export class ClientCall {
  readonly stream: ClientHttp2Stream;
  readonly messages: Bytes[] = [];
  readonly outcome: Promise<CallOutcome>;
  #held = Buffer.alloc(0);
  #headers: IncomingHttpHeaders = {};
  #trailers: IncomingHttpHeaders = {};
  #came: (() => void) | null = null;

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    stream.on("response", (headers) => (this.#headers = headers));
    stream.on("trailers", (trailers) => (this.#trailers = trailers));
    stream.on("data", (chunk: Buffer) => this.#data(chunk));
    stream.on("error", () => {}); // the outcome tells
    this.outcome = new Promise((resolve) =>
      stream.once("close", () => {
        const told = this.#trailers["grpc-status"] === undefined ? this.#headers : this.#trailers;
        const status = told["grpc-status"];
        resolve({
          status: status === undefined ? null : Number(status),
          text: decodeURIComponent(String(told["grpc-message"] ?? "")),
          messages: this.messages,
          headers: this.#headers,
          resetCode: stream.rstCode,
        });
        this.#came?.();
      }),
    );
  }

  send(bytes: Bytes | Uint8Array): void {
    this.stream.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  end(): void {
    this.stream.end();
  }

  cancel(): void {
    this.stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Waits for so many messages. @throws Error when the call ends before */
  async until(count: number): Promise<readonly Bytes[]> {
    while (this.messages.length < count) {
      if (this.stream.closed) throw new Error(`the call ended after ${this.messages.length} messages`);
      await new Promise<void>((resolve) => (this.#came = resolve));
    }
    return this.messages;
  }

  #data(chunk: Buffer): void {
    let rest = Buffer.concat([this.#held, chunk]);
    while (rest.length >= GRPC_PREFIX_BYTES && rest.length >= GRPC_PREFIX_BYTES + rest.readUInt32BE(1)) {
      const end = GRPC_PREFIX_BYTES + rest.readUInt32BE(1);
      this.messages.push(rest.toString("latin1", GRPC_PREFIX_BYTES, end) as Bytes);
      rest = rest.subarray(end);
    }
    this.#held = rest;
    this.#came?.();
  }
}
