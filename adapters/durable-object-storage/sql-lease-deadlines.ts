/**
 * When the leases end, as rows, by a clock that goes on while the object sleeps. A lease that has ended keeps its row until it is revoked, so
 * that a crash in between does not make it last for ever; that it is being revoked is known in memory alone.
 */
import type { LeaseDeadlines } from "../../core/replica/lease-deadlines-port.ts";
import type { LeaseId } from "../../core/store/command.ts";
import type { SqlTransactions } from "./sql-database.ts";

export class SqlLeaseDeadlines implements LeaseDeadlines {
  readonly areStored = true;
  readonly #db: SqlTransactions;
  /** Given out by `takeExpired`. */
  readonly #taken = new Set<LeaseId>();

  /** The tables are those that `SqlStateStorage` has prepared. */
  constructor(db: SqlTransactions) {
    this.#db = db;
  }

  set(id: LeaseId, deadline: number): void {
    this.#taken.delete(id);
    const query = "INSERT INTO deadlines (lease, at) VALUES (?, ?) ON CONFLICT (lease) DO UPDATE SET at = excluded.at";
    this.#db.sql.exec(query, id, Math.ceil(deadline));
  }

  settled(): Promise<void> {
    return this.#db.sync();
  }

  delete(id: LeaseId): void {
    this.#taken.delete(id);
    this.#db.sql.exec("DELETE FROM deadlines WHERE lease = ?", id);
  }

  clear(): void {
    this.#taken.clear();
    this.#db.sql.exec("DELETE FROM deadlines");
  }

  deadline(id: LeaseId): number | undefined {
    if (this.#taken.has(id)) return undefined;
    const [row] = this.#db.sql.exec("SELECT at FROM deadlines WHERE lease = ?", id).toArray();
    return row === undefined ? undefined : Number(row["at"]);
  }

  takeExpired(now: number): LeaseId | undefined {
    const first = this.#first();
    if (first === undefined || first.at > now) return undefined;
    this.#taken.add(first.id);
    return first.id;
  }

  earliest(): number | undefined {
    return this.#first()?.at;
  }

  #first(): { readonly id: LeaseId; readonly at: number } | undefined {
    // Those that are being revoked come first, each once: there are no more rows to pass over than there are of them.
    const rows = this.#db.sql.exec("SELECT lease, at FROM deadlines ORDER BY at LIMIT ?", this.#taken.size + 1).toArray();
    const row = rows.find(({ lease }) => !this.#taken.has(String(lease)));
    return row === undefined ? undefined : { id: String(row["lease"]), at: Number(row["at"]) };
  }

  remaining(): Iterable<readonly [LeaseId, number]> {
    return []; // no term ends with the process
  }
}
