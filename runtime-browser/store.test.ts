/// <reference lib="dom" />
/** Several pages of one origin, in one process: Node has locks and channels as browsers have. */
import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BrowserStore, openStore } from "./store.ts";

let databases = 0;
let database = "";
const pages: BrowserStore[] = [];

beforeEach(() => {
  (globalThis as { location?: unknown }).location = { href: "http://page.test/" };
  database = `store ${++databases}`;
});
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.close()));
});

async function open(): Promise<BrowserStore> {
  const page = openStore({ database });
  pages.push(page);
  await page.ready;
  return page;
}

const text = async (reply: Promise<Response>): Promise<string> => (await reply).text();

describe("pages that share a store", () => {
  test("see the same keys, and one of them has it", async () => {
    const [first, second] = [await open(), await open()];
    expect([first.isWriter, second.isWriter]).toEqual([true, false]);
    expect((await second.fetch("/v1/kv/a", { method: "PUT", body: "of the second" })).status).toBe(201);
    expect(await text(first.fetch("/v1/kv/a"))).toBe("of the second");
    const posted = await second.fetch("/v3/kv/range", { method: "POST", body: JSON.stringify({ key: btoa("a") }) });
    expect(await posted.json()).toMatchObject({ count: "1" });
    expect((await second.fetch("/v1/kv/a", { method: "HEAD" })).headers.get("etag")).toBe('"2"');
  });

  test("go on where the one that had it has left", async () => {
    const [first, second, third] = [await open(), await open(), await open()];
    for (const [at, page] of [first, second, third].entries()) await page.fetch(`/v1/kv/k${at}`, { method: "PUT", body: "v" });
    await first.close();
    await expect.poll(() => second.isWriter).toBe(true);
    expect(await (await third.fetch("/v1/kv/k?prefix")).json()).toMatchObject({ count: 3 });
    expect((await third.fetch("/v1/kv/k3", { method: "PUT", body: "v" })).status).toBe(201);
  });

  test("a read that was under way is asked anew; of anything else nobody knows, and the answer says so", async () => {
    const [first, second] = [await open(), await open()];
    await first.fetch("/v1/locks/busy?ttl=1m", { method: "POST" });
    const reading = text(second.fetch("/v1/kv/later?wait=20s"));
    const writing = second.fetch("/v1/locks/busy?wait=20s", { method: "POST" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await first.close();
    const told = await writing;
    expect([told.status, await told.json()]).toEqual([503, expect.objectContaining({ outcome: "unknown" })]);
    await second.fetch("/v1/kv/later", { method: "PUT", body: "here" });
    expect(await reading).toBe("here");
  });

  test("a stream is passed on as it comes, and ends at the other side when nobody reads any more", async () => {
    const [first, second] = [await open(), await open()];
    const watching = await second.fetch("/v1/watch?prefix=w&after=1", { headers: { accept: "text/event-stream" } });
    const reader = watching.body!.pipeThrough(new TextDecoderStream()).getReader();
    let seen = "";
    const until = async (part: string): Promise<void> => {
      while (!seen.includes(part)) seen += (await reader.read()).value ?? "";
    };
    await until("event: open");
    await first.fetch("/v1/kv/w1", { method: "PUT", body: "x" });
    await until('"key":"w1"');
    await reader.cancel();
    const streams = async (): Promise<string> => text(first.fetch("/v1/kv/w1"));
    expect(await streams()).toBe("x");
  });

  test("a request that is given up is over at once", async () => {
    const [, second] = [await open(), await open()];
    const over = new AbortController();
    const waiting = second.fetch("/v1/kv/never?wait=50s", { signal: over.signal });
    setTimeout(() => over.abort(new Error("given up")), 50);
    await expect(waiting).rejects.toThrow("given up");
  });

  test("say that the storage failed, and go on with what is there when it can be opened again", async () => {
    const notices: string[] = [];
    const page = openStore({ database, onNotice: (_, message) => void notices.push(message) });
    pages.push(page);
    await page.fetch("/v1/kv/a", { method: "PUT", body: "1" });
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = () => {
      throw new DOMException("the disk is gone", "UnknownError");
    };
    const failed = await page.fetch("/v1/kv/a", { method: "PUT", body: "2" });
    expect(failed.status).toBeGreaterThanOrEqual(500);
    const after = await page.fetch("/v1/kv/a");
    expect([after.status, await after.json()]).toMatchObject([500, { detail: expect.stringContaining("the disk is gone") }]);
    IDBObjectStore.prototype.put = put;
    await expect.poll(async () => text(page.fetch("/v1/kv/a"))).toBe("1");
    expect(notices.filter((message) => message.startsWith("the storage failed"))).toHaveLength(1);
  });

  test("keep users and their passwords as members on Node do", async () => {
    const page = await open();
    const post = (path: string, body: object, token = "") =>
      page.fetch(`/v3/auth/${path}`, { method: "POST", body: JSON.stringify(body), headers: token === "" ? {} : { authorization: token } });
    await post("user/add", { name: "root", password: "pw" });
    await post("user/grant", { user: "root", role: "root" });
    await post("enable", {});
    expect((await page.fetch("/v1/kv/a")).status).toBe(401);
    const { token } = (await (await post("authenticate", { name: "root", password: "pw" })).json()) as { token: string };
    expect((await page.fetch("/v1/kv/a", { headers: { authorization: `Bearer ${token}` } })).status).toBe(404);
    expect((await post("authenticate", { name: "root", password: "wrong" })).status).toBe(400);
  });
});
