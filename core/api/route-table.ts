/**
 * All routes of the views, found by method and path: exact paths first, then the longest prefix. Both bindings (Fetch and `node:http`)
 * look up here, so that a path means the same on every runtime. Each route carries its own count of replies, for the metrics.
 */
import { assert } from "../invariant.ts";
import type { Handler, Route } from "./exchange.ts";

export interface TableRoute {
  /** As declared: the label of its metrics, so that their number is bounded by the number of routes. */
  readonly path: string;
  readonly stream: boolean;
  readonly handle: Handler;
  /** Replies by status. */
  readonly replies: Map<number, number>;
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
    const made: TableRoute = { path: route.path, stream: route.kind === "stream", handle: route.handle, replies: new Map() };
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
