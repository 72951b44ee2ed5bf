/**
 * A lock taken and released, and a message put and taken, over v1; and the same over the v3 gateway, ours and etcd's, with what that has.
 * 64 connections, each with a lock and a queue of its own. Counted is the whole act, however many requests it takes.
 */
import { contenders, withServers } from "../contender.ts";
import type { CycleName } from "../load/cycles.ts";
import { type LoadResult, median } from "../load/load-result.ts";
import { runLoad } from "../load/run-load.ts";
import type { Row } from "../row.ts";
import type { ThroughputOptions } from "./throughput.ts";

const CONNECTIONS = 64;
const WARM_UP_SECONDS = 1;
const ACTS = { lock: "taken and released/s", queue: "messages put and taken/s" } as const;

export async function recipes({ rounds, seconds, progress }: ThroughputOptions): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async ([ours, etcd]) => {
    const rows: Row[] = [];
    for (const kind of ["lock", "queue"] as const) {
      const [v1, v3]: readonly [CycleName, CycleName] = kind === "lock" ? ["v1-lock", "v3-lock"] : ["v1-queue", "v3-queue"];
      const sides = [
        { title: "v1", port: ours!.port, cycle: v1 },
        { title: "v3 JSON", port: ours!.port, cycle: v3 },
        ...(etcd === undefined ? [] : [{ title: "etcd", port: etcd.port, cycle: v3 }]),
      ];
      const results = sides.map((): LoadResult[] => []);
      for (let round = 0; round <= rounds; round++) {
        for (const [at, { title, port, cycle }] of sides.entries()) {
          const order = { port, connections: CONNECTIONS, requests: [], cycle, seconds: round === 0 ? WARM_UP_SECONDS : seconds };
          const result = await runLoad(order, "node");
          if (round === 0) continue;
          progress(`${kind} round ${round} ${title}: ${Math.round(result.replies / result.seconds)}/s p99 ${result.p99.toFixed(2)} ms`);
          results[at]!.push(result);
        }
      }
      const rate = (at: number): number => median((results[at] ?? []).map((result) => result.replies / result.seconds));
      const p99 = (at: number): number => median((results[at] ?? []).map((result) => result.p99));
      for (const [at, title] of ["v1", "v3 JSON"].entries()) {
        const workload = `${kind} over ${title}, ${CONNECTIONS} connections`;
        rows.push({ workload, measure: ACTS[kind], ours: rate(at), etcd: etcd === undefined ? undefined : rate(2) });
        rows.push({ workload, measure: "p99 ms", ours: p99(at), etcd: etcd === undefined ? undefined : p99(2) });
      }
    }
    return rows;
  });
}
