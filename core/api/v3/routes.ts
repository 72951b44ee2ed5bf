/**
 * The routes of etcd's v3 JSON gateway, made of the tables of services: `/v3/…`, and `/v3beta/…` with the same meaning.
 *
 * Besides the paths themselves there is one entry for everything else below the prefixes: it knows paths by their decoded, shortest
 * form, as etcd does: `/v3/kv/rang%65` is `/v3/kv/range`, `/v3//kv/range` is sent on by 301.
 */
import { ascii } from "../../bytes/bytes.ts";
import { unreachable } from "../../invariant.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { ApiReply, ApiRequest, Handler, Route } from "../exchange.ts";
import { methodNotAllowedPage, textPage, unknownPathPage } from "../pages.ts";
import { cleanPath, decodePath, looksClean, redirectTo } from "../v2/url-path.ts";
import { inTurnHandler } from "./in-turn.ts";
import { serverStreamHandler } from "./server-stream.ts";
import type { Method, Service } from "./services.ts";
import { type JsonOptions, unaryHandler, waitingHandler } from "./unary.ts";
import { watchHandler } from "./watch-json.ts";
import type { WatchService } from "./watch.ts";

export interface V3Deps extends JsonOptions {
  readonly services: readonly Service[];
  readonly watch: WatchService;
}

/** The first one is the proper one. */
const PREFIXES = ["/v3", "/v3beta"] as const;

/** In etcd's words. */
const CERTIFICATE_IGNORED = textPage(
  400,
  "CommonName of client sending a request against gateway will be ignored and not used as expected\n",
);

/** Their requests are read message by message, as they arrive. */
const READS_STREAM: ReadonlySet<Method["kind"]> = new Set<Method["kind"]>(["watch", "inTurn"]);

export function v3Routes({ services, watch, ...options }: V3Deps): Route[] {
  const routes: Route[] = [];
  /** By path. */
  const whole = new Map<string, Handler>();
  const streamed = new Map<string, Handler>();
  for (const method of services.flatMap((service) => service.methods)) {
    const handle = handlerOf(method, watch, options);
    for (const path of method.paths) (READS_STREAM.has(method.kind) ? streamed : whole).set(path, handle);
  }
  for (const prefix of PREFIXES) {
    for (const [path, handle] of whole) routes.push({ method: "POST", path: prefix + path, kind: "unary", handle });
    for (const [path, handle] of streamed) routes.push({ method: "POST", path: prefix + path, kind: "stream", handle });
    routes.push({ method: "*", path: `${prefix}/*`, kind: "unary", handle: (request) => otherPath(request, prefix, whole, streamed) });
  }
  routes.push({ method: "*", path: "/v3", kind: "unary", handle: ({ method, query }) => redirectTo(ascii("/v3/"), method, query) });
  return routes.map((route) => ({ ...route, handle: asSomebody(route.handle, options.authenticator) }));
}

/** What is asked of every request before its handler: who sends it. */
function asSomebody(handle: Handler, authenticator: Authenticator): Handler {
  return (request) => {
    if (authenticator.isMistakenForUser(request)) return CERTIFICATE_IGNORED;
    const preparing = authenticator.prepare(request);
    return preparing === undefined ? handle(request) : preparing.then(() => handle(request));
  };
}

function handlerOf(method: Method, watch: WatchService, options: JsonOptions): Handler {
  switch (method.kind) {
    case "unary":
      return unaryHandler(method, options);
    case "waiting":
      return waitingHandler(method, options);
    case "serverStream":
      return serverStreamHandler(method, options);
    case "inTurn":
      return inTurnHandler(method, options);
    case "watch":
      return watchHandler(watch, options.onInternalError);
    default:
      return unreachable(method);
  }
}

/** A method whose request is a stream is found by its plain path alone. */
function otherPath(
  request: ApiRequest,
  prefix: string,
  whole: ReadonlyMap<string, Handler>,
  streamed: ReadonlyMap<string, Handler>,
): ApiReply | Promise<ApiReply> {
  const path = decodePath(request.path);
  if (path === undefined) return unknownPathPage(request.path, false);
  if (!looksClean(path)) {
    const clean = cleanPath(path);
    if (clean !== path) return redirectTo(clean, request.method, request.query);
  }
  const name = path.slice(prefix.length);
  const handle = whole.get(name);
  if (handle === undefined) return unknownPathPage(path, streamed.has(name) && request.method !== "POST");
  return request.method === "POST" ? handle(request) : methodNotAllowedPage();
}
