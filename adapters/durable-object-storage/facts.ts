/** Small things by name, as text: of any length, cut into pieces that fit into a row. */
import { type SqlDatabase, TEXT_PIECE_CHARS } from "./sql-database.ts";

/** @returns all of them by name */
export function readFacts(sql: SqlDatabase): Map<string, string> {
  const facts = new Map<string, string>();
  for (const { name, body } of sql.exec("SELECT name, body FROM facts ORDER BY name, piece").toArray()) {
    facts.set(String(name), (facts.get(String(name)) ?? "") + String(body));
  }
  return facts;
}

export function readFact(sql: SqlDatabase, name: string): string | undefined {
  const rows = sql.exec("SELECT body FROM facts WHERE name = ? ORDER BY piece", name).toArray();
  return rows.length === 0 ? undefined : rows.map(({ body }) => String(body)).join("");
}

/** Of text that always fits into one piece. */
export function writeShortFact(sql: SqlDatabase, name: string, text: string): void {
  writePiece(sql, name, 0, text);
}

function writePiece(sql: SqlDatabase, name: string, piece: number, body: string): void {
  const query = "INSERT INTO facts (name, piece, body) VALUES (?, ?, ?) ON CONFLICT (name, piece) DO UPDATE SET body = excluded.body";
  sql.exec(query, name, piece, body);
}

export function writeFact(sql: SqlDatabase, name: string, text: string): void {
  let piece = 0;
  for (let at = 0; at === 0 || at < text.length; at += TEXT_PIECE_CHARS) {
    writePiece(sql, name, piece++, text.slice(at, at + TEXT_PIECE_CHARS));
  }
  // Only text that was longer before leaves pieces behind.
  sql.exec("DELETE FROM facts WHERE name = ? AND piece >= ?", name, piece);
}

export function removeFact(sql: SqlDatabase, name: string): void {
  sql.exec("DELETE FROM facts WHERE name = ?", name);
}
