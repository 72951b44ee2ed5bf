/**
 * The two ways to wait over HTTP with one meaning: a request that is answered when something has happened or its time is over (long poll),
 * and a stream of server-sent events, which `Last-Event-ID` resumes (HTML, section 9.2).
 */
import { utf8Encode } from "../../bytes/utf8.ts";
import { errInternal, errWaitCanceled, isQuorateError } from "../../errors.ts";
import type { ApiReply, ApiRequest, ReplySink } from "../exchange.ts";
import { SinkWriter } from "../sink-writer.ts";
import { problemOf } from "./problem.ts";
import type { V1Services } from "./services.ts";

/** Comments on a silent stream, so that nothing on the way takes it for dead. */
const PING_MS = 15_000;

/**
 * What `work` gives, or undefined when the time is over; its signal fires then, and when the client hangs up.
 * @throws what `work` throws
 */
export async function within<T>(
  { after }: Pick<V1Services, "after">,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const over = new AbortController();
  const timedOut = Symbol("the time is over");
  const hungUp = (): void => over.abort(signal.reason);
  signal.addEventListener("abort", hungUp);
  const end = after(ms, () => over.abort(timedOut));
  try {
    return await work(over.signal);
  } catch (error) {
    if (over.signal.reason === timedOut) return undefined;
    throw error;
  } finally {
    end();
    signal.removeEventListener("abort", hungUp);
  }
}

/** Whether the client asks for a stream of events. */
export function wantsEvents(request: ApiRequest): boolean {
  return (
    request
      .header("accept")
      ?.split(",")
      .some((type) => type.trim().startsWith("text/event-stream")) === true
  );
}

export interface ServerEvent {
  /** Left out: `message`. */
  readonly event?: string;
  /** From which the stream goes on when it is resumed: a revision. */
  readonly id?: number;
  /** Sent as JSON. */
  readonly data: unknown;
}

/** Where a broken stream is to go on; undefined when it does not say, or another server said it. */
export function lastEventId(request: ApiRequest): number | undefined {
  const text = request.header("last-event-id");
  return text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : undefined;
}

/**
 * A stream of what the source gives, until it ends or the client hangs up: then the signal fires. What goes wrong is the last event, of
 * the name `error`, with the problem as its data. A slow reader is not written to faster than it reads.
 */
export function eventStream(services: V1Services, source: (signal: AbortSignal) => AsyncIterable<ServerEvent>): ApiReply {
  const headers = { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" };
  return { status: 200, headers, body: (sink) => void send(services, sink, source) };
}

async function send(services: V1Services, sink: ReplySink, source: (signal: AbortSignal) => AsyncIterable<ServerEvent>): Promise<void> {
  const writer = new SinkWriter(sink);
  const hungUp = new AbortController();
  writer.onClose(() => hungUp.abort(errWaitCanceled()));
  let isBusy = false;
  let endPing = (): void => {};
  const ping = (): void => {
    endPing = services.after(PING_MS, () => {
      if (!isBusy) sink.write(utf8Encode(": ping\n\n"));
      ping();
    });
  };
  const write = async (text: string): Promise<void> => {
    isBusy = true;
    await writer.write(utf8Encode(text));
    isBusy = false;
  };
  ping();
  try {
    for await (const event of source(hungUp.signal)) {
      if (writer.isClosed) break;
      await write(formatEvent(event));
    }
  } catch (error) {
    const known = isQuorateError(error) ? error : undefined;
    if (known === undefined) services.onInternalError(error);
    if (!writer.isClosed) await write(formatEvent({ event: "error", data: problemOf(known ?? errInternal()) }));
  } finally {
    endPing();
    sink.end();
  }
}

function formatEvent({ event, id, data }: ServerEvent): string {
  return `${event === undefined ? "" : `event: ${event}\n`}${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}
