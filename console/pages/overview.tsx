/** How busy the member is that the page came from, and how fast it answers: charts of its metrics, from when the page was opened on. */
import { useRef } from "preact/hooks";
import { Chart } from "../parts/chart.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { usePoll } from "../parts/poll.ts";
import { type Sample, quantileBetween, samplesIn, sumOf } from "../parts/samples.ts";

const EVERY_MS = 2_000;
/** Five minutes. */
const KEPT = 150;

interface Look {
  readonly atMs: number;
  readonly samples: readonly Sample[];
}

interface Point {
  readonly requests: number;
  readonly writes: number;
  readonly p99: number | undefined;
  readonly sync: number | undefined;
  readonly bytes: number;
}

export function Overview() {
  const last = useRef<Look | undefined>(undefined);
  const points = useRef<readonly Point[]>([]);
  const { value, error } = usePoll(async (signal) => {
    const look = { samples: samplesIn(await page(signal)), atMs: performance.now() };
    if (last.current !== undefined) points.current = [...points.current, pointOf(last.current, look)].slice(-KEPT);
    last.current = look;
    return points.current;
  }, EVERY_MS);
  if (value === undefined) return error === undefined ? <Nothing>Measuring …</Nothing> : <Failure error={error} />;
  const perSecond = (count: number): string => `${count.toFixed(count < 10 ? 1 : 0)}/s`;
  const milliseconds = (seconds: number): string => (Number.isFinite(seconds) ? `${(seconds * 1_000).toFixed(1)} ms` : "over 16 s");
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      <p class="nothing">Of the member at {location.host}, since this page was opened. Latencies are upper bounds.</p>
      <div class="charts">
        <Chart title="Requests answered" values={value.map(({ requests }) => requests)} textOf={perSecond} />
        <Chart title="Entries applied" values={value.map(({ writes }) => writes)} textOf={perSecond} />
        <Chart title="99 of 100 requests within" values={value.map(({ p99 }) => p99)} textOf={milliseconds} />
        <Chart title="99 of 100 writes of the disk within" values={value.map(({ sync }) => sync)} textOf={milliseconds} />
        <Chart
          title="Size of the store"
          values={value.map(({ bytes }) => bytes)}
          textOf={(bytes) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`}
        />
      </div>
    </>
  );
}

/** Of this member and no other: rates of two would make no line. @throws Error */
async function page(signal: AbortSignal): Promise<string> {
  const reply = await fetch("/metrics", { signal });
  if (!reply.ok) throw new Error(`the member gives no metrics: ${reply.status}`);
  return reply.text();
}

function pointOf(before: Look, after: Look): Point {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const rate = (name: string): number => Math.max(0, sumOf(after.samples, name) - sumOf(before.samples, name)) / seconds;
  return {
    requests: rate("quorate_http_replies_total") + rate("grpc_server_handled_total"),
    writes: rate("etcd_server_proposals_applied_total"),
    p99: quantileBetween(before.samples, after.samples, "quorate_http_request_duration_seconds", 0.99),
    sync: quantileBetween(before.samples, after.samples, "etcd_disk_wal_fsync_duration_seconds", 0.99),
    bytes: sumOf(after.samples, "etcd_mvcc_db_total_size_in_bytes"),
  };
}
