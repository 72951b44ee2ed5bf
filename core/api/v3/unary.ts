/**
 * One request, one reply, as etcd's JSON gateway carries them: the body to a message, the message to the service, its answer or its
 * error to the reply. What a service answers at once is replied at once, without a promise.
 */
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { type OnInternalError, v3Error } from "../error-table.ts";
import { type JsonEncoder, jsonDecoder, jsonEncoder } from "./json-codec.ts";
import { checkMessageSize } from "./message-size.ts";
import type { MessageTable } from "./message-table.ts";

/** @param bytesAtMost a bound on the size of the request in protobuf */
export type Method<Request, Reply> = (request: Request, bytesAtMost: number, asked: Asked) => Reply | Promise<Reply>;

/** By whom, and with what they may do. */
export interface Asked {
  readonly member: Member;
  readonly request: ApiRequest;
}

export interface UnaryOptions {
  readonly maxRequestBytes: number;
  readonly onInternalError: OnInternalError;
  readonly authenticator: Authenticator;
}

const HEADERS = Object.freeze({ "content-type": "application/json" });

export function unary<Request, Reply>(
  requestTable: MessageTable<Request>,
  replyTable: MessageTable<Reply>,
  method: Method<Request, Reply>,
  { maxRequestBytes, onInternalError, authenticator }: UnaryOptions,
): Handler {
  const decode = jsonDecoder(requestTable);
  const encode = jsonEncoder(replyTable);
  const fail = (error: unknown): ApiReply => v3Error(error, onInternalError);
  return (request: ApiRequest) => {
    const { body } = request;
    try {
      const message = decode(body);
      // JSON with base64 is never shorter than protobuf
      checkMessageSize(requestTable, message, body.length, maxRequestBytes);
      const answer = method(message, body.length, { member: authenticator.memberFor(request), request });
      if (answer instanceof Promise) return answer.then((reply) => replyOf(reply, encode), fail);
      return replyOf(answer, encode);
    } catch (error) {
      return fail(error);
    }
  };
}

function replyOf<Reply>(answer: Reply, encode: JsonEncoder<Reply>): ApiReply {
  return { status: 200, headers: HEADERS, body: encode(answer) };
}
