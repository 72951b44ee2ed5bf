/**
 * Users, roles, tokens and what they may do, compared with a real etcd: random requests by several users, sent to both. Answers must be
 * equal but for ids and tokens. Left out: users without a password, of whom etcd says that they exist (docs/differences-from-etcd.md).
 */
import { Metadata } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { GrpcGateway } from "../helpers/grpc-gateway.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { Random } from "./random.ts";

const STEPS = 400;
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const USERS = ["root", "u1", "u2", ""];
const ROLES = ["root", "r1", "r2", "nope", ""];
const KEYS = ["a", "b", "ab", "c", ""];
const ENDS = ["", "", "b", "d", "\0"];

const servers: ServerProcess[] = [];
const gateways: GrpcGateway[] = [];
afterEach(async () => {
  for (const gateway of gateways.splice(0)) gateway.close();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

interface Step {
  readonly path: string;
  readonly body: Record<string, unknown>;
}

function draw(random: Random): Step {
  const range = () => {
    const end = random.pick(ENDS);
    return { key: base64(random.pick(KEYS)), ...(end === "" ? {} : { range_end: base64(end) }) };
  };
  const name = () => random.pick(USERS);
  const role = () => random.pick(ROLES);
  const auth = (path: string, body: Record<string, unknown>): Step => ({ path: `/v3/auth/${path}`, body });
  const kv = (path: string, body: Record<string, unknown>): Step => ({ path: `/v3/kv/${path}`, body });
  const prev = () => (random.chance(30) ? { prev_kv: true } : {});
  const permission = () => ({ permType: random.pick(["READ", "WRITE", "READWRITE"]), ...range() });
  return random.weighted<() => Step>([
    [6, () => auth("user/add", { name: name(), password: "pw" })],
    [2, () => auth("user/delete", { name: name() })],
    [3, () => auth("user/changepw", { name: name(), password: "pw" })],
    [5, () => auth("user/grant", { user: name(), role: role() })],
    [3, () => auth("user/revoke", { name: name(), role: role() })],
    [4, () => auth("user/get", { name: name() })],
    [2, () => auth("user/list", {})],
    [5, () => auth("role/add", { name: role() })],
    [1, () => auth("role/delete", { role: role() })],
    [4, () => auth("role/get", { role: role() })],
    [2, () => auth("role/list", {})],
    [8, () => auth("role/grant", { name: role(), perm: permission() })],
    [4, () => auth("role/revoke", { role: role(), ...range() })],
    [4, () => auth("enable", {})],
    [1, () => auth("disable", {})],
    [12, () => auth("authenticate", { name: name(), password: random.pick(["pw", "pw", "pw", "x"]) })],
    [10, () => kv("put", { key: base64(random.pick(KEYS)), value: base64("v"), ...prev(), ...(random.chance(15) ? { lease: "7" } : {}) })],
    [10, () => kv("range", range())],
    [6, () => kv("deleterange", { ...range(), ...prev() })],
    [
      6,
      () =>
        kv("txn", {
          compare: [{ ...range(), target: "VERSION", result: "GREATER", version: "0" }],
          success: [{ request_put: { key: base64("a"), value: base64("t") } }],
          failure: [{ request_range: range() }],
        }),
    ],
    [1, () => kv("compaction", { revision: "2" })],
    [2, () => ({ path: "/v3/lease/grant", body: { TTL: "1000", ID: "7" } })],
    [2, () => ({ path: "/v3/lease/revoke", body: { ID: "7" } })],
    [1, () => ({ path: "/v3/maintenance/defragment", body: {} })],
    [1, () => ({ path: "/v3/maintenance/alarm", body: {} })],
    [1, () => ({ path: "/v3/cluster/member/remove", body: { ID: "77" } })],
    [1, () => ({ path: "/v3/lock/lock", body: { name: base64("a"), lease: "7" } })],
  ])();
}

const comparable = (text: string): string =>
  text
    .replaceAll(/"(cluster_id|member_id|raft_term)":"\d+",?/g, "")
    .replaceAll(",}", "}")
    .replace(/"token":"[^"]*"/, "token");

interface Answer {
  readonly ok: boolean;
  /** Of HTTP, or of gRPC. */
  readonly status: number;
  readonly text: string;
}

type Ask = (step: Step, token: string | undefined) => Promise<Answer>;

function overJson({ url }: ServerProcess): Ask {
  return async ({ path, body }, token) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
    const reply = await fetch(url + path, { method: "POST", body: JSON.stringify(body), headers });
    return { ok: reply.ok, status: reply.status, text: await reply.text() };
  };
}

function overGrpc({ url }: ServerProcess): Ask {
  const gateway = new GrpcGateway(url);
  gateways.push(gateway);
  return async ({ path, body }, token) => {
    const metadata = new Metadata();
    if (token !== undefined) metadata.set("token", token);
    const { code, message, reply } = await gateway.unary(gateway.method(path)!, body, metadata);
    return { ok: code === 0, status: code, text: reply === undefined ? message : JSON.stringify(reply) };
  };
}

test.skipIf(etcdVersion() === undefined).each([
  [11, "JSON", overJson],
  [12, "JSON", overJson],
  [13, "gRPC", overGrpc],
  [14, "gRPC", overGrpc],
])("seed %i, over %s", { timeout: 60_000 }, async (seed, _, over) => {
  const random = new Random(seed);
  const started = await Promise.all([startQuorate(), startEtcd()]);
  servers.push(...started);
  const [ours, etcd] = started.map(over) as [Ask, Ask];
  const tokens = new Map<string, readonly [string, string]>([["bad", ["nonsense", "nonsense"]]]);
  const first: Step[] = [
    { path: "/v3/auth/user/add", body: { name: "root", password: "pw" } },
    { path: "/v3/auth/role/add", body: { name: "root" } },
    { path: "/v3/auth/user/grant", body: { user: "root", role: "root" } },
  ];
  for (let n = 0; n < STEPS; n++) {
    const step = first[n] ?? draw(random);
    const who = random.weighted<string | undefined>([[30, "root"], [25, "u1"], [15, "u2"], [8, undefined], [2, "bad"]]); // prettier-ignore
    const [a, b] = tokens.get(who ?? "") ?? [];
    const [mine, theirs] = await Promise.all([ours(step, a), etcd(step, b)]);
    const told = `step ${n} by ${who}: ${JSON.stringify(step)}`;
    expect([mine.status, comparable(mine.text)], told).toEqual([theirs.status, comparable(theirs.text)]);
    if (step.path.endsWith("authenticate") && mine.ok) {
      const tokenOf = (text: string) => (JSON.parse(text) as { token: string }).token;
      tokens.set(step.body["name"] as string, [tokenOf(mine.text), tokenOf(theirs.text)]);
    }
  }
});
