/**
 * Random requests of the v2 keys API: a small tree, all verbs and conditions, fields that are wrong, paths that are odd.
 *
 * Left out because they are real time or known faults of etcd: nodes that expire during the run, `stream=true` from a past index (etcd stalls
 * after one event; ours delivers all), and names that begin like a directory's (etcd wakes a watch on `/ab` when `/a` is deleted).
 */
import type { Random } from "./random.ts";
import type { Step, Template } from "./step.ts";

const KEYS = ["/a", "/b", "/f", "/g", "/h/i", "/a/b", "/a/c", "/a/b/c", "/q", "/q/x", "/_h", "/a/_h", "/a/_h/x", "/é", "/o k", "/d/e/f"];
// No digits: the cause of "compare failed" has values and indexes alike.
const VALUES = ["", "x", "y", "value", "ü ✓", "x".repeat(300)];
const ODD_PATHS = ["/v2/keys", "/v2/keys/", "/v2/keys//a", "/v2/keys/a/", "/v2/keys/a//b", "/v2/keys/a/../b", "/v2/keys/./a", "/v2/keys/%61", "/v2/keys/a%2Fb", "/v2/keys/o%20k", "/v2/keysx", "/v2", "/v2/", "/v2/nothing", "/v2/keys/%", "/v2/keys/a?", "/v2/keys/_", "/v2/keys/a;b", "/v2/keys/a+b"]; // prettier-ignore
const BOOLEANS = ["true", "true", "true", "false", "1", "0", "T", "x", ""];
const SEGMENT = 90;

const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** About `requests` requests, in segments that each end with the waiting ones compared. */
export function v2Steps(random: Random, requests: number): Step[] {
  const steps: Step[] = [];
  for (let made = 0; made < requests; made += SEGMENT) {
    for (let n = random.int(4); n > 0; n--) steps.push({ kind: "open", request: wait(random, undefined) });
    for (let n = Math.min(SEGMENT, requests - made); n > 0; n--) steps.push({ kind: "send", requests: [requestOf(random)] });
    for (let n = random.int(8); n > 0; n--) steps.push({ kind: "open", request: wait(random, `{{idx-${random.int(80)}}}`) });
    steps.push({ kind: "settle" });
  }
  return steps;
}

function requestOf(random: Random): Template {
  return random.weighted<(random: Random) => Template>([
    [38, put],
    [24, get],
    [16, remove],
    [10, postInOrder],
    [5, odd],
    [4, badField],
    [3, stats],
  ])(random);
}

type Query = [name: string, value: string][];

const encode = (pairs: Query): string =>
  pairs.map(([name, value]) => `${name}=${value.startsWith("{{") ? value : encodeURIComponent(value)}`).join("&");
const path = (key: string): string => `/v2/keys${encodeURI(key)}`;
const withQuery = (at: string, query: Query): string => (query.length === 0 ? at : `${at}?${encode(query)}`);

/** Fields of a write, some in the query and some in the form, as clients do. */
function write(random: Random, method: string, key: string, fields: Query): Template {
  const inForm = random.chance(80);
  if (!inForm) return { method, path: withQuery(path(key), fields) };
  const query = random.chance(20) ? fields.splice(0, 1) : [];
  return { method, path: withQuery(path(key), query), headers: FORM, body: encode(fields) };
}

function conditions(random: Random, key: string, existPercent: number): Query {
  const fields: Query = [];
  if (random.chance(15)) fields.push(["prevValue", random.pick(VALUES)]);
  if (random.chance(12)) fields.push(["prevIndex", random.weighted([[50, `{{mod:${key}}}`], [30, `{{idx-${random.int(4)}}}`], [10, "0"], [10, "90000000000"]])]); // prettier-ignore
  if (random.chance(existPercent)) fields.push(["prevExist", random.pick(["true", "false", "true", "false", "1"])]);
  return fields;
}

function ttl(random: Random): Query {
  return random.chance(18) ? [["ttl", random.pick(["5000", "6000", "", "100000"])]] : [];
}

