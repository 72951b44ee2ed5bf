/** `quorate endpoint`: how each member is. */
import type { Command } from "commander";
import { humanBytes } from "../snapshot/status.ts";
import { hexOf, newCommand, onCluster, wholeOf } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { type Asked, askEach, endpointsOf } from "./each-endpoint.ts";
import { CommandError } from "./exit-codes.ts";
import { headerFields } from "./messages.ts";
import { type FieldLine, base64Of } from "./printer.ts";

export interface StatusReply {
  readonly header?: Header;
  readonly version?: string;
  readonly dbSize?: string;
  readonly dbSizeInUse?: string;
  readonly leader?: string;
  readonly raftIndex?: string;
  readonly raftTerm?: string;
  readonly raftAppliedIndex?: string;
  readonly errors?: readonly string[];
  readonly isLearner?: boolean;
}

interface HashReply {
  readonly header?: Header;
  readonly hash?: number;
  readonly compact_revision?: string;
}

interface ClusterFlags {
  readonly cluster?: boolean;
}

export function command(): Command {
  const group = newCommand("endpoint", "how each member is", [
    "endpoint status --cluster -w table",
    "endpoint health --endpoints a:2379,b:2379,c:2379",
    "endpoint hashkv --cluster              the same number at members with the same keys",
  ]);
  for (const part of [health(), status(), hashKv()]) group.addCommand(part.option("--cluster", "all members that the cluster tells of"));
  return group;
}

/** Tells of those that did not answer, and ends with 1 if there are any. @throws CommandError */
function told<T>(asked: readonly Asked<T>[], what: string): readonly { readonly endpoint: string; readonly reply: T }[] {
  const answered = asked.flatMap((one) => ("reply" in one ? [one] : []));
  for (const one of asked) if ("error" in one) console.error(`Failed to get the ${what} of endpoint ${one.endpoint} (${one.error})`);
  if (answered.length < asked.length) process.exitCode = 1;
  return answered;
}

function health(): Command {
  return onCluster<ClusterFlags>(newCommand("health", "whether each member can agree on writes"), async ({ cluster, print }, _, flags) => {
    const endpoints = await endpointsOf(cluster, flags.cluster === true);
    const asked = await askEach(cluster, endpoints, "kv/range", { key: base64Of("health") });
    // A member that says who may not read has agreed with the others on who may.
    const all = asked.map((one) => ({ ...one, why: "error" in one && one.error !== "etcdserver: permission denied" ? one.error : "" }));
    const took = (ms: number): string => `${ms.toFixed(3)}ms`;
    const line = ({ endpoint, why, tookMs }: (typeof all)[number]): string =>
      why === ""
        ? `${endpoint} is healthy: successfully committed proposal: took = ${took(tookMs)}\n`
        : `${endpoint} is unhealthy: failed to commit proposal: ${why}\n`;
    print.show({
      simple: () => all.map(line).join(""),
      json: () =>
        all.map(({ endpoint, why, tookMs }) => ({
          endpoint,
          health: why === "",
          took: took(tookMs),
          ...(why === "" ? {} : { error: why }),
        })),
      fields: () =>
        all.flatMap(({ endpoint, why, tookMs }): FieldLine[] => [
          ["Endpoint", JSON.stringify(endpoint)],
          ["Health", String(why === "")],
          ["Took", JSON.stringify(took(tookMs))],
          ["Error", JSON.stringify(why)],
          ["", ""],
        ]),
      table: () => ({
        heads: ["ENDPOINT", "HEALTH", "TOOK", "ERROR"],
        rows: all.map(({ endpoint, why, tookMs }) => [endpoint, String(why === ""), took(tookMs), why]),
      }),
    });
    if (all.some(({ why }) => why !== "")) throw new CommandError("unhealthy cluster");
  });
}

/** The columns of `simple` and `table`. */
function rowOf(endpoint: string, one: StatusReply): string[] {
  return [
    endpoint,
    hexOf(one.header?.member_id),
    one.version ?? "",
    humanBytes(Number(one.dbSize ?? 0)),
    String(one.leader !== undefined && one.leader === one.header?.member_id),
    String(one.isLearner ?? false),
    one.raftTerm ?? "0",
    one.raftIndex ?? "0",
    one.raftAppliedIndex ?? "0",
    (one.errors ?? []).join(", "),
  ];
}

const STATUS_HEADS = "ENDPOINT,ID,VERSION,DB SIZE,IS LEADER,IS LEARNER,RAFT TERM,RAFT INDEX,RAFT APPLIED INDEX,ERRORS".split(",");

function status(): Command {
  return onCluster<ClusterFlags>(newCommand("status", "leader, size and log of each member"), async ({ cluster, print }, _, flags) => {
    const endpoints = await endpointsOf(cluster, flags.cluster === true);
    const all = told(await askEach<StatusReply>(cluster, endpoints, "maintenance/status", {}), "status");
    print.show({
      simple: () => all.map(({ endpoint, reply }) => `${rowOf(endpoint, reply).join(", ")}\n`).join(""),
      json: () => all.map(({ endpoint, reply }) => ({ Endpoint: endpoint, Status: reply })),
      fields: () => all.flatMap(({ endpoint, reply }) => statusFields(endpoint, reply)),
      table: () => ({ heads: STATUS_HEADS, rows: all.map(({ endpoint, reply }) => rowOf(endpoint, reply)) }),
    });
  });
}

function statusFields(endpoint: string, one: StatusReply): FieldLine[] {
  return [
    ...headerFields(one.header),
    ["Version", JSON.stringify(one.version ?? "")],
    ["DBSize", one.dbSize ?? "0"],
    ["Leader", one.leader ?? "0"],
    ["IsLearner", String(one.isLearner ?? false)],
    ["RaftIndex", one.raftIndex ?? "0"],
    ["RaftTerm", one.raftTerm ?? "0"],
    ["RaftAppliedIndex", one.raftAppliedIndex ?? "0"],
    ["Errors", `[${(one.errors ?? []).join(" ")}]`],
    ["Endpoint", JSON.stringify(endpoint)],
    ["", ""],
  ];
}

function hashKv(): Command {
  const command = newCommand("hashkv", "hash of each member's keys and their history").option("--rev <N>", "up to this revision", "0");
  return onCluster<ClusterFlags & { rev: string }>(command, async ({ cluster, print }, _, { cluster: everywhere = false, rev }) => {
    const endpoints = await endpointsOf(cluster, everywhere);
    const asked = await askEach<HashReply>(cluster, endpoints, "maintenance/hashkv", { revision: wholeOf(rev, "--rev") });
    const all = told(asked, "hash");
    print.show({
      simple: () => all.map(({ endpoint, reply }) => `${endpoint}, ${reply.hash ?? 0}\n`).join(""),
      json: () => all.map(({ endpoint, reply }) => ({ Endpoint: endpoint, HashKV: reply })),
      fields: () =>
        all.flatMap(({ endpoint, reply }): FieldLine[] => [
          ...headerFields(reply.header),
          ["Endpoint", JSON.stringify(endpoint)],
          ["Hash", String(reply.hash ?? 0)],
          ["", ""],
        ]),
      table: () => ({ heads: ["ENDPOINT", "HASH"], rows: all.map(({ endpoint, reply }) => [endpoint, String(reply.hash ?? 0)]) }),
    });
  });
}
