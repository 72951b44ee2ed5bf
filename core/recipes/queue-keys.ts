/**
 * Where a message of a queue is, which says what state it is in. All places name it by the number that it got when it was put; a message
 * is in exactly one of them, or acknowledged.
 *
 *     i/<priority>/<item>                     visible; the value is the body
 *     d/<due>/<priority>/<item>               delayed; the value is the body
 *     f/<deadline>/<item>                     in flight; a line of JSON, and the body
 *     x/<item>                                dead; a line of JSON, and the body
 *
 * `<item>` is `<number>[!<put at, ms, base 36>][#<deliveries>][~<group>]`; times are 15 decimal digits of milliseconds since 1970. What is
 * put by hand, in order under `i/5` over v2, has a number alone.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errConflict } from "../errors.ts";
import { nameOfSegment, prefixOf, segmentOf } from "./names.ts";

const KIND = "queues";
const TIME_DIGITS = 15;
export const PRIORITY_DEFAULT = 5;

export interface Item {
  /** 20 digits, and more when several were put at once. */
  readonly id: string;
  /** Milliseconds since 1970; null: nobody said. */
  readonly putAt: number | null;
  /** How often it was handed out. */
  readonly deliveries: number;
  readonly group: string | null;
}

export interface Held {
  readonly priority: number;
  /** Why it is dead. */
  readonly reason?: string | undefined;
  /** Who has it. */
  readonly consumer?: string | undefined;
}

export function queueKey(name: string, rest: string): Bytes {
  return (prefixOf(KIND, name) + rest) as Bytes;
}

export function timeDigits(ms: number): string {
  return Math.max(0, Math.ceil(ms)).toString().padStart(TIME_DIGITS, "0");
}

/** What follows the number when an item is put. */
export function suffixOf({ putAt, deliveries, group }: Omit<Item, "id">): string {
  const time = putAt === null ? "" : `!${putAt.toString(36)}`;
  return `${time}${deliveries === 0 ? "" : `#${deliveries}`}${group === null ? "" : `~${segmentOf(group, "group")}`}`;
}

export function itemText(item: Item): string {
  return item.id + suffixOf(item);
}

const ITEM = /^(\d{20}(?:\.\d+)?)(?:!([0-9a-z]+))?(?:#(\d+))?(?:~(.+))?$/;

/** @param key of any of the places @returns undefined for a key that is none */
export function itemIn(key: Bytes): Item | undefined {
  const [, id, putAt, deliveries, group] = ITEM.exec(key.slice(key.lastIndexOf("/") + 1)) ?? [];
  if (id === undefined) return undefined;
  return {
    id,
    putAt: putAt === undefined ? null : Number.parseInt(putAt, 36),
    deliveries: Number(deliveries ?? 0),
    group: group === undefined ? null : nameOfSegment(group as Bytes),
  };
}

/** The segment before the item: a priority, a due time or a deadline. */
export function segmentBefore(key: Bytes, back = 1): string {
  return key.split("/").at(-1 - back) ?? "";
}

export function heldValue(held: Held, body: Bytes): Bytes {
  return (utf8Encode(JSON.stringify(held)) + "\n" + body) as Bytes;
}

/** @throws QuorateError conflict when somebody else wrote it */
export function heldIn(value: Bytes): { readonly held: Held; readonly body: Bytes } {
  const end = value.indexOf("\n");
  try {
    return { held: JSON.parse(utf8Decode(value.slice(0, end) as Bytes)) as Held, body: value.slice(end + 1) as Bytes };
  } catch {
    throw errConflict("a message of the queue was written by another program");
  }
}
