/** One request, many replies, as etcd's JSON gateway carries them: a line each, no faster than the client reads. */
import type { OnInternalError } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { Cancellation } from "./cancellation.ts";
import { type JsonEncoder, jsonEncoder } from "./json-codec.ts";
import type { ServerStreamMethod } from "./services.ts";
import { SinkWriter } from "../sink-writer.ts";
import { STREAM_HEADERS, refusedStream, streamError, streamMessage } from "./stream.ts";
import { type JsonOptions, requestDecoder } from "./unary.ts";

export function serverStreamHandler<Request, Reply>(method: ServerStreamMethod<Request, Reply>, options: JsonOptions): Handler {
  const { onInternalError, authenticator } = options;
  const decode = requestDecoder(method.request, options);
  const encode = jsonEncoder(method.reply);
  return (request: ApiRequest): ApiReply => {
    try {
      const message = decode(request);
      const cancellation = new Cancellation();
      const call = { member: authenticator.memberFor(request), credentials: request, bytesAtMost: request.body.length };
      const replies = method.call(message, call, cancellation);
      return {
        status: 200,
        headers: STREAM_HEADERS,
        body: (sink) => void send(replies, encode, cancellation, new SinkWriter(sink), onInternalError),
      };
    } catch (error) {
      return refusedStream(error, onInternalError);
    }
  };
}

async function send<Reply>(
  replies: AsyncIterable<Reply>,
  encode: JsonEncoder<Reply>,
  cancellation: Cancellation,
  writer: SinkWriter,
  onInternalError: OnInternalError,
): Promise<void> {
  writer.onClose(() => cancellation.cancel());
  try {
    for await (const reply of replies) {
      if (writer.isClosed) return;
      await writer.write(streamMessage(encode(reply)));
    }
  } catch (error) {
    await writer.write(streamError(error, onInternalError));
  }
  writer.end();
}
