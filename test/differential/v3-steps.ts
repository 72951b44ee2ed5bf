/**
 * Random requests of etcd's v3 API, as its JSON gateway takes them. Few keys, so that requests meet each other; all options, also in senseless combinations; now and then
 * input that is wrong.
 *
 * Left out because etcd's own answer is chance or none: two members of one oneof, one field under two spellings (order of a Go map), `null` in a
 * list (its handler dies), compactions that are not waited for, an unknown number as sort_target (its process dies), leases that end by themselves (real time).
 */
import type { Random } from "./random.ts";
import type { Step, Template, View } from "./step.ts";

/** Byte strings of Latin-1 characters. Twelve, for Go sorts more than that in an order of its own where values are equal. */
const KEYS = ["a", "b", "c", "aa", "ab", "ab\u0000", "b/1", "b/2", "b/2/x", "\u0000", "\u00ff", "d\u0080"];
const RANGE_ENDS = ["\u0000", "b", "c", "ac", "b0", "\u00ff", "a\u0000", "a", "zz"];
const VALUES = ["", "1", "2", "value", "\u0000\u0001\u00ff", "x".repeat(300)];
/** Leases whose id the client chooses; all live far longer than a run. */
const LEASE_IDS = ["1001", "1002", "1003", "-5", "9223372036854775807"];
const SORT_TARGETS = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"];
const COMPARE_FIELDS = ["version", "create_revision", "mod_revision", "value", "lease"] as const;

/** Requests between two settles. */
const SEGMENT = 90;

const b64 = (bytes: string): string => Buffer.from(bytes, "latin1").toString("base64");

export function post(path: string, body: unknown): Template {
  return raw(path, typeof body === "string" ? body : JSON.stringify(body));
}

function raw(path: string, body: string): Template {
  return { method: "POST", path, headers: { "content-type": "application/json" }, body };
}

/**
 * About `requests` requests, in segments that each end with the watches compared.
 * @param view `grpc`: what is wrong in JSON alone gives way to what is wrong in protobuf
 */
export function v3Steps(random: Random, requests: number, view: Exclude<View, "v2">): Step[] {
  const steps: Step[] = [];
  for (let made = 0; made < requests; made += SEGMENT) {
    for (let n = random.int(4); n > 0; n--)
      steps.push({ kind: "open", request: watch(random, random.chance(70) ? undefined : "{{rev+2}}") });
    for (let n = Math.min(SEGMENT, requests - made); n > 0; n--) steps.push({ kind: "send", requests: requestsOf(random, view) });
    for (let n = random.int(6); n > 0; n--) steps.push({ kind: "open", request: watch(random, revisionInPast(random)) });
    steps.push({ kind: "settle" });
  }
  return steps;
}

function requestsOf(random: Random, view: View): Template[] {
  const make = random.weighted<(random: Random) => Template | Template[]>([
    [30, (r) => post("/v3/kv/put", put(r))],
    [26, (r) => post("/v3/kv/range", range(r))],
    [10, (r) => post("/v3/kv/deleterange", deleteRange(r))],
    [18, (r) => post("/v3/kv/txn", txn(r, 2))],
    [2, compaction],
    [8, lease],
    [5, view === "grpc" ? badProtobuf : badInput],
    [2, view === "grpc" ? otherOfGrpc : other],
  ]);
  const made = make(random);
  return Array.isArray(made) ? made : [made];
}

type Fields = Record<string, unknown>;

/** A key and perhaps an end of range. */
function keyRange(random: Random, rangePercent: number): Fields {
  const fields: Fields = {};
  if (!random.chance(2)) fields["key"] = b64(random.chance(5) ? "" : random.pick(KEYS));
  if (random.chance(rangePercent)) fields["range_end"] = b64(random.chance(70) ? random.pick(RANGE_ENDS) : random.pick(KEYS));
  return fields;
}

function put(random: Random): Fields {
  const fields: Fields = {};
  if (!random.chance(2)) fields["key"] = b64(random.pick(KEYS));
  if (!random.chance(10)) fields["value"] = b64(random.pick(VALUES));
  if (random.chance(25)) fields["lease"] = leaseId(random);
  if (random.chance(20)) fields["prev_kv"] = true;
  if (random.chance(8)) {
    fields["ignore_value"] = true;
    if (random.chance(80)) delete fields["value"];
  }
  if (random.chance(8)) {
    fields["ignore_lease"] = true;
    if (random.chance(80)) delete fields["lease"];
  }
  return random.chance(10) ? camel(fields) : fields;
}

