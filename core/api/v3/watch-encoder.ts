/**
 * What watch streams of one format send. What many streams send is made once: events, and lists of events, are shared between watchers, so
 * their text is remembered by identity for as long as one round of sending lasts.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import type { Member } from "../../replica/member.ts";
import { eventsBytes } from "../../store/watch/record-events.ts";
import type { WatchEvent } from "../../store/watch/watcher.ts";
import { protobufSize } from "./message-size.ts";
import { type ResponseHeader, WATCH_RESPONSE, type WatchResponseMessage } from "./messages.ts";
import { type WatchFormat, eventMessage } from "./watch-format.ts";

/** Texts that one round remembers at most, of events and of lists each. */
const REMEMBERED_MAX = 8192;

/** What an event, or a message around events, takes in protobuf beside keys and values, at most: twelve numbers, lengths and tags. */
const OVERHEAD_BYTES_MAX = 160;

/** What an answer other than one of events may say. */
export type WatchNotice = Partial<Omit<WatchResponseMessage, "header" | "events" | "fragment">>;

export class WatchEncoder {
  readonly #member: Member;
  readonly #format: WatchFormat;
  readonly #fragmentBytesMax: number;
  readonly #events = new Map<WatchEvent, Bytes>();
  readonly #lists = new Map<readonly WatchEvent[], Bytes>();
  /** Of this round, within which it cannot change; null between rounds. */
  #term: number | null = null;

  /** @param fragmentBytesMax size in protobuf that a message of a watch with fragments stays below, if one event does */
  constructor(member: Member, format: WatchFormat, fragmentBytesMax: number) {
    this.#member = member;
    this.#format = format;
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

  /** An answer without events. @param revision 0: none is told */
  notice(notice: WatchNotice, revision: number): Bytes {
    return this.#format.answer({ ...WATCH_RESPONSE.defaults, header: this.#header(revision), ...notice }, EMPTY);
  }

  #header(revision: number): ResponseHeader {
    const { clusterId, memberId } = this.#member;
    return { clusterId, memberId, revision, raftTerm: this.#term ?? this.#member.status().term };
  }

  /** A batch of events. @param revision of the header */
  events(watchId: string, revision: number, events: readonly WatchEvent[]): Bytes {
    return this.#answer(watchId, revision, false, events);
  }

  /** The same in several messages, when in one it would be too large (etcd's `sendFragments`). */
  fragments(watchId: string, revision: number, events: readonly WatchEvent[]): Bytes {
    if (eventsBytes(events) + (events.length + 1) * OVERHEAD_BYTES_MAX < this.#fragmentBytesMax) {
      return this.events(watchId, revision, events);
    }
    const whole = { ...WATCH_RESPONSE.defaults, header: this.#header(revision), watchId };
    const sizes = events.map((event) => protobufSize(WATCH_RESPONSE, { ...WATCH_RESPONSE.defaults, events: [eventMessage(event)] }));
    let size = protobufSize(WATCH_RESPONSE, whole) + sizes.reduce((sum, one) => sum + one, 0);
    if (size < this.#fragmentBytesMax || events.length < 2) return this.events(watchId, revision, events);
    const emptySize = protobufSize(WATCH_RESPONSE, { ...whole, fragment: true });
    let messages = "";
    for (let from = 0, to = 0; from < events.length; from = to) {
      size = emptySize + sizes[to++]!;
      while (to < events.length && size + sizes[to]! < this.#fragmentBytesMax) size += sizes[to++]!;
      messages += this.#answer(watchId, revision, to < events.length, events.slice(from, to));
    }
    return messages as Bytes;
  }

  #answer(watchId: string, revision: number, fragment: boolean, events: readonly WatchEvent[]): Bytes {
    const response = { ...WATCH_RESPONSE.defaults, header: this.#header(revision), watchId, fragment };
    return this.#format.answer(response, this.#listText(events));
  }

  #listText(events: readonly WatchEvent[]): Bytes {
    let text = this.#lists.get(events);
    if (text !== undefined) return text;
    const { separator } = this.#format;
    text = this.#eventText(events[0]!);
    for (let at = 1; at < events.length; at++) text = (text + separator + this.#eventText(events[at]!)) as Bytes;
    if (this.#lists.size >= REMEMBERED_MAX) this.#lists.clear();
    this.#lists.set(events, text);
    return text;
  }

  #eventText(event: WatchEvent): Bytes {
    let text = this.#events.get(event);
    if (text !== undefined) return text;
    text = this.#format.event(event);
    if (this.#events.size >= REMEMBERED_MAX) this.#events.clear();
    this.#events.set(event, text);
    return text;
  }
}
