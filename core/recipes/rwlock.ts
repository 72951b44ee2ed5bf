/**
 * Read-write locks: many readers or one writer, in the order of arrival. A reader waits for the writers before it, a writer for everybody
 * before it, and readers behind a waiting writer wait too, so that nobody starves.
 *
 * Keys: `/quorate/rw/<name>/q/<number>r` and `…w`. The number is the fence. A reader may become no writer while it reads: two that wanted to
 * would wait for each other.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errConflict, errHeld } from "../errors.ts";
import type { KeyRange, KeyValue, LeaseId } from "../store/command.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { Hold, type HoldJson, type Place, ownKey, resumeHold } from "./hold.ts";
import { prefixOf, revisionAt } from "./names.ts";
import { type NumberedLine, findNumbered, joinNumbered, leaveNumbered, placeValue, positionOf, saidIn } from "./numbered-line.ts";
import { repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import type { Session } from "./session.ts";
import {
  type Entered,
  type TurnOptions,
  type WaitOptions,
  placeGone,
  queueTurn,
  resumeTurn,
  takeTurn,
  untilNothingAhead,
} from "./turns.ts";

const KIND = "rw";
const READ = ascii("r");
const WRITE = ascii("w");

export type RwMode = "read" | "write";

export interface RwOptions extends TurnOptions {
  /** Who it is, for people who look. */
  readonly owner?: string | undefined;
}

export interface RwEntry {
  readonly mode: RwMode;
  readonly lease: LeaseId;
  readonly key: string;
  readonly fence: bigint;
  readonly owner: string | null;
}

export interface RwState {
  /** One writer, or readers. */
  readonly holders: readonly RwEntry[];
  readonly line: readonly RwEntry[];
  readonly revision: number;
}

/** A place in the line, kept for as long as its session is renewed. */
export interface RwTicket {
  readonly lease: LeaseId;
  readonly key: string;
  /** How many are before it, those who hold among them. */
  readonly position: number;
  readonly mode: RwMode;
}

/** A lock held for reading. */
export class ReadHold extends Hold {
  readonly mode: RwMode = "read";
}

/** A lock held for writing. */
export class WriteHold extends Hold {
  readonly mode: RwMode = "write";
  readonly #place: Place;

  constructor(context: RecipeContext, place: Place, fence: number) {
    super(context, place, fence);
    this.#place = place;
  }

