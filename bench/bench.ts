/**
 * `npm run bench`: ours beside the etcd on the path, in one run, and one table at the end. `npm run bench -- put watch` runs only these; `--rounds N`,
 * `--seconds N` change the effort; `--json FILE` also writes the rows there. docs/performance.md says how to read it.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { etcdVersion } from "../test/helpers/start-etcd.ts";
import { UNARY_WORKLOADS } from "./load/requests.ts";
import { hasH2load } from "./load/h2load.ts";
import { hasWrk } from "./load/run-load.ts";
import { table, type Progress, type Row } from "./row.ts";
import { memoryAndRestart } from "./workloads/memory-and-restart.ts";
import { clusterThroughput, failover } from "./workloads/cluster.ts";
import { recipes } from "./workloads/recipes.ts";
import { leases } from "./workloads/leases.ts";
import { layers } from "./workloads/layers.ts";
import { snapshotTransfer } from "./workloads/snapshot-transfer.ts";
import { snapshotPause } from "./workloads/snapshot-pause.ts";
import { oneConnection, throughput } from "./workloads/throughput.ts";
import { grpcThroughput } from "./workloads/grpc.ts";
import { waiters } from "./workloads/waiters.ts";
import { watchScale } from "./workloads/watch-scale.ts";
import { workerdBinary } from "../runtime-worker/local/workerd.ts";
import { worker } from "./workloads/worker.ts";
import { GRPC_FAN_OUTS, JSON_FAN_OUTS, watchFanOut } from "./workloads/watch-fan-out.ts";

const OTHER_WORKLOADS = [
  "one",
  "watch",
  "grpc",
  "grpc-watch",
  "watch-scale",
  "memory",
  "snapshot",
  "layers",
  "recipes",
  "waiters",
  "leases",
  "cluster",
  "failover",
  "transfer",
  "worker",
] as const;
const ALL: readonly string[] = [...UNARY_WORKLOADS, ...OTHER_WORKLOADS];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "3" }, json: { type: "string" } },
});
const rounds = positive("rounds", values.rounds);
const seconds = positive("seconds", values.seconds);
for (const name of positionals) {
  if (!ALL.includes(name)) stop(`unknown workload ${name}; there are: ${ALL.join(" ")}`);
}
const chosen = (name: string): boolean => positionals.length === 0 || positionals.includes(name);
const progress: Progress = (text) => process.stderr.write(`  ${text}\n`);

const begun = performance.now();
const rows: Row[] = [];
const unary = UNARY_WORKLOADS.filter(chosen);
if (unary.length > 0) rows.push(...(await throughput(unary, { rounds, seconds, progress })));
if (chosen("one")) rows.push(...(await oneConnection({ rounds, seconds, progress })));
if (chosen("watch")) rows.push(...(await watchFanOut(JSON_FAN_OUTS, { rounds, progress })));
if (chosen("grpc") && hasH2load()) rows.push(...(await grpcThroughput({ rounds, seconds, progress })));
else if (chosen("grpc")) progress("no h2load on the path (Debian: nghttp2-client): no rows for gRPC calls");
if (chosen("grpc-watch")) rows.push(...(await watchFanOut(GRPC_FAN_OUTS, { rounds, progress })));
if (chosen("watch-scale")) rows.push(...(await watchScale({ progress })));
if (chosen("memory")) rows.push(...(await memoryAndRestart({ progress })));
if (chosen("layers")) rows.push(...(await layers({ progress })));
if (chosen("recipes")) rows.push(...(await recipes({ rounds, seconds, progress })));
if (chosen("waiters")) rows.push(...(await waiters({ progress })));
if (chosen("leases")) rows.push(...(await leases({ progress })));
if (chosen("cluster")) rows.push(...(await clusterThroughput({ rounds, seconds, progress })));
if (chosen("transfer")) rows.push(...(await snapshotTransfer({ progress })));
if (chosen("worker") && workerdBinary() !== undefined) rows.push(...(await worker({ rounds, seconds, progress })));
else if (chosen("worker")) progress("no workerd for this machine: no rows for Workers");
if (chosen("failover")) rows.push(...(await failover({ progress })));
if (chosen("snapshot")) rows.push(...(await snapshotPause({ progress })));

const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`;
console.log(
  `Node ${process.version}, etcd ${etcdVersion() ?? "not installed"}, load by ${hasWrk() ? "wrk" : "our own generator"}, ${machine}`,
);
console.log(`medians of ${rounds} rounds of ${seconds} s; ${Math.round((performance.now() - begun) / 1_000)} s in all\n`);
console.log(table(rows));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isInteger(value)) stop(`--${name} must be a whole number above 0, and is "${text}"`);
  return value;
}

function stop(message: string): never {
  console.error(message);
  process.exit(2);
}
