/** Streams of Node's own server. */
import { once } from "node:events";
import { type Http2Server, type ServerHttp2Stream, connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { emptyLater } from "./closed-streams.ts";

let server: Http2Server;
/** Resolves with the first stream, which answers and is to be emptied when it is closed. */
let closed: Promise<ServerHttp2Stream>;

beforeEach(async () => {
  server = createServer();
  closed = new Promise((resolve) => {
    server.on("stream", (stream) => {
      stream.on("close", () => {
        emptyLater(stream);
        resolve(stream);
      });
      stream.on("error", () => {});
      stream.resume();
      stream.respond({ ":status": 200 });
      stream.write("begun");
      stream.once("end", () => stream.end());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(() => server.close());

const held = (stream: ServerHttp2Stream): unknown[] =>
  Reflect.ownKeys(stream)
    .map((key): unknown => Reflect.get(stream, key))
    .filter((value) => (typeof value === "object" && value !== null) || typeof value === "string");

async function request(): Promise<ReturnType<ReturnType<typeof connect>["request"]>> {
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const stream = session.request({ ":method": "POST" });
  stream.on("error", () => {});
  stream.on("close", () => session.close());
  stream.on("data", () => {});
  await once(stream, "response");
  return stream;
}

test("a stream that went well holds nothing any more", async () => {
  (await request()).end();
  const stream = await closed;
  expect(held(stream).length).toBeGreaterThan(0);
  await turn();
  expect(held(stream)).toEqual([]);
});

test("one that was broken off is left to Node", async () => {
  (await request()).close(8);
  const stream = await closed;
  await turn();
  expect(stream.destroyed).toBe(true);
  expect(stream.rstCode).toBe(8);
});
