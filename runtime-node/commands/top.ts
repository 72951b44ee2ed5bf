/** `quorate top`: the members, how many writes they apply, and how far each is behind, once a second. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { humanBytes } from "../snapshot/status.ts";
import { hexOf, newCommand, onCluster, wholeOf } from "./client-command.ts";
import { type Asked, askEach, endpointsOf } from "./each-endpoint.ts";
import type { StatusReply } from "./endpoint.ts";
import { tableOf } from "./table.ts";

const HEADS = ["ENDPOINT", "ID", "ROLE", "TERM", "APPLIED", "LAG", "WRITES/S", "SIZE", "ANSWERED IN", "ERROR"];

export function command(): Command {
  const command = newCommand("top", "a live table of the members: leader, writes a second, lag", ["top --cluster", "top --count 1"]);
  command.option("--cluster", "all members that the cluster tells of").option("--count <N>", "end after so many tables; 0: never", "0");
  return onCluster<{ cluster?: boolean; count: string }>(command, async ({ cluster, print }, _, { cluster: all = false, count }) => {
    const endpoints = await endpointsOf(cluster, all);
    const tables = wholeOf(count, "--count");
    let before: { readonly atMs: number; readonly applied: ReadonlyMap<string, number> } | undefined;
    for (let n = 1; ; n++) {
      const atMs = performance.now();
      const asked = await askEach<StatusReply>(cluster, endpoints, "maintenance/status", {});
      const applied = new Map(asked.flatMap((one) => ("reply" in one ? [[one.endpoint, Number(one.reply.raftAppliedIndex ?? 0)]] : [])));
      const newest = Math.max(0, ...asked.map((one) => ("reply" in one ? Number(one.reply.raftIndex ?? 0) : 0)));
      const rate = ({ endpoint }: Asked<StatusReply>): string => {
        const [then, now] = [before?.applied.get(endpoint), applied.get(endpoint)];
        return then === undefined || now === undefined ? "-" : (((now - then) * 1_000) / (atMs - before!.atMs)).toFixed(0);
      };
      // On a terminal each table takes the place of the one before.
      if (process.stdout.isTTY) print.write("\x1b[H\x1b[2J");
      print.write(`${tableOf({ heads: HEADS, rows: asked.map((one) => rowOf(one, newest, rate(one))) })}\n`);
      if (n === tables) return;
      before = { atMs, applied };
      await sleep(1_000);
    }
  });
}

function rowOf(one: Asked<StatusReply>, newest: number, rate: string): string[] {
  const took = `${one.tookMs.toFixed(1)} ms`;
  if (!("reply" in one)) return [one.endpoint, "", "", "", "", "", "", "", took, one.error];
  const { header, leader, isLearner = false, raftTerm = "0", raftAppliedIndex = "0", dbSize = "0", errors = [] } = one.reply;
  const role = isLearner
    ? "learner"
    : leader === undefined || leader === "0"
      ? "no leader"
      : leader === header?.member_id
        ? "leader"
        : "follower";
  const lag = String(Math.max(0, newest - Number(raftAppliedIndex)));
  return [
    one.endpoint,
    hexOf(header?.member_id),
    role,
    raftTerm,
    raftAppliedIndex,
    lag,
    rate,
    humanBytes(Number(dbSize)),
    took,
    errors.join(", "),
  ];
}
