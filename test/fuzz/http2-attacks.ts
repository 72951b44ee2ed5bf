/**
 * Broken and hostile HTTP/2, and what is not HTTP/2 at all. To each the server answers, or it closes the connection; it never leaves a
 * connection on which nothing is said any more.
 */
import type { Random } from "../differential/random.ts";
import { type Attack, type Target, check, mutated, randomBytes } from "./attack.ts";
import { FLAG, FRAME, INITIAL_WINDOW, PREFACE, call, callHeaders, frame, grpcFrame, headerBlock, settings } from "./http2-frames.ts";
import { RawConnection } from "./raw-connection.ts";

const RANGE = "/etcdserverpb.KV/Range";
const WATCH = "/etcdserverpb.Watch/Watch";
/** Of the key "a". */
const REQUEST = grpcFrame(Buffer.from("0a0161", "hex"));

/** Several connections at a time, each of which is one input. */
async function each(random: Random, count: number, attack: (random: Random) => Promise<void>): Promise<number> {
  await Promise.all(Array.from({ length: count }, () => attack(random)));
  return count;
}

async function answersOrCloses(connection: RawConnection, what: string): Promise<void> {
  const state = await connection.probe();
  connection.destroy();
  check(state !== "hangs", () => `${what}: neither answered nor closed`);
}

async function closes(connection: RawConnection, what: string): Promise<void> {
  const closed = await connection.closed();
  connection.destroy();
  check(closed, () => `${what}: the connection was not closed`);
}

/** What else might come to a port. */
const STRANGERS = [
  "GET / HTTP/1.1\r\n\r\n",
  "GET /version HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
  "PRI * HTTP/1.1\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
  "PRI /v3/kv HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "PUT /v2/keys/a HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
  "POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00".repeat(60), // the beginning of TLS
  "SSH-2.0-OpenSSH_9.2\r\n",
  "\0\0\0\0",
  "\r\n\r\n\r\n",
];

const wrongPreface: Attack = {
  name: "wrong preface",
  weight: 10,
  run: ({ port }, random) =>
    each(random, 16, async () => {
      const right = random.chance(50) ? Buffer.concat([PREFACE, settings()]) : Buffer.from(random.pick(STRANGERS), "latin1");
      const bytes = random.chance(70) ? mutated(random, right) : right;
      const connection = await RawConnection.open(port);
      connection.send(bytes);
      connection.halfClose();
      await closes(connection, `${JSON.stringify(bytes.toString("latin1"))}, then the end`);
    }),
};

const plainOnTls: Attack = {
  name: "plain bytes on a TLS port",
  weight: 6,
  run: ({ tlsPort }, random) =>
    each(random, 12, async () => {
      const right = random.chance(30)
        ? Buffer.concat([PREFACE, settings(), call(1, RANGE, REQUEST)])
        : Buffer.from(random.pick(STRANGERS), "latin1");
      const bytes = random.chance(50) ? mutated(random, right) : right;
      const connection = await RawConnection.open(tlsPort);
      connection.send(bytes);
      connection.halfClose();
      await closes(connection, `${JSON.stringify(bytes.toString("latin1"))} on a TLS port, then the end`);
    }),
};

/** They stay as they are: others must not notice. */
const firstBytes: Attack = {
  name: "first bytes, and nothing more",
  weight: 4,
  run: async (target, random) => {
    const connections = await Promise.all(Array.from({ length: 12 }, () => RawConnection.open(target.port)));
    const beginnings = [PREFACE, settings(), Buffer.from(random.pick(STRANGERS), "latin1")];
    for (const connection of connections) connection.send(random.pick(beginnings).subarray(0, 1 + random.int(random.chance(50) ? 4 : 30)));
    await untilOthersAreServed(target);
    for (const connection of connections) connection.destroy();
    return connections.length;
  },
};

