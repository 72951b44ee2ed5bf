/**
 * gRPC calls in a closed loop, 1, 64 and 512 at a time, on eight connections (one call: on one). The same key each time: h2load has one
 * body a run. Loads alternate between the servers as in throughput.ts.
 */
import * as m from "../../core/api/v3/messages.ts";
import { protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import { type Bytes, ascii } from "../../core/bytes/bytes.ts";
import { GrpcClient } from "../../test/helpers/grpc-client.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";
import { contenders, withServers } from "../contender.ts";
import { runH2load } from "../load/h2load.ts";
import { type LoadResult, median } from "../load/load-result.ts";
import { keyOf, valueOf } from "../load/requests.ts";
import type { Row, Target } from "../row.ts";
import type { ThroughputOptions } from "./throughput.ts";

const CONNECTIONS = 8;
const CONCURRENCIES = [1, 64, 512] as const;
/** What is to be reached, at 64 calls. */
const JUDGED = 64;
const NO_WORSE: Target = { of: "ratio", atMost: 1 };

interface GrpcWorkload {
  readonly title: string;
  readonly path: string;
  readonly message: Bytes;
  /** To be reached, as a ratio. */
  readonly rate?: number;
}

const key = ascii(keyOf(1));
const put = { ...m.PUT_REQUEST.defaults, key, value: ascii(valueOf(1)) };
const range = { ...m.RANGE_REQUEST.defaults, key };
/** Compare-and-swap as a client library does it: the key exists, then write it, else read it. */
const txn = {
  compare: [
    {
      ...m.COMPARE.defaults,
      key,
      target: m.COMPARE_TARGET.values.indexOf("CREATE"),
      result: m.COMPARE_RESULT.values.indexOf("GREATER"),
      createRevision: 0,
    },
  ],
  success: [{ ...m.REQUEST_OP.defaults, requestPut: put }],
  failure: [{ ...m.REQUEST_OP.defaults, requestRange: range }],
};

const WORKLOADS: readonly GrpcWorkload[] = [
  { title: "gRPC put", path: "/etcdserverpb.KV/Put", message: protobufEncoder(m.PUT_REQUEST)(put), rate: 1.2 },
  { title: "gRPC range", path: "/etcdserverpb.KV/Range", message: protobufEncoder(m.RANGE_REQUEST)(range), rate: 1.5 },
  { title: "gRPC txn", path: "/etcdserverpb.KV/Txn", message: protobufEncoder(m.TXN_REQUEST)(txn) },
];

export async function grpcThroughput({ rounds, seconds, progress }: ThroughputOptions): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async (servers) => {
    const rows: Row[] = [];
    for (const workload of WORKLOADS) {
      for (const concurrency of CONCURRENCIES) {
        const results = list.map((): LoadResult[] => []);
        for (let round = 0; round < rounds; round++) {
          const order = list.map((_, n) => (round % 2 === 0 ? n : list.length - 1 - n));
          for (const n of order) {
            const result = await load(servers[n]!, workload, concurrency, seconds);
            results[n]!.push(result);
            const rate = Math.round(result.replies / result.seconds);
            progress(`${workload.title} x${concurrency} round ${round} ${list[n]!.name}: ${rate}/s p99 ${result.p99.toFixed(2)} ms`);
          }
        }
        const compare = (measure: string, of: (result: LoadResult) => number, target?: Target): void => {
          const [ours, etcd] = results.map((some) => median(some.map(of)));
          const row = { workload: `${workload.title}, ${concurrency} at a time`, measure, ours: ours!, etcd };
          rows.push(concurrency === JUDGED && target !== undefined ? { ...row, target } : row);
        };
        const { rate } = workload;
        compare("requests/s", (result) => result.replies / result.seconds, rate === undefined ? undefined : { of: "ratio", atLeast: rate });
        compare("p50 ms", (result) => result.p50);
        compare("p99 ms", (result) => result.p99, NO_WORSE);
      }
    }
    return rows;
  });
}

async function load(server: ServerProcess, { path, message }: GrpcWorkload, concurrency: number, seconds: number): Promise<LoadResult> {
  const client = new GrpcClient(server.url);
  const { status, text } = await client.unary(path, message);
  client.close();
  if (status !== 0) throw new Error(`${path} fails: ${status} ${text}`);
  return runH2load({ port: server.port, path, message, connections: Math.min(CONNECTIONS, concurrency), concurrency, seconds });
}
