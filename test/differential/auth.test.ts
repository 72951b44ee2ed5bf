/**
 * Users, roles, tokens and what they may do, compared with a real etcd: random requests by several users, sent to both. Answers must be
 * equal but for ids and tokens. Left out: users without a password, of whom etcd says that they exist (docs/differences-from-etcd.md).
 */
import { afterEach, expect, test } from "vitest";
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
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

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

async function ask(server: ServerProcess, { path, body }: Step, token: string | undefined): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const reply = await fetch(server.url + path, { method: "POST", body: JSON.stringify(body), headers });
  return { status: reply.status, text: await reply.text() };
}

test.skipIf(etcdVersion() === undefined).each([11, 12])("seed %i", { timeout: 60_000 }, async (seed) => {
  const random = new Random(seed);
  const [ours, etcd] = [await startQuorate(), await startEtcd()];
  servers.push(ours, etcd);
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
    const [mine, theirs] = await Promise.all([ask(ours, step, a), ask(etcd, step, b)]);
    const told = `step ${n} by ${who}: ${JSON.stringify(step)}`;
    expect([mine.status, comparable(mine.text)], told).toEqual([theirs.status, comparable(theirs.text)]);
    if (step.path.endsWith("authenticate") && mine.status === 200) {
      const tokenOf = (text: string) => (JSON.parse(text) as { token: string }).token;
      tokens.set(step.body["name"] as string, [tokenOf(mine.text), tokenOf(theirs.text)]);
    }
  }
});
