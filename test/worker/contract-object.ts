/** The contract suites inside a Durable Object, on its real storage. vitest-shim.ts stands in for vitest: see contract.test.ts. */
import { SqlLeaseDeadlines } from "../../adapters/durable-object-storage/sql-lease-deadlines.ts";
import { SqlSessionTable } from "../../adapters/durable-object-storage/sql-session-table.ts";
import { SqlStateStorage } from "../../adapters/durable-object-storage/sql-state-storage.ts";
import type { SqlTransactions } from "../../adapters/durable-object-storage/sql-database.ts";
import { leaseDeadlinesContract } from "../contract/lease-deadlines-port.ts";
import { stateStorageContract } from "../contract/state-storage-port.ts";
import { versionStoreModel } from "../contract/version-store-model.ts";
import { versionStoreContract } from "../contract/version-store-port.ts";
import { sampleState } from "./sample-state.ts";
import { type Report, run } from "./vitest-shim.ts";

interface State {
  readonly storage: SqlTransactions;
}

const TABLES = /\b(versions|live|revisions|leases|lease_keys|deadlines|deadlines_in_order|sessions|sessions_in_order|facts)\b/g;

export class ContractObject {
  readonly #storage: SqlTransactions;
  #made = 0;

  constructor({ storage }: State) {
    this.#storage = storage;
  }

  /** Several databases in the one that an object has: under other names of tables each. */
  #fresh(): SqlTransactions {
    const prefix = `t${this.#made++}_`;
    const { sql } = this.#storage;
    return {
      sql: {
        exec: (query, ...bindings) => sql.exec(query.replace(TABLES, `${prefix}$1`), ...bindings),
        get databaseSize() {
          return sql.databaseSize;
        },
      },
      transactionSync: (work) => this.#storage.transactionSync(work),
      sync: () => this.#storage.sync(),
    };
  }

  #drop(): void {
    const { sql } = this.#storage;
    for (const { name } of sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 't%'").toArray()) {
      sql.exec(`DROP TABLE ${String(name)}`);
    }
  }

  async fetch(request: Request): Promise<Response> {
    this.#drop();
    const { pathname } = new URL(request.url);
    if (pathname === "/sample") {
      const db = this.#fresh();
      return Response.json(await sampleState(new SqlStateStorage(db), (work) => db.transactionSync(work)));
    }
    return Response.json(await this.#contracts());
  }

  #contracts(): Promise<Report> {
    versionStoreContract("SqlVersionStore", () => new SqlStateStorage(this.#fresh()).versions);
    versionStoreModel("SqlVersionStore", () => new SqlStateStorage(this.#fresh()).versions, 40);
    stateStorageContract(
      "SqlStateStorage",
      () => {
        const db = this.#fresh();
        return {
          storage: new SqlStateStorage(db),
          transaction: (work) => db.transactionSync(work),
          reopen: () => new SqlStateStorage(db),
          sessions: (charsMax) => new SqlSessionTable(db.sql, charsMax),
        };
      },
      40,
    );
    leaseDeadlinesContract("SqlLeaseDeadlines", () => {
      const db = this.#fresh();
      new SqlStateStorage(db);
      return new SqlLeaseDeadlines(db);
    });
    return run(() => this.#drop());
  }
}

interface Env {
  readonly OBJECT: { idFromName(name: string): object; get(id: object): { fetch(request: Request): Promise<Response> } };
}

/** POST is how it is asked whether it is there. */
export default {
  fetch: (request: Request, env: Env): Promise<Response> | Response =>
    request.method === "POST" ? new Response("{}") : env.OBJECT.get(env.OBJECT.idFromName("one")).fetch(request),
};
