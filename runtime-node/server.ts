/**
 * Wires one member: storage, consensus, replica, routes, listeners, and its end. For the command `serve`, and for programs that
 * run a server inside their own process: it touches neither the process's signals nor its exit code.
 */
import type { Http2Bindings, HttpBindings } from "@hono/node-server";
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Http2ServerRequest, type Http2ServerResponse, createServer as createHttp2Server } from "node:http2";
import type { Socket } from "node:net";
import { resolve } from "node:path";
import { FileLogStorage } from "../adapters/file-storage/file-log-storage.ts";
import type { FileSystem } from "../adapters/file-storage/file-system.ts";
import { NodeFileSystem } from "../adapters/file-storage/node-file-system.ts";
import { GrpcServer } from "../adapters/grpc/grpc-server.ts";
import { MeasuredConsensus, MeasuredFileSystem, Measures } from "../adapters/prometheus/measures.ts";
import type { MetricsSources } from "../adapters/prometheus/prometheus-metrics.ts";
import { passwords, randomToken } from "../adapters/node-crypto/passwords.ts";
import { Authenticator } from "../core/api/auth/authenticator.ts";
import { type App, ETCD_VERSION, createApp, createMetricsApp } from "../core/api/create-app.ts";
import { consoleRoutes } from "../core/api/console.ts";
import { type ApiRequest, type Route, addressOf } from "../core/api/exchange.ts";
import { grpcServices } from "../core/api/grpc/services.ts";
import type { Metrics } from "../core/api/metrics-port.ts";
import { type V1Sockets, v1Routes, v1Sockets } from "../core/api/v1/routes.ts";
import { CheckDuty } from "../core/api/v1/check-duty.ts";
import { DUTY_LOOK_MS, ScheduleDuty } from "../core/api/v1/schedule-duty.ts";
import { type V1Deps, v1Services } from "../core/api/v1/services.ts";
import { nextTick } from "../adapters/cron/next-tick.ts";
import { v2Routes } from "../core/api/v2/routes.ts";
import { v3Routes } from "../core/api/v3/routes.ts";
import { type Service, v3Services } from "../core/api/v3/services.ts";
import { WatchService } from "../core/api/v3/watch.ts";
import { isQuorateError } from "../core/errors.ts";
import { Replica } from "../core/replica/replica.ts";
import { RaftConsensus } from "../core/replica/raft-consensus.ts";
import { type ClientUrl, addressesOf, advertised, formatUrl } from "./client-url.ts";
import { serviceProber } from "./service-prober.ts";
import { signedTokensOf } from "./signed-tokens.ts";
import { AuditLog } from "./audit-log.ts";
import { beginningOf } from "./cluster/beginning.ts";
import { peerNotices } from "./cluster/peer-notices.ts";
import { peerTransport } from "./cluster/peer-transport.ts";
import { compactionPolicy, initialCluster, keepAliveTimes, minLeaseTtlSeconds, quotaBytes } from "./config.ts";
import { hostOf, lackOf, refuseOn, servesGrpc } from "./host.ts";
import { consoleFiles } from "./console-files.ts";
import { HttpListener, type HttpListenerOptions } from "./http-listener.ts";
import { BODY_TIMEOUT_MS, bodyBytesMaxFor } from "./limits.ts";
import { logLevelRoute } from "./log-level-route.ts";
import type { Logger } from "./logger.ts";
import { packageVersion } from "./package-version.ts";
import { type Refusal, refusalNotices } from "./refusal-notices.ts";
import type { Settings } from "./settings.ts";
import { finishNewCluster, forceNewCluster } from "./snapshot/force-new-cluster.ts";
import type { ListenerTls } from "./tls/listener-tls.ts";
import type { MemberTls } from "./tls/member-tls.ts";
import { WebSockets } from "./web-sockets.ts";
import { isTls } from "./tls/certificate-names.ts";
import { clientTls, memberTls } from "./tls/tls-settings.ts";
import { after, clock, every, pause, pauseMs, randomBytes, randomId, randomSeed } from "./timing.ts";

