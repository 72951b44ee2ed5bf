/**
 * The whole state of a namespace in the tables of one Durable Object. What is held in memory are the totals, read at the start in one query;
 * a rolled back transaction takes them back with it, by reading them again.
 */
import type { Alarm } from "../../core/store/command.ts";
import type { StateFacts, StateStorage } from "../../core/store/state-storage-port.ts";
import { readFacts, removeFact, writeFact, writeShortFact } from "./facts.ts";
import { prepareTables } from "./schema.ts";
import type { SqlTransactions } from "./sql-database.ts";
import { type LeaseTotals, NO_LEASES, SqlLeaseTable } from "./sql-lease-table.ts";
import { NO_SESSIONS, type SessionTotals, SqlSessionTable } from "./sql-session-table.ts";
import { NO_VERSIONS, SqlVersionStore, type VersionTotals } from "./sql-version-store.ts";

interface Totals {
  readonly appliedIndex: number;
  readonly clockMs: number;
  readonly versions: VersionTotals;
  readonly leases: LeaseTotals;
  readonly sessions: SessionTotals;
}

const NOTHING: Totals = { appliedIndex: 0, clockMs: 0, versions: NO_VERSIONS, leases: NO_LEASES, sessions: NO_SESSIONS };

export class SqlStateStorage implements StateStorage {
  readonly #db: SqlTransactions;
  readonly versions: SqlVersionStore;
  readonly leases: SqlLeaseTable;
  readonly sessions: SqlSessionTable;
  #place = { appliedIndex: 0, clockMs: 0 };
  /** As they are stored. */
  #alarms = "[]";
  #auth: string | null = null;

  /** @throws QuorateError unimplemented when a newer release has written the tables */
  constructor(db: SqlTransactions) {
    this.#db = db;
    prepareTables(db.sql);
    this.versions = new SqlVersionStore(db, { saveTotals: () => this.#saveTotals(), loadTotals: () => void this.load() });
    this.leases = new SqlLeaseTable(db.sql);
    this.sessions = new SqlSessionTable(db.sql);
  }

  load(): StateFacts {
    const facts = readFacts(this.#db.sql);
    const text = facts.get("totals");
    const { appliedIndex, clockMs, versions, leases, sessions } = text === undefined ? NOTHING : (JSON.parse(text) as Totals);
    this.versions.setTotals(versions);
    this.leases.setTotals(leases);
    this.sessions.setTotals(sessions);
    this.#place = { appliedIndex, clockMs };
    this.#alarms = facts.get("alarms") ?? "[]";
    this.#auth = facts.get("auth") ?? null;
    return { appliedIndex, clockMs, alarms: JSON.parse(this.#alarms) as Alarm[], auth: this.#auth };
  }

  save({ appliedIndex, clockMs, alarms, auth }: StateFacts): void {
    this.#place = { appliedIndex, clockMs };
    this.#saveTotals();
    const raised = JSON.stringify(alarms);
    if (raised !== this.#alarms) writeFact(this.#db.sql, "alarms", (this.#alarms = raised));
    if (auth === this.#auth) return;
    if (auth === null) removeFact(this.#db.sql, "auth");
    else writeFact(this.#db.sql, "auth", auth);
    this.#auth = auth;
  }

  #saveTotals(): void {
    const totals: Totals = {
      ...this.#place,
      versions: this.versions.totals(),
      leases: this.leases.totals(),
      sessions: this.sessions.totals(),
    };
    writeShortFact(this.#db.sql, "totals", JSON.stringify(totals));
  }
}
