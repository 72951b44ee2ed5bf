import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PREFACE, greetHttp2, withMendedAuthority } from "./http2-greeting.ts";

const SETTINGS = Buffer.from("000000040000000000", "hex");
const ACKNOWLEDGEMENT = Buffer.from("000000040100000000", "hex");
const PING = Buffer.from("0000080600000000000102030405060708", "hex");
/** GET / of `authority`, on stream 1: method, scheme and path by their numbers. */
const request = (authority: Buffer): Buffer => frame(1, 5, Buffer.concat([Buffer.from("82868441", "hex"), authority]));
const raw = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

function frame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head[8] = 1;
  return Buffer.concat([head, payload]);
}

let server: Server;
let refused: number;
let authorities: (string | undefined)[];
const sockets: Socket[] = [];

beforeEach(async () => {
  refused = 0;
  authorities = [];
  const http2 = createHttp2Server();
  http2.on("sessionError", () => {});
  http2.on("stream", (stream, headers) => {
    authorities.push(headers[":authority"]);
    stream.respond({ ":status": 204 }, { endStream: true });
  });
  server = createServer((socket) =>
    greetHttp2(socket, { onReady: (ready) => void http2.emit("connection", ready), onRefused: () => refused++, timeoutMs: 300 }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

interface Frame {
  readonly type: number;
  readonly flags: number;
}

/** A connection held in the hand. */
class Connection {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #bytes = Buffer.alloc(0);

  constructor() {
    this.socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    sockets.push(this.socket);
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => (this.#bytes = Buffer.concat([this.#bytes, chunk])));
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  say(...pieces: readonly (string | Buffer)[]): void {
    for (const piece of pieces) this.socket.write(piece);
  }

  /** Resolves once frames of these types came, among others, in this order. */
  async until(...types: readonly number[]): Promise<void> {
    await expect
      .poll(
        () =>
          this.frames()
            .map(({ type }) => type)
            .join(),
        { timeout: 5_000 },
      )
      .toMatch(new RegExp(types.join(",(.*,)?")));
  }

  frames(): Frame[] {
    const found: Frame[] = [];
    for (let at = 0; at + 9 <= this.#bytes.length; at += 9 + this.#bytes.readUIntBE(at, 3)) {
      found.push({ type: this.#bytes[at + 3]!, flags: this.#bytes[at + 4]! });
    }
    return found;
  }
}

describe("greetHttp2()", () => {
  test.each([
    ["after the acknowledgement", [SETTINGS, ACKNOWLEDGEMENT, request(raw("http://a:1"))]],
    ["before it", [SETTINGS, request(raw("http://a:1")), ACKNOWLEDGEMENT]],
    ["a byte at a time", [...Buffer.concat([SETTINGS, ACKNOWLEDGEMENT, request(raw("http://a:1"))])].map((byte) => Buffer.from([byte]))],
  ])("mends the first request, %s", async (_name, pieces) => {
    const client = new Connection();
    client.say(PREFACE, ...pieces);
    await client.until(4, 1);
    expect(authorities).toEqual(["http:--a:1"]);
    // Ours and Node's own, each acknowledged once: one more would end the connection.
    client.say(ACKNOWLEDGEMENT, PING);
    await client.until(4, 1, 6);
    expect(client.socket.destroyed).toBe(false);
  });

  test("sends settings to a client that waits for them, and serves one that asks nothing yet", async () => {
    const client = new Connection();
    client.say(PREFACE, SETTINGS);
    await client.until(4);
    client.say(ACKNOWLEDGEMENT);
    await client.until(4, 4); // Node's
    client.say(request(raw("a:1")));
    await client.until(4, 4, 1);
    expect(authorities).toEqual(["a:1"]);
    expect(refused).toBe(0);
  });

  test("closes a connection that does not acknowledge, or sends without end before", async () => {
    const silent = new Connection();
    silent.say(PREFACE, SETTINGS);
    await silent.closed;
    const flooder = new Connection();
    flooder.say(PREFACE, SETTINGS, ...Array.from({ length: 40 }, () => frame(0, 0, Buffer.alloc(16_000))));
    await flooder.closed;
    expect(refused).toBe(2);
  });

  test("leaves what is no HTTP/2 to Node, and who hangs up alone", async () => {
    const broken = new Connection();
    broken.say(PREFACE, PING);
    await broken.closed;
    const gone = new Connection();
    gone.say(PREFACE);
    gone.socket.end();
    await gone.closed;
    expect(refused).toBe(0);
  });
});

describe("withMendedAuthority()", () => {
  const authorityOf = (bytes: Buffer): string => bytes.toString("latin1", 9 + 4 + 1);

  test("reads the codes of Huffman, as Go's clients send them", () => {
    // What etcdctl 3.4.23 sends for `endpoint status`, up to the authority.
    const sent = Buffer.from(
      "0000320104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41909d29aee30c044eae05c0b86e0997df77",
      "hex",
    );
    sent.writeUIntBE(sent.length - 9, 0, 3);
    const mended = withMendedAuthority(sent);
    expect(mended.toString("latin1").endsWith("A\x16http:--127.0.0.1:23997")).toBe(true);
    expect(mended.readUIntBE(0, 3)).toBe(mended.length - 9);
  });

  test("as etcd's client 3.5.0 names itself", () => {
    expect(authorityOf(withMendedAuthority(request(raw("#initially=[http://a.b:2379;http://c:1]"))))).toBe(
      "-initially=[http:--a.b:2379;http:--c:1]",
    );
  });

  test.each(["127.0.0.1:2379", "[::1]:2379", "a-b.c_d~e", ""])("leaves %o as it is", (authority) => {
    const sent = request(raw(authority));
    expect(withMendedAuthority(sent)).toBe(sent);
  });

  test("knows padding and priority", () => {
    const fields = Buffer.concat([Buffer.from("82868441", "hex"), raw("a/b")]);
    const sent = frame(1, 0x2d, Buffer.concat([Buffer.from([3]), Buffer.alloc(5), fields, Buffer.alloc(3)]));
    expect(withMendedAuthority(sent).toString("latin1")).toContain("a-b\0\0\0");
  });

  test("takes any bytes", () => {
    let seed = 1;
    const next = (): number => (seed = (seed * 48_271) % 0x7fffffff) & 0xff;
    for (let n = 0; n < 5_000; n++) withMendedAuthority(frame(1, next(), Buffer.from(Array.from({ length: next() & 31 }, next))));
  });
});
