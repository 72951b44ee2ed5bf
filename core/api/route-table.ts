/**
 * All routes of the views, found by method and path: exact paths first, then the longest prefix. Both bindings (Fetch and `node:http`)
 * look up here, so that a path means the same on every runtime. Each route carries its own count of replies, for the metrics.
 */
import { assert } from "../invariant.ts";
import type { ApiReply, Handler, Route } from "./exchange.ts";
import { Histogram, doubling } from "./histogram.ts";

/** From half a millisecond to 16 s. */
const SECONDS = doubling(0.0005, 16);
/** What clients make up is told as `other`, so that the number of labels stays bounded. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export interface TableRoute {
  /** As declared: the label of its metrics, so that their number is bounded by the number of routes. */
  readonly path: string;
  readonly stream: boolean;
  readonly handle: Handler;
  /** Replies by status. */
  readonly replies: Map<number, number>;
  /** From the whole request to the reply, by method: of replies that come at once, neither streams nor what a client waits for. */
  readonly seconds: Map<string, Histogram>;
}

/** A reply to a request of a route. @param seconds that it took; undefined: not known */
export function countReply(
  { replies, seconds: durations }: TableRoute,
  { method, query }: { readonly method: string; readonly query: string },
  { status, body }: ApiReply,
  seconds: number | undefined,
): void {
  replies.set(status, (replies.get(status) ?? 0) + 1);
  if (seconds === undefined || typeof body !== "string" || query.includes("wait")) return;
  const name = METHODS.has(method) ? method : "other";
  let histogram = durations.get(name);
  if (histogram === undefined) durations.set(name, (histogram = new Histogram(SECONDS)));
  histogram.observe(seconds);
}

/** By method; `*` takes what no other takes. */
type Methods = Map<string, TableRoute>;

export class RouteTable {
  readonly #exact = new Map<string, Methods>();
  /** Longest first. The prefix ends with a slash. */
  readonly #prefixes: { readonly prefix: string; readonly methods: Methods }[] = [];
  readonly #all: TableRoute[] = [];

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#add(route);
    this.#prefixes.sort((a, b) => b.prefix.length - a.prefix.length);
  }

  #add(route: Route): void {
    const { path, kind, handle } = route;
    const made: TableRoute = { path, stream: kind === "stream", handle, replies: new Map(), seconds: new Map() };
    const methods = this.#methodsAt(route.path);
    assert(!methods.has(route.method), () => `two routes for ${route.method} ${route.path}`);
    methods.set(route.method, made);
    this.#all.push(made);
  }

  #methodsAt(path: string): Methods {
    if (!path.endsWith("/*")) {
      let methods = this.#exact.get(path);
      if (methods === undefined) this.#exact.set(path, (methods = new Map()));
      return methods;
    }
    const prefix = path.slice(0, -1);
    let found = this.#prefixes.find((entry) => entry.prefix === prefix);
    if (found === undefined) this.#prefixes.push((found = { prefix, methods: new Map() }));
    return found.methods;
  }

  /** @param path as sent, without the query */
  find(method: string, path: string): TableRoute | undefined {
    const exact = this.#exact.get(path);
    const found = exact?.get(method) ?? exact?.get("*");
    if (found !== undefined) return found;
    for (const { prefix, methods } of this.#prefixes) {
      if (path.startsWith(prefix)) {
        const under = methods.get(method) ?? methods.get("*");
        if (under !== undefined) return under;
      }
    }
    return undefined;
  }

  /** True when the path is there under another method. */
  knows(path: string): boolean {
    return this.#exact.has(path);
  }

  all(): readonly TableRoute[] {
    return this.#all;
  }
}
