/** The near cache against a real server, and what it keeps in IndexedDB. */
import "fake-indexeddb/auto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CacheStorage, NearCache, type SavedCache, connect, json } from "../../client/client.ts";
import { idbCache } from "../../client/idb-cache.ts";
import { CutProxy } from "../helpers/cut-proxy.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { untilTrue } from "../helpers/until-ready.ts";

let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());

test("shows what is there, follows every change, and never goes back while the store is away", async () => {
  const proxy = await CutProxy.start(server.port);
  const [near, q] = [connect(proxy.url), connect(server.url)];
  const numbers = q.keys("near/", json<number>());
  await numbers.put("a", 1);
  const revisions: number[] = [];
  await using cache = new NearCache(near, near.keys("near/", json<number>()), { onChange: ({ revision }) => revisions.push(revision) });
  await cache.ready;
  expect([cache.get("a")?.value, cache.size, cache.stale]).toEqual([1, 1, false]);
  await q.txn().put("near/b", "2").delete("near/a").commit();
  await untilTrue(async () => cache.get("b") !== undefined, { what: () => "the change" });
  expect(cache.entries().map(({ key, value }) => [key, value])).toEqual([["b", 2]]);
  proxy.cut();
  const revision = await numbers.put("c", 3);
  await untilTrue(async () => cache.revision === revision, { what: () => "the change after the cut" });
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  await proxy.stop();
  expect(cache.get("c")?.value).toBe(3);
});

test("begins with what was saved, marked stale, and goes on when the store answers", async () => {
  const q = connect(server.url);
  const keys = q.keys("saved/");
  await keys.put("a", "1");
  {
    await using first = new NearCache(q, keys, { storage: idbCache() });
    await first.ready;
  }
  const proxy = await CutProxy.start(server.port);
  proxy.silence();
  const near = connect(proxy.url);
  await using cache = new NearCache(near, near.keys("saved/"), { storage: idbCache() });
  await cache.ready;
  expect([cache.get("a")?.value, cache.stale]).toEqual(["1", true]);
  await keys.put("b", "2");
  proxy.cut();
  proxy.heal();
  await untilTrue(async () => cache.get("b") !== undefined && !cache.stale, { what: () => "the store" });
  await cache[Symbol.asyncDispose]();
  await proxy.stop();
  expect((await idbCache().load("saved/"))?.entries.map(({ key }) => key)).toEqual(["a", "b"]);
});

test("tells why it ends, and of a storage that fails", async () => {
  const q = connect(server.url);
  await q.kv.put("bad/a", "{");
  const errors: unknown[] = [];
  const cache = new NearCache(q, q.keys("bad/", json()), { onError: (error) => errors.push(error) });
  await expect(cache.ready).rejects.toMatchObject({ reason: "badValue" });
  const storage: CacheStorage = {
    load: async (): Promise<SavedCache | undefined> => undefined,
    save: () => Promise.reject(new Error("full")),
  };
  const full = new NearCache(q, q.keys("empty/"), { storage, onError: (error) => errors.push(error) });
  await full.ready;
  await full[Symbol.asyncDispose]();
  await cache[Symbol.asyncDispose]();
  expect(errors.map(String)).toEqual([expect.stringContaining("no JSON"), "Error: full"]);
});
