/** The read replica at the edge, before a real server: what it answers by itself, what it asks, and that it never shows what is too old. */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type EdgeHandler, edgeReplica } from "../../client/edge.ts";
import { workerdBinary } from "../../runtime-worker/local/workerd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { type WorkerProcess, startWorker } from "../helpers/start-worker.ts";

let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());

const put = async (key: string, value: string): Promise<number> => {
  const reply = await fetch(`${server.url}/v1/kv/${key}`, { method: "PUT", body: value });
  return ((await reply.json()) as { revision: number }).revision;
};

describe("a read replica", () => {
  let edge: EdgeHandler;
  /** What came to the store. */
  let asked: string[];
  let nowMs: number;
  beforeEach(() => {
    [asked, nowMs] = [[], 1_000_000];
    edge = edgeReplica({
      url: server.url,
      now: () => nowMs,
      fetch: (url, init) => {
        asked.push(`${init.method ?? "GET"} ${url.slice(server.url.length)}`);
        return fetch(url, init);
      },
    });
  });

  const get = (path: string, headers: Record<string, string> = {}) => edge(new Request(`http://edge.test${path}`, { headers }));
  const read = async (path: string, headers: Record<string, string> = {}) => {
    const reply = await get(path, headers);
    return [reply.status, await reply.text(), reply.headers.get("cache-status"), Number(reply.headers.get("quorate-revision"))] as const;
  };

  test("answers by itself what is proved to be new enough, and nothing else", async () => {
    const first = await put("proved", "one");
    expect((await read("/v1/kv/proved")).slice(0, 3)).toEqual([200, "one", "quorate; fwd=stale"]);
    expect(await read("/v1/kv/proved", { "quorate-min-revision": String(first) })).toEqual([200, "one", "quorate; hit", first]);
    expect(asked).toHaveLength(1);
    const second = await put("proved", "two");
    // Old, and good enough for who asks for no more.
    expect((await read("/v1/kv/proved", { "quorate-min-revision": String(first) }))[1]).toBe("one");
    expect(asked).toHaveLength(1);
    expect((await read("/v1/kv/proved", { "quorate-min-revision": String(second) })).slice(0, 2)).toEqual([200, "two"]);
    // Without a word of how old it may be, it is linearizable.
    await put("proved", "three");
    expect((await read("/v1/kv/proved"))[1]).toBe("three");
    expect(asked).toHaveLength(3);
  });

  test("raises the revision of what has not changed, without its being sent again", async () => {
    await put("same", "one");
    await read("/v1/kv/same");
    const later = await put("another", "x");
    expect((await read("/v1/kv/same"))[3]).toBeGreaterThanOrEqual(later);
    expect((await read("/v1/kv/same", { "quorate-min-revision": String(later) }))[2]).toBe("quorate; hit");
  });

  test("answers serializable reads for a moment", async () => {
    await put("moment", "one");
    await read("/v1/kv/moment?serializable");
    await put("moment", "two");
    nowMs += 1_900;
    expect((await read("/v1/kv/moment?serializable"))[1]).toBe("one");
    nowMs += 200;
    expect((await read("/v1/kv/moment?serializable"))[1]).toBe("two");
    expect(asked).toHaveLength(2);
  });

  test("tells 304 to who knows it, and keeps no errors", async () => {
    const revision = await put("known", "one");
    expect((await read("/v1/kv/known", { "if-none-match": `"${revision}"` })).slice(0, 2)).toEqual([304, ""]);
    expect((await read("/v1/kv/not-there"))[0]).toBe(404);
    await put("not-there", "now it is");
    expect((await read("/v1/kv/not-there"))[1]).toBe("now it is");
    expect((await read("/v1/kv/known?revision=none"))[0]).toBe(400);
  });

  test("passes writes, streams and other protocols on", async () => {
    const written = await edge(new Request("http://edge.test/v1/kv/through", { method: "PUT", body: "the edge" }));
    expect(written.status).toBe(201);
    expect((await read("/v1/kv/through"))[1]).toBe("the edge");
    const range = await edge(
      new Request("http://edge.test/v3/kv/range", { method: "POST", body: JSON.stringify({ key: btoa("through") }) }),
    );
    expect(await range.json()).toMatchObject({ count: "1" });
    const stream = await get("/v1/watch?prefix=through&after=1", { accept: "text/event-stream" });
    const { value } = await stream.body!.pipeThrough(new TextDecoderStream()).getReader().read();
    expect(value).toContain("event: open");
  });

  test("asks once for all who ask at the same time, and again for who asks later", async () => {
    await put("crowd", "one");
    const crowd = Array.from({ length: 50 }, () => read("/v1/kv/crowd"));
    const answers = await Promise.all(crowd);
    expect(new Set(answers.map(([, text]) => text))).toEqual(new Set(["one"]));
    // The first one's, and one for all who came while that was under way.
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  test("shows nobody what another token has read", async () => {
    await put("secret", "one");
    await read("/v1/kv/secret?serializable", { authorization: "Bearer a" });
    await read("/v1/kv/secret?serializable", { authorization: "Bearer b" });
    expect(asked).toHaveLength(2);
  });

  test("forgets the oldest where there is no more room", async () => {
    const small = edgeReplica({
      url: server.url,
      bytesMax: 1_000,
      now: () => nowMs,
      fetch: (url, init) => (asked.push(url), fetch(url, init)),
    });
    const ask = (key: string) => small(new Request(`http://edge.test/v1/kv/${key}?serializable`)).then((reply) => reply.text());
    for (let n = 0; n < 12; n++) await put(`room${n}`, "x".repeat(100));
    for (let n = 0; n < 12; n++) await ask(`room${n}`);
    asked = [];
    await ask("room11");
    expect(asked).toEqual([]);
    await ask("room0");
    expect(asked).toHaveLength(1);
    await put("large", "x".repeat(500));
    await ask("large");
    await ask("large");
    expect(asked).toHaveLength(3);
  });

  test("has one long poll at the store for all who wait for the same", async () => {
    const revision = await put("awaited", "one");
    const headers = { "if-none-match": `"${revision}"` };
    const waiting = Array.from({ length: 100 }, () => read("/v1/kv/awaited?wait=20s", headers));
    await expect.poll(() => asked.length).toBe(1);
    await put("awaited", "two");
    expect(new Set((await Promise.all(waiting)).map(([status, text]) => `${status} ${text}`))).toEqual(new Set(["200 two"]));
    expect(asked).toEqual(["GET /v1/kv/awaited?wait=20000"]);
    expect((await read("/v1/kv/awaited?wait=1ms", { "if-none-match": `"${await put("awaited", "three")}"` }))[0]).toBe(304);
  });
});

describe.skipIf(workerdBinary() === undefined)("in workerd", () => {
  let worker: WorkerProcess;
  beforeAll(async () => void (worker = await startWorker(join(import.meta.dirname, "edge-worker.ts"), { QUORATE_URL: server.url })));
  afterAll(() => worker.stop());

  test("many requests share one poll and one read, also when the first of them is given up", async () => {
    const revision = await put("shared", "one");
    const headers = { "if-none-match": `"${revision}"` };
    const first = new AbortController();
    const given = fetch(`${worker.url}/v1/kv/shared?wait=20s`, { headers, signal: first.signal }).catch(() => "given up");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const waiting = Array.from({ length: 30 }, () =>
      fetch(`${worker.url}/v1/kv/shared?wait=15s`, { headers }).then((reply) => reply.text()),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    first.abort();
    expect(await given).toBe("given up");
    await put("shared", "two");
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(["two"]));
    expect(await (await fetch(`${worker.url}/v1/kv/shared`)).text()).toBe("two");
  });
});
