/**
 * How the answers of watches look on a stream: lines of JSON, or messages of gRPC. An answer is put together of its parts, so that what
 * many streams send, the events, is encoded once for all of them.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { WatchEvent } from "../../store/watch/watcher.ts";
import { grpcMessage } from "./grpc-message.ts";
import { jsonEncoder } from "./json-codec.ts";
import { EVENT, EVENT_TYPE, type EventMessage, KEY_VALUE, WATCH_RESPONSE, type WatchResponseMessage } from "./messages.ts";
import { delimitedField, protobufEncoder } from "./protobuf-codec.ts";
import { streamMessage } from "./stream.ts";

export interface WatchFormat {
  /** One event, as an element of a list. */
  event(event: WatchEvent): Bytes;
  /** What stands between the elements of a list. */
  readonly separator: string;
  /** A whole answer. @param events the list, joined; empty: none. Those of `response` itself are left out */
  answer(response: WatchResponseMessage, events: Bytes): Bytes;
}

const PUT = EVENT_TYPE.values.indexOf("PUT");
const DELETE = EVENT_TYPE.values.indexOf("DELETE");

export function eventMessage({ type, kv, prev }: WatchEvent): EventMessage {
  return { ...EVENT.defaults, type: type === "put" ? PUT : DELETE, kv, prevKv: prev };
}

const jsonOfKeyValue = jsonEncoder(KEY_VALUE);
const jsonOfResponse = jsonEncoder(WATCH_RESPONSE);

/** A line of etcd's JSON gateway. */
export const JSON_WATCH: WatchFormat = {
  /** As the message's table would write it, several times faster; PUT is the default and left out. */
  event({ type, kv, prev }) {
    const lead = type === "put" ? `{"kv":` : `{"type":"DELETE","kv":`;
    return (lead + jsonOfKeyValue(kv) + (prev === null ? "}" : `,"prev_kv":${jsonOfKeyValue(prev)}}`)) as Bytes;
  },
  separator: ",",
  /** The list is the message's last field. */
  answer(response, events) {
    const text = jsonOfResponse(response);
    return streamMessage(events.length === 0 ? text : (`${text.slice(0, -1)},"events":[${events}]}` as Bytes));
  },
};

const protobufOfEvent = protobufEncoder(EVENT);
const protobufOfResponse = protobufEncoder(WATCH_RESPONSE);
const EVENTS_FIELD = WATCH_RESPONSE.fields.find(({ property }) => property === "events")!.number;

/** A message of gRPC, with its prefix. */
export const GRPC_WATCH: WatchFormat = {
  event: (event) => delimitedField(EVENTS_FIELD, protobufOfEvent(eventMessage(event))),
  separator: "",
  answer: (response, events) => grpcMessage((protobufOfResponse(response) + events) as Bytes),
};
