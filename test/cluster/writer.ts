/**
 * A client that writes under its own prefix, one request at a time, and knows exactly what the server must have afterwards: all that was
 * acknowledged, and of the one request whose answer never came all or nothing.
 *
 * State: `expected` (acknowledged) and `pending` (the request under way when the server died). After a restart `check` compares what is stored with
 * `expected`, and with `expected` changed by `pending`; whichever it is, is from then on acknowledged: it must never go back.
 */
import { Agent } from "node:http";
import { Random } from "../differential/random.ts";
import { ask, base64, callV3, fromBase64, type Reply } from "./http.ts";

interface Stored {
  readonly value: string;
  /** v3: mod_revision; v2: modifiedIndex; 0: not known, for the answer never came. */
  readonly revision: number;
}
/** undefined: the key is deleted. */
type Changes = ReadonlyMap<string, string | undefined>;

export interface Writer {
  readonly name: string;
  /** Acknowledged writes so far. */
  acknowledged(): number;
  /** The greatest revision or index that any answer had. */
  newest(): number;
  /** Writes until the server is gone or `stop` was called. */
  run(url: string): Promise<void>;
  stop(): void;
  /** @returns one sentence a fault */
  check(url: string): Promise<string[]>;
  close(): void;
}

const KEYS = 12;

interface Planned {
  readonly changes: Changes;
  readonly send: (url: string) => Promise<Reply | undefined>;
  /** Its answer when it succeeded. */
  readonly revisionOf: (reply: Reply) => number;
}

abstract class BaseWriter implements Writer {
  readonly name: string;
  protected readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  protected readonly random: Random;
  protected readonly expected = new Map<string, Stored>();
  #pending: Changes | undefined;
  #sequence = 0;
  #acknowledged = 0;
  #newest = 0;
  #stopping = false;

  constructor(name: string, seed: number) {
    this.name = name;
    this.random = new Random(seed);
  }

  acknowledged(): number {
    return this.#acknowledged;
  }

  newest(): number {
    return this.#newest;
  }

  stop(): void {
    this.#stopping = true;
  }

  close(): void {
    this.agent.destroy();
  }

  async run(url: string): Promise<void> {
    this.#stopping = false;
    while (!this.#stopping) {
      const planned = this.plan(`${this.name}-${++this.#sequence}`);
      this.#pending = planned.changes;
      const reply = await planned.send(url);
      // An error while the server stops says nothing about what was done: like no answer.
      if (reply === undefined || reply.status >= 300) return;
      const revision = planned.revisionOf(reply);
      this.#newest = Math.max(this.#newest, revision);
      this.#acknowledged++;
      for (const [key, value] of planned.changes) {
        if (value === undefined) this.expected.delete(key);
        else this.expected.set(key, { value, revision });
      }
      this.#pending = undefined;
    }
  }

  async check(url: string): Promise<string[]> {
    const { stored, revision } = await this.read(url);
    const faults: string[] = [];
    if (revision < this.#newest) faults.push(`${this.name}: revision ${revision} after ${this.#newest} was acknowledged`);
    const without = compare(this.expected, stored);
    const changed = new Map(this.expected);
    for (const [key, value] of this.#pending ?? []) {
      if (value === undefined) changed.delete(key);
      else changed.set(key, { value, revision: 0 });
    }
    const withPending = compare(changed, stored);
    if (without.length > 0 && withPending.length > 0)
      faults.push(...without.map((fault) => `${this.name}: ${fault} (pending: ${JSON.stringify([...(this.#pending ?? [])])})`));
    this.expected.clear();
    for (const [key, entry] of stored) this.expected.set(key, entry);
    this.#pending = undefined;
    this.#newest = Math.max(this.#newest, revision);
    return faults;
  }

  /** One write: what it changes and how it is sent. */
  protected abstract plan(value: string): Planned;
  /** All that is stored under this writer's prefix, and the store's present revision. */
  protected abstract read(url: string): Promise<{ stored: Map<string, Stored>; revision: number }>;
}

function compare(expected: ReadonlyMap<string, Stored>, stored: ReadonlyMap<string, Stored>): string[] {
  const faults: string[] = [];
  for (const key of new Set([...expected.keys(), ...stored.keys()])) {
    const [want, have] = [expected.get(key), stored.get(key)];
    const sameRevision = want?.revision === 0 || want?.revision === have?.revision;
    if (want?.value !== have?.value || !sameRevision) faults.push(`${key} is ${JSON.stringify(have)}, expected ${JSON.stringify(want)}`);
  }
  return faults;
}

/** Puts, transactions of two puts (which must appear together), deletes. */
class V3Writer extends BaseWriter {
  protected override plan(value: string): Planned {
    const key = this.#key();
    const kind = this.random.weighted([[6, "put"], [2, "txn"], [1, "delete"]] as const); // prettier-ignore
    // A delete of what is not there changes nothing; it would have no event and no revision.
    if (kind === "delete" && this.expected.has(key)) return this.#planned("/v3/kv/deleterange", { key: base64(key) }, [[key, undefined]]);
    if (kind === "txn") {
      const other = this.#key();
      if (other !== key) {
        const puts = [key, other].map((name) => ({ request_put: { key: base64(name), value: base64(value) } }));
        return this.#planned("/v3/kv/txn", { success: puts }, [[key, value], [other, value]]); // prettier-ignore
      }
    }
    return this.#planned("/v3/kv/put", { key: base64(key), value: base64(value) }, [[key, value]]);
  }

