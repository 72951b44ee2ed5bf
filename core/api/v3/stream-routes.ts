/**
 * The routes of etcd's v3 JSON gateway that last: watch and keep-alive, which stream both ways, and lock and election, which wait.
 * `/v3/…`, and `/v3beta/…` with the same meaning.
 */
import type { Handler, Route } from "../exchange.ts";
import { type WatchDeps, WatchService } from "./watch.ts";

export type StreamDeps = WatchDeps;

const PREFIXES = ["/v3", "/v3beta"] as const;

export interface StreamRoutes {
  readonly routes: Route[];
  /** Streams open now, for metrics. */
  readonly watchStreams: () => number;
  /** Ends the timers. */
  readonly stop: () => void;
}

export function streamRoutes(deps: StreamDeps): StreamRoutes {
  const watch = new WatchService(deps);
  const routes: Route[] = [];
  const add = (path: string, kind: Route["kind"], handle: Handler): void => {
    for (const prefix of PREFIXES) routes.push({ method: "POST", path: prefix + path, kind, handle });
  };
  add("/watch", "stream", watch.handle);
  return { routes, watchStreams: () => watch.streamCount, stop: () => watch.stop() };
}
