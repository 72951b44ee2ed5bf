/**
 * One request, one reply, as etcd's JSON gateway carries them: the body to a message, the message to the service, its answer or its
 * error to the reply. What a service answers at once is replied at once, without a promise.
 */
import type { Authenticator } from "../auth/authenticator.ts";
import { type OnInternalError, v3Error } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { Cancellation } from "./cancellation.ts";
import { type JsonEncoder, jsonDecoder, jsonEncoder } from "./json-codec.ts";
import { checkMessageSize, checkRequestSize } from "./message-size.ts";
import type { MessageTable } from "./message-table.ts";
import { type UnaryMethod, type WaitingMethod, waitingError } from "./services.ts";

export interface JsonOptions {
  readonly maxRequestBytes: number;
  readonly onInternalError: OnInternalError;
  readonly authenticator: Authenticator;
}

const HEADERS = Object.freeze({ "content-type": "application/json" });

export function unaryHandler<Request, Reply>(method: UnaryMethod<Request, Reply>, options: JsonOptions): Handler {
  const { onInternalError, authenticator } = options;
  const decode = requestDecoder(method.request, options);
  const encode = jsonEncoder(method.reply);
  const fail = (error: unknown): ApiReply => v3Error(error, onInternalError);
  return (request: ApiRequest) => {
    try {
      const message = decode(request);
      // JSON with base64 is never shorter than protobuf
      const call = { member: authenticator.memberFor(request), credentials: request, bytesAtMost: request.body.length };
      const answer = method.call(message, call);
      if (answer instanceof Promise) return answer.then((reply) => replyOf(reply, encode), fail);
      return replyOf(answer, encode);
    } catch (error) {
      return fail(error);
    }
  };
}

/** Of a request that may wait: a client that hangs up waits no longer. See `waitingError`. */
export function waitingHandler<Request, Reply>(method: WaitingMethod<Request, Reply>, options: JsonOptions): Handler {
  const { maxRequestBytes, onInternalError, authenticator } = options;
  const decode = requestDecoder(method.request, options);
  const encode = jsonEncoder(method.reply);
  return async (request: ApiRequest): Promise<ApiReply> => {
    let message: Request;
    try {
      message = decode(request);
    } catch (error) {
      return v3Error(error, onInternalError);
    }
    const cancellation = new Cancellation();
    request.onHangUp?.(() => cancellation.cancel());
    try {
      const bytesAtMost = request.body.length;
      checkRequestSize(method.request, message, bytesAtMost, maxRequestBytes);
      const call = { member: authenticator.memberFor(request), credentials: request, bytesAtMost };
      return replyOf(await method.call(message, call, cancellation), encode);
    } catch (error) {
      return v3Error(waitingError(error), onInternalError);
    }
  };
}

/** Reads a message of limited size. @throws QuorateError badJson, messageTooLarge */
export function requestDecoder<Request>(
  table: MessageTable<Request>,
  { maxRequestBytes }: Pick<JsonOptions, "maxRequestBytes">,
): (request: ApiRequest) => Request {
  const decode = jsonDecoder(table);
  return ({ body }) => {
    const message = decode(body);
    checkMessageSize(table, message, body.length, maxRequestBytes);
    return message;
  };
}

function replyOf<Reply>(answer: Reply, encode: JsonEncoder<Reply>): ApiReply {
  return { status: 200, headers: HEADERS, body: encode(answer) };
}
