/**
 * The metrics page: etcd's well-known names where they are true of this server, so that dashboards and alerts made for etcd go on working,
 * and ours (`quorate_…`). Nothing is counted here; every value is read from its owner when the page is asked for.
 * Source of names: https://etcd.io/docs/v3.4/metrics/
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Metric, Registry, collectDefaultMetrics } from "prom-client";
import type { MethodCounts } from "../grpc/grpc-server.ts";
import { codeName } from "../grpc/grpc-status.ts";
import type { HealthCounts } from "../../core/api/health.ts";
import type { Metrics } from "../../core/api/metrics-port.ts";
import type { RouteTable } from "../../core/api/route-table.ts";
import type { Status } from "../../core/raft/status.ts";
import type { Replica } from "../../core/replica/replica.ts";
import type { TransportStats } from "../../core/replica/transport-port.ts";
import type { Histogram } from "../../core/api/histogram.ts";
import type { Measures } from "./measures.ts";

export interface MetricsSources {
  readonly replica: Replica;
  readonly measures: Measures;
  readonly table: RouteTable;
  readonly health: HealthCounts;
  readonly quotaBytes: number;
  /** Versions: of this program, and of etcd whose API it speaks. */
  readonly version: string;
  readonly etcdVersion: { readonly server: string; readonly cluster: string };
  /** What the transport between members counts; empty where there is none. */
  readonly peers: () => readonly TransportStats[];
  readonly peersRefused: () => Readonly<Record<string, number>>;
  readonly raft: () => Status | null;
  /** Open streams of v3 watches. */
  readonly watchStreams: () => number;
  readonly grpc: () => readonly MethodCounts[];
  /** Sums over the listeners. */
  readonly listeners: () => {
    readonly connectionsDropped: number;
    readonly clientErrors: number;
    readonly openStreams: number;
    readonly connections: Promise<number>;
  };
}

/** Milliseconds between two looks at the event loop. */
const LOOP_RESOLUTION_MS = 10;

export function prometheusMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const page = new Page(registry);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_RESOLUTION_MS });
  addServer(page, sources);
  addStore(page, sources);
  addDisk(page, sources.measures);
  addPeers(page, sources);
  addHttp(page, sources);
  addGrpc(page, sources);
  addEventLoop(page);
  return { contentType: registry.contentType, render: () => registry.metrics() };
}

/** Metrics that read their value when the page is made. */
class Page {
  readonly #registers: Registry[];
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#registers = [registry];
  }

  gauge(name: string, help: string, read: () => number | Promise<number>): void {
    const registers = this.#registers;
    // prom-client calls `collect` with the metric as `this`, before each page.
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  }

  counter(name: string, help: string, read: () => number): void {
    const registers = this.#registers;
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** A gauge that is 1 under its label: how versions and ids are told. */
  info(name: string, help: string, label: string, read: () => string): void {
    const registers = this.#registers;
    new Gauge({
      name,
      help,
      registers,
      labelNames: [label],
      collect() {
        this.reset();
        this.set({ [label]: read() }, 1);
      },
    });
  }

  labelled(
    kind: "counter" | "gauge",
    name: string,
    help: string,
    labelNames: string[],
    read: () => Iterable<readonly [labels: Record<string, string | number>, value: number]>,
  ): void {
    const registers = this.#registers;
    if (kind === "counter") {
      new Counter({
        name,
        help,
        registers,
        labelNames,
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.inc(labels, value);
        },
      });
      return;
    }
    new Gauge({
      name,
      help,
      registers,
      labelNames,
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.set(labels, value);
      },
    });
  }

  /** Of our own histograms: what prom-client asks of a metric is its name and its values. */
  histogram(name: string, help: string, source: Histogram): void {
    this.labelledHistogram(name, help, () => [[{}, source]]);
  }

  labelledHistogram(name: string, help: string, read: () => Iterable<readonly [labels: Labels, source: Histogram]>): void {
    const valuesNow = () => [...read()].flatMap(([labels, source]) => valuesOf(name, labels, source));
    const get = () => Promise.resolve({ name, help, type: "histogram", aggregator: "sum", values: valuesNow() });
    this.#registry.registerMetric({ name, get, reset: () => {} } as unknown as Metric);
  }
}

