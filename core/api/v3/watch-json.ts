/**
 * `/v3/watch` of etcd's JSON gateway: messages in, a line of JSON out for each answer, for as long as the client stays connected. The
 * end of the request, and a message that cannot be read, end only the reading of requests.
 */
import type { OnInternalError } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler, ReplySink } from "../exchange.ts";
import { jsonDecoder } from "./json-codec.ts";
import { WATCH_REQUEST, type WatchRequestMessage } from "./messages.ts";
import { StreamBody } from "./stream-body.ts";
import { STREAM_HEADERS, refusedStream, streamError, unreadableStream } from "./stream.ts";
import { JSON_WATCH } from "./watch-format.ts";
import type { WatchStream } from "./watch-stream.ts";
import type { WatchService } from "./watch.ts";

/** Asks proxies to pass on each line as it comes, and not to keep it. */
const HEADERS = Object.freeze({
  ...STREAM_HEADERS,
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
});

const decode = jsonDecoder(WATCH_REQUEST);

export function watchHandler(service: WatchService, onInternalError: OnInternalError): Handler {
  const open = (request: ApiRequest, body: StreamBody<WatchRequestMessage>, sink: ReplySink): void => {
    if (body.first === undefined) return sink.end(); // nothing was asked, and nothing can be
    const fail = (error: unknown): void => {
      sink.write(streamError(error, onInternalError));
      sink.end();
    };
    const stream = service.open({ credentials: request, format: JSON_WATCH, sink, fail });
    read(body.first, body, stream).catch((error: unknown) => stream.fail(error));
  };
  return async (request: ApiRequest): Promise<ApiReply> => {
    let body: StreamBody<WatchRequestMessage>;
    try {
      body = await StreamBody.open(request, decode, service.messageBytesMax);
    } catch (error) {
      return unreadableStream(error, onInternalError);
    }
    try {
      service.checkServed();
    } catch (error) {
      return refusedStream(error, onInternalError);
    }
    return { status: 200, headers: HEADERS, body: (sink) => open(request, body, sink) };
  };
}

async function read(first: WatchRequestMessage, body: StreamBody<WatchRequestMessage>, stream: WatchStream): Promise<void> {
  await stream.request(first);
  for await (const message of body.rest()) {
    if (stream.isClosed) return;
    await stream.request(message);
  }
}
