/**
 * Lines in which each place has a number that is chosen while the put is applied: `<line><20 digits><suffix>`, so that the order of keys is
 * the order of arrival. Beside it stands `<prefix>s/<lease>`, made in the same transaction: its create revision is that number, so that a
 * repeat finds what the first attempt made without searching.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errConflict } from "../errors.ts";
import type { Compare, KeyValue, LeaseId, Operation, TxnResult } from "../store/command.ts";
import type { AsOf, RecipeContext } from "./client-port.ts";
import type { Place } from "./hold.ts";
import { rev20 } from "./names.ts";
import { repeat } from "./repeat.ts";
import { appendOp, createdAt, deleteOp, foundAt, keysUnder, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { type Session, checkLease } from "./session.ts";
import { placeGone, putForSession } from "./turns.ts";

export interface NumberedLine {
  /** What all keys of the name begin with. */
  readonly prefix: Bytes;
  /** What the keys of the places begin with. */
  readonly line: Bytes;
}

export interface NumberedEntry extends NumberedLine {
  readonly session: Session;
  readonly ownSession: boolean;
  readonly suffix: Bytes;
  /** Of the place. */
  readonly value: Bytes;
  /** What a repeat must ask for too: another is a conflict. */
  readonly want: Bytes;
  /** More conditions; and reads for when any of all does not hold. */
  readonly compare?: readonly Compare[];
  readonly otherwise?: readonly Operation[];
}

/** `kvs`: all places of the line, in order, its own among them. */
export interface Numbered {
  readonly place: Place;
  readonly number: number;
  readonly kvs: readonly KeyValue[];
}

/** Where the number of a lease is kept. */
export function besideKey({ prefix }: NumberedLine, lease: LeaseId): Bytes {
  return ascii(`${prefix}s/${lease}`);
}

export function numberedKey({ line }: NumberedLine, number: number, suffix: Bytes): Bytes {
  return (line + rev20(number) + suffix) as Bytes;
}

/** How many are before a place, those who hold among them. */
export async function positionOf(context: RecipeContext, { line }: NumberedLine, { key }: Place): Promise<number> {
  const before = readOf({ key: line, end: key }, { countOnly: true });
  return (await repeat(context, () => context.store.range(before))).count;
}

/**
 * Puts the session at the end of the line, unless it is in it.
 * @returns what `otherwise` read, when a condition of `compare` did not hold
 * @throws QuorateError conflict when it is in the line for something else; sessionLost
 */
export async function joinNumbered(context: RecipeContext, entry: NumberedEntry): Promise<Numbered | (TxnResult & AsOf)> {
  const { session, ownSession, suffix, line, want } = entry;
  const beside = besideKey(entry, session.id);
  const all = rangeOp(keysUnder(line));
  const puts = [putOp(beside, want, session.id), appendOp(line, suffix, entry.value, session.id), all];
  const compare = [createdAt(beside, 0), ...(entry.compare ?? [])];
  const result = await putForSession(context, session, txnOf(compare, puts, [rangeOp(oneKey(beside)), all, ...(entry.otherwise ?? [])]));
  if (result.succeeded) return found(entry, foundAt(result, 2), result.revision);
  const [before] = foundAt(result, 0);
  if (before === undefined) return result;
  if (before.value !== want) throw errConflict(`the session is there for ${JSON.stringify(before.value)} already`, { lease: session.id });
  return found(entry, foundAt(result, 1), before.createRevision);

  function found(of: NumberedEntry, kvs: readonly KeyValue[], number: number): Numbered {
    const key = numberedKey(of, number, suffix);
    const own = kvs.find((kv) => kv.key === key);
    if (own === undefined) throw placeGone(session, ownSession);
    return { place: { session, ownSession, key, created: own.createRevision, beside: [beside] }, number, kvs };
  }
}

/** The place of a session that joined before, whatever its suffix. @throws QuorateError sessionLost when it is not there */
export async function findNumbered(context: RecipeContext, line: NumberedLine, session: Session, signal?: AbortSignal): Promise<Numbered> {
  const beside = besideKey(line, session.id);
  const look = txnOf([], [rangeOp(oneKey(beside)), rangeOp(keysUnder(line.line))]);
  const seen = await repeat(context, () => context.store.txn(look, { signal }), { signal });
  const number = foundAt(seen, 0)[0]?.createRevision ?? 0;
  const kvs = foundAt(seen, 1);
  const start = numberedKey(line, number, ascii(""));
  const own = kvs.find(({ key }) => key.startsWith(start));
  if (own === undefined) throw placeGone(session, true);
  return { place: { session, ownSession: true, key: own.key, created: own.createRevision, beside: [beside] }, number, kvs };
}

/** Leaves the line by the lease alone, and ends the lease. What is gone already is fine. */
export async function leaveNumbered(context: RecipeContext, line: NumberedLine, lease: LeaseId): Promise<void> {
  const beside = besideKey(line, checkLease(lease));
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(beside))));
  const number = kvs[0]?.createRevision;
  if (number !== undefined) {
    const places = keysUnder(numberedKey(line, number, ascii("")));
    await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(beside)), deleteOp(places)])));
  }
  await repeat(context, () => context.store.revoke(lease));
}

/** What a place says of who has it. */
export function placeValue({ host }: RecipeContext, said: Record<string, unknown>): Bytes {
  return utf8Encode(JSON.stringify({ ...said, since: host.clockMs() }));
}

/** As `placeValue` was given it; empty when it is none. */
export function saidIn({ value }: KeyValue): Record<string, unknown> {
  try {
    return (JSON.parse(utf8Decode(value)) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}
