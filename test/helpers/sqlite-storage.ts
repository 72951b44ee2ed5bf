/** What a Durable Object's storage is to the adapter, on `node:sqlite`: same SQL, in this process, so that many small tests are quick. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SqlTransactions, SqlValue } from "../../adapters/durable-object-storage/sql-database.ts";

export interface SqliteStorage extends SqlTransactions {
  /** Statements run so far. */
  readonly statements: number;
  /** Rows that a statement has written last, and all before it: what the platform charges, without indexes. */
  readonly rowsWritten: number;
  /** Throws instead of running the statement after so many more. */
  failAfter(statements: number): void;
  close(): void;
}

/** @param path left out: in memory */
export function sqliteStorage(path = ":memory:"): SqliteStorage {
  const database = new DatabaseSync(path);
  const prepared = new Map<string, StatementSync>();
  let [statements, depth, left] = [0, 0, Infinity];
  const run = (query: string, bindings: readonly SqlValue[]) => {
    if (left-- <= 0) {
      left = Infinity;
      throw new Error("database or disk is full");
    }
    statements++;
    let statement = prepared.get(query);
    if (statement === undefined) prepared.set(query, (statement = database.prepare(query)));
    const rows = statement.all(...bindings.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value)));
    for (const row of rows) {
      for (const [name, value] of Object.entries(row)) {
        if (value instanceof Uint8Array) row[name] = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength) as never;
      }
    }
    return rows as Record<string, SqlValue>[];
  };
  const changes = (): number => Number((database.prepare("SELECT total_changes() AS rows").get() as { rows: number }).rows);
  return {
    sql: {
      exec: (query, ...bindings) => {
        const rows = run(query, bindings);
        return { toArray: () => rows };
      },
      get databaseSize() {
        return Number((database.prepare("PRAGMA page_count").get() as { page_count: number }).page_count) * 4096;
      },
    },
    transactionSync(work) {
      const name = `s${depth++}`;
      database.exec(`SAVEPOINT ${name}`);
      try {
        const result = work();
        database.exec(`RELEASE ${name}`);
        return result;
      } catch (error) {
        database.exec(`ROLLBACK TO ${name}; RELEASE ${name}`);
        throw error;
      } finally {
        depth--;
      }
    },
    sync: () => Promise.resolve(),
    get statements() {
      return statements;
    },
    get rowsWritten() {
      return changes();
    },
    failAfter: (count) => void (left = count),
    close: () => database.close(),
  };
}
