/**
 * Exactly-once commands: a client that did not hear the outcome of a command sends it again with the same number, and is told the outcome
 * that it had (dissertation §6.3). Kept for each client: the number of its last command and what came of it.
 *
 * Sessions end by what stands in the log alone, so that they end at the same place on every member: unused for an hour of the store's
 * clock, or as the least recently used of too many.
 */
import { type ErrorCode, type ErrorDetails, QuorateError, errBadField, errResultNotKept, errSequencePassed } from "../errors.ts";
import type { Result } from "./command.ts";
import { finishHash, hashBytes, hashNumber } from "./mvcc/version.ts";

/** A session that was not used for so long is forgotten, in milliseconds of the store's clock. */
export const SESSION_IDLE_MS_MAX = 3_600_000;
export const SESSIONS_MAX = 100_000;
/** Of the kept result, as text; of a larger one only the revision is kept. */
export const SESSION_RESULT_CHARS_MAX = 64 * 1024;

/** Whose command it is, and which one. */
export interface CommandSession {
  /** Chosen by the client, at random: 1 to 64 characters of ASCII. */
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
  /** JSON of the result, or of the error with its code; null: too large to be kept. */
  readonly outcome: string | null;
}

/** @throws QuorateError badField */
export function checkSession({ client, sequence }: CommandSession): void {
  if (!/^[\x20-\x7e]{1,64}$/.test(client)) throw errBadField("session.client", "the client of a session is 1 to 64 characters of ASCII");
  if (!Number.isSafeInteger(sequence) || sequence < 1) throw errBadField("session.sequence", "the sequence counts up from 1");
}

export class SessionTable {
  /** Least recently used first: a Map keeps the order of insertion, and whoever is used is inserted anew. */
  #rows = new Map<string, SessionRow>();
  #hash = 0;

  get size(): number {
    return this.#rows.size;
  }

  /** Of the rows, not of their order. O(1). */
  get hash(): number {
    return this.#hash;
  }

  rows(): Iterable<SessionRow> {
    return this.#rows.values();
  }

  /**
   * What a command of this session has to be answered without being done.
   * @returns undefined when it is new. @throws QuorateError sequencePassed, resultNotKept
   */
  repeated({ client, sequence }: CommandSession): KeptOutcome | undefined {
    const row = this.#rows.get(client);
    if (row === undefined || row.sequence < sequence) return undefined;
    if (row.sequence > sequence) throw errSequencePassed(sequence, row.sequence);
    if (row.outcome === null) throw errResultNotKept(row.revision);
    return parse(row.outcome, row.revision);
  }

  /** @param now the store's clock */
  keep({ client, sequence }: CommandSession, outcome: KeptOutcome, now: number): void {
    const text = format(outcome);
    const kept = text.length <= SESSION_RESULT_CHARS_MAX ? text : null;
    this.add({ client, sequence, usedAt: now, revision: outcome.revision, outcome: kept });
    for (const [name, { usedAt }] of this.#rows) {
      if (this.#rows.size <= SESSIONS_MAX && usedAt >= now - SESSION_IDLE_MS_MAX) break;
      this.#remove(name);
    }
  }

  /** As the most recently used. */
  add(row: SessionRow): void {
    this.#remove(row.client);
    this.#rows.set(row.client, row);
    this.#hash = (this.#hash + rowHash(row)) >>> 0;
  }

  #remove(client: string): void {
    const row = this.#rows.get(client);
    if (row === undefined) return;
    this.#rows.delete(client);
    this.#hash = (this.#hash - rowHash(row)) >>> 0;
  }

  /** Takes over the rows of another table, which must not be used afterwards. */
  adopt(other: SessionTable): void {
    this.#rows = other.#rows;
    this.#hash = other.#hash;
  }
}

/** Not of the outcome: what made it is hashed elsewhere. */
function rowHash({ client, sequence, usedAt, revision }: SessionRow): number {
  return finishHash(hashNumber(hashNumber(hashNumber(hashBytes(0x27d4eb2f, client), sequence), usedAt), revision));
}

interface KeptError {
  readonly error: { readonly code: ErrorCode; readonly reason: string; readonly message: string; readonly details: ErrorDetails };
}

/** Byte strings are text with a character a byte, which JSON carries as it is. */
function format(outcome: KeptOutcome): string {
  if (outcome.ok) return JSON.stringify({ result: outcome.result });
  const { code, reason, message, details } = outcome.error;
  return JSON.stringify({ error: { code, reason, message, details } } satisfies KeptError);
}

function parse(text: string, revision: number): KeptOutcome {
  const kept = JSON.parse(text) as { result: Result } | KeptError;
  if ("result" in kept) return { ok: true, revision, result: kept.result };
  const { code, reason, message, details } = kept.error;
  return { ok: false, revision, error: new QuorateError(code, reason, message, details) };
}
