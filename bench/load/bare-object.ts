/** The least that a Durable Object can do for a put and a read: one row of SQLite a request. What `worker` is measured beside. */
interface State {
  readonly storage: {
    readonly sql: { exec(query: string, ...bindings: unknown[]): { toArray(): { readonly value: ArrayBuffer }[] } };
  };
}

export class BareObject {
  readonly #sql: State["storage"]["sql"];

  constructor({ storage }: State) {
    this.#sql = storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS pairs (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID");
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (request.method === "PUT") {
      this.#sql.exec("INSERT OR REPLACE INTO pairs (key, value) VALUES (?, ?)", pathname, await request.arrayBuffer());
      return new Response(null, { status: 204 });
    }
    const [row] = this.#sql.exec("SELECT value FROM pairs WHERE key = ?", pathname).toArray();
    return row === undefined ? new Response(null, { status: 404 }) : new Response(row.value);
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
