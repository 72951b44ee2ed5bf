/**
 * What a revision did, as bytes: the keys it wrote, in the order of writing, and its note. The versions themselves are rows of their own.
 * Cut into pieces: a deletion of very many keys has more to say than fits into a row.
 */
import { type Bytes, fromUint8Array, toUint8Array } from "../../core/bytes/bytes.ts";
import { MsgpackReader, MsgpackWriter } from "../../core/bytes/msgpack.ts";
import { readNote, writeNote } from "../../core/store/note-codec.ts";
import type { V2Note } from "../../core/store/v2-tree/v2-command.ts";
import { PIECE_BYTES, type SqlDatabase, type SqlValue } from "./sql-database.ts";

export interface StoredRevision {
  readonly revision: number;
  readonly time: number;
  readonly keys: readonly Bytes[];
  readonly note: V2Note | null;
}

const blob = (bytes: Bytes): ArrayBuffer => toUint8Array(bytes).buffer;

/** The column as a byte string. */
export const bytesOf = (value: SqlValue | undefined): Bytes => fromUint8Array(new Uint8Array(value as ArrayBuffer));

/** @param freed bytes that a compaction at this revision makes unreachable */
export function writeRevision(sql: SqlDatabase, { revision, time, keys, note }: StoredRevision, freed: number): void {
  // The usual revision wrote one key, which is known by its version: see `readRevisions`.
  const body = encode(keys, note);
  for (let at = 0, piece = 0; at === 0 || at < body.length; at += PIECE_BYTES, piece++) {
    const part = body.slice(at, at + PIECE_BYTES);
    sql.exec(
      "INSERT INTO revisions (revision, piece, time, freed, body) VALUES (?, ?, ?, ?, ?)",
      ...[revision, piece, time, freed],
      part.buffer,
    );
  }
}

function encode(keys: readonly Bytes[], note: V2Note | null): Uint8Array<ArrayBuffer> {
  const writer = new MsgpackWriter(256);
  writer.array(keys.length);
  for (const key of keys) writer.bytes(key);
  if (note === null) writer.nil();
  else writeNote(writer, note);
  return writer.finish();
}

/** @param rows of one revision or several, in order, each with all its pieces */
export function decodeRevisions(rows: readonly Record<string, SqlValue>[]): StoredRevision[] {
  const found: StoredRevision[] = [];
  for (let at = 0; at < rows.length;) {
    const { revision, time } = rows[at]!;
    const pieces: Bytes[] = [];
    while (at < rows.length && rows[at]!["revision"] === revision) pieces.push(bytesOf(rows[at++]!["body"]));
    const reader = new MsgpackReader(toUint8Array(pieces.join("") as Bytes));
    const keys: Bytes[] = [];
    for (let left = reader.array(); left > 0; left--) keys.push(reader.bytes());
    const note = reader.isNil() ? null : readNote(reader);
    found.push({ revision: Number(revision), time: Number(time), keys, note });
  }
  return found;
}

export { blob };
