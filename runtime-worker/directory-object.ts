/** The list of all namespaces, in one Durable Object: the platform itself has none. Asked by worker.ts alone. */
import type { Env, Settings } from "./settings.ts";

/** The one there is. It keeps names only, and stays in the jurisdiction of the namespaces all the same. */
export function directoryOf({ DIRECTORY }: Pick<Env, "DIRECTORY">, { jurisdiction }: Pick<Settings, "jurisdiction">): DurableObjectStub {
  const directory = jurisdiction === null ? DIRECTORY : DIRECTORY.jurisdiction(jurisdiction);
  return directory.get(directory.idFromName("directory"));
}

/** Names in one answer, at most. */
const PAGE_MAX = 1_000;

export class QuorateDirectory {
  readonly #sql: DurableObjectStorage["sql"];

  constructor(state: DurableObjectState) {
    this.#sql = state.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS namespaces (name TEXT NOT NULL PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID");
  }

  /** `PUT /NAME` adds one; `GET /?after=NAME&limit=N` lists them in the order of their names. */
  fetch(request: Request): Response {
    const url = new URL(request.url);
    if (request.method === "PUT") {
      this.#sql.exec("INSERT OR IGNORE INTO namespaces (name, since) VALUES (?, ?)", url.pathname.slice(1), Date.now());
      return new Response(null, { status: 204 });
    }
    const limit = Math.min(Number(url.searchParams.get("limit") ?? PAGE_MAX), PAGE_MAX);
    const query = "SELECT name, since FROM namespaces WHERE name > ? ORDER BY name LIMIT ?";
    const rows = this.#sql.exec(query, url.searchParams.get("after") ?? "", limit + 1).toArray();
    const namespaces = rows.slice(0, limit).map(({ name, since }) => ({ name, since: new Date(Number(since)).toISOString() }));
    return Response.json({ namespaces, more: rows.length > limit });
  }
}
