/**
 * A request and a reply, without a platform: what every route of the views is written against. The Hono app carries them over the
 * Fetch API; the Node runtime carries the busiest ones over `node:http` directly. Bodies are byte strings.
 */
import type { Bytes } from "../bytes/bytes.ts";

/** Says of a request which one it is, in replies and logs: whoever sends it, gets it back. */
export const REQUEST_ID = "x-request-id";

/** Where a request came from, for people who look at what was done. */
export interface RequestSource {
  /** Address and port of whoever is at the other end of the connection. */
  readonly from?: string | undefined;
  /** Method and path, without the query: `PUT /v1/kv/a`; of gRPC the method's name. */
  readonly request?: string | undefined;
  /** `X-Request-Id`, as the client has sent it. */
  readonly requestId?: string | undefined;
}

/** Of whoever is at the other end of a connection; undefined when it is gone. */
export function addressOf(socket: {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}): string | undefined {
  const { remoteAddress: address, remotePort: port } = socket;
  if (address === undefined) return undefined;
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** By what a request can be told to be somebody's. */
export interface Credentials {
  /** @param name in lower case */
  header(name: string): string | undefined;
  /**
   * Common name of the certificate that the client has shown, where such names are users (`--client-cert-auth`); empty when the certificate
   * has none. Undefined where they are not, or without a certificate.
   */
  readonly certificateName?: string | undefined;
  /** What is asked for, where tokens may be good for one request only: its method, and its path with the query. */
  readonly act?: { readonly method: string; readonly path: string } | undefined;
  /** Left out where the host does not know. */
  readonly source?: RequestSource | undefined;
}

/** What a host knows of the connection that a request came on. */
export interface ConnectionFacts {
  /** It is TLS. */
  readonly isSecure: boolean;
  readonly certificateName?: string | undefined;
  /** Address and port of the client. */
  readonly from?: string | undefined;
}

export interface ApiRequest extends Credentials {
  readonly method: string;
  /** As sent: still percent-encoded, without the query. */
  readonly path: string;
  /** As sent, without the question mark; empty when there is none. */
  readonly query: string;
  /** The whole body, read within the size limit. Empty for a streaming route. */
  readonly body: Bytes;
  /** The body as it arrives; only for a streaming route. Ends when the client has sent all; the reply may go on. */
  readonly chunks?: AsyncIterable<Uint8Array>;
  /**
   * Has `listener` called once if the client hangs up before the reply begins; for handlers that may wait long. Left out where the host
   * cannot tell.
   */
  onHangUp?(listener: () => void): void;
}

/** Where a streaming reply goes. */
export interface ReplySink {
  /** @returns false when the client is slow: wait for `onDrain` before writing more */
  write(chunk: Bytes): boolean;
  onDrain(resume: () => void): void;
  /** The client hung up, or the server ends; called once, also after `end`. */
  onClose(closed: () => void): void;
  end(): void;
}

export interface ApiReply {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** A whole body, or a function that is called once, after the head was sent, and writes it. */
  readonly body: Bytes | ((sink: ReplySink) => void);
}

export type Handler = (request: ApiRequest) => ApiReply | Promise<ApiReply>;

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "*";
  /** Exact path, or a prefix that ends with "/*". */
  readonly path: string;
  /** `stream`: the handler gets `chunks` and no `body`. */
  readonly kind: "unary" | "stream";
  readonly handle: Handler;
}
