import { expect, test } from "vitest";
import { ResponseFramer } from "./response-framer.ts";
import { MarkCounter } from "./watch-streams.ts";

const REPLIES = [
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a":12}',
  'HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"er\r\n5\r\nror"}\r\n0\r\n\r\n',
  "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
  "HTTP/1.1 204 No Content\r\nX-Any: 1\r\n\r\n",
].join("");

test("each reply is told once, whatever the sizes of the packets", () => {
  for (let size = 1; size <= REPLIES.length; size++) {
    const statuses: number[] = [];
    let body = "";
    const framer = new ResponseFramer(
      (status) => statuses.push(status),
      (part) => (body += part.toString("latin1")),
    );
    for (let at = 0; at < REPLIES.length; at += size) framer.push(Buffer.from(REPLIES.slice(at, at + size), "latin1"));
    expect({ size, statuses, body }).toEqual({ size, statuses: [200, 404, 200, 204], body: '{"a":12}{"error"}' });
  }
});

test("bytes that are no reply are refused", () => {
  const framer = new ResponseFramer(() => {});
  expect(() => framer.push(Buffer.from("SSH-2.0-OpenSSH\r\n\r\n"))).toThrow("not a reply");
  expect(() => new ResponseFramer(() => {}).push(Buffer.from("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"))).toThrow("without a length");
});

test("a mark is counted also where it lies across parts", () => {
  const text = 'x"kv":{"a"}"kv":{"b"},"k","kv":{}';
  for (let size = 1; size <= text.length; size++) {
    const counter = new MarkCounter(Buffer.from('"kv":{'));
    for (let at = 0; at < text.length; at += size) counter.push(Buffer.from(text.slice(at, at + size)));
    expect({ size, count: counter.count }).toEqual({ size, count: 3 });
  }
});