function range(random: Random): Fields {
  const fields = keyRange(random, 70);
  if (random.chance(25)) fields["limit"] = int64(random, String(random.pick([0, 1, 2, 3, 5, 100, -1])));
  if (random.chance(35)) fields["revision"] = random.chance(90) ? revisionInPast(random) : random.pick(["{{rev+1}}", "0", "-1", "1"]);
  if (random.chance(35)) fields["sort_order"] = random.pick<unknown>(["NONE", "ASCEND", "DESCEND", 0, 1, 2, 7]);
  if (random.chance(35)) fields["sort_target"] = random.pick<unknown>([...SORT_TARGETS, 0, 1, 2, 3, 4]);
  if (random.chance(15)) fields["serializable"] = random.chance(80);
  if (random.chance(15)) fields["keys_only"] = random.chance(80);
  if (random.chance(15)) fields["count_only"] = random.chance(80);
  for (const name of ["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"]) {
    if (random.chance(8)) fields[name] = revisionInPast(random);
  }
  return random.chance(10) ? camel(fields) : fields;
}

function deleteRange(random: Random): Fields {
  const fields = keyRange(random, 35);
  if (random.chance(40)) fields["prev_kv"] = true;
  return fields;
}

function txn(random: Random, depth: number): Fields {
  if (random.chance(1)) return { success: Array.from({ length: 129 }, (_, n) => ({ request_range: { key: b64(String(n)) } })) };
  const fields: Fields = {};
  if (random.chance(75)) fields["compare"] = several(random, 3, () => compare(random));
  if (random.chance(90)) fields["success"] = several(random, 4, () => operation(random, depth));
  if (random.chance(60)) fields["failure"] = several(random, 4, () => operation(random, depth));
  return fields;
}

function operation(random: Random, depth: number): Fields {
  const kinds: [number, () => Fields][] = [
    [45, () => ({ request_put: put(random) })],
    [30, () => ({ request_range: range(random) })],
    [20, () => ({ request_delete_range: bounded(deleteRange(random)) })],
    [2, () => ({ requestPut: put(random) })],
    [1, () => ({})],
  ];
  if (depth > 0) kinds.push([12, () => ({ request_txn: txn(random, depth - 1) })]);
  return random.weighted(kinds)();
}

/**
 * A delete "from this key on" beside a put of a key in it is the one way past etcd's check for duplicate keys. etcd then keeps two events
 * of one key in one revision, ours the last; so inside a transaction there is none.
 */
function bounded(fields: Fields): Fields {
  return fields["range_end"] === b64("\0") ? { ...fields, range_end: b64("\xff") } : fields;
}

function compare(random: Random): Fields {
  const fields = keyRange(random, 15);
  const field = random.pick(COMPARE_FIELDS);
  const target = field === "create_revision" ? "CREATE" : field === "mod_revision" ? "MOD" : field.toUpperCase();
  if (random.chance(92)) fields["target"] = random.chance(90) ? target : random.pick<unknown>([0, 1, 2, 3, 4, 8]);
  if (random.chance(92)) fields["result"] = random.pick<unknown>(["EQUAL", "GREATER", "LESS", "NOT_EQUAL", 0, 1, 2, 3, 6]);
  if (random.chance(92)) fields[field] = operand(random, field);
  return fields;
}

function operand(random: Random, field: (typeof COMPARE_FIELDS)[number]): unknown {
  switch (field) {
    case "value":
      return b64(random.pick(VALUES));
    case "version":
      return int64(random, String(random.int(4)));
    case "lease":
      return random.chance(50) ? "0" : leaseId(random);
    default:
      return random.chance(40) ? "0" : revisionInPast(random);
  }
}

/**
 * Always `physical`: else etcd answers before it has removed anything, and a watch that begins at the compacted revision sees a deletion of
 * that revision or not, as chance has it.
 */
function compaction(random: Random): Template {
  const revision = random.weighted([[70, `{{rev-${5 + random.int(60)}}}`], [10, "{{rev+1}}"], [10, "{{rev-0}}"], [10, "0"]]); // prettier-ignore
  return post("/v3/kv/compaction", { revision, physical: true });
}

function lease(random: Random): Template | Template[] {
  const old = random.chance(20) ? "kv/" : "";
  const revoke = random.pick(["/v3/lease/revoke", "/v3/kv/lease/revoke"]);
  return random.weighted<() => Template | Template[]>([
    [20, () => post("/v3/lease/grant", { ID: random.pick(LEASE_IDS), TTL: int64(random, String(5_000 + random.int(5) * 1_000)) })],
    [8, () => post("/v3/lease/grant", { TTL: "7000" })],
    [2, () => post("/v3/lease/grant", { TTL: "9000000001" })],
    // The shortest lease there is, gone again before it could end.
    [3, () => [post("/v3/lease/grant", { ID: "2001", TTL: random.pick(["0", "-3", "1"]) }), post("/v3/lease/revoke", { ID: "2001" })]],
    [15, () => post(revoke, { ID: leaseId(random) })],
    [12, () => post("/v3/lease/keepalive", { ID: leaseId(random) })],
    [15, () => post(`/v3/${old}lease/timetolive`, { ID: leaseId(random), ...(random.chance(60) ? { keys: true } : {}) })],
    [6, () => post(`/v3/${old}lease/leases`, {})],
  ])();
}

