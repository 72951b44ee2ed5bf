/** The v3 API of a local member: its services, and the handlers of its JSON routes by path. */
import { createHash } from "node:crypto";
import type { Handler, Route } from "../../core/api/exchange.ts";
import { RouteTable } from "../../core/api/route-table.ts";
import { v3Routes } from "../../core/api/v3/routes.ts";
import { type Service, type ServiceDeps, v3Services } from "../../core/api/v3/services.ts";
import { type WatchDeps, WatchService } from "../../core/api/v3/watch.ts";
import { localAuthenticator } from "./local-authenticator.ts";
import type { LocalMember } from "./local-member.ts";

export const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

export interface LocalV3 {
  readonly services: readonly Service[];
  readonly watch: WatchService;
  readonly routes: readonly Route[];
  readonly table: RouteTable;
  /** What handlers threw that they should not have. */
  readonly bugs: readonly unknown[];
  /** @param path as of `/v3/kv/range` */
  handler(path: string): Handler;
}

export type LocalV3Options = Partial<Pick<ServiceDeps, "limits" | "authenticator"> & Pick<WatchDeps, "every" | "pause">>;

export function localV3(member: LocalMember, options: LocalV3Options = {}): LocalV3 {
  const bugs: unknown[] = [];
  const deps = {
    member,
    authenticator: options.authenticator ?? localAuthenticator(member), // one listens at a time
    maxRequestBytes: MAX_REQUEST_BYTES,
    limits: { maxTxnOps: 128, maxRequestBytes: MAX_REQUEST_BYTES },
    version: "3.4.23",
    minLeaseTtlSeconds: 2,
    progressIntervalMs: 600_000,
    every: () => () => {},
    pause: () => Promise.resolve(),
    sha256: () => createHash("sha256"),
    ...options,
  };
  const watch = new WatchService(deps);
  const services = v3Services(deps);
  const { authenticator, maxRequestBytes } = deps;
  const routes = v3Routes({ services, watch, authenticator, maxRequestBytes, onInternalError: (error) => bugs.push(error) });
  const table = new RouteTable(routes);
  return { services, watch, routes, table, bugs, handler: (path) => table.find("POST", path)!.handle };
}