  /**
   * Goes on as a reader, with the same number; between the two nobody else can write. This hold is over then.
   * @throws QuorateError sessionLost
   */
  async downgrade(): Promise<ReadHold> {
    const place = await downgrade(this.context, this.#place);
    this.handOver();
    return new ReadHold(this.context, place, Number(this.fence));
  }
}

/**
 * Waits for the lock and takes it for reading. Again with the same `id`, or the same session: the same hold.
 * @throws QuorateError held when the time to wait is over; conflict when the session has it for writing; sessionLost, badField
 */
export async function acquireRead(context: RecipeContext, name: string, options: RwOptions = {}): Promise<ReadHold> {
  const place = await acquire(context, name, READ, options);
  return new ReadHold(context, place, numberIn(lineOf(name), place));
}

/** As `acquireRead`, for writing. */
export async function acquireWrite(context: RecipeContext, name: string, options: RwOptions = {}): Promise<WriteHold> {
  const place = await acquire(context, name, WRITE, options);
  return new WriteHold(context, place, numberIn(lineOf(name), place));
}

async function acquire(context: RecipeContext, name: string, suffix: Bytes, options: RwOptions): Promise<Place> {
  const line = lineOf(name);
  const place = await takeTurn(context, options, (session, ownSession) => enter(context, line, session, ownSession, suffix, options));
  if (place === null) throw errHeld(`the lock ${JSON.stringify(name)}`);
  return place;
}

/** As the acquisitions, but when the time to wait is over, the place in the line is kept for as long as the session is renewed. */
export async function queueForRw(
  context: RecipeContext,
  name: string,
  mode: RwMode,
  options: RwOptions = {},
): Promise<ReadHold | WriteHold | RwTicket> {
  const line = lineOf(name);
  const suffix = mode === "read" ? READ : WRITE;
  const enterHere = (session: Session, ownSession: boolean) => enter(context, line, session, ownSession, suffix, options);
  const { place, granted } = await queueTurn(context, options, enterHere);
  return holdOrTicket(context, line, place, granted);
}

/** Goes on waiting with a ticket, or holding with the lease of a hold; renews it. @throws QuorateError sessionLost when the place is gone */
export async function resumeRw(
  context: RecipeContext,
  name: string,
  lease: LeaseId,
  options: WaitOptions = {},
): Promise<ReadHold | WriteHold | RwTicket> {
  const line = lineOf(name);
  const { place, granted } = await resumeTurn(context, lease, options, async (session) => {
    const { place: found, kvs } = await findNumbered(context, line, session, options.signal);
    return enteredAt(context, line, found, kvs);
  });
  return holdOrTicket(context, line, place, granted);
}

/** Makes the writer of a lease a reader. @throws QuorateError conflict when it does not hold the lock for writing, sessionLost */
export async function downgradeRw(context: RecipeContext, name: string, lease: LeaseId): Promise<ReadHold> {
  const held = await resumeRw(context, name, lease, { wait: 0 });
  if (held instanceof ReadHold) return held;
  if (held instanceof WriteHold) return held.downgrade();
  throw errConflict(`${lease} does not hold ${JSON.stringify(name)} for writing`, { lease });
}

/** Leaves the lock or its line, by the lease alone, and ends the lease. What is gone already is fine. */
export function releaseRw(context: RecipeContext, name: string, lease: LeaseId): Promise<void> {
  return leaveNumbered(context, lineOf(name), lease);
}

/** Who holds the lock, and who waits for it. */
export async function rwState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<RwState> {
  const line = lineOf(name);
  const { kvs, revision } = await repeat(context, () => context.store.range(readOf(keysUnder(line.line)), options), options);
  const entries = kvs.map((kv) => entryIn(line, kv));
  const firstWriter = entries.findIndex(({ mode }) => mode === "write");
  const holding = firstWriter < 0 ? entries.length : Math.max(firstWriter, 1);
  return { holders: entries.slice(0, holding), line: entries.slice(holding), revision };
}

/** Goes on with a lock that another process holds for writing. @throws QuorateError sessionLost */
export async function resumeWrite(context: RecipeContext, json: HoldJson, signal?: AbortSignal): Promise<WriteHold> {
  const { session } = await resumeHold(context, json, signal);
  const place = { session, ownSession: true, key: json.key as Bytes, created: json.created, beside: json.beside as readonly Bytes[] };
  return new WriteHold(context, place, Number(json.fence));
}

async function enter(
  context: RecipeContext,
  line: NumberedLine,
  session: Session,
  ownSession: boolean,
  suffix: Bytes,
  { owner }: RwOptions,
): Promise<Entered> {
  const joined = await joinNumbered(context, { ...line, session, ownSession, suffix, value: placeValue(context, { owner }), want: suffix });
  if (!("place" in joined)) throw placeGone(session, ownSession);
  return enteredAt(context, line, joined.place, joined.kvs);
}

function enteredAt(context: RecipeContext, { line }: NumberedLine, place: Place, kvs: readonly KeyValue[]): Entered {
  const { key } = place;
  const reads = key.endsWith(READ);
  const before: KeyRange = { key: line, end: key };
  const obstacle = (seen: readonly KeyValue[]) => seen.findLast((kv) => !reads || kv.key.endsWith(WRITE));
  const granted = obstacle(kvs.filter((kv) => kv.key < key)) === undefined;
  const ahead = rangeOp(before, reads ? { keysOnly: true } : { keysOnly: true, sortOrder: "descend", limit: 1 });
  return { place, granted, untilGranted: (signal) => untilNothingAhead(context, place, ahead, obstacle, signal) };
}

async function downgrade(context: RecipeContext, place: Place): Promise<Place> {
  const { session, key, created, beside } = place;
  session.check();
  const reader = (key.slice(0, -1) + READ) as Bytes;
  const value = (await ownKey(context, key, session.signal))?.value ?? placeValue(context, {});
  const puts = [deleteOp(oneKey(key)), putOp(reader, value, session.id), ...beside.map((one) => putOp(one, READ, session.id))];
  const look = rangeOp(oneKey(reader));
  const request = txnOf([createdAt(key, created)], [...puts, look], [look]);
  const { signal } = session;
  const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
  const [own] = foundAt(result, result.succeeded ? puts.length : 0);
  if (own?.lease !== session.id) throw placeGone(session, place.ownSession);
  return { ...place, key: reader, created: own.createRevision };
}

async function holdOrTicket(
  context: RecipeContext,
  line: NumberedLine,
  place: Place,
  granted: boolean,
): Promise<ReadHold | WriteHold | RwTicket> {
  const reads = place.key.endsWith(READ);
  const number = numberIn(line, place);
  if (granted) return reads ? new ReadHold(context, place, number) : new WriteHold(context, place, number);
  const position = await positionOf(context, line, place);
  if (place.ownSession) place.session.detach();
  return { lease: place.session.id, key: place.key, position, mode: reads ? "read" : "write" };
}

function entryIn(line: NumberedLine, kv: KeyValue): RwEntry {
  const { owner } = saidIn(kv);
  return {
    mode: kv.key.endsWith(READ) ? "read" : "write",
    lease: kv.lease,
    key: kv.key,
    fence: BigInt(numberIn(line, kv)),
    owner: typeof owner === "string" ? owner : null,
  };
}

function numberIn({ line }: NumberedLine, { key }: { readonly key: Bytes }): number {
  return revisionAt(key, line.length);
}

function lineOf(name: string): NumberedLine {
  const prefix = prefixOf(KIND, name);
  return { prefix, line: ascii(`${prefix}q/`) };
}
