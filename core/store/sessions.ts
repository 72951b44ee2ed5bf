/**
 * Exactly-once commands: a client that did not hear the outcome of a command sends it again with the same number, and is told the outcome
 * that it had (dissertation §6.3). Kept for each client: the number of its last command and what came of it.
 *
 * Sessions end by what stands in the log alone, so that they end at the same place on every member: unused for an hour of the store's
 * clock, or as the least recently used of too many.
 */
import {
  type ErrorCode,
  type ErrorDetails,
  QuorateError,
  errBadField,
  errKeyReused,
  errResultNotKept,
  errSequencePassed,
} from "../errors.ts";
import type { Result } from "./command.ts";
import { finishHash, hashBytes, hashNumber } from "./mvcc/version.ts";
import type { SessionTable } from "./state-storage-port.ts";

/** A session that was not used for so long is forgotten, in milliseconds of the store's clock. */
export const SESSION_IDLE_MS_MAX = 3_600_000;
export const SESSIONS_MAX = 100_000;
/** Of the kept result, as text; of a larger one only the revision is kept. */
export const SESSION_RESULT_CHARS_MAX = 64 * 1024;

/** Of all kept results together; beyond it those of the least recently used sessions are let go, and of them the revision is kept. */
export const SESSION_ALL_RESULTS_CHARS_MAX = 64 * 1024 * 1024;

/**
 * A client whose name begins so has one command alone: the number is a digest of what was asked for, and another one is another request by
 * the same name, which is refused.
 */
export const ONE_COMMAND = "once ";

/** Whose command it is, and which one. */
export interface CommandSession {
  /** Chosen by the client, at random: 1 to 64 characters of ASCII. See also `ONE_COMMAND`. */
  readonly client: string;
  /** Counts up from 1; a repeat has the number of the first attempt. */
  readonly sequence: number;
}

export type KeptOutcome =
  | { readonly ok: true; readonly revision: number; readonly result: Result }
  | { readonly ok: false; readonly revision: number; readonly error: QuorateError };

/** As it stands in a snapshot. */
export interface SessionRow {
  readonly client: string;
  readonly sequence: number;
  /** When it was last used, in milliseconds of the store's clock. */
  readonly usedAt: number;
  readonly revision: number;
  /** JSON of the result, or of the error with its code; null: it, or all of them together, were too large to be kept. */
  readonly outcome: string | null;
}

/** @throws QuorateError badField */
export function checkSession({ client, sequence }: CommandSession): void {
  if (!/^[\x20-\x7e]{1,64}$/.test(client)) throw errBadField("session.client", "the client of a session is 1 to 64 characters of ASCII");
  if (!Number.isSafeInteger(sequence) || sequence < 1) throw errBadField("session.sequence", "the sequence counts up from 1");
}

/** A row among its neighbours in the order of use. */
interface Place {
  row: SessionRow;
  older: Place | null;
  newer: Place | null;
}

/**
 * In the order of use, as a list through the rows: a Map keeps an order too, but finding its first costs a step for each row that was
 * removed since it last grew, which here are all that were used since.
 */
export class MemorySessionTable implements SessionTable {
  #places = new Map<string, Place>();
  #oldest: Place | null = null;
  #newest: Place | null = null;
  /** Up to this one, in the order of use, no result is kept. */
  #bare: Place | null = null;
  #chars = 0;
  readonly #charsMax: number;
  #hash = 0;

