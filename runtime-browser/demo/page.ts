/** The page: keys that are put and watched, in the store of this browser, by the client that is used with a server. */
import { type Client, type Entry, connect } from "../../client/client.ts";
import { openStore } from "../store.ts";

const store = openStore();
const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

async function registered(): Promise<void> {
  const registration = await navigator.serviceWorker.register("/service-worker.js", { type: "module" });
  await navigator.serviceWorker.ready;
  if (navigator.serviceWorker.controller === null) {
    await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  }
  element("worker").textContent = registration.active === null ? "starting" : "answers fetch on this origin";
}

function show(entries: readonly Entry<string>[]): void {
  const rows = entries.map(({ key, value, revision }) => {
    const row = document.createElement("tr");
    for (const text of [key, value, String(revision)]) row.insertCell().textContent = text;
    return row;
  });
  element("keys").replaceChildren(...rows);
}

async function watch(q: Client): Promise<void> {
  const known = new Map<string, Entry<string>>();
  for await (const step of q.keys("").watch()) {
    if (step.kind === "reset") {
      known.clear();
      for (const entry of step.entries) known.set(entry.key, entry);
    } else {
      for (const change of step.changes) {
        if (change.type === "put") known.set(change.key, change.entry);
        else known.delete(change.key);
      }
    }
    show([...known.values()].sort((a, b) => (a.key < b.key ? -1 : 1)));
    element("revision").textContent = String(step.revision);
  }
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [key, value] = [element<HTMLInputElement>("key").value, element<HTMLInputElement>("value").value];
  // Plainly, as curl does it: the service worker answers.
  fetch(`/v1/kv/${encodeURIComponent(key)}`, { method: "PUT", body: value, headers: { "content-type": "text/plain" } }).then(
    async (reply) => void (element("told").textContent = reply.ok ? "" : await reply.text()),
    (error: unknown) => void (element("told").textContent = String(error)),
  );
});
element("persist").addEventListener("click", () => {
  void store.persist().then((kept) => void (element("kept").textContent = kept ? "kept" : "may be cleared when space runs short"));
});
setInterval(() => void (element("role").textContent = store.isWriter ? "has the store" : "asks another tab"), 200);

await store.ready;
await registered();
// The client goes by the store itself: it needs no service worker.
void watch(connect({ url: location.origin, fetch: (input, init) => store.fetch(input as string, init) }));
element("state").textContent = "ready";
