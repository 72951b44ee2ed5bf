/**
 * The Worker in workerd, beside a Durable Object that does nothing but write and read one row a request; and how long the first answer takes
 * after the object has slept, with few keys and with many.
 */
import { join } from "node:path";
import { startQuorateWorker } from "../../test/helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";
import { median } from "../load/load-result.ts";
import { KEYS, type PlainRequest, fillRequest, keyOf, valueOf } from "../load/requests.ts";
import { hasWrk, runLoad } from "../load/run-load.ts";
import type { Progress, Row } from "../row.ts";

export interface WorkerOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly progress: Progress;
}

const CONNECTIONS = 32;
/** An object sleeps after ten seconds. */
const NAP_MS = 13_000;
const FEW = 10;
const MANY = 100_000;
const FILL = 100;

const puts = (prefix: string): PlainRequest[] =>
  Array.from({ length: KEYS }, (_, n) => ({ method: "PUT", path: prefix + keyOf(n), contentType: "text/plain", body: valueOf(n) }));
const reads = (prefix: string): PlainRequest[] => Array.from({ length: KEYS }, (_, n) => ({ method: "GET", path: prefix + keyOf(n) }));

export async function worker({ rounds, seconds, progress }: WorkerOptions): Promise<Row[]> {
  const entry = join(import.meta.dirname, "..", "load", "bare-object.ts");
  const bare = await startQuorateWorker({ entry, objects: { OBJECT: "BareObject" } });
  const ours = await startQuorateWorker();
  try {
    const rows: Row[] = [];
    for (const [{ port }, prefix] of [
      [ours, "/v1/kv"],
      [bare, ""],
    ] as const)
      await runLoad({ port, connections: 8, requests: puts(prefix), once: true }, "node");
    for (const [name, made] of [
      ["put", puts],
      ["read", reads],
    ] as const) {
      const rates: { ours: number[]; bare: number[] } = { ours: [], bare: [] };
      for (let round = 0; round < rounds; round++) {
        rates.ours.push(await rateOf(ours, made("/v1/kv"), seconds));
        rates.bare.push(await rateOf(bare, made(""), seconds));
        progress(`${name}: ${Math.round(rates.ours.at(-1)!)} /s, a bare object ${Math.round(rates.bare.at(-1)!)} /s`);
      }
      const workload = `one Durable Object in workerd, ${CONNECTIONS} connections`;
      rows.push({ workload, measure: `v1 ${name}/s`, ours: median(rates.ours), etcd: undefined });
      const ratio = median(rates.ours) / median(rates.bare);
      rows.push({
        workload,
        measure: `v1 ${name}/s ÷ a bare object's`,
        ours: ratio,
        etcd: undefined,
        target: { of: "ours", atLeast: 0.5 },
      });
    }
    return [...rows, ...(await wakeUps(ours, rounds, progress))];
  } finally {
    await Promise.all([bare.stop(), ours.stop()]);
  }
}

async function rateOf({ port }: ServerProcess, requests: readonly PlainRequest[], seconds: number): Promise<number> {
  const { replies, seconds: took } = await runLoad({ port, connections: CONNECTIONS, requests, seconds }, hasWrk() ? "wrk" : "node");
  return replies / took;
}

async function wakeUps(server: ServerProcess, rounds: number, progress: Progress): Promise<Row[]> {
  const sizes = { few: FEW, many: MANY };
  for (const [name, count] of Object.entries(sizes)) {
    const fill = Array.from({ length: Math.ceil(count / FILL) }, (_, n) => fillRequest(n * FILL, Math.min(FILL, count)));
    const requests = fill.map((one) => ({ ...one, path: `/ns/${name}${one.path}` }));
    await runLoad({ port: server.port, connections: 8, requests, once: true }, "node");
  }
  const times: Record<keyof typeof sizes, number[]> = { few: [], many: [] };
  // Once before it counts: what the machine reads from its disk for the first time is not what is asked about.
  for (let round = -1; round < rounds; round++) {
    for (const name of ["few", "many"] as const) {
      await new Promise((resolve) => setTimeout(resolve, NAP_MS));
      const began = performance.now();
      const reply = await fetch(`${server.url}/ns/${name}/v1/kv/${encodeURIComponent(keyOf(7))}`);
      await reply.text();
      if (reply.status !== 200) throw new Error(`the first request was answered ${reply.status}`);
      if (round >= 0) times[name].push(performance.now() - began);
    }
    progress(`first answers: ${times.few.at(-1)?.toFixed(1)} ms with ${FEW} keys, ${times.many.at(-1)?.toFixed(1)} ms with ${MANY}`);
  }
  const workload = "first answer after a nap";
  const row = (measure: string, ours: number): Row => ({ workload, measure, ours, etcd: undefined });
  return [
    row(`ms, ${FEW} keys`, median(times.few)),
    row(`ms, ${MANY.toLocaleString("en-US")} keys`, median(times.many)),
    { ...row("many ÷ few", median(times.many) / median(times.few)), target: { of: "ours", atMost: 2 } },
  ];
}
