/** Outcomes of exactly-once commands in a SQLite table; the same answers and hashes as MemorySessionTable. */
import {
  type CommandSession,
  type KeptOutcome,
  type MemorySessionTable,
  SESSIONS_MAX,
  SESSION_ALL_RESULTS_CHARS_MAX,
  SESSION_IDLE_MS_MAX,
  type SessionRow,
  formatOutcome,
  outcomeOf,
  sessionHash,
} from "../../core/store/sessions.ts";
import type { SessionTable } from "../../core/store/state-storage-port.ts";
import type { SqlDatabase, SqlValue } from "./sql-database.ts";

export interface SessionTotals {
  readonly count: number;
  readonly hash: number;
  /** Of all kept results. */
  readonly chars: number;
  /** Place of the next row in the order of use. */
  readonly next: number;
  /** No result is kept at places below it. */
  readonly bare: number;
}

export const NO_SESSIONS: SessionTotals = { count: 0, hash: 0, chars: 0, next: 0, bare: 0 };

const COLUMNS = "client, place, sequence, used, revision, outcome";

function rowOf({ client, sequence, used, revision, outcome }: Record<string, SqlValue>): SessionRow {
  const kept = outcome === null ? null : String(outcome);
  return { client: String(client), sequence: Number(sequence), usedAt: Number(used), revision: Number(revision), outcome: kept };
}

export class SqlSessionTable implements SessionTable {
  readonly #sql: SqlDatabase;
  readonly #charsMax: number;
  #count = 0;
  #hash = 0;
  #chars = 0;
  #next = 0;
  #bare = 0;

  /** @param charsMax see SESSION_ALL_RESULTS_CHARS_MAX */
  constructor(sql: SqlDatabase, charsMax = SESSION_ALL_RESULTS_CHARS_MAX) {
    this.#sql = sql;
    this.#charsMax = charsMax;
  }

  totals(): SessionTotals {
    return { count: this.#count, hash: this.#hash, chars: this.#chars, next: this.#next, bare: this.#bare };
  }

  setTotals({ count, hash, chars, next, bare }: SessionTotals): void {
    this.#count = count;
    this.#hash = hash;
    this.#chars = chars;
    this.#next = next;
    this.#bare = bare;
  }

  get size(): number {
    return this.#count;
  }

  get hash(): number {
    return this.#hash;
  }

  rows(): Iterable<SessionRow> {
    return this.#sql.exec(`SELECT ${COLUMNS} FROM sessions ORDER BY place`).toArray().map(rowOf);
  }

  #row(client: string): SessionRow | undefined {
    const [row] = this.#sql.exec(`SELECT ${COLUMNS} FROM sessions WHERE client = ?`, client).toArray();
    return row === undefined ? undefined : rowOf(row);
  }

  repeated({ client, sequence }: CommandSession): KeptOutcome | undefined {
    const row = this.#row(client);
    return row === undefined ? undefined : outcomeOf(row, sequence);
  }

  keep({ client, sequence }: CommandSession, outcome: KeptOutcome, now: number): void {
    this.#add({ client, sequence, usedAt: now, revision: outcome.revision, outcome: formatOutcome(outcome) });
    for (;;) {
      const [oldest] = this.#sql.exec(`SELECT ${COLUMNS} FROM sessions ORDER BY place LIMIT 1`).toArray();
      if (oldest === undefined || (this.#count <= SESSIONS_MAX && Number(oldest["used"]) >= now - SESSION_IDLE_MS_MAX)) break;
      this.#remove(rowOf(oldest));
    }
    this.#letResultsGo();
  }

  #letResultsGo(): void {
    while (this.#chars > this.#charsMax) {
      const [row] = this.#sql
        .exec("SELECT place, length(outcome) AS chars FROM sessions WHERE place >= ? ORDER BY place LIMIT 1", this.#bare)
        .toArray();
      this.#sql.exec("UPDATE sessions SET outcome = NULL WHERE place = ?", row!["place"]!);
      this.#chars -= Number(row!["chars"] ?? 0);
      this.#bare = Number(row!["place"]) + 1;
    }
  }

  /** As the most recently used. */
  #add(row: SessionRow): void {
    const old = this.#row(row.client);
    if (old !== undefined) this.#remove(old);
    const { client, sequence, usedAt, revision, outcome } = row;
    const query = `INSERT INTO sessions (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`;
    this.#sql.exec(query, client, this.#next++, sequence, usedAt, revision, outcome);
    this.#count++;
    this.#chars += outcome?.length ?? 0;
    this.#hash = (this.#hash + sessionHash(row)) >>> 0;
  }

  #remove(row: SessionRow): void {
    this.#sql.exec("DELETE FROM sessions WHERE client = ?", row.client);
    this.#count--;
    this.#chars -= row.outcome?.length ?? 0;
    this.#hash = (this.#hash - sessionHash(row)) >>> 0;
  }

  adopt(read: MemorySessionTable): void {
    this.#sql.exec("DELETE FROM sessions");
    this.setTotals(NO_SESSIONS);
    for (const row of read.rows()) this.#add(row);
  }

  check(): string[] {
    let [count, hash, chars] = [0, 0, 0];
    for (const row of this.rows()) {
      count++;
      chars += row.outcome?.length ?? 0;
      hash = (hash + sessionHash(row)) >>> 0;
    }
    const said = `${this.#count} sessions, ${this.#chars} characters of results and the hash ${this.#hash}`;
    const found = `${count} sessions, ${chars} characters of results and the hash ${hash}`;
    return said === found ? [] : [`there are ${found}, and the table says ${said}`];
  }
}
