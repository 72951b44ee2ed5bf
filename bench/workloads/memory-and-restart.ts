/**
 * 100,000 keys of 256 bytes, written one by one: the memory that a server then holds, and how long it takes from kill -9 until it
 * answers a linearizable read again.
 */
import { contenders, type Contender } from "../contender.ts";
import { median } from "../load/load-result.ts";
import { keyOf, putRequest, valueOf } from "../load/requests.ts";
import { runLoad } from "../load/run-load.ts";
import { residentMegabytes } from "../resident-memory.ts";
import type { Progress, Row } from "../row.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";

const KEYS = 100_000;
const CONNECTIONS = 64;
/** What was written is settled by then: buffers given back, the last sync done. */
const SETTLE_MS = 2_000;
/** Kills a server. */
const RESTARTS = 5;

interface Measured {
  readonly megabytes: number;
  readonly readyMs: number;
}

export async function memoryAndRestart(options: { readonly progress: Progress }): Promise<Row[]> {
  const measured: Measured[] = [];
  for (const contender of contenders()) {
    measured.push(await measure(contender));
    options.progress(`memory and restart ${contender.name}: ${JSON.stringify(measured.at(-1))}`);
  }
  const [ours, etcd] = measured;
  if (ours === undefined) throw new Error("nothing was measured");
  const workload = `${KEYS.toLocaleString("en-US")} keys of 256 B`;
  return [
    { workload, measure: "memory MB", ours: ours.megabytes, etcd: etcd?.megabytes, target: { of: "ratio", atMost: 2 } },
    { workload, measure: "kill -9 to ready ms", ours: ours.readyMs, etcd: etcd?.readyMs, target: { of: "ratio", atMost: 1 } },
  ];
}

async function measure(contender: Contender): Promise<Measured> {
  let server = await contender.start();
  try {
    const requests = Array.from({ length: KEYS }, (_, n) => putRequest(keyOf(n), valueOf(n)));
    await runLoad({ port: server.port, connections: CONNECTIONS, requests, once: true }, "node");
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const megabytes = residentMegabytes(server.pid);
    const times: number[] = [];
    for (let n = 0; n < RESTARTS; n++) {
      await server.kill("SIGKILL");
      const begun = performance.now();
      server = await contender.start(server, { waitReady: false });
      await server.untilReady(120_000);
      times.push(performance.now() - begun);
      await checkAllThere(server);
    }
    return { megabytes, readyMs: median(times) };
  } finally {
    await server.stop();
  }
}

async function checkAllThere(server: ServerProcess): Promise<void> {
  const body = JSON.stringify({ key: "AA==", range_end: "AA==", count_only: true });
  const reply = (await (await fetch(`${server.url}/v3/kv/range`, { method: "POST", body })).json()) as { count?: string };
  if (Number(reply.count) !== KEYS) throw new Error(`${server.name} has ${reply.count} of ${KEYS} keys after a restart`);
}