/** How often the replica looks at its duties, at least. */
const TICK_MS_MAX = 100;
/** How often a quiet watch that asked for it is told the revision, as etcd does. */
const WATCH_PROGRESS_MS = 10 * 60_000;
const SERVING_POLL_MS = 100;
/** The text format of Prometheus, as etcd names it. */
const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export interface RunningServer {
  /** Where it listens, with the ports that were chosen where 0 was asked for. */
  readonly urls: readonly string[];
  readonly dataDirectory: string;
  /** Resolves with what ended the member, if something does. */
  readonly failed: Promise<Error>;
  /** Resolves when a linearizable read was possible for the first time: a leader is known, and this member has what it had committed. */
  readonly serving: Promise<void>;
  /** Resolves when the others have removed this member from the cluster for good. */
  readonly removed: Promise<void>;
  /** Looks at the certificates now, rather than with the next connection, and opens the audit log anew where its file was moved away. */
  refresh(): void;
  /** Finishes what was acknowledged, ends streams, lets go of the storage. */
  close(): Promise<void>;
}

/**
 * @throws ConfigError for certificates that cannot be used, QuorateError `damaged`, `locked` and others of the storage, or the host's error when an address cannot be listened on;
 *   nothing is left running then
 */
export async function startServer(settings: Settings, logger: Logger): Promise<RunningServer> {
  const host = hostOf(process.versions);
  refuseOn(host, settings);
  const lack = lackOf(host);
  if (lack !== undefined) logger.warn(lack);
  const directory = resolve(settings["data-dir"]);
  const measures = new Measures();
  const fileSystem = new MeasuredFileSystem(new NodeFileSystem(), measures);
  await recoverQuorumLoss(settings, directory, fileSystem, logger);
  const onNotice = noticesTo(logger);
  const tlsHost = { directory, notice: onNotice, nowMs: () => clock.wallMs() };
  const tls = await clientTls(settings, tlsHost);
  const peerTls = await memberTls(settings, tlsHost);
  const signedTokens = await signedTokensOf(settings["auth-token"], () => clock.wallMs());
  const auditLog =
    settings["audit-log"] === undefined
      ? undefined
      : new AuditLog(settings["audit-log"], (error) => logger.error({ error }, "the audit log could not be written"));
  const storage = new FileLogStorage({ directory, fileSystem });
  /** Known when the ports are. */
  let clientUrls: readonly string[] | null = null;
  let onFailed: (error: Error) => void = () => {};
  const failed = new Promise<Error>((tell) => (onFailed = tell));
  let onRemoved: () => void = () => {};
  const removed = new Promise<void>((tell) => (onRemoved = tell));
  const { consensus, transport } = consensusOf(settings, storage, logger, peerTls);
  const replica = new Replica({
    consensus: new MeasuredConsensus(consensus, measures),
    clock,
    randomBytes,
    pause,
    tickMs: settings["heartbeat-interval"],
    snapshotEntries: settings["snapshot-count"],
    quotaBytes: quotaBytes(settings),
    autoCompaction: compactionPolicy(settings),
    strictReconfigCheck: settings["strict-reconfig-check"],
    attributes: () => (clientUrls === null ? null : { name: settings.name, clientUrls, peerUrls: settings["initial-advertise-peer-urls"] }),
    onFailed: (error) => onFailed(error),
    onRemoved: () => onRemoved(),
    onNotice,
    diskBytes: () => storage.sizeBytes(),
    logReserve: () => storage.reserve(),
  });
  await replica.start();
  const ticking = setInterval(() => replica.tick(), Math.min(TICK_MS_MAX, settings["heartbeat-interval"]));
  const listeners: HttpListener[] = [];
  let grpc: GrpcServer | null = null;
  let webSockets: WebSockets | null = null;
  const authenticator = new Authenticator({
    member: replica,
    passwords,
    randomToken,
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    signedTokens,
    tokenIdleMs: settings["auth-token-ttl"] * 1000,
    audit: auditLog?.write,
  });
  const views = viewsOf(settings, replica, authenticator, logger);
  const endDuties = every(DUTY_LOOK_MS, () => views.duties.forEach((duty) => duty.tick()));
  const close = async (): Promise<void> => {
    endDuties();
    webSockets?.close();
    await Promise.all([grpc?.close(), ...listeners.map((listener) => listener.close())]);
    views.watch.stop();
    clearInterval(ticking);
    await replica.stop();
    auditLog?.close();
  };
  try {
    const shared = {
      member: replica,
      metrics: lazyMetrics(() => metricsSources()),
      access: { corsOrigins: settings.cors, hosts: settings["host-whitelist"] },
      bodyBytesMax: bodyBytesMaxFor(settings["max-request-bytes"]),
      monotonicMs: () => clock.monotonicMs(),
      onError: (error: unknown, { method, path, source }: Pick<ApiRequest, "method" | "path" | "source">) =>
        logger.error({ method, path, from: source?.from, requestId: source?.requestId, error }, "a request handler failed"),
    };
    const routes = [...views.routes, logLevelRoute({ member: replica, authenticator, logger })];
    const app = createApp({ ...shared, routes });
    const metricsSources = (): MetricsSources => ({
      replica,
      measures,
      table: app.table,
      health: app.healthCounts,
      quotaBytes: quotaBytes(settings),
      version: packageVersion(),
      etcdVersion: ETCD_VERSION,
      listeners: () => sumOf(listeners),
      peers: () => transport.stats(),
      peersRefused: () => transport.refused(),
      raft: () => consensus.raftStatus(),
      watchStreams: () => views.watch.streamCount,
      grpc: () => grpc!.counts(),
    });
    grpc = grpcServer({ settings, views, member: replica, authenticator, logger, tls, served: app, shared });
    const { accept } = grpc;
    const onRefused = refusalNotices(
      (refusal) => onNotice("warn", "a client was turned away", { ...refusal }),
      () => clock.monotonicMs(),
    );
    webSockets = new WebSockets({ sockets: views.sockets, access: app.access, every, onError: shared.onError });
    const listening = { settings, shared, listeners, onRefused, ...(tls === undefined ? {} : { tls }) };
    const grpcOrNot = servesGrpc(host) ? { onHttp2: accept } : {};
    const bound = await listenOn({ ...listening, urls: settings["listen-client-urls"], served: app, webSockets, ...grpcOrNot });
    if (settings["listen-peer-urls"] !== undefined) await transport.listen();
    clientUrls = settings["advertise-client-urls"] ?? bound.map(advertised);
    if (settings["listen-metrics-urls"] !== undefined) {
      await listenOn({ ...listening, urls: settings["listen-metrics-urls"], served: createMetricsApp(shared) });
    }
    shared.metrics.start();
    const refresh = (): void => {
      auditLog?.reopen();
      tls?.refresh();
      peerTls?.refresh();
    };
    return { urls: bound.map(formatUrl), dataDirectory: directory, serving: untilServing(replica), failed, removed, refresh, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Never settles for a member that ends before. */
async function untilServing(replica: Replica): Promise<void> {
  for (;;) {
    try {
      return await replica.readBarrier();
    } catch (error) {
      if (isQuorateError(error) && error.reason === "stopped") return new Promise(() => {});
      await pauseMs(SERVING_POLL_MS); // no leader yet: the log has the reason
    }
  }
}

/** Before the directory is looked at: an unfinished swap is finished, and with `--force-new-cluster` a new cluster made of what is there. */
async function recoverQuorumLoss(settings: Settings, directory: string, fileSystem: FileSystem, logger: Logger): Promise<void> {
  if (await finishNewCluster(directory, fileSystem)) logger.warn("a new cluster that a crash had left half made was finished");
  if (!settings["force-new-cluster"]) return;
  const { kind, ...made } = await forceNewCluster({
    directory,
    name: settings.name,
    peerUrls: settings["initial-advertise-peer-urls"],
    fileSystem,
  });
  if (kind === "alone") logger.warn(made, "--force-new-cluster has nothing to do: the member is alone already");
  else logger.warn(made, "this member goes on as a new cluster of itself alone; add the others as new members, without their old data");
}

function noticesTo(logger: Logger) {
  return (level: "info" | "warn" | "error", message: string, details: Record<string, unknown> = {}) => logger[level](details, message);
}

/** The consensus among members over TCP, on this member's log. */
function consensusOf(
  settings: Settings,
  storage: FileLogStorage,
  logger: Logger,
  tls: MemberTls | undefined,
): { consensus: RaftConsensus; transport: ReturnType<typeof peerTransport> } {
  const identity = {
    clusterId: () => consensus.identity.clusterId,
    id: () => consensus.identity.memberId,
    boot: () => consensus.boot,
    diskId: () => consensus.identity.diskId,
  };
  const onNotice = noticesTo(logger);
  const transport = peerTransport(
    settings,
    identity,
    peerNotices(onNotice, () => clock.monotonicMs()),
    tls,
  );
  const electionTicks = Math.round(settings["election-timeout"] / settings["heartbeat-interval"]);
  const consensus: RaftConsensus = new RaftConsensus({
    storage,
    transport,
    defer: setImmediate,
    seed: randomSeed(),
    limits: { electionTicks, diskStallTicks: 2 * electionTicks },
    begin: (known) =>
      beginningOf(
        {
          state: settings["initial-cluster-state"],
          initialCluster: initialCluster(settings),
          name: settings.name,
          token: settings["initial-cluster-token"],
          peerUrls: settings["initial-advertise-peer-urls"],
          greet: (url) => transport.greet(url),
          newDiskId: randomId,
          pause: pauseMs,
          onNotice: (message, details) => logger.info(details, message),
        },
        known,
      ),
    onRepairs: (repairs) => repairs.forEach((repair) => logger.warn(repair)),
    onNotice,
  });
  return { consensus, transport };
}

/** What clients see of the member. */
interface Views {
  readonly routes: Route[];
  readonly services: readonly Service[];
  readonly watch: WatchService;
  readonly sockets: V1Sockets;
  /** What the leader does by itself. */
  readonly duties: readonly (ScheduleDuty | CheckDuty)[];
}

function viewsOf(settings: Settings, member: Replica, authenticator: Authenticator, logger: Logger): Views {
  const maxRequestBytes = settings["max-request-bytes"];
  const watch = new WatchService({ member, authenticator, maxRequestBytes, progressIntervalMs: WATCH_PROGRESS_MS, every, pause });
  const services = v3Services({
    member,
    authenticator,
    limits: { maxTxnOps: settings["max-txn-ops"], maxRequestBytes },
    version: ETCD_VERSION.server,
    minLeaseTtlSeconds: minLeaseTtlSeconds(settings),
    pause,
    every,
    sha256: () => createHash("sha256"),
  });
  const onInternalError = (error: unknown): void => logger.error({ error }, "a request of the v3 API failed");
  const routes = v3Routes({ services, watch, authenticator, maxRequestBytes, onInternalError });
  const v1: V1Deps = {
    member,
    authenticator,
    maxTxnOps: settings["max-txn-ops"],
    maxRequestBytes,
    minLeaseTtlSeconds: minLeaseTtlSeconds(settings),
    pause,
    after,
    randomBytes,
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    onInternalError: (error) => logger.error({ error }, "a request of the v1 API failed"),
    version: packageVersion(),
    nextTick,
    prober: settings["service-check-hosts"] && serviceProber(settings["service-check-hosts"]),
  };
  const duties = [new ScheduleDuty(v1Services(v1)), new CheckDuty(v1Services(v1))];
  routes.push(...v1Routes(v1));
  routes.push(...consoleRoutes(member, consoleFiles()));
  if (settings["enable-v2"]) routes.push(...v2Routes({ member, authenticator, now: () => clock.wallMs() }));
  return { routes, services, watch, sockets: v1Sockets(v1), duties };
}

interface GrpcOptions {
  readonly settings: Settings;
  readonly views: Views;
  readonly member: Replica;
  readonly authenticator: Authenticator;
  readonly logger: Logger;
  readonly tls: ListenerTls | undefined;
  /** Answers what comes over HTTP/2 and is no gRPC. */
  readonly served: App;
  readonly shared: Pick<Parameters<typeof createApp>[0], "onError">;
}

function grpcServer({ settings, views, member, authenticator, logger, tls, served, shared }: GrpcOptions): GrpcServer {
  const { services, watch } = views;
  const others = createHttp2Server(fetchFallback(served, shared.onError, tls));
  return new GrpcServer({
    member,
    services: grpcServices(services, { member, every }),
    watch,
    authenticator,
    maxRequestBytes: settings["max-request-bytes"],
    streamsMax: settings["max-concurrent-streams"],
    electionTimeoutMs: settings["election-timeout"],
    keepAlive: keepAliveTimes(settings),
    certificateNameOf: (socket) => tls?.certificateNameOf(socket),
    onOther: (...stream) => void others.emit("stream", ...stream),
    isEndless: (headers) => served.table.find(headers[":method"] ?? "", (headers[":path"] ?? "").split("?", 1)[0]!)?.stream === true,
    bodyMs: BODY_TIMEOUT_MS,
    onInternalError: (error) => logger.error({ error }, "a gRPC call failed"),
  });
}

interface ListenOptions {
  readonly urls: readonly string[];
  readonly served: App;
  readonly settings: Settings;
  readonly shared: Pick<Parameters<typeof createApp>[0], "bodyBytesMax" | "onError">;
  /** Grows by those that were begun. */
  readonly listeners: HttpListener[];
  readonly tls?: ListenerTls;
  readonly onHttp2?: (socket: Socket) => void;
  readonly webSockets?: WebSockets;
  readonly onRefused: (refusal: Refusal) => void;
}

async function listenOn({ urls, served, settings, shared, listeners, tls, onHttp2, webSockets, onRefused }: ListenOptions) {
  const fallback = fetchFallback(served, shared.onError, tls);
  const listenerOf = (more: Pick<HttpListenerOptions, "tls" | "onTls">): HttpListener =>
    new HttpListener({
      table: served.table,
      access: served.access,
      bodyBytesMax: shared.bodyBytesMax,
      onError: shared.onError,
      connectionsMax: settings["max-connections"],
      fallback,
      ...(onHttp2 === undefined ? {} : { onHttp2 }),
      ...(webSockets === undefined ? {} : { webSockets }),
      ...more,
      onRefused,
    });
  const bound: ClientUrl[] = [];
  for (const { host, port, plain, secure } of addressesOf(urls)) {
    const behindTls = secure && tls !== undefined ? listenerOf({ tls }) : undefined;
    const first =
      plain || behindTls === undefined
        ? listenerOf(behindTls === undefined ? {} : { onTls: (socket) => behindTls.take(socket) })
        : behindTls;
    const chosen = await first.listen(host, port);
    listeners.push(first);
    if (behindTls !== undefined && behindTls !== first) {
      behindTls.shareAPort();
      listeners.push(behindTls);
    }
    if (plain) bound.push({ host, port: chosen, secure: false });
    if (secure) bound.push({ host, port: chosen, secure: true });
  }
  return bound;
}

type FetchFallback = (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => void;

/** Requests that no route takes go to the Hono app; the bridge to it is loaded with the first one, which keeps the start short. */
function fetchFallback({ app }: App, onError: ListenOptions["shared"]["onError"], tls: ListenerTls | undefined): FetchFallback {
  const answerFrom = (request: Request, { incoming: { socket } }: HttpBindings | Http2Bindings) =>
    app.fetch(request, { isSecure: isTls(socket), certificateName: tls?.certificateNameOf(socket), from: addressOf(socket) });
  let bridge: Promise<(...exchange: Parameters<FetchFallback>) => unknown> | undefined;
  return (request, response) => {
    bridge ??= import("@hono/node-server").then(({ getRequestListener }) =>
      getRequestListener(answerFrom, { overrideGlobalObjects: false }),
    );
    bridge
      .then((answer) => answer(request, response))
      .catch((error: unknown) => {
        onError(error, { method: request.method ?? "", path: request.url ?? "" });
        response.destroy();
      });
  };
}

/** The library behind the page is loaded after the start, not before: it would make up a tenth of it. */
function lazyMetrics(sources: () => MetricsSources): Metrics & { start(): void } {
  let loading: Promise<Metrics> | undefined;
  const load = () =>
    (loading ??= import("../adapters/prometheus/prometheus-metrics.ts").then((loaded) => loaded.prometheusMetrics(sources())));
  return {
    contentType: METRICS_CONTENT_TYPE,
    render: async () => (await load()).render(),
    start: () => void setImmediate(() => void load().catch(() => {})), // who asks for the page is told
  };
}

function sumOf(listeners: readonly HttpListener[]): ReturnType<MetricsSources["listeners"]> {
  const sum = (of: (listener: HttpListener) => number): number => listeners.reduce((total, listener) => total + of(listener), 0);
  return {
    connectionsDropped: sum(({ counts }) => counts.connectionsDropped),
    clientErrors: sum(({ counts }) => counts.clientErrors),
    openStreams: sum(({ counts }) => counts.openStreams),
    connections: Promise.all(listeners.map((listener) => listener.connections())).then((counts) => counts.reduce((a, b) => a + b, 0)),
  };
}