type Labels = Readonly<Record<string, string | number>>;

function valuesOf(name: string, labels: Labels, { bounds, counts, sum, count }: Histogram) {
  const values: { value: number; labels: Labels; metricName: string }[] = [];
  let below = 0;
  bounds.forEach((bound, at) => {
    below += counts[at]!;
    values.push({ value: below, labels: { ...labels, le: bound }, metricName: `${name}_bucket` });
  });
  values.push({ value: count, labels: { ...labels, le: "+Inf" }, metricName: `${name}_bucket` });
  values.push({ value: sum, labels, metricName: `${name}_sum` }, { value: count, labels, metricName: `${name}_count` });
  return values;
}

function addServer(page: Page, { replica, health, quotaBytes, version, etcdVersion }: MetricsSources): void {
  const leads = (): boolean => replica.status().leaderId === replica.memberId;
  page.gauge("etcd_server_has_leader", "Whether a leader is known: 1, or 0.", () => (replica.status().leaderId === "0" ? 0 : 1));
  page.gauge("etcd_server_is_leader", "Whether this member leads: 1, or 0.", () => (leads() ? 1 : 0));
  page.gauge("etcd_server_is_learner", "Whether this member is a learner: 1, or 0.", () => (replica.status().learner ? 1 : 0));
  page.counter("etcd_server_leader_changes_seen_total", "Changes of leader seen since the start.", () => replica.stats.leaderChanges);
  page.gauge("etcd_server_proposals_committed_total", "Index of the last entry agreed on.", () => replica.status().raftIndex);
  page.gauge("etcd_server_proposals_applied_total", "Index of the last entry applied.", () => replica.status().appliedIndex);
  page.gauge("etcd_server_proposals_pending", "Proposals that wait for their outcome.", () => replica.pendingProposals);
  page.counter(
    "etcd_server_proposals_failed_total",
    "Proposals that failed before they were agreed on.",
    () => replica.stats.proposalsFailed,
  );
  page.counter("etcd_server_health_success", "Health checks that succeeded.", () => health.success);
  page.counter("etcd_server_health_failures", "Health checks that failed.", () => health.failures);
  page.gauge("etcd_server_quota_backend_bytes", "Space that keys and values may take.", () => quotaBytes);
  page.info("etcd_server_id", "The member's id in hexadecimal.", "server_id", () => BigInt(replica.memberId).toString(16));
  page.info("etcd_server_version", "The release of etcd whose API is spoken.", "server_version", () => etcdVersion.server);
  page.info("etcd_cluster_version", "The version that all members speak.", "cluster_version", () =>
    etcdVersion.cluster.replace(/\.0$/, ""),
  );
  page.info("quorate_build_info", "The version of this program.", "version", () => version);
  page.gauge("quorate_raft_term", "The current term.", () => replica.status().term);
  page.labelled("gauge", "quorate_alarm", "Alarms that are raised.", ["alarm", "member"], () =>
    replica.store.alarms().map(({ alarm, memberId }) => [{ alarm, member: BigInt(memberId).toString(16) }, 1] as const),
  );
}