/** @param honest its length is what it says */
function randomFrame(random: Random, honest: boolean): Buffer {
  const type = random.chance(85) ? random.int(10) : random.int(256);
  const stream = random.pick([0, 1, 1, 1, 2, 3, 5, 0x7fffffff, 0x80000001]);
  const payload = random.weighted<() => Buffer>([
    [30, () => randomBytes(random, random.int(40))],
    [30, () => mutated(random, headerBlock(callHeaders(RANGE)))],
    [15, () => headerBlock(callHeaders(RANGE))],
    [15, () => mutated(random, REQUEST)],
    [10, () => Buffer.alloc(random.pick([0, 4, 5, 6, 8, 16_384]))],
  ])();
  const length = honest || random.chance(80) ? payload.length : random.pick([0, payload.length + 1, 16_385, 0xffffff]);
  return frame(type, random.chance(50) ? random.pick([0, 1, 4, 5, 0x25]) : random.int(256), stream, payload, length);
}

const randomFrames: Attack = {
  name: "random frames",
  weight: 30,
  run: ({ port }, random) =>
    each(random, 16, async () => {
      const connection = await RawConnection.http2(port);
      const honest = random.chance(50);
      const frames = Array.from({ length: 1 + random.int(12) }, () => randomFrame(random, honest));
      connection.send(...frames);
      const what = `frames ${Buffer.concat(frames).toString("hex").slice(0, 2_000)}`;
      if (honest) return answersOrCloses(connection, what);
      connection.halfClose();
      await closes(connection, `${what}, then the end`);
    }),
};

const mutatedCalls: Attack = {
  name: "calls with mutated bytes",
  weight: 30,
  run: ({ port }, random) =>
    each(random, 16, async () => {
      const path = random.pick([RANGE, WATCH, "/etcdserverpb.KV/Txn", "/etcdserverpb.Lease/LeaseKeepAlive", "/v3/kv/range", "/health"]);
      const calls = Buffer.concat([
        PREFACE,
        settings(random.chance(30) ? [[random.int(8), random.int(2 ** 31)]] : []),
        ...[1, 3, 5].map((stream) => call(stream, path, random.chance(80) ? REQUEST : null)),
        frame(FRAME.windowUpdate, 0, 0, Buffer.from([0, 0, 1, 0])),
      ]);
      const connection = await RawConnection.open(port);
      const bytes = mutated(random, calls);
      connection.send(bytes);
      if (random.chance(20)) return connection.reset();
      connection.halfClose();
      await closes(connection, `${bytes.toString("hex")}, then the end`);
    }),
};

/** Whatever is sent so often ends the connection or is taken; nobody else notices. @param ends whether it must end it */
function flood(name: string, ends: boolean, count: number, piece: (n: number) => Buffer): Attack {
  return {
    name,
    weight: 1,
    run: async ({ port }) => {
      const connection = await RawConnection.http2(port);
      let sent = 0;
      while (sent < count && !connection.isOver) {
        const pieces: Buffer[] = [];
        for (let bytes = 0; sent < count && bytes < 256 * 1024; sent++) bytes += pieces[pieces.push(piece(sent)) - 1]!.length;
        connection.send(...pieces);
        await connection.flushed();
      }
      const state = await connection.probe();
      connection.destroy();
      check(state === "over" || (!ends && state === "alive"), () => `${name}: after ${sent} the connection is ${state}`);
      return sent;
    },
  };
}

const oddStream = (n: number): number => 2 * n + 1;
const headersOf = (stream: number, flags: number): Buffer => frame(FRAME.headers, flags, stream, headerBlock(callHeaders(RANGE)));
const reset = (stream: number): Buffer => frame(FRAME.rstStream, 0, stream, Buffer.from([0, 0, 0, 8]));

const FLOODS: readonly Attack[] = [
  flood("RST flood", true, 60_000, (n) => Buffer.concat([headersOf(oddStream(n), FLAG.endHeaders), reset(oddStream(n))])),
  flood("PING flood", true, 20_000, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
  flood("SETTINGS flood", false, 20_000, (n) => settings([[INITIAL_WINDOW, 65_535 + (n % 2)]])),
  flood("PRIORITY flood", false, 20_000, (n) => frame(FRAME.priority, 0, oddStream(n), Buffer.from([0, 0, 0, 0, 16]))),
  flood("flood of empty DATA", false, 20_000, (n) => (n === 0 ? headersOf(1, FLAG.endHeaders) : frame(FRAME.data, 0, 1))),
  flood("WINDOW_UPDATE flood", true, 40_000, () => frame(FRAME.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))),
  flood("CONTINUATION flood", true, 20_000, (n) =>
    n === 0 ? headersOf(1, 0) : frame(FRAME.continuation, 0, 1, headerBlock([[`x-${n}`, "y".repeat(100)]])),
  ),
  flood("flood of empty CONTINUATION", true, 20_000, (n) => (n === 0 ? headersOf(1, 0) : frame(FRAME.continuation, 0, 1))),
  flood("calls of an unknown method", false, 20_000, (n) => call(oddStream(n), "/x.Y/Z", null)),
];

