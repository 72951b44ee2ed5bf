/**
 * The events of one revision, made once and shared by all who watch: an encoder may remember what it made of an event, or of a list of
 * events, by identity.
 */
import type { KeyValue } from "../command.ts";
import type { RevisionRecord } from "../version-store-port.ts";
import type { WatchEvent, WatchTake } from "./watcher.ts";

/** What a watcher wants to see of the events in its range; a bit set. */
export const NO_PUT = 1;
export const NO_DELETE = 2;
export const PREV_KV = 4;

export type EventBatch = WatchTake & { readonly kind: "events" };

export type Before = (kv: KeyValue) => KeyValue | undefined;

export class RecordEvents {
  readonly #record: RevisionRecord;
  readonly #before: Before;
  #plain: (WatchEvent | undefined)[] | null = null;
  #withPrev: (WatchEvent | undefined)[] | null = null;
  /** Of a revision that wrote one key: its only event as a batch, without and with the previous version. */
  #onlyPlain: EventBatch | null = null;
  #onlyWithPrev: EventBatch | null = null;

  constructor(record: RevisionRecord, before: Before) {
    this.#record = record;
    this.#before = before;
  }

  get revision(): number {
    return this.#record.revision;
  }

  get kvs(): readonly KeyValue[] {
    return this.#record.kvs;
  }

  /** @returns undefined when the flags leave it out */
  event(at: number, flags: number): WatchEvent | undefined {
    const kv = this.#record.kvs[at]!;
    if ((flags & (kv.version === 0 ? NO_DELETE : NO_PUT)) !== 0) return undefined;
    const made = (flags & PREV_KV) === 0 ? (this.#plain ??= []) : (this.#withPrev ??= []);
    return (made[at] ??= {
      type: kv.version === 0 ? "delete" : "put",
      kv,
      prev: (flags & PREV_KV) === 0 ? null : (this.#before(kv) ?? null),
    });
  }

  /** The only event of this revision as a batch for all; undefined when the flags leave it out. The record has one key. */
  only(flags: number): EventBatch | undefined {
    const event = this.event(0, flags);
    if (event === undefined) return undefined;
    if ((flags & PREV_KV) === 0) return (this.#onlyPlain ??= { kind: "events", events: [event], revision: this.revision });
    return (this.#onlyWithPrev ??= { kind: "events", events: [event], revision: this.revision });
  }
}

/** What an event counts against limits on bytes. */
export function eventBytes(event: WatchEvent): number {
  const { kv, prev } = event;
  return kv.key.length + kv.value.length + (prev === null ? 0 : prev.key.length + prev.value.length);
}

export function eventsBytes(events: readonly WatchEvent[]): number {
  let bytes = 0;
  for (const event of events) bytes += eventBytes(event);
  return bytes;
}
