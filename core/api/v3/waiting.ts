/**
 * Routes of etcd's lock and election services: one message, one reply, which may be a long time coming. Their errors are all of code 2:
 * etcd serves them through a client of its own, which forgets the code.
 */
import { isQuorateError } from "../../errors.ts";
import { type OnInternalError, v3Error, v3ErrorReply } from "../error-table.ts";
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { Cancellation } from "./cancellation.ts";
import { jsonDecoder, jsonEncoder } from "./json-codec.ts";
import { checkMessageSize, checkRequestSize } from "./message-size.ts";
import type { MessageTable } from "./message-table.ts";

export interface WaitingDeps {
  readonly authenticator: Authenticator;
  readonly maxRequestBytes: number;
  readonly onInternalError: OnInternalError;
}

/**
 * A route of a request that may wait.
 * @param method answers it, with the member as the caller may use it. What it throws is told with code 2
 */
export function waiting<Request, Reply>(
  requestTable: MessageTable<Request>,
  replyTable: MessageTable<Reply>,
  method: (request: Request, cancellation: Cancellation, member: Member) => Promise<Reply>,
  { maxRequestBytes, onInternalError, authenticator }: WaitingDeps,
): Handler {
  const decode = requestDecoder(requestTable, maxRequestBytes);
  const encode = jsonEncoder(replyTable);
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
      checkRequestSize(requestTable, message, request.body.length, maxRequestBytes);
      return {
        status: 200,
        headers: { "content-type": "application/json" },
        body: encode(await method(message, cancellation, authenticator.memberFor(request))),
      };
    } catch (error) {
      return isQuorateError(error) ? v3ErrorReply("unknown", error.message) : v3Error(error, onInternalError);
    }
  };
}

/** Reads a message of limited size. @throws QuorateError badJson, messageTooLarge */
export function requestDecoder<Request>(table: MessageTable<Request>, maxRequestBytes: number): (request: ApiRequest) => Request {
  const decode = jsonDecoder(table);
  return ({ body }) => {
    const message = decode(body);
    checkMessageSize(table, message, body.length, maxRequestBytes);
    return message;
  };
}
