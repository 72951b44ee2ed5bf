import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, type Server, type Socket, connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { splitProtocols } from "./protocol-split.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS = "\0\0\0\x04\0\0\0\0\0";

let server: Server;
let silent: number;
const sockets: Socket[] = [];

beforeEach(async () => {
  silent = 0;
  const http2 = createHttp2Server();
  const http1 = createHttpServer((request, response) => void response.end(`${request.method} ${request.url}`));
  splitProtocols(http1, false, {
    onHttp2: (socket) => void http2.emit("connection", socket),
    firstBytesTimeoutMs: 200,
    onSilent: () => silent++,
  });
  server = http1;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

/** Says the pieces one after another, each in a packet of its own as far as a client can bring that about. */
async function reply(...pieces: string[]): Promise<string> {
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  sockets.push(socket);
  socket.on("error", () => {});
  const came = new Promise<string>((resolve) => {
    socket.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1")));
    socket.once("end", () => resolve("closed"));
  });
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, "latin1", resolve));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return came;
}

const isSettings = (text: string): boolean => text[3] === "\x04";

test("HTTP/1.1 and HTTP/2 are told apart by their first bytes", async () => {
  expect(await reply("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("GET /a");
  expect(isSettings(await reply(PREFACE + EMPTY_SETTINGS))).toBe(true);
});

test("however they are cut, and however alike they begin", async () => {
  expect(isSettings(await reply(...PREFACE, EMPTY_SETTINGS))).toBe(true);
  expect(await reply("P", "OST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")).toContain("POST /a");
  expect(await reply("P", "R", "OPFIND /a HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("PROPFIND /a");
});

test("who says one byte holds up nobody", async () => {
  const beginner = connect((server.address() as AddressInfo).port, "127.0.0.1");
  sockets.push(beginner);
  beginner.on("error", () => {});
  await new Promise((resolve) => beginner.write("P", resolve));
  for (let n = 0; n < 3; n++) expect(await reply("GET /n HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("GET /n");
  beginner.end();
  await new Promise((resolve) => beginner.once("close", resolve).resume());
});

test("a preface that goes wrong half way ends the connection, and nothing else", async () => {
  expect(await reply("PRI * HTTP/3.0\r\n\r\n")).toContain("400 Bad Request");
  await reply("PRI", " * nonsense that is longer than the preface");
  expect(await reply("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("GET /b");
});

test("who says nothing is cut off, who hangs up is no error", async () => {
  expect(await reply()).toBe("closed");
  expect(silent).toBe(1);
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.resetAndDestroy();
  expect(await reply("GET /c HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("GET /c");
  expect(silent).toBe(1);
});

test("who stops in the middle of the first bytes holds up nobody, and is cut off", async () => {
  const stuck = reply("PR");
  expect(await reply("GET /d HTTP/1.1\r\nHost: x\r\n\r\n")).toContain("GET /d");
  expect(await stuck).toBe("closed");
  expect(silent).toBe(1);
});

test.each(["", "P", PREFACE + EMPTY_SETTINGS])("who says %j and then that this was all is closed", async (text) => {
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  socket.end(text);
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  expect(silent).toBe(0);
});
