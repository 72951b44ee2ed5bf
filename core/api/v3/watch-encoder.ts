/**
 * The lines of watch streams. What many streams send is made once: events, and lists of events, are shared between watchers, so their
 * text is remembered by identity for as long as one round of sending lasts.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { Member } from "../../replica/member.ts";
import { eventsBytes } from "../../store/watch/record-events.ts";
import type { WatchEvent } from "../../store/watch/watcher.ts";
import { jsonEncoder } from "./json-codec.ts";
import { protobufSize } from "./message-size.ts";
import {
  EVENT,
  EVENT_TYPE,
  type EventMessage,
  KEY_VALUE,
  RESPONSE_HEADER,
  type ResponseHeader,
  WATCH_RESPONSE,
  type WatchResponseMessage,
} from "./messages.ts";
import { streamMessage } from "./stream.ts";

/** Texts that one round remembers at most, of events and of lists each. */
const REMEMBERED_MAX = 8192;

/** What an event, or a message around events, takes in protobuf beside keys and values, at most: twelve numbers, lengths and tags. */
const OVERHEAD_BYTES_MAX = 160;

/** The automatic id of the first watch on a stream, the default of its field. */
const FIRST_ID = "0";

const encodeKeyValue = jsonEncoder(KEY_VALUE);
const encodeHeader = jsonEncoder(RESPONSE_HEADER);
const encodeResponse = jsonEncoder(WATCH_RESPONSE);

const PUT = EVENT_TYPE.values.indexOf("PUT");
const DELETE = EVENT_TYPE.values.indexOf("DELETE");

/** What a line other than one of events may say. */
export type WatchNotice = Partial<Omit<WatchResponseMessage, "header" | "events" | "fragment">>;

export class WatchEncoder {
  readonly #member: Member;
  readonly #fragmentBytesMax: number;
  readonly #events = new Map<WatchEvent, Bytes>();
  readonly #lists = new Map<readonly WatchEvent[], Bytes>();
  /** Of this round, within which it cannot change; null between rounds. */
  #term: number | null = null;

  /** @param fragmentBytesMax size in protobuf that a message of a watch with fragments stays below, if one event does */
  constructor(member: Member, fragmentBytesMax: number) {
    this.#member = member;
    this.#fragmentBytesMax = fragmentBytesMax;
  }

  /** What is encoded until `endRound` is remembered. */
  beginRound(): void {
    this.#term = this.#member.status().term;
  }

  endRound(): void {
    this.#events.clear();
    this.#lists.clear();
    this.#term = null;
  }

  /** A line without events. @param revision 0: none is told */
  notice(notice: WatchNotice, revision: number): Bytes {
    return streamMessage(encodeResponse({ ...WATCH_RESPONSE.defaults, header: this.#header(revision), ...notice }));
  }

  #header(revision: number): ResponseHeader {
    const { clusterId, memberId } = this.#member;
    return { clusterId, memberId, revision, raftTerm: this.#term ?? this.#member.status().term };
  }

  /** The line of a batch of events. @param revision of the header */
  events(watchId: string, revision: number, events: readonly WatchEvent[]): Bytes {
    return this.#line(watchId, revision, false, this.#listText(events));
  }

  /** The same in several lines, when in one it would be too large (etcd's `sendFragments`). */
  fragments(watchId: string, revision: number, events: readonly WatchEvent[]): Bytes {
    if (eventsBytes(events) + (events.length + 1) * OVERHEAD_BYTES_MAX < this.#fragmentBytesMax) {
      return this.events(watchId, revision, events);
    }
    const whole = { ...WATCH_RESPONSE.defaults, header: this.#header(revision), watchId };
    const sizes = events.map((event) => protobufSize(WATCH_RESPONSE, { ...WATCH_RESPONSE.defaults, events: [eventMessage(event)] }));
    let size = protobufSize(WATCH_RESPONSE, whole) + sizes.reduce((sum, one) => sum + one, 0);
    if (size < this.#fragmentBytesMax || events.length < 2) return this.events(watchId, revision, events);
    const emptySize = protobufSize(WATCH_RESPONSE, { ...whole, fragment: true });
    let lines = "";
    for (let from = 0, to = 0; from < events.length; from = to) {
      size = emptySize + sizes[to++]!;
      while (to < events.length && size + sizes[to]! < this.#fragmentBytesMax) size += sizes[to++]!;
      lines += this.#line(watchId, revision, to < events.length, this.#listText(events.slice(from, to)));
    }
    return lines as Bytes;
  }

  #line(watchId: string, revision: number, fragment: boolean, events: Bytes): Bytes {
    const header = encodeHeader(this.#header(revision));
    const id = watchId === FIRST_ID ? "" : `,"watch_id":"${watchId}"`;
    return `{"result":{"header":${header}${id}${fragment ? ',"fragment":true' : ""},"events":[${events}]}}\n` as Bytes;
  }

  #listText(events: readonly WatchEvent[]): Bytes {
    let text = this.#lists.get(events);
    if (text !== undefined) return text;
    text = this.#eventText(events[0]!);
    for (let at = 1; at < events.length; at++) text = `${text},${this.#eventText(events[at]!)}` as Bytes;
    if (this.#lists.size >= REMEMBERED_MAX) this.#lists.clear();
    this.#lists.set(events, text);
    return text;
  }

  #eventText(event: WatchEvent): Bytes {
    let text = this.#events.get(event);
    if (text !== undefined) return text;
    text = encodeEvent(event);
    if (this.#events.size >= REMEMBERED_MAX) this.#events.clear();
    this.#events.set(event, text);
    return text;
  }
}

/** As the message's table would write it, several times faster; PUT is the default and left out. */
function encodeEvent({ type, kv, prev }: WatchEvent): Bytes {
  const lead = type === "put" ? `{"kv":` : `{"type":"DELETE","kv":`;
  return (lead + encodeKeyValue(kv) + (prev === null ? "}" : `,"prev_kv":${encodeKeyValue(prev)}}`)) as Bytes;
}

function eventMessage({ type, kv, prev }: WatchEvent): EventMessage {
  return { ...EVENT.defaults, type: type === "put" ? PUT : DELETE, kv, prevKv: prev };
}
