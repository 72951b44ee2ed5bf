/**
 * The tables. Each column and why it is so: docs/formats/durable-object.md.
 *
 * Rows written are what the platform counts and charges, indexes and deletions included, so each table has the one order that is asked for
 * and as few rows a command as can be: a put is a version, its place among the live keys, its revision and, once a transaction, the totals.
 */
import { QuorateError } from "../../core/errors.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Of the tables below. */
const FORMAT = "1";

const TABLES = [
  // Every kept version; version 0 is a tombstone. The newest of a key is its last row.
  `CREATE TABLE IF NOT EXISTS versions (key BLOB NOT NULL, mod INTEGER NOT NULL, created INTEGER NOT NULL, version INTEGER NOT NULL,
     lease TEXT, type BLOB, value BLOB NOT NULL, PRIMARY KEY (key, mod)) WITHOUT ROWID`,
  // The keys that are there, narrow, so that counting and stepping over many reads little.
  `CREATE TABLE IF NOT EXISTS live (key BLOB NOT NULL PRIMARY KEY, mod INTEGER NOT NULL) WITHOUT ROWID`,
  // What each revision did: which keys in which order, and the note of the v2 view. Large ones are cut into pieces.
  `CREATE TABLE IF NOT EXISTS revisions (revision INTEGER NOT NULL, piece INTEGER NOT NULL, time INTEGER NOT NULL, freed INTEGER NOT NULL,
     body BLOB NOT NULL, PRIMARY KEY (revision, piece)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS leases (id TEXT NOT NULL PRIMARY KEY, place INTEGER NOT NULL, ttl INTEGER NOT NULL, remaining INTEGER,
     path BLOB, expires INTEGER) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS lease_keys (lease TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (lease, key)) WITHOUT ROWID`,
  // When the leases end, by the object's clock: no part of the replicated state.
  `CREATE TABLE IF NOT EXISTS deadlines (lease TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE INDEX IF NOT EXISTS deadlines_in_order ON deadlines (at)`,
  `CREATE TABLE IF NOT EXISTS sessions (client TEXT NOT NULL PRIMARY KEY, place INTEGER NOT NULL, sequence INTEGER NOT NULL,
     used INTEGER NOT NULL, revision INTEGER NOT NULL, outcome TEXT) WITHOUT ROWID`,
  `CREATE INDEX IF NOT EXISTS sessions_in_order ON sessions (place)`,
  // Small things by name, as text in pieces: the totals, the alarms, users and roles.
  `CREATE TABLE IF NOT EXISTS facts (name TEXT NOT NULL, piece INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, piece)) WITHOUT ROWID`,
];

/** Makes what is not there yet. @throws QuorateError unimplemented when a newer release has written the tables */
export function prepareTables(sql: SqlDatabase): void {
  const [known] = sql.exec("SELECT name FROM sqlite_master WHERE name = 'facts'").toArray();
  if (known === undefined) {
    for (const table of TABLES) sql.exec(table);
    sql.exec("INSERT INTO facts (name, piece, body) VALUES ('format', 0, ?)", FORMAT);
    return;
  }
  const format = String(sql.exec("SELECT body FROM facts WHERE name = 'format'").toArray()[0]?.["body"]);
  if (format !== FORMAT) {
    throw new QuorateError("unimplemented", "unknownTables", `the tables have format ${format}: a newer release has written them`, {
      format,
    });
  }
}
