/**
 * Three members on this machine: load through the leader and through a follower, and how long writes stop when the leader is killed.
 * Both clusters run all the time and rounds alternate, as in `throughput.ts`.
 */
import { Cluster } from "../../test/helpers/start-cluster.ts";
import { etcdVersion } from "../../test/helpers/start-etcd.ts";
import { type LoadResult, median } from "../load/load-result.ts";
import { type PlainRequest, putRequest, requestsOf } from "../load/requests.ts";
import { hasWrk, runLoad } from "../load/run-load.ts";
import type { Progress, Row, Target } from "../row.ts";

export interface ClusterOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly progress: Progress;
}

const CONNECTIONS = 64;
const WARM_UP_SECONDS = 1;
const RATE_TARGETS = { put: 1.5, range: 2 } as const;
const NO_WORSE: Target = { of: "ratio", atMost: 1 };
/** Kills of the leader, for each contender. */
const FAILOVERS = 5;
/** A client that waits for a new leader gives an attempt up after so long: a request that met no leader may hang for seconds. */
const ATTEMPT_MS = 200;
/** Between two attempts. */
const RETRY_MS = 5;

type Kind = "quorate" | "etcd";

async function withClusters<T>(work: (clusters: ReadonlyMap<Kind, Cluster>) => Promise<T>): Promise<T> {
  const kinds: Kind[] = etcdVersion() === undefined ? ["quorate"] : ["quorate", "etcd"];
  const clusters = new Map<Kind, Cluster>();
  try {
    for (const kind of kinds) clusters.set(kind, await Cluster.start({ size: 3, kind }));
    return await work(clusters);
  } finally {
    for (const cluster of clusters.values()) await cluster.stop();
  }
}

export function clusterThroughput(options: ClusterOptions): Promise<Row[]> {
  return withClusters(async (clusters) => {
    const places = new Map<Kind, { leader: number; follower: number }>();
    for (const [kind, cluster] of clusters) {
      const leader = await cluster.untilLeader();
      const follower = cluster.members.find(({ name }) => name !== leader)!;
      places.set(kind, { leader: cluster.member(leader).process.port, follower: follower.process.port });
      await runLoad({ port: cluster.member(leader).process.port, connections: 16, requests: requestsOf("put"), once: true }, "node");
    }
    const rows: Row[] = [];
    for (const workload of ["put", "range"] as const) {
      for (const at of ["leader", "follower"] as const) {
        const results = await alternate(places, at, requestsOf(workload), `${workload} at the ${at}`, options);
        const title = `three members, v3 ${workload} at the ${at}`;
        const compare = (measure: string, of: (result: LoadResult) => number, target?: Target) => {
          const theirs = results.get("etcd");
          const figures = {
            ours: median(results.get("quorate")!.map(of)),
            etcd: theirs === undefined ? undefined : median(theirs.map(of)),
          };
          rows.push({ workload: title, measure, ...figures, ...(target && { target }) });
        };
        const target: Target | undefined = at === "leader" ? { of: "ratio", atLeast: RATE_TARGETS[workload] } : undefined;
        compare("requests/s", (result) => result.replies / result.seconds, target);
        compare("p99 ms", (result) => result.p99, at === "leader" ? NO_WORSE : undefined);
      }
    }
    return rows;
  });
}

async function alternate(
  places: ReadonlyMap<Kind, { leader: number; follower: number }>,
  at: "leader" | "follower",
  requests: readonly PlainRequest[],
  what: string,
  { rounds, seconds, progress }: ClusterOptions,
): Promise<Map<Kind, LoadResult[]>> {
  const results = new Map<Kind, LoadResult[]>([...places.keys()].map((kind) => [kind, []]));
  for (let round = 0; round <= rounds; round++) {
    const order = [...places].toSorted(([a], [b]) => (a < b === (round % 2 === 0) ? -1 : 1));
    for (const [kind, place] of order) {
      const load = { port: place[at], connections: CONNECTIONS, requests, seconds: round === 0 ? WARM_UP_SECONDS : seconds };
      const result = await runLoad(load, hasWrk() ? "wrk" : "node");
      if (round === 0) continue;
      progress(`${what} round ${round} ${kind}: ${Math.round(result.replies / result.seconds)}/s p99 ${result.p99.toFixed(2)} ms`);
      results.get(kind)!.push(result);
    }
  }
  return results;
}

/** Milliseconds from the leader's kill to the first write that is acknowledged after it, asked of the others in turn. */
export function failover({ progress }: Pick<ClusterOptions, "progress">): Promise<Row[]> {
  return withClusters(async (clusters) => {
    const times = new Map<Kind, number[]>([...clusters.keys()].map((kind) => [kind, []]));
    for (let round = 1; round <= FAILOVERS; round++) {
      for (const [kind, cluster] of clusters) {
        const took = await killLeader(cluster, round);
        progress(`failover round ${round} ${kind}: ${Math.round(took)} ms`);
        times.get(kind)!.push(took);
      }
    }
    const theirs = times.get("etcd");
    const figures = { ours: median(times.get("quorate")!), etcd: theirs === undefined ? undefined : median(theirs) };
    return [{ workload: "three members, leader killed", measure: "ms without writes", ...figures, target: NO_WORSE }];
  });
}

async function killLeader(cluster: Cluster, round: number): Promise<number> {
  const leader = await cluster.untilLeader();
  const others = cluster.members.filter(({ name }) => name !== leader);
  await cluster.member(leader).process.kill("SIGKILL");
  const began = performance.now();
  const { path, body = "", method } = putRequest(`/failover/${round}`, "x");
  // Both are asked at once: whoever finds the new leader first answers for the cluster.
  const first = others.map(async ({ url }) => {
    for (;;) {
      if (await succeeds(`${url}${path}`, { method, body })) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  });
  await Promise.any(first);
  const took = performance.now() - began;
  await Promise.all(first);
  await cluster.restart(leader);
  return took;
}

/** False also when the answer does not come in time: whoever waits asks again. */
async function succeeds(url: string, request: RequestInit): Promise<boolean> {
  try {
    const reply = await fetch(url, { ...request, signal: AbortSignal.timeout(ATTEMPT_MS) });
    await reply.text();
    return reply.status === 200;
  } catch {
    return false;
  }
}
