/**
 * One server of a comparison: what it said so far that later requests refer to, and its answers made comparable with the other's.
 *
 * Numbers that count from a server's own beginning are told relative to where the run began on it: revisions, v2 indexes, also within
 * the names of in-order keys. Ids that a server chooses are told by the order in which they were chosen.
 */
import type { Answer, OpenStream, Sender, WireRequest } from "./exchange.ts";
import type { Template, View } from "./step.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What is compared. Lists and objects as they came; relative numbers as texts such as `+3`. */
export interface Comparable {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Json;
}

/** Headers that clients look at. */
const HEADERS = ["content-type", "allow", "location", "x-etcd-index", "x-etcd-cluster-id", "x-raft-index", "x-raft-term"];
/** Fields of v3 answers that are revisions. */
const REVISION_FIELDS = new Set(["revision", "create_revision", "mod_revision", "compact_revision"]);
/** Fields of both views whose value is a server's own: only that it is there counts. */
const OWN_FIELDS = new Set([
  "cluster_id",
  "member_id",
  "raft_term",
  "hash",
  "dbSize",
  "dbSizeInUse",
  "raftIndex",
  "raftAppliedIndex",
  "leader",
  "raftTerm",
  "peerURLs",
  "clientURLs",
]);
const V2_INDEX_FIELDS = new Set(["modifiedIndex", "createdIndex", "index"]);
/** Errors of Go's JSON reader and of the gateway: the words are Go's own, so only that one was given counts. */
const GO_JSON_ERRORS =
  /^(json: |invalid character|illegal base64|unexpected E|unexpected end|unknown value|unknown field|Invalid |bad Timestamp|EOF|parsing)/;

/** Errors of Go's reader of protobuf, in words of its own too. */
const GO_PROTOBUF_ERRORS = /^grpc: error unmarshalling request: /;

/** No run comes to this index. */
const UNREACHED = 1e9;

export class Side {
  readonly name: string;
  readonly #client: Sender;
  #view: View = "v3";
  #start = 0;
  #newest = 0;
  #modified = new Map<string, number>();
  /** Lease ids that the server chose, in that order. */
  #leases: string[] = [];

  constructor(name: string, client: Sender) {
    this.name = name;
    this.#client = client;
  }

  close(): void {
    this.#client.close();
  }

  /** A clean store to begin on: nothing stored, no lease, and all history before compacted (v3). */
  async begin(view: View): Promise<void> {
    this.#view = view;
    this.#modified = new Map();
    this.#leases = [];
    this.#start = 0;
    this.#newest = view === "v2" ? await this.#beginV2() : await this.#beginV3();
    this.#start = this.#newest;
  }