function leaseId(random: Random): string {
  return random.weighted([[70, random.pick(LEASE_IDS)], [15, `{{lease:${random.int(3)}}}`], [10, "0"], [5, "424242"]]); // prettier-ignore
}

function other(random: Random): Template {
  return random.pick<Template>([
    post("/v3/maintenance/status", {}),
    post("/v3/cluster/member/list", {}),
    post("/v3/maintenance/alarm", { action: "GET" }),
    post("/v3beta/kv/range", { key: b64("a") }),
    { method: "GET", path: "/v3/kv/range" },
    { method: "PUT", path: "/v3/kv/put", body: "{}" },
    post("/v3/kv/nothing", {}),
    post("/v3/kv/range/", { key: b64("a") }),
    { method: "GET", path: "/health" },
    { method: "GET", path: "/v3alpha/kv/range" },
  ]);
}

function otherOfGrpc(random: Random): Template {
  return random.pick<Template>([
    post("/v3/maintenance/status", {}),
    post("/v3/cluster/member/list", {}),
    post("/v3/cluster/member/remove", { ID: "77" }),
    post("/v3/cluster/member/add", { peerURLs: ["nonsense"] }),
    post("/v3/maintenance/alarm", { action: "GET" }),
    post("/v3/lock/lock", { name: b64("l"), lease: "424242" }),
    post("/v3/lock/unlock", { key: b64("") }),
    post("/v3/lock/unlock", { key: b64("nothing") }),
    post("/v3/election/leader", { name: b64("e") }),
    post("/v3/election/resign", {}),
    post("/v3/election/resign", { leader: { key: b64("e/1"), rev: "5", lease: "424242" } }),
    post("/v3/election/proclaim", { value: b64("v") }),
    post("/v3/election/campaign", { name: b64("e"), lease: "424242" }),
    post("/v3/auth/user/get", { name: "nobody" }),
    post("/v3/auth/role/get", { role: "none" }),
    post("/v3/auth/authenticate", { name: "nobody", password: "x" }),
    post("/v3/auth/enable", {}),
    { method: "grpc", path: "grpc:/etcdserverpb.KV/Nothing", body: "" },
    { method: "grpc", path: "grpc:/etcdserverpb.Nothing/Range", body: "" },
    { method: "grpc", path: "grpc:/nothing", body: "" },
    { method: "grpc", path: "grpc:/", body: "" },
  ]);
}

/** Messages in protobuf of which each method makes something, right or wrong. */
const PROTOBUF = [
  "",
  "0a0161",
  "0a01611201ff",
  "0a0161120162180120012801",
  "0a01611801200428023801",
  "0a0b0a0161100118031001100210031a050a030a0161",
  "12070a050a01611201621a0a0a080a01611a0362632a",
  "0a076100626364656628feffffffffffffffff01",
  "0a0161fa060161f80601fd0601020304f9060102030405060708", // fields that nobody knows
  "0a0161fb060801fc06", // a group
];
/** The methods that any of these may be sent to: what one does to the store, the next request shows. */
const PROTOBUF_METHODS = ["Range", "Put", "DeleteRange", "Txn"];

/** One byte changed, added, left out, or the end cut off. */
function badProtobuf(random: Random): Template {
  const bytes = Buffer.from(random.pick(PROTOBUF), "hex");
  const at = random.int(bytes.length + 1);
  const changed = random.weighted<() => Buffer>([
    [40, () => Buffer.concat([bytes.subarray(0, at), Buffer.from([random.int(256)]), bytes.subarray(at + 1)])],
    [20, () => Buffer.concat([bytes.subarray(0, at), Buffer.from([random.int(256)]), bytes.subarray(at)])],
    [20, () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])],
    [20, () => bytes.subarray(0, at)],
    [20, () => bytes],
  ])();
  return { method: "grpc", path: `grpc:/etcdserverpb.KV/${random.pick(PROTOBUF_METHODS)}`, body: changed.toString("hex") };
}

