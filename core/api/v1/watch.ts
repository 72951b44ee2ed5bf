/** Changes of keys as a stream of server-sent events, which goes on where it was broken off. */
import { z } from "zod";
import { EMPTY } from "../../bytes/bytes.ts";
import { errBadField, isQuorateError } from "../../errors.ts";
import type { WatchBatch, WatchRequest } from "../../recipes/client-port.ts";
import type { KeyRange } from "../../store/command.ts";
import type { WatchEvent } from "../../store/watch/watcher.ts";
import { readOf } from "../../recipes/requests.ts";
import type { ApiReply } from "../exchange.ts";
import { flagParam, optionalBytesParam, waitParam } from "./fields.ts";
import { type Call, type Operation, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";
import { type ServerEvent, eventStream, lastEventId, wantsEvents, within } from "./waiting.ts";
import { type Keys, bytesOut, bytesToJson, isOne, keyValueOut, keyValueToJson, rangeIn } from "./wire.ts";

const changeOut = z.object({
  type: z.enum(["put", "delete"]),
  key: bytesOut,
  kv: keyValueOut.optional().describe("Of a put."),
  prev: keyValueOut.optional(),
  revision: z.int(),
});
const changesOut = z.object({
  events: z.array(changeOut).describe("Of whole revisions, ascending."),
  revision: z.int().describe("Everything up to it has been told: go on from the next one."),
});
const resetOut = z.object({
  compactRevision: z.int().describe("History before it is gone."),
  revision: z.int().describe("The stream goes on behind it: read the state as of it."),
});

const watchQuery = z.object({
  key: optionalBytesParam("One key."),
  prefix: optionalBytesParam("All keys that begin so; empty: everything."),
  from: optionalBytesParam("All keys from this one on, before `to`."),
  to: optionalBytesParam("Where the keys end; left out: with the last one."),
  after: z.coerce
    .number()
    .pipe(z.int().min(0))
    .optional()
    .describe("Changes after this revision; left out: from now on. `Last-Event-ID` says the same."),
  noPut: flagParam,
  noDelete: flagParam,
  prev: flagParam.describe("What was there before is told too."),
  wait: waitParam,
});

const watch = operation({
  method: "GET",
  path: "/v1/watch",
  tag: "watch",
  summary: "Tells of changes of keys.",
  description:
    'With `Accept: text/event-stream` a stream without end. Otherwise the changes after `after`; with `wait`, and none yet, the first ones to come, or 204. Asked to become a WebSocket it does: the ranges are then watched by messages such as `{"id": "a", "watch": {"prefix": "jobs/", "after": 41}}`, ended by `{"id": "a", "cancel": true}`, and what happens comes as `{id, event, data}` with the events of the stream, `error` and `end`.',
  query: watchQuery,
  replies: {
    200: {
      description: "Changes.",
      schema: changesOut,
      events: { open: z.object({ revision: z.int() }), change: changesOut, reset: resetOut },
    },
    204: { description: "Nothing has happened. Quorate-Revision says where to go on." },
  },
  handle: (call) => (wantsEvents(call.request) ? stream(call) : poll(call)),
});

type WatchCall = Call<unknown, z.output<typeof watchQuery>>;

/** What a watch is asked for, however it came. */
export interface WatchAsked extends Keys {
  /** Left out: from now on. */
  readonly after?: number | undefined;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prev: boolean;
}

/** Who watches. */
export type Watching = Pick<Call, "member" | "store">;

function rangeOf({ key, prefix, from, to }: Keys): KeyRange {
  if (!isOne({ key, prefix, from, to })) throw errBadField("key", "key: exactly one of key, prefix and from is to be given");
  if (key === EMPTY) throw errBadField("key", "key: must not be empty");
  return rangeIn({ key, prefix, from, to });
}

function requestOf(asked: WatchAsked, startRevision: number, signal: AbortSignal): WatchRequest {
  const { noPut, noDelete, prev } = asked;
  return { ...rangeOf(asked), startRevision, noPut, noDelete, prevKv: prev, signal };
}

/** So that a refusal is told before anything else is. @throws QuorateError badField, permissionDenied, … */
export function checkWatch({ member }: Pick<Watching, "member">, asked: WatchAsked): void {
  member.store.range(readOf(rangeOf(asked), { limit: 1, countOnly: true }));
}

/** `open`, `change` and `reset`, until the signal fires. */
export async function* changesOf({ member, store }: Watching, asked: WatchAsked, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  let after = asked.after ?? member.store.revision;
  yield { event: "open", id: after, data: { revision: after } };
  while (!signal.aborted) {
    try {
      for await (const batch of store.watch(requestOf(asked, after + 1, signal))) {
        after = batch.revision;
        yield { event: "change", id: after, data: changesToJson(batch) };
      }
    } catch (error) {
      if (!isQuorateError(error) || error.reason !== "compacted") throw error;
      const { revision } = member.store;
      yield { event: "reset", id: revision, data: { compactRevision: error.details["compactRevision"], revision } };
      after = revision;
    }
  }
}

function stream(call: WatchCall): ApiReply {
  const asked = { ...call.query, after: lastEventId(call.request) ?? call.query.after };
  checkWatch(call, asked);
  return eventStream(call.services, (signal) => changesOf(call, asked, signal));
}

async function poll(call: WatchCall): Promise<ApiReply> {
  const after = lastEventId(call.request) ?? call.query.after ?? call.member.store.revision;
  const batch = await within(call.services, call.query.wait ?? 0, call.signal, (signal) => firstOf(call, after, signal));
  return batch === undefined ? empty(204, after) : json(200, changesToJson(batch), batch.revision);
}

async function firstOf(call: WatchCall, after: number, signal: AbortSignal): Promise<WatchBatch | undefined> {
  for await (const batch of call.store.watch(requestOf(call.query, after + 1, signal))) return batch;
  signal.throwIfAborted();
  return undefined;
}

function changesToJson({ events: changes, revision }: WatchBatch): z.infer<typeof changesOut> {
  return { events: changes.map(changeToJson), revision };
}

function changeToJson({ type, kv, prev }: WatchEvent): z.infer<typeof changeOut> {
  return {
    type,
    key: bytesToJson(kv.key),
    ...(type === "put" ? { kv: keyValueToJson(kv) } : {}),
    ...(prev === null ? {} : { prev: keyValueToJson(prev) }),
    revision: kv.modRevision,
  };
}

export { watch as watchOperation };

export const watchOperations: readonly Operation[] = [watch];
