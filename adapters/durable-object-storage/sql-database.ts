/**
 * What is used of a Durable Object's storage, as an interface of its own: `ctx.storage` fits as it is, and tests stand `node:sqlite` behind
 * it. Source: https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/.
 */

/** Numbers are doubles: nothing at or above 2^53 goes in or out as one. Bytes come out as an `ArrayBuffer`. */
export type SqlValue = ArrayBuffer | string | number | null;

export interface SqlDatabase {
  /** One statement. The rows are read to their end before the next one is asked for: no cursor is left open. */
  exec(query: string, ...bindings: SqlValue[]): { toArray(): Record<string, SqlValue>[] };
  /** Bytes on the device. */
  readonly databaseSize: number;
}

export interface SqlTransactions {
  readonly sql: SqlDatabase;
  /** Runs `work` at once; what it throws rolls everything back and is thrown. May be nested. */
  transactionSync<T>(work: () => T): T;
  /** Resolves when all that was written before is durable. */
  sync(): Promise<void>;
}

/** Bytes of key, value and all together that a row can have: the platform's 2 MB, less what the row needs for itself. */
export const ROW_BYTES_MAX = 2_000_000;

/** Characters of a piece of text: fewer bytes than a row can have even when each takes two. */
export const TEXT_PIECE_CHARS = 900_000;

/** Bytes of a piece of a record that may be larger than a row. */
export const PIECE_BYTES = 1_000_000;