/** Values that do not fit a field, or only just. */
const WRONG_VALUES = ["5", "true", '"x"', '"1e2"', "1.5", "1e2", "[]", "{}", "null", '""', '" 1"', "-0", '"0x10"', "9223372036854775808", '"9223372036854775807"', '"YQ"', '"YQ=="', '"_-8="', '"Y Q="', '["YQ=="]', '"\\u0059Q=="', '"TRUE"']; // prettier-ignore
const WRONG_PLACES = [
  ["/v3/kv/range", ["key", "range_end", "limit", "revision", "sort_order", "sort_target", "serializable", "count_only"]],
  ["/v3/kv/put", ["key", "value", "lease", "prev_kv"]],
  ["/v3/kv/deleterange", ["key", "range_end", "prev_kv"]],
  ["/v3/kv/txn", ["compare", "success", "failure"]],
  ["/v3/lease/timetolive", ["ID", "keys"]],
  ["/v3/lease/revoke", ["ID"]],
  ["/v3/kv/compaction", ["revision"]],
] as const;
const WRONG_BODIES = ["", "null", "{", "}", "[]", "[1]", '"x"', "5", "true", "{}{}", '{"key":"YQ=="} trailing', '{"key":"YQ=="', '{"key" "YQ=="}', "{'key':1}", '{"key":"YQ==",}', '{"nothing":{"deep":[1,2]},"key":"YQ=="}', " \n\t{} ", '{"key":"YQ\n=="}', "\u0000", '{"KEY":"YQ=="}', '{"key":"YQ==","key":"Yg=="}']; // prettier-ignore
const WRONG_TXNS = [
  { compare: [{ key: "YQ==", target: "NONSENSE" }] },
  { compare: [{ key: "YQ==", result: "NONSENSE" }] },
  { compare: [{ key: "YQ==", target: "VALUE", value: 5 }] },
  { compare: {} },
  { compare: [[]] },
  { success: [{ request_put: [] }] },
  { success: [{ request_put: null }] },
  { success: [{ request_range: { key: "YQ==", limit: "x" } }] },
  { success: [{ request_unknown: { key: "YQ==" } }] },
  { success: [{ request_txn: { success: [{ request_put: { value: "YQ==" } }] } }] },
  { failure: [{ request_put: { key: "YQ==", lease: "424242" } }], compare: [{ key: "YQ==", target: "VERSION", result: "LESS" }] },
  { success: [{ request_put: { key: "YQ==", value: "MQ==" } }, { request_range: { key: "YQ==", revision: "{{rev+1}}" } }] },
  { success: [{ request_range: { key: "YQ==", revision: "1" } }] },
  { success: [{ request_put: { key: "YQ==" } }, { request_put: { key: "YQ==" } }] },
  { success: [{ request_put: { key: "YWI=" } }, { request_delete_range: { key: "YQ==", range_end: "Yg==" } }] },
  { success: [{ request_delete_range: { key: "YQ==", range_end: "AA==" } }, { request_delete_range: { key: "YQ==" } }] },
];

function badInput(random: Random): Template {
  return random.weighted<() => Template>([
    [
      40,
      () => {
        const [path, names] = random.pick(WRONG_PLACES);
        const name = random.pick<string>(names);
        const key = name === "key" || !path.startsWith("/v3/kv") ? "" : '"key":"YQ==",';
        return raw(path, `{${key}"${name}":${random.pick(WRONG_VALUES)}}`);
      },
    ],
    [25, () => raw(random.pick(["/v3/kv/range", "/v3/kv/put", "/v3/kv/txn", "/v3/lease/timetolive"]), random.pick(WRONG_BODIES))],
    [25, () => post("/v3/kv/txn", random.pick(WRONG_TXNS))],
    [
      10,
      () => ({
        method: "POST",
        path: "/v3/kv/range",
        headers: { "content-type": random.pick(["text/plain", "application/x-www-form-urlencoded", ""]) },
        body: '{"key":"YQ=="}',
      }),
    ],
  ])();
}

function watch(random: Random, start: string | undefined): Template {
  const create = (): Fields => {
    const fields = keyRange(random, 80);
    if (start !== undefined) fields["start_revision"] = start;
    if (random.chance(25)) fields["prev_kv"] = true;
    if (random.chance(20)) fields["filters"] = several(random, 2, () => random.pick(["NOPUT", "NODELETE"]));
    return { create_request: fields };
  };
  const messages = [JSON.stringify(create())];
  if (random.chance(25)) messages.push(JSON.stringify(create()));
  return raw("/v3/watch", `${messages.join("\n")}\n`);
}

function revisionInPast(random: Random): string {
  return `{{rev-${random.chance(70) ? random.int(30) : random.int(150)}}}`;
}

/** 64-bit integers may come as texts or as numbers. */
function int64(random: Random, text: string): unknown {
  return random.chance(50) ? text : Number(text);
}

function several<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: random.int(most + 1) }, make);
}

/** The gateway takes lowerCamelCase names too. */
function camel(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}
