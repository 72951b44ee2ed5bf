/**
 * The routes of etcd's v3 JSON gateway that last: watch and keep-alive, which stream both ways, and lock and election, which wait.
 * `/v3/…`, and `/v3beta/…` with the same meaning.
 */
import type { Route } from "../exchange.ts";
import { electionHandlers } from "./election.ts";
import { keepAliveHandler } from "./keep-alive.ts";
import { lockHandlers } from "./lock.ts";
import { type WatchDeps, WatchService } from "./watch.ts";

export type StreamDeps = WatchDeps;

const PREFIXES = ["/v3", "/v3beta"] as const;

export interface StreamRoutes {
  readonly routes: Route[];
  /** Watch streams open now, for metrics. */
  readonly watchStreams: () => number;
  /** Ends the timer of watches; those of waiting requests end with the requests. */
  readonly stop: () => void;
}

export function streamRoutes(deps: StreamDeps): StreamRoutes {
  const watch = new WatchService(deps);
  const routes: Route[] = [];
  const waits = [...lockHandlers(deps), ...electionHandlers(deps)];
  for (const prefix of PREFIXES) {
    routes.push({ method: "POST", path: `${prefix}/watch`, kind: "stream", handle: watch.handle });
    routes.push({ method: "POST", path: `${prefix}/lease/keepalive`, kind: "stream", handle: keepAliveHandler(deps) });
    for (const [path, handle] of waits) routes.push({ method: "POST", path: prefix + path, kind: "unary", handle });
  }
  return { routes, watchStreams: () => watch.streamCount, stop: () => watch.stop() };
}