function addStore(page: Page, { replica, watchStreams }: MetricsSources): void {
  const { store, stats } = replica;
  page.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes that keys, values and their history take, and what is yet to be freed.", () =>
    store.sizeBytes(),
  );
  page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "The same without what is yet to be freed.", () => store.sizeInUseBytes());
  page.gauge("etcd_debugging_mvcc_db_total_size_in_bytes", "As etcd_mvcc_db_total_size_in_bytes: its older name.", () => store.sizeBytes());
  page.gauge("etcd_debugging_mvcc_keys_total", "Keys that exist.", () => store.keyCount());
  page.gauge("etcd_debugging_mvcc_current_revision", "The current revision.", () => store.revision);
  page.gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction.", () => store.compactedRevision);
  for (const prefix of ["etcd_mvcc", "etcd_debugging_mvcc"]) {
    page.counter(`${prefix}_put_total`, "Keys written, by this run of the member.", () => stats.puts);
    page.counter(`${prefix}_delete_total`, "Keys deleted, by this run of the member.", () => stats.deletes);
  }
  page.gauge("etcd_debugging_mvcc_watch_stream_total", "Streams of v3 watches that are open.", watchStreams);
  page.gauge("etcd_debugging_mvcc_watcher_total", "Watches that are open.", () => replica.watchStats().watchers);
  page.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches whose reader has not taken everything.", () => replica.watchStats().unread);
  page.gauge("etcd_debugging_mvcc_pending_events_total", "Events that wait for their readers.", () => replica.watchStats().queuedEvents);
  page.counter("quorate_watch_history_reads_total", "Times that a watch had to read history.", () => replica.watchStats().historyReads);
  page.counter("etcd_debugging_server_lease_expired_total", "Leases that ended by themselves.", () => stats.leasesExpired);
  page.gauge("quorate_leases", "Leases that are held.", () => store.leaseIds().length);
}

function addDisk(page: Page, measures: Measures): void {
  page.histogram("etcd_disk_wal_fsync_duration_seconds", "Durations of one durable write of the log.", measures.logSync);
  page.counter("etcd_disk_wal_write_bytes_total", "Bytes written to the log.", () => measures.logBytes);
  page.histogram(
    "etcd_disk_backend_commit_duration_seconds",
    "Durations of applying one batch of agreed entries to the store, which is in memory: there is no second write to the disk.",
    measures.apply,
  );
  page.histogram("quorate_apply_batch_entries", "Entries applied at once.", measures.batchEntries);
  page.histogram(
    "etcd_debugging_snap_save_total_duration_seconds",
    "Durations from the beginning of a snapshot to its being durable.",
    measures.snapshot,
  );
}

/** Peers by their id in hexadecimal, as etcd labels them. */
function addPeers(page: Page, { peers, peersRefused, raft, replica }: MetricsSources): void {
  const labelled = (read: (peer: TransportStats) => number | null) => () =>
    peers().flatMap((peer) => {
      const value = read(peer);
      return value === null ? [] : [[{ To: hex(peer.peer) }, value] as const];
    });
  const each = (kind: "counter" | "gauge", name: string, help: string, read: (peer: TransportStats) => number | null) =>
    page.labelled(kind, name, help, ["To"], labelled(read));
  each("counter", "etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", (peer) => peer.sentBytes);
  each(
    "counter",
    "etcd_network_peer_sent_failures_total",
    "Messages dropped because a peer was not connected or its queue full.",
    (peer) => peer.dropped,
  );
  each("counter", "quorate_peer_reconnects_total", "Times that the connection to a peer ended.", (peer) => peer.reconnects);
  each("gauge", "quorate_peer_connected", "Whether there is a connection to a peer: 1, or 0.", (peer) => (peer.connected ? 1 : 0));
  each("gauge", "quorate_peer_round_trip_seconds", "Of the last sign of life that a peer answered.", (peer) =>
    peer.roundTripMs === null ? null : peer.roundTripMs / 1000,
  );
  page.labelled("counter", "quorate_peer_refused_total", "Connections and frames between members that were refused.", ["reason"], () =>
    Object.entries(peersRefused()).map(([reason, count]) => [{ reason }, count] as const),
  );
  page.labelled("gauge", "quorate_peer_lag_entries", "Entries that a peer has yet to acknowledge; of the leader.", ["To"], () => {
    const status = raft();
    return Object.entries(status?.progress ?? {})
      .filter(([id]) => id !== replica.memberId)
      .map(([id, { match }]) => [{ To: hex(id) }, (status?.last ?? 0) - match] as const);
  });
  page.gauge("quorate_raft_log_bytes", "Bytes of the log kept in memory for peers that are behind.", () => raft()?.logBytes ?? 0);
  page.gauge("quorate_raft_unpersisted_writes", "Writes of the log that are under way.", () => raft()?.unpersisted ?? 0);
  page.counter(
    "quorate_raft_amnesia_total",
    "Times that a member was found to have lost what it had acknowledged.",
    () => raft()?.amnesiaTotal ?? 0,
  );
  page.counter(
    "quorate_raft_protocol_errors_total",
    "Messages dropped because no correct peer sends them.",
    () => raft()?.protocolErrors ?? 0,
  );
  page.labelled("gauge", "quorate_members", "Members in the configuration.", ["kind"], () => {
    const members = replica.members();
    const learners = members.filter(({ learner }) => learner).length;
    return [[{ kind: "voter" }, members.length - learners] as const, [{ kind: "learner" }, learners] as const];
  });
}

