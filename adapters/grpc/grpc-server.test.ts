/** The server behind real sockets, called by a client that can do what no well-behaved one does. Time that matters is given to it. */
import { type Server, type Socket, connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import * as m from "../../core/api/v3/messages.ts";
import { protobufDecoder, protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import { type Bytes, EMPTY, ascii } from "../../core/bytes/bytes.ts";
import { FRAME, PREFACE, call as callFrames, frame, settings } from "../../test/fuzz/http2-frames.ts";
import { GrpcClient } from "../../test/helpers/grpc-client.ts";
import { localAuthenticator } from "../../test/helpers/local-authenticator.ts";
import { LocalMember } from "../../test/helpers/local-member.ts";
import { type LocalV3, MAX_REQUEST_BYTES, localV3 } from "../../test/helpers/local-v3.ts";
import { untilTrue } from "../../test/helpers/until-ready.ts";
import { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";

const KEEP_ALIVE = { minTimeMs: 5_000, intervalMs: 7_200_000, timeoutMs: 20_000 };
const RANGE = { request: m.RANGE_REQUEST, reply: m.RANGE_RESPONSE };
const PUT = { request: m.PUT_REQUEST, reply: m.PUT_RESPONSE };

const rangeOf = (key: string): Bytes => protobufEncoder(m.RANGE_REQUEST)({ ...m.RANGE_REQUEST.defaults, key: ascii(key) });
const putOf = (key: string, value: string): Bytes =>
  protobufEncoder(m.PUT_REQUEST)({ ...m.PUT_REQUEST.defaults, key: ascii(key), value: value as Bytes });
const watchOf = (key: string): Bytes =>
  protobufEncoder(m.WATCH_REQUEST)({
    ...m.WATCH_REQUEST.defaults,
    createRequest: { ...m.WATCH_CREATE_REQUEST.defaults, key: ascii(key) },
  });

/** Whether it has a leader is up to the test. */
class WaveringMember extends LocalMember {
  leaderless = false;

  override status() {
    return this.leaderless ? { ...super.status(), leaderId: "0" } : super.status();
  }
}

let member: WaveringMember;
let v3: LocalV3;
let bugs: unknown[];
let grpc: GrpcServer;
let listener: Server;
let others: string[];
const clients: GrpcClient[] = [];

async function start(options: Partial<GrpcServerOptions> = {}): Promise<void> {
  member = new WaveringMember();
  v3 = localV3(member);
  bugs = [];
  others = [];
  grpc = new GrpcServer({
    member,
    services: v3.services,
    watch: v3.watch,
    authenticator: localAuthenticator(member),
    maxRequestBytes: MAX_REQUEST_BYTES,
    electionTimeoutMs: 10,
    keepAlive: KEEP_ALIVE,
    streamsMax: 100,
    onOther: (stream, headers) => {
      others.push(String(headers[":path"]));
      if (headers[":method"] === "POST" && headers[":path"] !== "/nowhere")
        return void stream.resume().once("end", () => stream.closed || stream.respond({ ":status": 204 }, { endStream: true }));
      stream.respond({ ":status": 204 }, { endStream: true });
    },
    isEndless: (headers) => headers[":path"] === "/v3/watch",
    bodyMs: 10_000,
    onInternalError: (error) => bugs.push(error),
    ...options,
  });
  listener = createServer(grpc.accept);
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
}

function open(): GrpcClient {
  const client = new GrpcClient(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
  clients.push(client);
  return client;
}

beforeEach(() => start());

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await grpc.close();
  await new Promise((resolve) => listener.close(resolve));
  expect(bugs).toEqual([]);
});

const KV_RANGE = "/etcdserverpb.KV/Range";
const KV_PUT = "/etcdserverpb.KV/Put";

test("a learner refuses all but serializable ranges and its status, with one code", async () => {
  member.isLearner = true;
  const client = open();
  const refused = [KV_RANGE, KV_PUT, "/v3lockpb.Lock/Lock", "/etcdserverpb.Maintenance/Snapshot", "/etcdserverpb.Watch/Watch"];
  for (const path of [...refused, "/etcdserverpb.Lease/LeaseKeepAlive"]) {
    const { status, text } = await client.unary(path, EMPTY);
    expect([path, status, text]).toEqual([path, 14, "etcdserver: rpc not supported for learner"]);
  }
  expect((await client.unary("/etcdserverpb.Maintenance/Status", EMPTY)).status).toBe(0);
});

describe("a unary call", () => {
  test("is answered with one message, headers and trailers", async () => {
    const client = open();
    await client.ask(KV_PUT, PUT, { key: ascii("a"), value: "é".normalize("NFC") as Bytes });
    const { headers, status, text, messages } = await client.unary(KV_RANGE, rangeOf("a"));
    expect([headers[":status"], headers["content-type"], status, text]).toEqual([200, "application/grpc", 0, ""]);
    expect(protobufDecoder(m.RANGE_RESPONSE)(messages[0]!).kvs.map(({ key }) => key)).toEqual(["a"]);
  });

  test("that fails has its code and text in the headers, and no message", async () => {
    const { headers, status, text, messages } = await open().unary(KV_RANGE, EMPTY);
    expect([headers["grpc-status"], status, text, messages]).toEqual(["3", 3, "etcdserver: key is not provided", []]);
  });

  test("is read however its bytes are cut", async () => {
    const call = open().call(KV_PUT);
    for (const byte of Buffer.from(grpcMessage(putOf("k", "value")), "latin1")) {
      call.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    call.end();
    expect((await call.outcome).status).toBe(0);
    expect(member.store.keyCount()).toBe(1);
  });

  test("without a message, or with half a one, is no call", async () => {
    const client = open();
    const none = client.call(KV_RANGE);
    none.end();
    expect(await none.outcome).toMatchObject({ status: 13, text: "unexpected EOF" });
    const half = client.call(KV_RANGE);
    half.send(grpcMessage(rangeOf("key")).slice(0, 7) as Bytes);
    half.end();
    expect(await half.outcome).toMatchObject({ status: 13, text: "unexpected EOF" });
  });

  test("that is no protobuf is told so", async () => {
    const { status, text } = await open().unary(KV_RANGE, "\xff\xff\xff" as Bytes);
    expect([status, text]).toEqual([13, expect.stringContaining("unmarshal")]);
  });

  test("of a method that nobody has is not implemented", async () => {
    const client = open();
    const ask = async (path: string) => (await client.unary(path, EMPTY)).text;
    expect(await ask("/etcdserverpb.KV/Nope")).toBe("unknown method Nope for service etcdserverpb.KV");
    expect(await ask("/nope.KV/Range")).toBe("unknown service nope.KV");
    expect(await ask("/nope")).toBe('malformed method name: "/nope"');
    expect((await client.unary("/nope", EMPTY)).status).toBe(8); // as of the release of gRPC that is in etcd 3.4
  });

  test("is refused by its announced length, before it came", async () => {
    const call = open().call(KV_PUT);
    const length = MAX_REQUEST_BYTES + 512 * 1024 + 1;
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(length, 1);
    call.send(prefix);
    expect(await call.outcome).toMatchObject({
      status: 8,
      text: `grpc: received message larger than max (${length} vs. ${length - 1})`,
    });
  });

  test("that the store finds too large is refused by the store", async () => {
    const { status, text } = await open().unary(KV_PUT, putOf("k", "v".repeat(MAX_REQUEST_BYTES)));
    expect([status, text]).toEqual([3, "etcdserver: request is too large"]);
  });

  test("keeps characters that a header cannot carry", async () => {
    const client = open();
    const { text } = await client.unary("/nö%pe/x", EMPTY);
    expect(text).toBe("unknown service nö%pe");
  });
});

describe("compression", () => {
  test("of a request is undone, and answered in kind where it is worth it", async () => {
    const client = open();
    const call = client.call(KV_PUT, { "grpc-encoding": "gzip" });
    const packed = gzipSync(Buffer.from(putOf("k", "v".repeat(5_000)), "latin1")).toString("latin1") as Bytes;
    expect(packed.length).toBeLessThan(1_000);
    call.send(grpcMessage(packed, true));
    call.end();
    expect((await call.outcome).status).toBe(0);
    const { headers, messages } = await client.unary(KV_RANGE, rangeOf("k"), { "grpc-encoding": "gzip" });
    expect(headers["grpc-encoding"]).toBe("gzip");
    const reply = gunzipSync(Buffer.from(messages[0]!, "latin1")).toString("latin1") as Bytes;
    expect(protobufDecoder(m.RANGE_RESPONSE)(reply).kvs[0]!.value).toHaveLength(5_000);
  });

  test("does not let a small message become a large one", async () => {
    const call = open().call(KV_PUT, { "grpc-encoding": "gzip" });
    call.send(grpcMessage(gzipSync(Buffer.alloc(50_000_000)).toString("latin1") as Bytes, true));
    expect(await call.outcome).toMatchObject({ status: 8 });
  });

  test("that is broken, unasked for or not known is told", async () => {
    const client = open();
    const broken = client.call(KV_PUT, { "grpc-encoding": "gzip" });
    broken.send(grpcMessage("no gzip" as Bytes, true));
    expect(await broken.outcome).toMatchObject({ status: 13, text: expect.stringContaining("failed to decompress") });
    const unasked = client.call(KV_PUT);
    unasked.send(grpcMessage("x" as Bytes, true));
    expect(await unasked.outcome).toMatchObject({ status: 13, text: expect.stringContaining("compressed flag set") });
    const strange = await client.unary(KV_RANGE, rangeOf("a"), { "grpc-encoding": "snappy" });
    expect(strange).toMatchObject({ status: 12, text: 'grpc: Decompressor is not installed for grpc-encoding "snappy"' });
  });
});

describe("deadlines and cancelling", () => {
  test("a call that takes longer than its client waits is ended", async () => {
    member.barrier = () => new Promise(() => {});
    const { status, text } = await open().unary(KV_RANGE, rangeOf("a"), { "grpc-timeout": "1m" });
    expect([status, text]).toEqual([4, "context deadline exceeded"]);
  });

  test("a deadline that is none is refused", async () => {
    const { status, text } = await open().unary(KV_RANGE, rangeOf("a"), { "grpc-timeout": "soon" });
    expect([status, text]).toEqual([13, "transport: malformed grpc-timeout: soon"]);
    expect((await open().unary(KV_PUT, putOf("late", "1"), { "grpc-timeout": "0n" })).status).toBe(4);
    expect(member.store.keyCount()).toBe(0);
  });

  test("of many requests are all answered, also when the client has said its last meanwhile", async () => {
    let renewed = (_ttl: number): void => {};
    const ttl = new Promise<number>((resolve) => (renewed = resolve));
    member.keepAlive = () => ttl;
    const client = open();
    const call = client.call("/etcdserverpb.Lease/LeaseKeepAlive");
    const ask = grpcMessage(protobufEncoder(m.LEASE_KEEP_ALIVE_REQUEST)({ id: "5" }));
    call.send((ask + ask) as Bytes);
    call.end();
    await client.unary(KV_RANGE, rangeOf("a")); // what was sent before it has come
    renewed(60);
    expect(await call.outcome).toMatchObject({ status: 0, messages: { length: 2 } });
  });

  test("what a call waits for may come when the call is over and closed: nothing happens", async () => {
    let renewed = (_ttl: number): void => {};
    member.keepAlive = () => new Promise<number>((resolve) => (renewed = resolve));
    const client = open();
    const call = client.call("/etcdserverpb.Lease/LeaseKeepAlive", { "grpc-timeout": "50m" });
    call.send(grpcMessage(protobufEncoder(m.LEASE_KEEP_ALIVE_REQUEST)({ id: "5" })));
    call.end();
    expect((await call.outcome).status).toBe(4);
    await client.unary(KV_RANGE, rangeOf("a")); // the server, too, knows of the end
    renewed(60);
    expect((await client.unary(KV_RANGE, rangeOf("a"))).status).toBe(0);
  });

  test("a watch ends when its client takes it back, or goes away", async () => {
    const client = open();
    const [one, two] = [client.call("/etcdserverpb.Watch/Watch"), client.call("/etcdserverpb.Watch/Watch")];
    for (const call of [one, two]) call.send(grpcMessage(watchOf("k")));
    await Promise.all([one.until(1), two.until(1)]);
    expect(v3.watch.streamCount).toBe(2);
    one.cancel();
    await untilTrue(() => v3.watch.streamCount === 1, { what: () => `${v3.watch.streamCount} streams` });
    client.close();
    await untilTrue(() => v3.watch.streamCount === 0, { what: () => `${v3.watch.streamCount} streams` });
  });

  test("a lock that waits lets go of its place when its client is gone", async () => {
    const client = open();
    const call = client.call("/v3lockpb.Lock/Lock");
    call.send(grpcMessage("\n\x01n" as Bytes));
    expect((await call.until(1)).length).toBe(1);
    const waiting = client.call("/v3lockpb.Lock/Lock");
    waiting.send(grpcMessage("\n\x01n" as Bytes));
    await untilTrue(() => member.store.keyCount() === 2, { what: () => "the second stands in line" });
    waiting.cancel();
    await untilTrue(() => member.store.keyCount() === 1, { what: () => "it has left" });
  });
});

describe("a watch", () => {
  test("tells what happens, and goes on when the client has said all", async () => {
    const client = open();
    const call = client.call("/etcdserverpb.Watch/Watch");
    call.send(grpcMessage(watchOf("k")));
    call.end();
    await call.until(1);
    await client.ask(KV_PUT, PUT, { key: ascii("k"), value: ascii("1") });
    await client.ask(KV_PUT, PUT, { key: ascii("other"), value: ascii("2") });
    const [created, event] = (await call.until(2)).map((text) => protobufDecoder(m.WATCH_RESPONSE)(text));
    expect([created!.created, event!.events.map(({ kv }) => kv!.value)]).toEqual([true, ["1"]]);
  });

  test("of a client that does not read holds up nobody, and takes nothing from the store", async () => {
    const slow = open();
    const quick = open();
    const [lazy, eager] = [slow.call("/etcdserverpb.Watch/Watch"), quick.call("/etcdserverpb.Watch/Watch")];
    for (const call of [lazy, eager]) call.send(grpcMessage(watchOf("k")));
    await Promise.all([lazy.until(1), eager.until(1)]);
    lazy.stream.pause();
    const value = "v".repeat(100_000);
    for (let at = 0; at < 100; at++) await quick.ask(KV_PUT, PUT, { key: ascii("k"), value: value as Bytes });
    const events = (calls: readonly Bytes[]) => calls.flatMap((text) => protobufDecoder(m.WATCH_RESPONSE)(text).events).length;
    await untilTrue(() => events(eager.messages) === 100, { what: () => `${events(eager.messages)} events` });
    expect(events(lazy.messages)).toBeLessThan(100);
    lazy.stream.resume();
    await untilTrue(() => events(lazy.messages) === 100, { what: () => `${events(lazy.messages)} events` });
  });
});

describe("hasleader", () => {
  test("a call that wants a leader is refused without one, and ended when it is lost for long", async () => {
    const client = open();
    const call = client.call("/etcdserverpb.Watch/Watch", { hasleader: "true" });
    const patient = client.call("/etcdserverpb.Watch/Watch");
    for (const one of [call, patient]) one.send(grpcMessage(watchOf("k")));
    await Promise.all([call.until(1), patient.until(1)]);
    member.leaderless = true;
    expect(await call.outcome).toMatchObject({ status: 14, text: "etcdserver: no leader" });
    expect(await client.unary(KV_RANGE, rangeOf("a"), { hasleader: "true" })).toMatchObject({ status: 14, text: "etcdserver: no leader" });
    expect(patient.stream.closed).toBe(false);
  });
});

describe("a connection", () => {
  test("serves what is no gRPC by other means", async () => {
    const stream = open().session.request({ ":path": "/health" });
    const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    expect([status, others]).toEqual([204, ["/health"]]);
    stream.close();
  });

  test("is refused replies beyond what may wait for it, and has them when it has taken the others", async () => {
    await grpc.close();
    listener.close();
    await start({ unsentBytesMax: 10_000 });
    const client = open();
    await client.ask(KV_PUT, PUT, { key: ascii("big"), value: "x".repeat(6_000) as Bytes });
    let pass = (): void => {};
    const barrier = new Promise<void>((resolve) => (pass = resolve));
    let asked = 0;
    member.barrier = () => {
      if (++asked === 2) pass();
      return barrier;
    };
    const outcomes = await Promise.all([1, 2].map(() => client.unary(KV_RANGE, rangeOf("big"))));
    expect(outcomes.map(({ status }) => status)).toEqual([0, 8]);
    await untilTrue(async () => (await client.unary(KV_RANGE, rangeOf("big"))).status === 0, { what: () => "room for a reply" });
  });

  test("refuses what is no gRPC while too many such requests are not whole", async () => {
    const { session } = open();
    const post = () => session.request({ ":method": "POST", ":path": "/v3/kv/put" });
    const begun = Array.from({ length: 32 }, post);
    const refused = post();
    refused.on("error", () => {});
    await new Promise((resolve) => refused.once("close", resolve));
    expect(refused.rstCode).toBe(7);
    for (const stream of begun) stream.close();
    await untilTrue(
      async () => {
        const stream = post().end();
        stream.on("error", () => {});
        return new Promise((resolve) => stream.once("response", () => resolve(true)).once("close", () => resolve(false)));
      },
      { what: () => "room for a request" },
    );
  });

  test("is not kept by a body that is no gRPC and is never whole, but by one that has no end", async () => {
    await grpc.close();
    listener.close();
    await start({ bodyMs: 50 });
    const { session } = open();
    const [endless, slow] = ["/v3/watch", "/v3/kv/put"].map((path) => session.request({ ":method": "POST", ":path": path }));
    slow!.on("error", () => {});
    slow!.write("{");
    await new Promise((resolve) => slow!.once("close", resolve));
    expect([slow!.rstCode, endless!.closed]).toEqual([8, false]);
    endless!.close();
  });

  test("is not kept by the rest of a body whose request was answered", async () => {
    const stream = open().session.request({ ":method": "POST", ":path": "/nowhere" });
    const status = new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    stream.write("{");
    stream.resume();
    await new Promise((resolve) => stream.once("close", resolve));
    expect([await status, stream.rstCode]).toEqual([204, 0]);
  });

  test("whose client pings without end is ended", async () => {
    const client = open();
    await client.ask(KV_RANGE, RANGE, { key: ascii("a") });
    for (let at = 0; at < 4; at++) client.session.ping(() => {});
    await client.closed;
    expect(client.goaway).toEqual({ code: 11, text: "too_many_pings" });
  });

  test("of a client that does not answer is closed", async () => {
    await grpc.close();
    listener.close();
    await start({ keepAlive: { minTimeMs: 0, intervalMs: 20, timeoutMs: 20 } });
    const socket = connect((listener.address() as AddressInfo).port, "127.0.0.1");
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1"); // and empty settings
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  });

  test("finds no room for more calls than there may be, and has it again when they end", async () => {
    await grpc.close();
    listener.close();
    await start({ callsMax: 2 });
    const client = open();
    const watches = [1, 2].map(() => client.call("/etcdserverpb.Watch/Watch"));
    for (const watch of watches) watch.send(grpcMessage(watchOf("k")));
    await Promise.all(watches.map((watch) => watch.until(1)));
    expect(await client.unary(KV_RANGE, rangeOf("a"))).toMatchObject({ status: 8, text: "etcdserver: too many requests" });
    watches[0]!.cancel();
    await watches[0]!.outcome;
    await untilTrue(async () => (await client.unary(KV_RANGE, rangeOf("a"))).status === 0, { what: () => "room for a call" });
  });

  test("says how many calls it may carry at a time", async () => {
    const { session } = open();
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
  });

  test("that breaks off right after a call is closed, and nothing else happens", async () => {
    listener.removeAllListeners("connection").on("connection", (accepted: Socket) => {
      // All there at once, as when somebody has looked at the first bytes before.
      accepted.once("readable", () => {
        accepted.unshift(accepted.read());
        grpc.accept(accepted);
      });
    });
    const socket = connect((listener.address() as AddressInfo).port, "127.0.0.1");
    const broken = frame(FRAME.data, 0, 0); // data of no stream
    socket.write(Buffer.concat([PREFACE, settings(), callFrames(1, KV_RANGE, Buffer.from("0000000000", "hex")), broken]));
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect((await open().unary(KV_RANGE, rangeOf("a"))).status).toBe(0);
  });

  test("on which the client has said its last is closed, even where sockets may be half open", async () => {
    const { port } = listener.address() as AddressInfo;
    (listener as Server & { allowHalfOpen: boolean }).allowHalfOpen = true;
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.write(Buffer.concat([PREFACE, settings(), callFrames(1, "/etcdserverpb.Watch/Watch", null)]));
    socket.end();
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  });

  test("is drained at the end: streams are told, replies under way come", async () => {
    const client = open();
    const watch = client.call("/etcdserverpb.Watch/Watch");
    watch.send(grpcMessage(watchOf("k")));
    await watch.until(1);
    const closed = grpc.close();
    expect(await watch.outcome).toMatchObject({ status: 14, text: "etcdserver: server stopped" });
    await closed;
    await client.closed;
  });
});

test("calls are counted by method and outcome", async () => {
  const client = open();
  await client.unary(KV_RANGE, rangeOf("a"));
  await client.unary(KV_RANGE, EMPTY);
  expect(grpc.counts()).toMatchObject([{ service: "etcdserverpb.KV", method: "Range", type: "unary", started: 2 }]);
  expect(grpc.counts()[0]!.handled).toEqual(
    new Map([
      [0, 1],
      [3, 1],
    ]),
  );
});
