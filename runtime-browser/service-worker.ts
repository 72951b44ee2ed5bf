/**
 * The entry `quorate/browser/service-worker`: lets a page ask the store with `fetch("/v1/kv/…")`, as if it were a server of its origin. A page's
 * own service worker imports this and calls it once.
 */
import { type StoreOptions, openStore } from "./store.ts";

/** What is answered by the store; everything else goes to the network. */
const PATHS = /^\/(v1|v2|v3|health|livez|readyz|version)(\/|$)/;

interface ServiceWorkerScope {
  addEventListener(type: "install" | "activate", listener: (event: { waitUntil(work: Promise<unknown>): void }) => void): void;
  addEventListener(
    type: "fetch",
    listener: (event: { readonly request: Request; respondWith(reply: Promise<Response>): void }) => void,
  ): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly location: Location;
}

export function serveStore(options: StoreOptions = {}): void {
  const scope = globalThis as unknown as ServiceWorkerScope;
  const store = openStore(options);
  scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
  scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
  scope.addEventListener("fetch", (event) => {
    const { origin, pathname } = new URL(event.request.url);
    if (origin === scope.location.origin && PATHS.test(pathname)) event.respondWith(store.fetch(event.request));
  });
}