  #key(): string {
    return `${this.name}/${this.random.int(KEYS)}`;
  }

  #planned(path: string, body: unknown, changes: [string, string | undefined][]): Planned {
    return {
      changes: new Map(changes),
      send: (url) => ask(this.agent, url, "POST", path, JSON.stringify(body)),
      revisionOf: (reply) => Number((JSON.parse(reply.text) as { header: { revision: string } }).header.revision),
    };
  }

  protected override async read(url: string): Promise<{ stored: Map<string, Stored>; revision: number }> {
    const body = { key: base64(`${this.name}/`), range_end: base64(`${this.name}0`) };
    type Range = { header: { revision: string }; kvs?: { key: string; value?: string; mod_revision: string }[] };
    const { header, kvs } = await callV3<Range>(this.agent, url, "/v3/kv/range", body);
    const stored = new Map(
      (kvs ?? []).map((kv) => [fromBase64(kv.key), { value: fromBase64(kv.value ?? ""), revision: Number(kv.mod_revision) }]),
    );
    return { stored, revision: Number(header.revision) };
  }
}

interface V2Node {
  readonly key: string;
  readonly value?: string;
  readonly modifiedIndex: number;
  readonly nodes?: readonly V2Node[];
}

/** The same through the v2 keys API: set, in-order create is left to the other tests, delete. */
class V2Writer extends BaseWriter {
  protected override plan(value: string): Planned {
    const key = `/${this.name}/${this.random.int(KEYS)}`;
    const revisionOf = (reply: Reply): number => (JSON.parse(reply.text) as { node: { modifiedIndex: number } }).node.modifiedIndex;
    if (this.random.chance(15) && this.expected.has(key)) {
      return { changes: new Map([[key, undefined]]), send: (url) => ask(this.agent, url, "DELETE", `/v2/keys${key}`), revisionOf };
    }
    const send = (url: string): Promise<Reply | undefined> =>
      ask(this.agent, url, "PUT", `/v2/keys${key}`, `value=${value}`, "application/x-www-form-urlencoded");
    return { changes: new Map([[key, value]]), send, revisionOf };
  }

  protected override async read(url: string): Promise<{ stored: Map<string, Stored>; revision: number }> {
    const reply = await ask(this.agent, url, "GET", `/v2/keys/${this.name}?recursive=true`);
    if (reply === undefined || (reply.status !== 200 && reply.status !== 404))
      throw new Error(`v2 read failed: ${reply?.status} ${reply?.text}`);
    const nodes = reply.status === 404 ? [] : ((JSON.parse(reply.text) as { node: V2Node }).node.nodes ?? []);
    const stored = new Map(nodes.map((node) => [node.key, { value: node.value ?? "", revision: node.modifiedIndex }]));
    return { stored, revision: Number(reply.headers["x-etcd-index"]) };
  }
}

export function v3Writer(name: string, seed: number): Writer {
  return new V3Writer(name, seed);
}

export function v2Writer(name: string, seed: number): Writer {
  return new V2Writer(name, seed);
}
