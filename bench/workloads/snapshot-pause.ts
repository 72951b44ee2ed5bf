/**
 * How long our event loop is held up while snapshots of 200,000 keys are made and writes go on: the 99th percentile of the delay as our own
 * /metrics tells it, over the time of the load.
 */
import { contenders } from "../contender.ts";
import { fillRequest, requestsOf } from "../load/requests.ts";
import { runLoad } from "../load/run-load.ts";
import { metric, readMetrics } from "../metrics-page.ts";
import type { Progress, Row } from "../row.ts";

const KEYS = 200_000;
/** Puts in one transaction while filling. */
const FILL = 100;
/** A snapshot is due every so many writes, so several fall into the load. */
const SNAPSHOT_COUNT = 20_000;
const CONNECTIONS = 16;
const LOAD_SECONDS = 8;

export async function snapshotPause(options: { readonly progress: Progress }): Promise<Row[]> {
  const [ours] = contenders();
  const server = await ours.start(undefined, { flags: ["--snapshot-count", String(SNAPSHOT_COUNT)] });
  try {
    const fills = Array.from({ length: KEYS / FILL }, (_, n) => fillRequest(n * FILL, FILL));
    await runLoad({ port: server.port, connections: CONNECTIONS, requests: fills, once: true }, "node");
    // Reading the metrics begins a new period of the delay's histogram.
    const before = await readMetrics(server.url);
    await runLoad({ port: server.port, connections: CONNECTIONS, requests: requestsOf("put"), seconds: LOAD_SECONDS }, "node");
    const after = await readMetrics(server.url);
    const made = snapshots(after) - snapshots(before);
    options.progress(`snapshots made under load: ${made}`);
    if (!(made >= 1)) throw new Error("no snapshot was made during the load");
    return [
      {
        workload: `snapshots of ${KEYS.toLocaleString("en-US")} keys under load`,
        measure: "event-loop delay p99 ms",
        ours: metric(after, 'quorate_event_loop_delay_seconds{quantile="0.99"}') * 1_000,
        etcd: undefined,
        target: { of: "ours", atMost: 20 },
      },
    ];
  } finally {
    await server.stop();
  }
}

function snapshots(metrics: string): number {
  return metric(metrics, "etcd_debugging_snap_save_total_duration_seconds_count");
}