const headerFlood: Attack = {
  name: "header flood",
  weight: 4,
  run: ({ port }, random) =>
    each(random, 4, async () => {
      const connection = await RawConnection.http2(port);
      const many = 100 + random.int(5_000);
      const value = "v".repeat(random.int(200));
      const block = headerBlock([...callHeaders(RANGE), ...Array.from({ length: many }, (_, n) => [`x-${n}`, value] as const)]);
      sendHeaders(connection, block);
      await endsStream(connection, `${many} headers of ${value.length} bytes`);
    }),
};

/** One header of 4,000 bytes goes into the table of names; after that a byte stands for it. */
const headerBomb: Attack = {
  name: "HPACK bomb",
  weight: 2,
  run: ({ port }, random) =>
    each(random, 2, async () => {
      const connection = await RawConnection.http2(port);
      const indexed = Buffer.from(headerBlock([["x", "b".repeat(4_000)]]));
      indexed[0] = 0x40; // literal, and remembered
      const times = 1_000 + random.int(15_000);
      sendHeaders(connection, Buffer.concat([headerBlock(callHeaders(RANGE)), indexed, Buffer.alloc(times, 0xbe)]));
      await endsStream(connection, `a header of 4,000 bytes, ${times} times`);
    }),
};

function sendHeaders(connection: RawConnection, block: Buffer): void {
  const size = 16_384;
  for (let at = 0; at < block.length; at += size) {
    const last = at + size >= block.length;
    const type = at === 0 ? FRAME.headers : FRAME.continuation;
    const flags = (last ? FLAG.endHeaders : 0) | (at === 0 ? FLAG.endStream : 0);
    connection.send(frame(type, flags, 1, block.subarray(at, at + size)));
  }
}

async function endsStream(connection: RawConnection, what: string): Promise<void> {
  const done = await connection.until(() => connection.isDone(1));
  connection.destroy();
  check(done, () => `${what}: the stream is neither answered nor reset`);
}

const idleConnections: Attack = {
  name: "1,000 idle connections",
  weight: 1,
  run: async ({ port }, random) => {
    const connections = await Promise.all(
      Array.from({ length: 1_000 }, (_, n) => (n % 3 === 0 ? RawConnection.open(port) : RawConnection.http2(port))),
    );
    const asked = await RawConnection.http2(port);
    asked.send(call(1, RANGE, REQUEST));
    const answered = await asked.until(() => asked.isDone(1));
    for (const connection of [asked, ...connections]) if (random.chance(50)) connection.reset();
    for (const connection of [asked, ...connections]) connection.destroy();
    check(answered, () => "beside 1,000 idle connections a call was not answered");
    return connections.length;
  },
};

const halfClosed: Attack = {
  name: "half-closed sockets",
  weight: 8,
  run: ({ port }, random) =>
    each(random, 16, async () => {
      const connection = await RawConnection.http2(port);
      const path = random.pick([RANGE, WATCH]);
      connection.send(call(1, path, REQUEST));
      const cut = random.chance(50);
      if (cut) connection.send(call(3, RANGE, REQUEST).subarray(0, 1 + random.int(80)));
      connection.halfClose();
      await closes(connection, `a call of ${path}${cut ? " and half another" : ""}, then the end`);
    }),
};

const openStreams: Attack = {
  name: "streams that are never ended",
  weight: 1,
  run: async ({ port }) => {
    const count = 5_000;
    const connection = await RawConnection.http2(port);
    for (let n = 0; n < count && !connection.isOver; n++) connection.send(headersOf(oddStream(n), FLAG.endHeaders));
    await connection.flushed();
    await answersOrCloses(connection, `${count} streams that are never ended`);
    return count;
  },
};

