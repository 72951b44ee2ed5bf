/**
 * Closed-loop load of one kind of request: 64 connections for rate and latency, one connection for the latency of a lone client.
 *
 * Both servers run all the time; the one not loaded is idle. Rounds alternate, and every other round begins with the other server, so that a machine that
 * slows down or speeds up meanwhile does so to both.
 */
import { contenders, withServers, type Contender } from "../contender.ts";
import type { LoadResult } from "../load/load-result.ts";
import { median } from "../load/load-result.ts";
import { requestsOf, type UnaryWorkload } from "../load/requests.ts";
import { hasWrk, runLoad } from "../load/run-load.ts";
import type { Progress, Row, Target } from "../row.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";

export interface ThroughputOptions {
  readonly rounds: number;
  /** Length of one load. */
  readonly seconds: number;
  readonly progress: Progress;
}

const CONNECTIONS = 64;
/** Once a workload and server, not counted: compilers, caches, the files' first growth. */
const WARM_UP_SECONDS = 1;

const TITLES: Record<UnaryWorkload, string> = {
  put: "v3 put",
  range: "v3 range",
  txn: "v3 txn",
  "v2-put": "v2 put",
  "v2-get": "v2 get",
  "v1-put": "v1 put (etcd: v3 JSON)",
  "v1-get": "v1 get (etcd: v3 JSON)",
};
const RATE_TARGETS: Partial<Record<UnaryWorkload, number>> = { put: 2.5, range: 2.5, txn: 2.5, "v2-put": 1, "v2-get": 0.8 };
const NO_WORSE: Target = { of: "ratio", atMost: 1 };

export async function throughput(workloads: readonly UnaryWorkload[], options: ThroughputOptions): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async (servers) => {
    await seed(list, servers);
    const rows: Row[] = [];
    for (const workload of workloads) {
      const results = await alternate(list, servers, workload, CONNECTIONS, options);
      const [ours, etcd] = list.map((contender) => results.get(contender.name) as LoadResult[]);
      const compare = (measure: string, of: (result: LoadResult) => number, target?: Target): void => {
        const figures = { ours: median((ours ?? []).map(of)), etcd: etcd === undefined ? undefined : median(etcd.map(of)) };
        rows.push({ workload: `${TITLES[workload]}, ${CONNECTIONS} connections`, measure, ...figures, ...(target && { target }) });
      };
      const atLeast = RATE_TARGETS[workload];
      compare("requests/s", (result) => result.replies / result.seconds, atLeast === undefined ? undefined : { of: "ratio", atLeast });
      compare("p50 ms", (result) => result.p50);
      compare("p99 ms", (result) => result.p99, NO_WORSE);
    }
    return rows;
  });
}

/** A lone client: what one durable write costs. */
export async function oneConnection(options: ThroughputOptions): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async (servers) => {
    const results = await alternate(list, servers, "put", 1, options);
    const [ours, etcd] = list.map((contender) => median((results.get(contender.name) ?? []).map((result) => result.p50)));
    return [{ workload: "v3 put, 1 connection", measure: "p50 ms", ours: ours as number, etcd, target: NO_WORSE }];
  });
}

/** Every key of the reading workloads exists, and values are as long as they will be. */
async function seed(list: readonly Contender[], servers: readonly ServerProcess[]): Promise<void> {
  for (const server of servers) {
    for (const workload of ["put", "v2-put", "v1-put"] as const) {
      const name = list[servers.indexOf(server)]!.name;
      await runLoad({ port: server.port, connections: 16, requests: requestsOf(workload, name), once: true }, "node");
    }
  }
}

async function alternate(
  list: readonly Contender[],
  servers: readonly ServerProcess[],
  workload: UnaryWorkload,
  connections: number,
  options: ThroughputOptions,
): Promise<Map<string, LoadResult[]>> {
  const results = new Map<string, LoadResult[]>(list.map((contender) => [contender.name, []]));
  for (let round = 0; round <= options.rounds; round++) {
    const order = list.map((_, n) => (round % 2 === 0 ? n : list.length - 1 - n));
    for (const n of order) {
      const { name } = list[n] as Contender;
      const requests = requestsOf(workload, name);
      const { port } = servers[n] as ServerProcess;
      const seconds = round === 0 ? WARM_UP_SECONDS : options.seconds;
      const result = await runLoad({ port, connections, requests, seconds }, hasWrk() ? "wrk" : "node");
      if (round === 0) continue;
      options.progress(
        `${workload} x${connections} round ${round} ${name}: ${Math.round(result.replies / result.seconds)}/s p99 ${result.p99.toFixed(2)} ms`,
      );
      results.get(name)?.push(result);
    }
  }
  return results;
}
