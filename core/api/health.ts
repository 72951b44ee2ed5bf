/**
 * Whether this member serves: `/health` as etcd 3.4 answers it (with the reason that 3.5 added when it does not), `/livez` and `/readyz`
 * as etcd 3.5 does, each also as one check under its own path (`/readyz/linearizable_read`), with `?verbose` and `?exclude=NAME`.
 * Source: etcd documentation, "Monitoring etcd".
 */
import { ZERO, type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Encode } from "../bytes/utf8.ts";
import type { Member } from "../replica/member.ts";
import type { ApiReply, ApiRequest, Route } from "./exchange.ts";
import { methodNotAllowedPage, textPage, withoutBody } from "./pages.ts";

/** Resolves when the check holds. @throws Error that says what is wrong */
type Check = (member: Member) => Promise<void> | void;

const FIRST_KEY = {
  key: ZERO,
  end: ZERO,
  limit: 1,
  revision: 0,
  sortOrder: "none",
  sortTarget: "key",
  keysOnly: true,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;

const serializableRead: Check = (member) => void member.store.range(FIRST_KEY);

const linearizableRead: Check = async (member) => {
  await member.readBarrier();
  member.store.range(FIRST_KEY);
};

const dataCorruption: Check = (member) => {
  if (member.store.alarms().some(({ alarm }) => alarm === "corrupt")) throw new Error("alarm activated: CORRUPT");
};

const nonLearner: Check = (member) => {
  if (member.status().learner) throw new Error("not supported for learner");
};

/** In the order of their report. */
const LIVE: readonly (readonly [string, Check])[] = [["serializable_read", serializableRead]];
const READY: readonly (readonly [string, Check])[] = [
  ["data_corruption", dataCorruption],
  ["serializable_read", serializableRead],
  ["linearizable_read", linearizableRead],
  ["non_learner", nonLearner],
];

/** Counters for the metrics. */
export interface HealthCounts {
  success: number;
  failures: number;
}

export function healthRoutes(member: Member, counts: HealthCounts): Route[] {
  const routes: Route[] = [{ method: "*", path: "/health", kind: "unary", handle: onlyGet((request) => health(member, request, counts)) }];
  for (const [root, checks] of [
    ["/livez", LIVE],
    ["/readyz", READY],
  ] as const) {
    routes.push({ method: "*", path: root, kind: "unary", handle: onlyGet((request) => report(member, request, checks)) });
    for (const check of checks) {
      const handle = onlyGet((request) => report(member, request, [check]));
      routes.push({ method: "*", path: `${root}/${check[0]}`, kind: "unary", handle });
    }
  }
  return routes;
}

/** Refuses every method but GET, as etcd does: HEAD too. */
export function onlyGet(handle: Route["handle"]): Route["handle"] {
  return (request) => {
    if (request.method === "GET") return handle(request);
    const refusal = methodNotAllowedPage("GET");
    return request.method === "HEAD" ? withoutBody(refusal) : refusal;
  };
}

/** `?a=1&b` as name and value pairs, undecoded: the names and values meant here need no escapes. */
function parameters(query: string): [name: string, value: string][] {
  if (query === "") return [];
  return query.split("&").map((part) => {
    const at = part.indexOf("=");
    return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
  });
}

async function health(member: Member, request: ApiRequest, counts: HealthCounts): Promise<ApiReply> {
  const asked = parameters(request.query);
  const excluded = asked.filter(([name]) => name === "exclude").map(([, value]) => value);
  const serializable = asked.some(([name, value]) => name === "serializable" && value === "true");
  const reason = await unhealthyBecause(member, excluded, serializable);
  const headers = { "content-type": "text/plain; charset=utf-8" };
  if (reason === undefined) {
    counts.success++;
    return { status: 200, headers, body: ascii('{"health":"true"}') };
  }
  counts.failures++;
  return { status: 503, headers, body: utf8Encode(JSON.stringify({ health: "false", reason })) };
}

async function unhealthyBecause(member: Member, excluded: readonly string[], serializable: boolean): Promise<string | undefined> {
  for (const { alarm } of member.store.alarms()) {
    const name = alarm.toUpperCase();
    if (!excluded.includes(name)) return `ALARM ${name}`;
  }
  if (!serializable && member.status().leaderId === "0") return "RAFT NO LEADER";
  try {
    await (serializable ? serializableRead : linearizableRead)(member);
    return undefined;
  } catch (error) {
    return `QGET ERROR:${textOf(error)}`;
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function report(member: Member, request: ApiRequest, checks: readonly (readonly [string, Check])[]): Promise<ApiReply> {
  const asked = parameters(request.query);
  const excluded = new Set(asked.filter(([name]) => name === "exclude").map(([, value]) => value));
  let text = "";
  let failed = false;
  for (const [name, check] of checks) {
    if (excluded.has(name)) continue;
    try {
      await check(member);
      text += `[+]${name} ok\n`;
    } catch (error) {
      failed = true;
      text += `[-]${name} failed: ${textOf(error)}\n`;
    }
  }
  if (failed) return { ...textPage(503, ""), body: utf8Encode(text + "\n") };
  const verbose = asked.some(([name]) => name === "verbose");
  return textPage(200, ((verbose ? text : "") + "ok\n") as Bytes);
}
