/**
 * `/v3/watch` of etcd's JSON gateway: messages in, a line of JSON out for each answer, for as long as the client stays connected. The
 * end of the request, and a message that cannot be read, end only the reading of requests.
 *
 * Sending goes in rounds over all streams that have something to send: what became ready while one batch of commands was applied
 * leaves in one write a stream, and is encoded once for all of them.
 */
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { OnInternalError } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler, ReplySink } from "../exchange.ts";
import { jsonDecoder } from "./json-codec.ts";
import { WATCH_REQUEST, type WatchRequestMessage } from "./messages.ts";
import { StreamBody } from "./stream-body.ts";
import { STREAM_HEADERS, streamError, unreadableStream } from "./stream.ts";
import { WatchEncoder } from "./watch-encoder.ts";
import { WatchStream } from "./watch-stream.ts";

/** Calls a function again and again, the first time after one interval. @returns ends it */
export type Every = (intervalMs: number, call: () => void) => () => void;

export interface WatchDeps {
  readonly authenticator: Authenticator;
  readonly member: Member;
  /** As of other requests. It limits the messages that open watches, and what one message of a watch with fragments holds. */
  readonly maxRequestBytes: number;
  /** How often watches with `progress_notify` are told the revision when nothing happens; etcd's is ten minutes. */
  readonly progressIntervalMs: number;
  readonly every: Every;
  /** Lets the host's event loop take its turn, between rounds of much sending. */
  readonly pause: () => Promise<void>;
  readonly onInternalError: OnInternalError;
}

/** What etcd adds to the limit of a request where it limits a message (`grpcOverheadBytes`). */
const ENVELOPE_BYTES = 512 * 1024;
/** Streams that one round serves before the host's event loop takes its turn. */
const ROUND_STREAMS_MAX = 256;

/** Asks proxies to pass on each line as it comes, and not to keep it. */
const HEADERS = Object.freeze({
  ...STREAM_HEADERS,
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
});

export class WatchService {
  readonly #deps: WatchDeps;
  readonly #encoder: WatchEncoder;
  readonly #messageBytesMax: number;
  readonly #streams = new Set<WatchStream>();
  readonly #endProgress: () => void;
  #due: WatchStream[] = [];
  /** A round will come, or is under way. */
  #underWay = false;
  readonly #decode = jsonDecoder(WATCH_REQUEST);

  constructor(deps: WatchDeps) {
    this.#deps = deps;
    this.#messageBytesMax = deps.maxRequestBytes + ENVELOPE_BYTES;
    this.#encoder = new WatchEncoder(deps.member, this.#messageBytesMax);
    this.#endProgress = deps.every(deps.progressIntervalMs, () => {
      for (const stream of this.#streams) stream.progressInterval();
    });
  }

  /** Streams open now, for metrics. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Ends the timer; streams end with their connections. */
  stop(): void {
    this.#endProgress();
  }

  readonly handle: Handler = async (request: ApiRequest): Promise<ApiReply> => {
    let body: StreamBody<WatchRequestMessage>;
    try {
      body = await StreamBody.open(request, this.#decode, this.#messageBytesMax);
    } catch (error) {
      return unreadableStream(error, this.#deps.onInternalError);
    }
    return { status: 200, headers: HEADERS, body: (sink) => this.#open(request, body, sink) };
  };

  #open(request: ApiRequest, body: StreamBody<WatchRequestMessage>, sink: ReplySink): void {
    if (body.first === undefined) return sink.end(); // nothing was asked, and nothing can be
    const stream = new WatchStream(sink, {
      store: this.#deps.member.store,
      permit: (range) => this.#deps.authenticator.checkRead(request, range),
      encoder: this.#encoder,
      fragmentTurnBytes: this.#messageBytesMax,
      schedule: (one) => this.#schedule(one),
    });
    this.#streams.add(stream);
    sink.onClose(() => {
      this.#streams.delete(stream);
      stream.close();
    });
    this.#read(body.first, body, stream).catch((error: unknown) => this.#fail(stream, error));
  }

  #fail(stream: WatchStream, error: unknown): void {
    if (!stream.isClosed) stream.end(streamError(error, this.#deps.onInternalError));
  }

  async #read(first: WatchRequestMessage, body: StreamBody<WatchRequestMessage>, stream: WatchStream): Promise<void> {
    await stream.request(first);
    for await (const message of body.rest()) {
      if (stream.isClosed) return;
      await stream.request(message);
    }
  }

  #schedule(stream: WatchStream): void {
    if (stream.scheduled) return;
    stream.scheduled = true;
    this.#due.push(stream);
    if (this.#underWay) return;
    this.#underWay = true;
    queueMicrotask(() => this.#round());
  }

  /** Serves those that are due now; those that become due meanwhile have the next round. */
  #round(): void {
    const due = this.#due;
    this.#due = due.length > ROUND_STREAMS_MAX ? due.splice(ROUND_STREAMS_MAX) : [];
    this.#encoder.beginRound();
    for (const stream of due) {
      stream.scheduled = false;
      try {
        stream.send();
      } catch (error) {
        this.#fail(stream, error);
      }
    }
    this.#encoder.endRound();
    this.#underWay = this.#due.length > 0;
    if (this.#underWay) void this.#deps.pause().then(() => this.#round());
  }
}
