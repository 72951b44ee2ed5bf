/**
 * Puts the views together: every route in one table, and one Hono app over the same table for runtimes that speak Fetch and for what
 * is not on a runtime's direct path. The app adds nothing of its own but the pages for what nobody knows.
 */
import { Hono } from "hono";
import type { Member } from "../replica/member.ts";
import { Access, type AccessOptions } from "./access.ts";
import { EMPTY, ascii } from "../bytes/bytes.ts";
import { utf8Encode } from "../bytes/utf8.ts";
import type { ConnectionFacts, Route } from "./exchange.ts";
import { type FetchBinding, answerFetch, pathAndQuery, toResponse } from "./exchange-fetch.ts";
import { type HealthCounts, healthRoutes, onlyGet } from "./health.ts";
import type { Metrics } from "./metrics-port.ts";
import { internalErrorReply, unknownPathPage } from "./pages.ts";
import { RouteTable } from "./route-table.ts";

/** The release of etcd whose API is spoken: clients parse it and choose by it. */
export const ETCD_VERSION = { server: "3.4.23", cluster: "3.4.0" } as const;

export interface AppDeps {
  readonly member: Member;
  /** Of the views: v2, v3 and so on. */
  readonly routes: readonly Route[];
  /** Left out where `/metrics` is served elsewhere or not at all. */
  readonly metrics?: Metrics;
  readonly access: AccessOptions;
  readonly bodyBytesMax: number;
  readonly onError: FetchBinding["onError"];
  readonly monotonicMs?: FetchBinding["monotonicMs"];
}

/** What a host may give to `app.fetch` beside the request; left out, nothing is known of the connection. */
export interface FetchEnv {
  readonly Bindings: ConnectionFacts;
}

export interface App {
  readonly app: Hono<FetchEnv>;
  readonly table: RouteTable;
  readonly access: Access;
  readonly healthCounts: HealthCounts;
}

export function createApp(deps: AppDeps): App {
  const healthCounts: HealthCounts = { success: 0, failures: 0 };
  const table = new RouteTable([
    ...deps.routes,
    ...healthRoutes(deps.member, healthCounts),
    versionRoute(),
    ...(deps.metrics === undefined ? [] : [metricsRoute(deps.metrics)]),
  ]);
  const access = new Access(deps.access);
  return {
    app: honoApp(table, { access, bodyBytesMax: deps.bodyBytesMax, onError: deps.onError, monotonicMs: deps.monotonicMs }),
    table,
    access,
    healthCounts,
  };
}

/** `/health`, `/livez`, `/readyz` and `/metrics` only: for an address of their own. Any host name will do, as in etcd. */
export function createMetricsApp(deps: Omit<AppDeps, "routes"> & { readonly metrics: Metrics }): App {
  return createApp({ ...deps, access: { ...deps.access, hosts: ["*"] }, routes: [] });
}

function versionRoute(): Route {
  const headers = Object.freeze({ "content-type": "application/json" });
  const body = ascii(`{"etcdserver":"${ETCD_VERSION.server}","etcdcluster":"${ETCD_VERSION.cluster}"}`);
  return { method: "*", path: "/version", kind: "unary", handle: onlyGet(() => ({ status: 200, headers, body })) };
}

function metricsRoute(metrics: Metrics): Route {
  const headers = { "content-type": metrics.contentType };
  const page = onlyGet(async () => ({ status: 200, headers, body: utf8Encode(await metrics.render()) }));
  return {
    method: "*",
    path: "/metrics",
    kind: "unary",
    handle: (request) => {
      if (request.method === "HEAD") return { status: 200, headers, body: EMPTY }; // probes ask so, and etcd answers
      return page(request);
    },
  };
}

function honoApp(table: RouteTable, binding: FetchBinding): Hono<FetchEnv> {
  const app = new Hono<FetchEnv>();
  app.use(async (context, next) => {
    const request = context.req.raw;
    const host = request.headers.get("host") ?? new URL(request.url).host;
    const connection: ConnectionFacts | undefined = context.env;
    const refusal = connection?.isSecure === true ? undefined : binding.access.refuseHost(host);
    if (refusal !== undefined) return toResponse(refusal, request, binding);
    if (request.method === "OPTIONS") return toResponse(binding.access.preflight(), request, binding);
    return next();
  });
  for (const path of new Set(table.all().map((route) => route.path))) {
    app.all(path, (context, next) => {
      const request = context.req.raw;
      // Hono matches `/a/*` for `/a` too, and decodes: what counts is what the table says.
      const route = table.find(request.method, pathAndQuery(request.url).path);
      return route === undefined ? next() : answerFetch(route, request, binding, context.env);
    });
  }
  app.notFound((context) => {
    const request = context.req.raw;
    const { path } = pathAndQuery(request.url);
    return toResponse(unknownPathPage(path, table.knows(path)), request, binding);
  });
  app.onError((error, context) => {
    const request = context.req.raw;
    const { path } = pathAndQuery(request.url);
    binding.onError(error, { method: request.method, path });
    return toResponse(internalErrorReply(path), request, binding);
  });
  return app;
}
