/**
 * Many requests, each with its reply, as etcd's JSON gateway carries them: `/v3/lease/keepalive`. Ends with the request, or at a message
 * that cannot be read; what goes wrong before the first reply is the reply.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { jsonDecoder, jsonEncoder } from "./json-codec.ts";
import type { Call, InTurnMethod } from "./services.ts";
import { SinkWriter } from "../sink-writer.ts";
import { StreamBody } from "./stream-body.ts";
import { STREAM_HEADERS, refusedStream, streamError, streamMessage, unreadableStream } from "./stream.ts";
import type { JsonOptions } from "./unary.ts";

/** A request is one number: far more than any has with spaces and unknown fields. */
const MESSAGE_BYTES_MAX = 64 * 1024;

export function inTurnHandler<Request, Reply>(method: InTurnMethod<Request, Reply>, options: JsonOptions): Handler {
  const { onInternalError, authenticator } = options;
  const decode = jsonDecoder(method.request);
  const encode = jsonEncoder(method.reply);
  const answer = async (message: Request, call: Call) => streamMessage(encode(await method.call(message, call)));

  const sendRest = async (body: StreamBody<Request>, call: Call, writer: SinkWriter): Promise<void> => {
    try {
      for await (const message of body.rest()) {
        if (writer.isClosed) return;
        await writer.write(await answer(message, call));
      }
    } catch (error) {
      await writer.write(streamError(error, onInternalError));
    }
    writer.end();
  };

  return async (request: ApiRequest): Promise<ApiReply> => {
    let body: StreamBody<Request>;
    try {
      body = await StreamBody.open(request, decode, MESSAGE_BYTES_MAX);
    } catch (error) {
      return unreadableStream(error, onInternalError);
    }
    const { first } = body;
    if (first === undefined) return { status: 200, headers: STREAM_HEADERS, body: EMPTY };
    try {
      const call = { member: authenticator.memberFor(request), credentials: request, bytesAtMost: MESSAGE_BYTES_MAX };
      const line = await answer(first, call);
      const send = async (writer: SinkWriter): Promise<void> => {
        await writer.write(line);
        await sendRest(body, call, writer);
      };
      return { status: 200, headers: STREAM_HEADERS, body: (sink) => void send(new SinkWriter(sink)) };
    } catch (error) {
      return refusedStream(error, onInternalError);
    }
  };
}
