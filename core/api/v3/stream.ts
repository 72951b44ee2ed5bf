/**
 * What etcd's gateway wraps around the messages of a streaming reply: one JSON object a line, `{"result": …}`, and at most one
 * `{"error": …}`, which is the last and has no line end.
 * Source: grpc-gateway 1.9, ForwardResponseStream.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { CODES, isQuorateError } from "../../errors.ts";
import { type OnInternalError, asQuorateError, statusOf, statusText, v3Error, v3ErrorReply } from "../error-table.ts";
import type { ApiReply } from "../exchange.ts";
import { quoteText } from "./json-codec.ts";

export const STREAM_HEADERS = Object.freeze({ "content-type": "application/json" });

/** @param message a message as JSON */
export function streamMessage(message: Bytes): Bytes {
  return `{"result":${message}}\n` as Bytes;
}

/** What ends a stream that has begun. */
export function streamError(error: unknown, onInternalError: OnInternalError): Bytes {
  const { code, message } = asQuorateError(error, onInternalError);
  const status = statusOf(code);
  const text = quoteText(message);
  return `{"error":{"grpc_code":${CODES[code]},"http_code":${status},"message":${text},"http_status":"${statusText(status)}"}}` as Bytes;
}

/** The reply to a request for a stream that is not begun: most errors are told as for other requests, this one as by a stream. */
export function refusedStream(error: unknown, onInternalError: OnInternalError): ApiReply {
  if (!isQuorateError(error) || error.reason !== "notForLearner") return v3Error(error, onInternalError);
  return { status: statusOf(error.code), headers: STREAM_HEADERS, body: streamError(error, onInternalError) };
}

/**
 * The reply to a streaming request whose first message cannot be read. It is code 2 there, not 3 as for other requests: the gateway
 * forgets to say so.
 */
export function unreadableStream(error: unknown, onInternalError: OnInternalError): ApiReply {
  const { reason, code, message } = asQuorateError(error, onInternalError);
  return v3ErrorReply(reason === "badJson" ? "unknown" : code, message);
}