const hex = (id: string): string => BigInt(id).toString(16);

function addHttp(page: Page, { table, listeners, replica }: MetricsSources): void {
  page.labelled("counter", "quorate_http_replies_total", "Replies by route and status.", ["route", "status"], function* () {
    for (const { path, replies } of table.all()) for (const [status, count] of replies) yield [{ route: path, status }, count];
  });
  const durations = "Seconds from a whole request to its reply, by route and method; streams and long polls are left out.";
  page.labelledHistogram("quorate_http_request_duration_seconds", durations, function* () {
    for (const { path, seconds } of table.all()) for (const [method, histogram] of seconds) yield [{ route: path, method }, histogram];
  });
  page.gauge("quorate_http_connections", "Connections of clients.", () => listeners().connections);
  page.gauge("quorate_http_streams", "Streaming replies that are open.", () => listeners().openStreams);
  page.counter(
    "quorate_http_connections_dropped_total",
    "Connections closed because there were too many.",
    () => listeners().connectionsDropped,
  );
  page.counter("quorate_http_client_errors_total", "Requests that were no HTTP, or over a limit.", () => listeners().clientErrors);
  page.gauge("quorate_disk_bytes", "Bytes of the log and the snapshots.", () => replica.status().diskBytes);
}

/** Names and labels of go-grpc-prometheus, which etcd uses; in the order of the alphabet, as Go prints them and scripts look for them. */
function addGrpc(page: Page, { grpc }: MetricsSources): void {
  const labelsOf = ({ type, service, method }: MethodCounts) => ({ grpc_method: method, grpc_service: service, grpc_type: type });
  const labels = ["grpc_method", "grpc_service", "grpc_type"];
  page.labelled("counter", "grpc_server_started_total", "Calls begun.", labels, () =>
    grpc().map((method) => [labelsOf(method), method.started] as const),
  );
  page.labelled("counter", "grpc_server_handled_total", "Calls ended, whatever their outcome.", ["grpc_code", ...labels], () =>
    grpc().flatMap((method) =>
      [...method.handled].map(([code, count]) => [{ grpc_code: codeName(code), ...labelsOf(method) }, count] as const),
    ),
  );
}

/** How late the event loop is: nothing else makes every request slow at once. Since the page was last asked for. */
function addEventLoop(page: Page): void {
  let delay: IntervalHistogram;
  try {
    delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_NOT_IMPLEMENTED") return; // not on every runtime
    throw error;
  }
  delay.enable();
  // What is recorded is the time between two looks: the delay is what that is more than it should be.
  const lateness = (nanos: number): number => Math.max(0, nanos / 1e9 - LOOP_RESOLUTION_MS / 1000);
  page.labelled("gauge", "quorate_event_loop_delay_seconds", "How late the event loop was, since the last page.", ["quantile"], () => {
    const values = [0.5, 0.9, 0.99, 1].map((quantile) => [{ quantile }, lateness(delay.percentile(quantile * 100))] as const);
    delay.reset();
    return values;
  });
}