  /** @param charsMax see SESSION_ALL_RESULTS_CHARS_MAX */
  constructor(charsMax = SESSION_ALL_RESULTS_CHARS_MAX) {
    this.#charsMax = charsMax;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Of the rows, not of their order. O(1). */
  get hash(): number {
    return this.#hash;
  }

  /** Least recently used first. */
  *rows(): Generator<SessionRow, void, void> {
    for (let place = this.#oldest; place !== null; place = place.newer) yield place.row;
  }

  /**
   * What a command of this session has to be answered without being done.
   * @returns undefined when it is new. @throws QuorateError sequencePassed, keyReused, resultNotKept
   */
  repeated({ client, sequence }: CommandSession): KeptOutcome | undefined {
    const row = this.#places.get(client)?.row;
    return row === undefined ? undefined : outcomeOf(row, sequence);
  }

  /**
   * Forgets also whose time is over; each row is forgotten once, so that it costs the same with many sessions as with few.
   * @param now the store's clock
   */
  keep({ client, sequence }: CommandSession, outcome: KeptOutcome, now: number): void {
    this.add({ client, sequence, usedAt: now, revision: outcome.revision, outcome: formatOutcome(outcome) });
    for (let place = this.#oldest; place !== null; place = place.newer) {
      if (this.#places.size <= SESSIONS_MAX && place.row.usedAt >= now - SESSION_IDLE_MS_MAX) break;
      this.#unlink(place);
      this.#places.delete(place.row.client);
    }
    this.#letResultsGo();
  }

  /** Each result is let go once, so that it costs the same with many sessions as with few. */
  #letResultsGo(): void {
    while (this.#chars > this.#charsMax) {
      const place = this.#bare === null ? this.#oldest! : this.#bare.newer!;
      this.#chars -= place.row.outcome?.length ?? 0;
      place.row = { ...place.row, outcome: null };
      this.#bare = place;
    }
  }

  /** As the most recently used. */
  add(row: SessionRow): void {
    let place = this.#places.get(row.client);
    if (place === undefined) {
      place = { row, older: null, newer: null };
      this.#places.set(row.client, place);
    } else {
      this.#unlink(place);
      place.row = row;
    }
    place.older = this.#newest;
    place.newer = null;
    if (this.#newest === null) this.#oldest = place;
    else this.#newest.newer = place;
    this.#newest = place;
    this.#chars += row.outcome?.length ?? 0;
    this.#hash = (this.#hash + sessionHash(row)) >>> 0;
  }

  #unlink(place: Place): void {
    const { row, older, newer } = place;
    if (place === this.#bare) this.#bare = older;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    this.#chars -= row.outcome?.length ?? 0;
    this.#hash = (this.#hash - sessionHash(row)) >>> 0;
  }

  /** Takes over the rows of another table, which must not be used afterwards. */
  adopt(other: MemorySessionTable): void {
    this.#places = other.#places;
    this.#oldest = other.#oldest;
    this.#newest = other.#newest;
    this.#bare = other.#bare;
    this.#chars = other.#chars;
    this.#hash = other.#hash;
  }

  /** Recomputes what is kept incrementally and lists each fault. O(n). */
  check(): string[] {
    const faults: string[] = [];
    let [count, hash, chars, usedAt] = [0, 0, 0, -Infinity];
    for (const row of this.rows()) {
      chars += row.outcome?.length ?? 0;
      if (this.#places.get(row.client)?.row !== row) faults.push(`session ${row.client} is in the order of use and not in the table`);
      if (row.usedAt < usedAt) faults.push(`session ${row.client} stands behind one that was used after it`);
      usedAt = row.usedAt;
      hash = (hash + sessionHash(row)) >>> 0;
      count++;
    }
    if (count !== this.size) faults.push(`${count} sessions are in the order of use and ${this.size} in the table`);
    if (chars !== this.#chars) faults.push(`the results have ${chars} characters and the table says ${this.#chars}`);
    if (hash !== this.#hash) faults.push(`the sessions hash to ${hash} and the table says ${this.#hash}`);
    return faults;
  }
}

/**
 * What a command with this number is answered by the row of its client.
 * @returns undefined when it is new. @throws QuorateError sequencePassed, keyReused, resultNotKept
 */
export function outcomeOf(row: SessionRow, sequence: number): KeptOutcome | undefined {
  if (row.client.startsWith(ONE_COMMAND) && row.sequence !== sequence) throw errKeyReused();
  if (row.sequence < sequence) return undefined;
  if (row.sequence > sequence) throw errSequencePassed(sequence, row.sequence);
  if (row.outcome === null) throw errResultNotKept(row.revision);
  return parseOutcome(row.outcome, row.revision);
}

/** Not of the outcome: what made it is hashed elsewhere. */
export function sessionHash({ client, sequence, usedAt, revision }: SessionRow): number {
  return finishHash(hashNumber(hashNumber(hashNumber(hashBytes(0x27d4eb2f, client), sequence), usedAt), revision));
}

interface KeptError {
  readonly error: { readonly code: ErrorCode; readonly reason: string; readonly message: string; readonly details: ErrorDetails };
}

/** Byte strings are text with a character a byte, which JSON carries as it is. @returns null: too large to be kept */
export function formatOutcome(outcome: KeptOutcome): string | null {
  const kept = outcome.ok ? { result: outcome.result } : ({ error: errorOf(outcome.error) } satisfies KeptError);
  // Ranges in a transaction may repeat a large value many times at no cost; as text they could be larger than a string can be.
  if (leftAfter(SESSION_RESULT_CHARS_MAX, kept) < 0) return null;
  const text = JSON.stringify(kept);
  return text.length <= SESSION_RESULT_CHARS_MAX ? text : null;
}

function errorOf({ code, reason, message, details }: QuorateError): KeptError["error"] {
  return { code, reason, message, details };
}

/**
 * What is left of `chars` after the JSON of a value, escapes and names not counted: never less than there really is, so that it only
 * says early what the text itself would say. Stops when nothing is left, so that it takes no longer for a larger value.
 */
function leftAfter(chars: number, value: unknown): number {
  if (typeof value === "string") return chars - value.length - 2;
  if (typeof value !== "object" || value === null) return chars - 1;
  let left = chars - 2;
  for (const one of Array.isArray(value) ? (value as readonly unknown[]) : Object.values(value)) {
    if (left < 0) break;
    if (one !== undefined) left = leftAfter(left, one);
  }
  return left;
}

function parseOutcome(text: string, revision: number): KeptOutcome {
  const kept = JSON.parse(text) as { result: Result } | KeptError;
  if ("result" in kept) return { ok: true, revision, result: kept.result };
  const { code, reason, message, details } = kept.error;
  return { ok: false, revision, error: new QuorateError(code, reason, message, details) };
}
