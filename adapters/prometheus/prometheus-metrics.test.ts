import { expect, test } from "vitest";
import { RouteTable } from "../../core/api/route-table.ts";
import { Replica } from "../../core/replica/replica.ts";
import { Solo } from "../../core/replica/solo.ts";
import { MemoryLogStorage } from "../memory/log-storage.ts";
import { Histogram, doubling } from "../../core/api/histogram.ts";
import { MeasuredConsensus, Measures } from "./measures.ts";
import { prometheusMetrics } from "./prometheus-metrics.ts";

test("Histogram.observe() counts below each bound, inclusive, and above all", () => {
  const histogram = new Histogram(doubling(1, 3));
  for (const value of [0.5, 1, 1.5, 4, 5]) histogram.observe(value);
  expect(histogram.bounds).toEqual([1, 2, 4]);
  expect([...histogram.counts]).toEqual([2, 1, 1, 1]);
  expect([histogram.sum, histogram.count]).toEqual([12, 5]);
});

/** Lines without a label set by name, and all names with their types. */
function parse(page: string) {
  const values = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of page.split("\n")) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type) types.set(type[1]!, type[2]!);
    else if (line !== "" && !line.startsWith("#")) {
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$/.exec(line);
      expect(sample, line).not.toBeNull();
      values.set(sample![1]! + (sample![2] ?? ""), Number(sample![3]));
    }
  }
  return { values, types };
}

test("the page has what is true of a member, read when it is asked for", async () => {
  const measures = new Measures();
  const member = new Replica({
    consensus: new MeasuredConsensus(
      new Solo({
        storage: new MemoryLogStorage(),
        newIdentity: () => ({ clusterId: "7", memberId: "255", diskId: "5" }),
        meta: { name: "one", peerUrls: [], clientUrls: [] },
      }),
      measures,
    ),
    clock: { wallMs: () => 1_000, monotonicMs: () => 1_000 },
    randomBytes: (count) => new Uint8Array(count),
    pause: () => Promise.resolve(),
    tickMs: 100,
    snapshotEntries: 1_000,
    quotaBytes: 1_000_000,
    autoCompaction: { mode: "off" },
    strictReconfigCheck: true,
    attributes: () => null,
    onRemoved: () => {},
    onFailed: () => {},
    onNotice: () => {},
    diskBytes: () => 4_096,
    logReserve: () => "ok",
  });
  await member.start();
  const table = new RouteTable([{ method: "GET", path: "/x", kind: "unary", handle: () => Promise.reject(new Error("unused")) }]);
  table.find("GET", "/x")!.replies.set(200, 3);
  const metrics = prometheusMetrics({
    replica: member,
    measures,
    table,
    health: { success: 2, failures: 1 },
    quotaBytes: 1_000_000,
    version: "9.9.9",
    etcdVersion: { server: "3.4.23", cluster: "3.4.0" },
    grpc: () => [],
    watchStreams: () => 5,
    peers: () => [],
    peersRefused: () => ({ "another cluster": 2 }),
    raft: () => null,
    listeners: () => ({ connectionsDropped: 1, clientErrors: 2, openStreams: 3, connections: Promise.resolve(4) }),
  });
  const before = parse(await metrics.render());
  expect(before.types.get("etcd_disk_wal_fsync_duration_seconds")).toBe("histogram");
  await member.propose({ kind: "alarm", action: "activate", alarm: { memberId: "255", alarm: "nospace" } });
  await member.takeSnapshot();
  const { values } = parse(await metrics.render());
  expect(Object.fromEntries(values)).toMatchObject({
    etcd_server_has_leader: 1,
    etcd_server_is_leader: 1,
    etcd_server_proposals_applied_total: member.status().appliedIndex,
    etcd_server_health_success: 2,
    etcd_server_health_failures: 1,
    etcd_server_quota_backend_bytes: 1_000_000,
    'etcd_server_id{server_id="ff"}': 1,
    'etcd_server_version{server_version="3.4.23"}': 1,
    'etcd_cluster_version{cluster_version="3.4"}': 1,
    'quorate_build_info{version="9.9.9"}': 1,
    'quorate_alarm{alarm="nospace",member="ff"}': 1,
    'quorate_http_replies_total{route="/x",status="200"}': 3,
    quorate_http_connections: 4,
    quorate_http_streams: 3,
    quorate_http_connections_dropped_total: 1,
    quorate_http_client_errors_total: 2,
    quorate_disk_bytes: 4_096,
    etcd_debugging_mvcc_watch_stream_total: 5,
    etcd_debugging_snap_save_total_duration_seconds_count: 1,
    'etcd_debugging_snap_save_total_duration_seconds_bucket{le="+Inf"}': 1,
  });
  expect(values.get("etcd_disk_backend_commit_duration_seconds_count")).toBe(
    (before.values.get("etcd_disk_backend_commit_duration_seconds_count") ?? 0) + 1,
  );
  expect(values.has('quorate_event_loop_delay_seconds{quantile="0.99"}')).toBe(true);
  expect(values.has("process_resident_memory_bytes")).toBe(true);
  await member.stop();
});
