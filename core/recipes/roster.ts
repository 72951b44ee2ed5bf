/**
 * Rosters: who is there. Services and groups are rosters: each one on it has a key of its own under a common prefix, on a lease that it keeps
 * alive, so that whoever dies is off it after the TTL. Nobody can take the key of another: its owner shows a secret, whose hash stands in
 * the value.
 *
 *     <prefix><id>     a JSON object, with `owner`: the hash of the secret
 *     <prefix>.left    who left last by himself: written by the transaction that deletes the key, so that leaving and dying are told apart
 */
import { type Bytes, ascii, fromUint8Array, toUint8Array } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errConflict, errSessionLost, isQuorateError } from "../errors.ts";
import type { KeyValue, LeaseId } from "../store/command.ts";
import type { WatchEvent } from "../store/watch/watcher.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { type FollowOptions, follow, readUnder } from "./follow.ts";
import { nameOfSegment, segmentOf } from "./names.ts";
import { repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, isAt, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import type { Session } from "./session.ts";
import { putForSession } from "./turns.ts";

export type Value = Readonly<Record<string, unknown>>;

/** One who is there. */
export interface Entry {
  readonly id: string;
  readonly value: Value;
  readonly lease: LeaseId;
  /** The revision at which it came; one that went and came back has another. */
  readonly incarnation: number;
  /** Of its last change. */
  readonly revision: number;
}

export interface RosterChange {
  /** `leave`: it said so. `fail`: its lease ended, or somebody else deleted its key. */
  readonly type: "join" | "update" | "leave" | "fail";
  /** Of one that went: as it was. */
  readonly entry: Entry;
}

/** The whole roster as of one revision. */
export interface Roster {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly revision: number;
  /** What this revision changed; null: the roster was read anew, because nothing before is known, or not any more. Empty: it was known. */
  readonly changes: readonly RosterChange[] | null;
}

/** A place on a roster. */
export interface RosterPlace {
  readonly prefix: Bytes;
  readonly id: string;
  /** Whoever has it owns the place. */
  readonly secret: string;
  /** What is written when its owner says something else; left out: what he says. */
  readonly merge?: ((value: Value, there: Value) => Value) | undefined;
}

/** An entry, and as of which revision it was seen. */
export interface Enrolled extends Entry {
  readonly asOf: number;
}

const LEFT = ".left";

/** Decides by itself what is kept of the value: `undefined` when it is not one of this kind. */
function entryIn(prefix: Bytes, { key, value, lease, createRevision, modRevision }: KeyValue): Entry | undefined {
  const segment = key.slice(prefix.length) as Bytes;
  if (segment === LEFT || segment === "" || segment.includes("/")) return undefined;
  const said = objectIn(value);
  return said && { id: nameOfSegment(segment), value: said, lease, incarnation: createRevision, revision: modRevision };
}

export function objectIn(value: Bytes): Value | undefined {
  try {
    const said: unknown = JSON.parse(utf8Decode(value));
    return typeof said === "object" && said !== null && !Array.isArray(said) ? (said as Value) : undefined;
  } catch {
    return undefined; // another program's
  }
}

/** @throws QuorateError badField */
export function rosterKey(prefix: Bytes, id: string): Bytes {
  // No id is what is kept beside the entries.
  return ascii(prefix + segmentOf(id, "id").replace(/^\./, "%2E"));
}

async function hashOf(secret: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", toUint8Array(utf8Encode(secret))));
  return [...fromUint8Array(digest)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

/** 128 random bits, as text. */
export function randomSecret({ host }: RecipeContext): string {
  return [...host.randomBytes(16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Puts an entry on the roster, on the lease of the session, or makes it say something else. Again is the same act. An entry of the same
 * secret is taken over, from whatever lease it is on.
 * @returns as it is there @throws QuorateError conflict when the id is another's; sessionLost
 */
export async function enroll(context: RecipeContext, place: RosterPlace, value: Value, session: Session): Promise<Enrolled> {
  const { prefix, id, secret, merge = (said: Value) => said } = place;
  const key = rosterKey(prefix, id);
  const owner = await hashOf(secret);
  const look = rangeOp(oneKey(key));
  let there: KeyValue | undefined;
  for (;;) {
    const before = there && objectIn(there.value)!;
    const bytes = utf8Encode(JSON.stringify({ ...(before === undefined ? value : merge(value, before)), owner }));
    const compare = there === undefined ? createdAt(key, 0) : modifiedAt(key, there.modRevision);
    const result = await putForSession(context, session, txnOf([compare], [putOp(key, bytes, session.id), look], [look]));
    const [kv] = foundAt(result, result.succeeded ? 1 : 0);
    const found = (one: KeyValue): Enrolled => ({ ...entryIn(prefix, one)!, asOf: result.revision });
    if (kv === undefined) {
      there = undefined; // it went meanwhile
      continue;
    }
    if (result.succeeded) return found(kv);
    const present = objectIn(kv.value);
    if (present?.["owner"] !== owner) throw errConflict(`${JSON.stringify(id)} is another's`, { id });
    const isSame = kv.value === utf8Encode(JSON.stringify({ ...merge(value, present), owner })) && kv.lease === session.id;
    if (isSame) return found(kv);
    there = kv;
  }
}

/** Takes an entry off the roster, if it is still on this lease. What is gone is fine. */
export async function withdraw(
  context: RecipeContext,
  { prefix, id }: RosterPlace,
  lease: LeaseId,
  options: CallOptions = {},
): Promise<void> {
  const key = rosterKey(prefix, id);
  // On the same lease, so that it is gone with it: nobody needs it later than the event itself.
  const note = putOp(ascii(prefix + LEFT), key.slice(prefix.length) as Bytes, lease);
  const request = txnOf([isAt("lease", oneKey(key), lease as Bytes)], [note, deleteOp(oneKey(key))]);
  try {
    await repeat(context, () => context.store.txn(request, options), options);
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
  }
}

/** The entry of an id, if the secret is its owner's. @throws QuorateError sessionLost when it is not there; conflict */
export async function ownEntry(context: RecipeContext, place: RosterPlace, options: ReadOptions = {}): Promise<Entry> {
  const key = rosterKey(place.prefix, place.id);
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(key)), options), options);
  const entry = kvs[0] && entryIn(place.prefix, kvs[0]);
  if (entry === undefined) throw errSessionLost(`${JSON.stringify(place.id)} is not there any more`);
  if (entry.value["owner"] !== (await hashOf(place.secret)))
    throw errConflict(`${JSON.stringify(place.id)} is another's`, { id: place.id });
  return entry;
}

/**
 * Makes an entry say something else, whatever lease it is on.
 * @throws QuorateError sessionLost when it is not there; conflict when it is another's
 */
export async function revise(
  context: RecipeContext,
  place: RosterPlace,
  change: (value: Value) => Value,
  options: CallOptions = {},
): Promise<Entry> {
  const key = rosterKey(place.prefix, place.id);
  for (;;) {
    const entry = await ownEntry(context, place, options);
    const value = { ...change(entry.value), owner: entry.value["owner"] };
    const request = txnOf([modifiedAt(key, entry.revision)], [putOp(key, utf8Encode(JSON.stringify(value)), entry.lease)]);
    const { succeeded, revision } = await repeat(context, () => context.store.txn(request, options), options);
    if (succeeded) return { ...entry, value, revision };
  }
}

/** The roster as of now. */
export async function readRoster(context: RecipeContext, prefix: Bytes, options: ReadOptions = {}): Promise<Roster> {
  const { kvs, revision } = await readUnder(context, prefix, options);
  return { entries: entriesIn(prefix, kvs), revision, changes: null };
}

function entriesIn(prefix: Bytes, kvs: readonly KeyValue[]): ReadonlyMap<string, Entry> {
  return new Map(kvs.flatMap((kv) => entryIn(prefix, kv) ?? []).map((entry) => [entry.id, entry]));
}

/**
 * The roster now, and then as of each revision that changes it, in order. What goes wrong meanwhile is waited out: nobody is ever told of
 * an empty roster because the store does not answer. Ends with the signal, without throwing.
 */
export async function* watchRoster(context: RecipeContext, prefix: Bytes, options: FollowOptions = {}): AsyncGenerator<Roster, void, void> {
  let entries: ReadonlyMap<string, Entry> = new Map();
  for await (const { revision, kvs, isKnown, events } of follow(context, prefix, options)) {
    if (kvs !== null) {
      entries = entriesIn(prefix, kvs);
      yield { entries, revision, changes: isKnown ? [] : null };
      continue;
    }
    const next = new Map(entries);
    const changes = changesOf(prefix, events, next);
    entries = next;
    if (changes.length > 0) yield { entries, revision, changes };
  }
}

/** @param entries are changed too */
function changesOf(prefix: Bytes, events: readonly WatchEvent[], entries: Map<string, Entry>): RosterChange[] {
  const left = events.find(({ type, kv }) => type === "put" && kv.key === prefix + LEFT)?.kv.value;
  const changes: RosterChange[] = [];
  for (const { type, kv } of events) {
    const id = kv.key.slice(prefix.length);
    const before = id === LEFT ? undefined : entries.get(nameOfSegment(id as Bytes));
    const entry = type === "put" ? entryIn(prefix, kv) : undefined;
    if (entry !== undefined) {
      entries.set(entry.id, entry);
      changes.push({ type: before?.incarnation === entry.incarnation ? "update" : "join", entry });
    } else if (before !== undefined) {
      entries.delete(before.id);
      changes.push({ type: left === id ? "leave" : "fail", entry: before });
    }
  }
  return changes;
}
