/**
 * How the store is asked over HTTP: a wire makes a request of each call and reads the reply. It knows nothing of connections, endpoints,
 * time and trying again; `HttpStore` does, for all wires alike.
 */
import type { QuorateError } from "../core/errors.ts";
import type { AsOf, WatchBatch, WatchRequest } from "../core/recipes/client-port.ts";
import type { LeaseId, RangeRequest, RangeResult, TxnRequest, TxnResult } from "../core/store/command.ts";

export interface HttpRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Call<T> extends HttpRequest {
  /** Doing it twice is the same as doing it once, so it is asked again when its outcome is not known. */
  readonly repeatable: boolean;
  /** @throws anything when the body is not whole: the connection was lost then; QuorateError when it tells of an error */
  decode(body: string): T;
  /** It can go in a batch. */
  readonly part?: CallPart<T>;
}

/** A call's part of a batch. */
export interface CallPart<T> {
  readonly message: object;
  read(result: object): T;
}

/** Several calls in one request. */
export interface BatchWire {
  readonly callsMax: number;
  /** @returns the result or the error of each, in order */
  call(messages: readonly object[], repeatable: boolean): Call<readonly (object | QuorateError)[]>;
}

/** What a stream tells of. `alive`: that the other side is there. */
export type StreamStep =
  | { readonly kind: "alive" }
  | ({ readonly kind: "events" } & WatchBatch)
  | { readonly kind: "failed"; readonly error: QuorateError };

export interface StreamCall extends HttpRequest {
  /** Silence for so long means that the connection is gone. */
  readonly silenceMs: number;
  /** Reads one line of the body; a stream has a reader of its own. */
  readonly read: (line: string) => StreamStep | undefined;
}

/** How a watch is spoken: as the body of a reply, message by message over a WebSocket, or by replies that wait for the next change. */
export type WatchForm = "stream" | "socket" | "poll";

export interface Wire {
  /** `serializable`: by whichever member is asked. As of `minRevision` or later, if the wire can say so. */
  range(request: RangeRequest, options: { readonly serializable: boolean; readonly minRevision: number }): Call<RangeResult & AsOf>;
  /** @param idempotencyKey makes it repeatable, if the wire has such @throws QuorateError unsupported */
  txn(request: TxnRequest, idempotencyKey?: string): Call<TxnResult & AsOf>;
  /** Fails with `leaseExists` when it is there; `HttpStore` finds out whether it is the same one. */
  grant(id: LeaseId, ttlSeconds: number): Call<void>;
  keepAlive(id: LeaseId): Call<number>;
  revoke(id: LeaseId): Call<void>;
  remaining(id: LeaseId): Call<number>;
  /** @param form one of `watchForms` */
  watch(request: WatchRequest, form: WatchForm): StreamCall;
  /** Default: `stream` alone. */
  readonly watchForms?: readonly WatchForm[];
  readonly batch?: BatchWire;
  /** The value of the header `Authorization`. */
  authorization(token: string): string;
  /** @returns undefined when the body is none of this wire: something between answered */
  errorOf(status: number, body: string): QuorateError | undefined;
}
