/**
 * The answer to `wait=true`: the head at once, then the event, or with `stream=true` one event after another until the client goes.
 * A client that does not read is let go once too much waits for it, as etcd does when its watch channel is full.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { V2Note } from "../../store/v2-tree/v2-command.ts";
import type { V2TreeView } from "../../store/v2-tree/v2-tree-view.ts";
import type { ApiReply, ReplySink } from "../exchange.ts";
import { encodeEvent } from "./json.ts";

/** Events that may wait for one slow client: more than a whole history, so that reading from the past always gets through. */
const WAITING_EVENTS_MAX = 2000;

export interface WatchReplyOptions {
  readonly tree: V2TreeView;
  readonly path: Bytes;
  readonly recursive: boolean;
  readonly sinceIndex: number;
  readonly stream: boolean;
  readonly headers: Record<string, string>;
}

/** @throws QuorateError eventIndexCleared */
export function watchReply(options: WatchReplyOptions): ApiReply {
  const { tree, path, recursive, sinceIndex, stream, headers } = options;
  const waiting: Bytes[] = [];
  let sink: ReplySink | null = null;
  let full = false; // the sink has asked for a break
  let ended = false;

  const pump = () => {
    if (sink === null || ended) return;
    while (!full && waiting.length > 0) {
      full = !sink.write(waiting.shift()!);
      if (!stream) return end();
      if (full) sink.onDrain(drained);
    }
  };
  const drained = () => {
    full = false;
    pump();
  };
  const end = () => {
    if (ended) return;
    ended = true;
    watch.close();
    sink?.end();
  };
  const onEvent = (note: V2Note, _index: number, time: number) => {
    if (ended) return;
    if (waiting.length >= WAITING_EVENTS_MAX) return end();
    waiting.push(encodeEvent(note, time));
    pump();
  };
  const watch = tree.watch({ path, recursive, sinceIndex, once: !stream, onEvent });

  return {
    status: 200,
    headers,
    body: (opened) => {
      sink = opened;
      sink.onClose(() => {
        ended = true;
        waiting.length = 0;
        watch.close();
      });
      if (ended) sink.end(); // too slow before it began
      else pump();
    },
  };
}