function put(random: Random): Template {
  const key = random.pick(KEYS);
  const fields: Query = [];
  if (random.chance(15)) fields.push(["dir", random.pick(BOOLEANS)]);
  if (fields.length === 0 || random.chance(20)) fields.push(["value", random.pick(VALUES)]);
  fields.push(...ttl(random), ...conditions(random, key, 18));
  if (random.chance(8)) fields.push(["noValueOnSuccess", random.pick(BOOLEANS)]);
  if (random.chance(8)) {
    fields.push(["refresh", "true"]);
    if (random.chance(80)) return write(random, "PUT", key, [...fields.filter(([name]) => name !== "value" && name !== "ttl"), ["ttl", "7000"], ...(random.chance(60) ? ([["prevExist", "true"]] as Query) : [])]); // prettier-ignore
  }
  return write(random, "PUT", key, fields);
}

function get(random: Random): Template {
  const query: Query = [];
  if (random.chance(40)) query.push(["recursive", random.pick(BOOLEANS)]);
  if (random.chance(40)) query.push(["sorted", random.pick(BOOLEANS)]);
  if (random.chance(10)) query.push(["quorum", random.pick(BOOLEANS)]);
  const key = random.chance(25) ? "/" : random.pick(KEYS);
  return { method: random.chance(5) ? "HEAD" : "GET", path: withQuery(path(key), query) };
}

function remove(random: Random): Template {
  const key = random.chance(3) ? "/" : random.pick(KEYS);
  const query: Query = [];
  if (random.chance(30)) query.push(["dir", random.pick(BOOLEANS)]);
  if (random.chance(35)) query.push(["recursive", random.pick(BOOLEANS)]);
  query.push(...conditions(random, key, 3));
  return { method: "DELETE", path: withQuery(path(key), query) };
}

function postInOrder(random: Random): Template {
  const fields: Query = random.chance(90) ? [["value", random.pick(VALUES)]] : [];
  fields.push(...ttl(random));
  if (random.chance(10)) fields.push(["dir", random.pick(BOOLEANS)]);
  return write(random, "POST", random.chance(70) ? "/q" : random.pick(KEYS), fields);
}

function odd(random: Random): Template {
  const method = random.pick(["GET", "GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]);
  // A path that is no path at all: Go answers HEAD with a body, which no client can read, and our preflight does not look at the path.
  const at = random.pick(method === "HEAD" || method === "OPTIONS" ? ODD_PATHS.filter((odd) => !odd.endsWith("%")) : ODD_PATHS);
  return method === "PUT" ? { method, path: at, headers: FORM, body: "value=odd" } : { method, path: at };
}

/** Values that do not fit a field. */
const WRONG = ["x", "-1", "1.5", "", "99999999999999999999", " 1", "1e3"];

function badField(random: Random): Template {
  const key = random.pick(KEYS);
  const name = random.pick([
    "prevIndex",
    "ttl",
    "prevExist",
    "dir",
    "refresh",
    "noValueOnSuccess",
    "waitIndex",
    "recursive",
    "sorted",
    "wait",
    "quorum",
    "stream",
    "prevValue",
  ]);
  // These begin a wait, or a node that ends soon.
  const value = random.pick(name === "ttl" ? ["x", "-1", "1.5", " 1", "1e3"] : name === "wait" ? ["x", "2", "no"] : WRONG);
  const fields: Query = [[name, value]];
  const method = random.pick(["GET", "PUT", "DELETE", "POST"]);
  if (method === "PUT" || method === "POST") {
    if (random.chance(70)) fields.unshift(["value", "x"]);
    if (random.chance(30)) fields.push([random.pick(["prevExist", "prevIndex", "dir"]), random.pick(WRONG)]);
    if (random.chance(15)) return { method, path: path(key), headers: { "content-type": "application/json" }, body: '{"value":"1"}' };
    return write(random, method, key, fields);
  }
  return { method, path: withQuery(path(key), fields) };
}

function stats(random: Random): Template {
  return random.pick<Template>([
    { method: "GET", path: "/version" },
    { method: "POST", path: "/v2/machines" },
    { method: "PUT", path: "/v2/stats/self" },
    { method: "GET", path: "/v2/stats/nothing" },
    { method: "GET", path: "/v2/members/nothing" },
  ]);
}

function wait(random: Random, index: string | undefined): Template {
  const query: Query = [["wait", "true"]];
  if (random.chance(60)) query.push(["recursive", "true"]);
  if (index !== undefined) query.push(["waitIndex", random.chance(8) ? "1" : index]);
  else if (random.chance(30)) query.push(["stream", "true"]);
  return { method: "GET", path: withQuery(path(random.chance(35) ? "/" : random.pick(KEYS)), query) };
}