  async #beginV3(): Promise<number> {
    const leases = JSON.parse((await this.#post("/v3/lease/leases", {})).body) as { leases?: { ID: string }[] };
    for (const { ID } of leases.leases ?? []) await this.#post("/v3/lease/revoke", { ID });
    await this.#post("/v3/kv/deleterange", { key: "AA==", range_end: "AA==" });
    const put = JSON.parse((await this.#post("/v3/kv/put", { key: "AAAA" })).body) as { header: { revision: string } };
    const end = JSON.parse((await this.#post("/v3/kv/deleterange", { key: "AAAA" })).body) as { header: { revision: string } };
    await this.#post("/v3/kv/compaction", { revision: end.header.revision, physical: true });
    if (Number(end.header.revision) !== Number(put.header.revision) + 1) throw new Error(`${this.name}: somebody else writes to it`);
    return Number(end.header.revision);
  }

  async #beginV2(): Promise<number> {
    const root = await this.#client.send({ method: "GET", path: "/v2/keys/", headers: {}, body: undefined });
    const { node } = JSON.parse(root.body) as { node: { nodes?: { key: string }[] } };
    for (const { key } of node.nodes ?? []) await this.#deleteV2(key);
    for (const hidden of ["/_h", "/a/_h", "/_"]) await this.#deleteV2(hidden);
    return Number((await this.#client.send({ method: "GET", path: "/v2/keys/", headers: {}, body: undefined })).headers["x-etcd-index"]);
  }

  #deleteV2(key: string): Promise<Answer> {
    const path = `/v2/keys${key.split("/").map(encodeURIComponent).join("/")}?recursive=true`;
    return this.#client.send({ method: "DELETE", path, headers: {}, body: undefined });
  }

  #post(path: string, body: unknown): Promise<Answer> {
    return this.#client.send({ method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  /** Sends, learns from the answer what later requests refer to, and makes it comparable. */
  async send(template: Template): Promise<Comparable> {
    const answer = await this.#client.send(this.#fill(template));
    this.#learn(template, answer);
    return this.comparable(answer);
  }

  open(template: Template): Promise<OpenStream> {
    return this.#client.open(this.#fill(template));
  }

  #fill(template: Template): WireRequest {
    const fill = (text: string): string =>
      text.replace(/\{\{([a-z]+)([:+-]?)([^}]*)\}\}/g, (_, name, sign, rest) => this.#value(name, sign, rest));
    return {
      method: template.method,
      path: fill(template.path),
      headers: template.headers ?? {},
      body: template.body === undefined ? undefined : fill(template.body),
    };
  }

  #value(name: string, sign: string, rest: string): string {
    switch (name) {
      case "rev":
        return String(this.#newest + Number(`${sign}${rest}` || 0));
      case "idx":
        return String(Math.max(this.#start + 1, this.#newest + Number(`${sign}${rest}` || 0)));
      case "mod":
        return String(this.#modified.get(rest) ?? 1);
      case "lease":
        return this.#leases[Number(rest)] ?? "77";
      default:
        throw new Error(`unknown placeholder ${name}`);
    }
  }

  #learn(template: Template, answer: Answer): void {
    if (this.#view === "v2") {
      this.#newest = Math.max(this.#newest, Number(answer.headers["x-etcd-index"] ?? 0));
      const node = (parse(answer.body) as { node?: { key?: string; modifiedIndex?: number } } | undefined)?.node;
      if (node?.key !== undefined && node.modifiedIndex !== undefined) this.#modified.set(node.key, node.modifiedIndex);
      return;
    }
    const json = parse(answer.body) as { header?: { revision?: string }; ID?: string } | undefined;
    this.#newest = Math.max(this.#newest, Number(json?.header?.revision ?? 0));
    // A grant that named no id, or 0, has one that the server chose.
    if (template.path.endsWith("/grant") && json?.ID !== undefined && !/"ID":"?[^0"]/.test(template.body ?? "")) this.#leases.push(json.ID);
  }

  comparable(answer: Answer): Comparable {
    const headers: Record<string, string> = {};
    for (const name of HEADERS) {
      const value = answer.headers[name];
      if (value !== undefined) headers[name] = this.#header(name, value);
    }
    const json = parse(answer.body);
    if (json !== undefined) return { status: answer.status, headers, body: this.#walk(json, "") };
    // Pages for browsers: the words differ from release to release, and nobody reads them.
    const page = answer.status === 301 || answer.status === 404 || answer.status === 405;
    return { status: answer.status, headers, body: page ? "<page>" : answer.body.trim() };
  }

  #header(name: string, value: string): string {
    if (name === "content-type") return value.split(";")[0]?.trim() ?? "";
    if (name === "x-etcd-index") return this.#relative(value);
    if (name === "allow") return value.split(",").map((method) => method.trim()).toSorted().join(","); // prettier-ignore
    return name.startsWith("x-") ? "<own>" : this.#names(value);
  }

  /** 0 stays: it means "none" in both views. So does what a request asked for as it stands: the first index, or one that nobody reaches. */
  #relative(value: number | string): string {
    const number = Number(value);
    return number <= 1 || number > UNREACHED ? String(value) : `${number < this.#start ? "" : "+"}${number - this.#start}`;
  }

  /** In-order names, and the indexes that the text of "event index cleared" holds. */
  #names(text: string): string {
    if (this.#view !== "v2") return text;
    return text
      .replace(/\/(\d{20})(?=$|\/)/g, (_, digits) => `/<${this.#relative(digits)}>`)
      .replace(/cleared \[(\d+)\/(\d+)\]/, (_, first, wanted) => `cleared [${this.#relative(first)}/${this.#relative(wanted)}]`)
      .replace(/\[(\d+) != (\d+)\]/g, (_, wanted, had) => `[${this.#relative(wanted)} != ${this.#relative(had)}]`);
  }

  #walk(value: Json, name: string): Json {
    if (Array.isArray(value)) {
      const list = (value as readonly Json[]).map((item) => this.#walk(item, name));
      // Neither view promises an order here: unsorted listings, keys of a lease, leases.
      return name === "nodes" || name === "keys" || name === "leases" ? list.toSorted(byText) : list;
    }
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#field(key, item)]));
    }
    return typeof value === "string" ? this.#names(value) : value;
  }

  #field(name: string, value: Json): Json {
    if (OWN_FIELDS.has(name)) return "<own>";
    if (name === "members" && Array.isArray(value))
      return (value as readonly { ID?: Json }[]).map((member) => this.#walk({ ...member, ID: "<own>" }, name));
    if (typeof value === "object" && value !== null) return this.#walk(value, name);
    if (this.#view === "v2")
      return V2_INDEX_FIELDS.has(name) && typeof value === "number" ? this.#relative(value) : this.#walk(value, name);
    if (REVISION_FIELDS.has(name) && typeof value === "string") return this.#relative(value);
    if ((name === "ID" || name === "lease") && typeof value === "string") {
      const n = this.#leases.indexOf(value);
      return n < 0 ? value : `<lease ${n}>`;
    }
    if ((name === "error" || name === "message") && typeof value === "string") {
      if (GO_JSON_ERRORS.test(value)) return "<bad JSON>";
      if (GO_PROTOBUF_ERRORS.test(value)) return "<bad protobuf>";
    }
    return this.#walk(value, name);
  }

  /** A stream of v3 watch messages, one item an event: how they are packed does not matter. */
  comparableStream(answer: Answer): Comparable {
    const items: Json[] = [];
    for (const line of answer.body.split("\n").filter((text) => text !== "")) {
      const message = parse(line) as { result?: { events?: Json[]; watch_id?: Json } } | undefined;
      if (message?.result?.events === undefined) items.push(message === undefined ? line : this.#walk(message as Json, ""));
      else for (const event of message.result.events) items.push({ watch: message.result.watch_id ?? "0", event: this.#walk(event, "") });
    }
    // Two watches on one stream are two sequences; what comes between them is chance.
    const watchOf = (item: Json): string =>
      String(
        (item as { watch?: string; result?: { watch_id?: string } })?.watch ??
          (item as { result?: { watch_id?: string } })?.result?.watch_id ??
          "0",
      );
    const body = items
      .map((item, n) => ({ item, n, watch: watchOf(item) }))
      .toSorted((a, b) => (a.watch < b.watch ? -1 : a.watch > b.watch ? 1 : a.n - b.n));
    return { ...this.comparable({ ...answer, body: "" }), body: body.map(({ item }) => item) };
  }
}

function byText(a: Json, b: Json): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
