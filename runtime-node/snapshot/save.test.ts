import { existsSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NodeFileSystem } from "../../adapters/file-storage/node-file-system.ts";
import { writeBackup } from "../../test/helpers/sample-backup.ts";
import { removeTempDir, tempDir } from "../../test/helpers/temp-dir.ts";
import { saveSnapshot } from "./save.ts";

const fileSystem = new NodeFileSystem();
let dir = "";
let file = "";
let whole: Buffer = Buffer.alloc(0);
let server: Server | null = null;

beforeEach(() => {
  dir = tempDir("save");
  file = join(dir, "saved.snap");
  whole = writeBackup(join(mkdtempSync(join(tempDir("source"), "x")), "whole"));
});
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((done) => (server === null ? done(null) : server.close(done)));
  server = null;
  removeTempDir(dir);
});

/** A member that answers as it is told. @returns its endpoint */
function member(answer: (reply: ServerResponse) => void): Promise<string> {
  server = createServer((request, reply) => {
    request.resume();
    if (request.method !== "POST" || request.url !== "/v3/maintenance/snapshot") reply.writeHead(404);
    answer(reply);
  });
  return new Promise((resolve) =>
    server!.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server!.address() as AddressInfo).port}`)),
  );
}

const message = (blob: Buffer, remaining: number): string =>
  `${JSON.stringify({ result: { ...(remaining > 0 ? { remaining_bytes: String(remaining) } : {}), blob: blob.toString("base64") } })}\n`;

/** The whole stream in messages of 50 bytes. */
function messages(bytes: Buffer): string[] {
  const blobs: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 50) blobs.push(bytes.subarray(at, at + 50));
  return blobs.map((blob, at) => message(blob, blobs[at + 1]?.length ?? 0));
}

const save = (endpoint: string, signal?: AbortSignal) =>
  saveSnapshot({ endpoint, file, fileSystem, ...(signal === undefined ? {} : { signal }) });

test("what a member streams is saved byte by byte, however the stream is cut", async () => {
  const endpoint = await member((reply) => {
    const text = messages(whole).join("");
    let at = 0;
    const next = (): void => {
      if (at >= text.length) return void reply.end();
      reply.write(text.slice(at, (at += 37)), () => setImmediate(next));
    };
    next();
  });
  const saved = await save(endpoint);
  expect(readFileSync(file).equals(whole)).toBe(true);
  expect([saved.bytes, saved.header.revision, readdirSync(dir)]).toEqual([whole.length, 6, ["saved.snap"]]);
});

describe("nothing is left behind, and the reason is told, of", () => {
  const flipped = (): Buffer => {
    const bytes = Buffer.from(whole);
    bytes[60]! ^= 4;
    return bytes;
  };
  const cases: readonly (readonly [what: string, answer: (reply: ServerResponse) => void, told: RegExp])[] = [
    [
      "a connection that breaks",
      (reply) => reply.write(messages(whole).slice(0, 3).join(""), () => setTimeout(() => reply.destroy(), 20)),
      /after 150 bytes: the connection broke/,
    ],
    ["a stream that ends in order but early", (reply) => reply.end(messages(whole).slice(0, 3).join("")), /ended before its last message/],
    ["a stream that ends within a message", (reply) => reply.end(messages(whole).join("").slice(0, -20)), /is no stream of a snapshot/],
    [
      "an error in the stream",
      (reply) => reply.end(`${messages(whole)[0]}{"error":{"grpc_code":13,"message":"the disk is gone"}}\n`),
      /the member gave up: the disk is gone/,
    ],
    ["an answer that is an error", (reply) => reply.writeHead(503).end('{"error":"no leader"}'), /the answer was 503 .*no leader/],
    ["an answer that is something else", (reply) => reply.end("<html>hello</html>"), /is no stream of a snapshot: <html>/],
    ["bytes that are damaged", (reply) => reply.end(messages(flipped()).join("")), /is damaged: .* at byte \d+/],
    ["bytes that lack the end", (reply) => reply.end(messages(whole.subarray(0, -30)).join("")), /is damaged: .* at byte \d+/],
    ["more after the end", (reply) => reply.end(messages(whole).join("") + message(whole, 0)), /is damaged: .* at byte \d+/],
  ];
  test.each(cases)("%s", async (_what, answer, told) => {
    const endpoint = await member(answer);
    const error = await save(endpoint).then(
      () => new Error("it was saved"),
      (caught: unknown) => caught as Error,
    );
    expect(error.message).toMatch(told);
    expect(error.message).toContain(endpoint);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("an interruption", async () => {
    const abort = new AbortController();
    const endpoint = await member((reply) => reply.write(messages(whole)[0], () => setTimeout(() => abort.abort(), 20)));
    await expect(save(endpoint, abort.signal)).rejects.toThrowError(/it was interrupted/);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("an endpoint where nobody listens", async () => {
    const endpoint = await member(() => {});
    await new Promise((done) => server!.close(done));
    server = null;
    await expect(save(endpoint)).rejects.toThrowError(new RegExp(`^no snapshot from ${endpoint}: .*ECONNREFUSED`));
    expect(readdirSync(dir)).toEqual([]);
  });
});

test("a file that is there is not overwritten, nor is the part of another save", async () => {
  const endpoint = await member((reply) => reply.end(messages(whole).join("")));
  writeFileSync(file, "mine");
  await expect(save(endpoint)).rejects.toMatchObject({ reason: "exists" });
  expect(readFileSync(file, "utf8")).toBe("mine");
  file = join(dir, "second.snap");
  writeFileSync(`${file}.part`, "theirs");
  await expect(save(endpoint)).rejects.toMatchObject({ reason: "exists" });
  expect([readFileSync(`${file}.part`, "utf8"), existsSync(file)]).toEqual(["theirs", false]);
});