/** Each stream announces a message of the greatest size, and sends nearly all of it. */
const halfMessages: Attack = {
  name: "messages that are never whole",
  weight: 1,
  run: async (target) => {
    const streams = 150;
    const connection = await RawConnection.http2(target.port);
    const size = target.maxRequestBytes;
    const message = grpcFrame(Buffer.alloc(size - 100, 1), 0, size);
    for (let n = 0; n < streams && !connection.isOver; n++) {
      connection.send(headersOf(oddStream(n), FLAG.endHeaders));
      await connection.sendData(oddStream(n), message, false);
    }
    const refused = await connection.until(() => connection.isDone(oddStream(streams - 1)));
    connection.destroy();
    check(refused, () => `the server holds ${streams} messages that are never whole`);
    return streams;
  },
};

/** The same through what is not gRPC. */
const halfBodies: Attack = {
  name: "bodies that are never whole",
  weight: 1,
  run: async (target) => {
    const streams = 150;
    const connection = await RawConnection.http2(target.port);
    const body = Buffer.alloc(2 * target.maxRequestBytes, 0x20);
    for (let n = 0; n < streams && !connection.isOver; n++) {
      const headers = headerBlock(callHeaders("/v3/kv/put", { "content-type": "application/json" }));
      connection.send(frame(FRAME.headers, FLAG.endHeaders, oddStream(n), headers));
      await connection.sendData(oddStream(n), body, false);
    }
    const refused = await connection.until(() => connection.isDone(oddStream(streams - 1)));
    connection.destroy();
    check(refused, () => `the server holds ${streams} bodies that are never whole`);
    return streams;
  },
};

/** Asks for much on many streams, and reads nothing. */
const neverReads: Attack = {
  name: "a client that never reads",
  weight: 1,
  run: async (target, random) => {
    const key = Buffer.from("big");
    const value = Buffer.alloc(Math.floor(target.maxRequestBytes / 2), 0x78);
    const put = Buffer.concat([field(1, key), field(2, value)]);
    const writer = await RawConnection.http2(target.port, []);
    writer.send(frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(callHeaders("/etcdserverpb.KV/Put"))));
    await writer.sendData(1, grpcFrame(put), true);
    check(await writer.until(() => writer.isDone(1)), () => "a put of a large value was not answered");
    writer.destroy();
    // Either the windows are shut, or they are open and the socket is not read.
    const shut = random.chance(50);
    const connection = await RawConnection.http2(target.port, [[INITIAL_WINDOW, shut ? 0 : 2 ** 31 - 1]]);
    check((await connection.probe()) === "alive", () => "a connection with windows of its own is not served");
    if (!shut) connection.send(frame(FRAME.windowUpdate, 0, 0, Buffer.from([0x7f, 0, 0, 0])));
    if (!shut) connection.pause();
    const count = 2_000;
    const request = grpcFrame(field(1, key));
    for (let n = 0; n < count && !connection.isOver; n += 50) {
      connection.send(...Array.from({ length: 50 }, (_, k) => call(oddStream(n + k), RANGE, request)));
      await connection.flushed(50);
    }
    // Headers come also where no data may.
    if (shut) check(await connection.until(() => connection.answered >= count || connection.isOver), () => "calls are not answered");
    await untilOthersAreServed(target);
    connection.destroy();
    return count;
  },
};

const field = (number: number, value: Buffer): Buffer => {
  const length: number[] = [];
  let rest = value.length;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), value]);
};

async function untilOthersAreServed({ port }: Target): Promise<void> {
  const other = await RawConnection.http2(port);
  other.send(call(1, RANGE, REQUEST));
  const answered = await other.until(() => other.isDone(1));
  other.destroy();
  check(answered, () => "another client is not served");
}

export const HTTP2_ATTACKS: readonly Attack[] = [
  wrongPreface,
  firstBytes,
  plainOnTls,
  randomFrames,
  mutatedCalls,
  headerFlood,
  headerBomb,
  halfClosed,
  ...FLOODS,
  idleConnections,
  openStreams,
  halfMessages,
  halfBodies,
  neverReads,
];
