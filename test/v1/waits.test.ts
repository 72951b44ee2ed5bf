/** Whoever hangs up while he waits leaves nothing behind: no watch stays open at the server. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

const WAITERS = 40;
const LOOK_MS = 20;

let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());

async function watchers(): Promise<number> {
  const page = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^etcd_debugging_mvcc_watcher_total (\d+)$/m.exec(page)![1]);
}

async function untilWatchers(count: number): Promise<void> {
  while ((await watchers()) !== count) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

/** @returns hangs up */
function wait(path: string, headers: Readonly<Record<string, string>> = {}): () => void {
  const stop = new AbortController();
  fetch(server.url + path, { headers, signal: stop.signal }).then(
    (reply) => void reply.text().catch(() => {}),
    () => {}, // hung up, as it should be
  );
  return () => stop.abort();
}

function open(path: string): () => void {
  const socket = new WebSocket(server.url.replace("http", "ws") + path);
  return () => socket.terminate();
}

test.each([
  ["a long poll of a key", () => wait("/v1/kv/none?wait=55s")],
  ["a long poll of changes", () => wait("/v1/watch?prefix=a&wait=55s")],
  ["server-sent events", () => wait("/v1/watch?prefix=a", { accept: "text/event-stream" })],
  ["a WebSocket", () => open("/v1/watch?prefix=a")],
])("%s", async (_, begin) => {
  const hangUps = Array.from({ length: WAITERS }, begin);
  await untilWatchers(WAITERS);
  for (const hangUp of hangUps) hangUp();
  await untilWatchers(0);
  expect(server.exit()).toBeUndefined();
});
