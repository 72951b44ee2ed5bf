import { crc32 as crc } from "node:zlib";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { RecordingHost, transportContract } from "../../test/contract/transport-port.ts";
import { FrameReader, encodeFrame } from "./frame.ts";
import { HELLO_BYTES_MAX } from "./handshake.ts";
import { Link } from "./link.ts";
import { TcpTransport, type TcpTransportOptions } from "./tcp-transport.ts";

function make(id: string, more: Partial<TcpTransportOptions> = {}) {
  const transport: TcpTransport = new TcpTransport({
    clusterId: () => "7",
    id: () => id,
    boot: () => 1,
    diskId: () => "9",
    urls: () => [`http://127.0.0.1:${transport.ports()[0]}`],
    addresses: [{ host: "127.0.0.1", port: 0, secure: false }],
    snapshotBytesPerSecond: 1e9,
    ...more,
  });
  return { transport, address: () => ({ id, urls: [`http://127.0.0.1:${transport.ports()[0]}`] }) };
}

transportContract("tcp", (id) => make(id));

describe("TcpTransport", () => {
  const running: TcpTransport[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((transport) => transport.stop()));
  });

  async function start(id: string, more: Partial<TcpTransportOptions> = {}) {
    const refused: string[] = [];
    const remotes: string[] = [];
    const made = make(id, {
      onRefused: ({ remote, reason }) => {
        remotes.push(remote);
        refused.push(reason);
      },
      ...more,
    });
    const host = new RecordingHost();
    await made.transport.start(host);
    await made.transport.listen();
    running.push(made.transport);
    return { ...made, host, refused, remotes };
  }

  /** Sends raw bytes and resolves with what came back once the other side has closed. */
  async function raw(port: number, bytes: Buffer): Promise<Buffer> {
    const socket = connect(port, "127.0.0.1");
    const parts: Buffer[] = [];
    socket.on("data", (part) => parts.push(part));
    socket.on("error", () => {});
    socket.write(bytes);
    await once(socket, "close");
    return Buffer.concat(parts);
  }

  /** TLS without any certificate: a handshake can begin, and not succeed. */
  const SECURE: Partial<TcpTransportOptions> = {
    addresses: [{ host: "127.0.0.1", port: 0, secure: true }],
    tls: { current: () => ({}), requiresCertificate: false, verifiesServer: true, refuse: () => null },
  };
  const hello = { hello: 1, purpose: "messages", clusterId: "7", from: "2", to: "1", boot: 1 };

  test.each([
    ["text of another protocol", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), /a frame of a wrong length: \d+ bytes/],
    ["a length beyond the limit", Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 1, 1]), /a frame of a wrong length: 4294967295 bytes/],
    ["a first frame longer than any hello", lengthOnly(HELLO_BYTES_MAX + 1), /a frame of a wrong length: 131073 bytes/],
    ["a wrong CRC", flipped(encodeFrame(hello), -1), /a wrong CRC/],
    ["a frame that is no hello", encodeFrame({ m: 1 }), /no hello/],
    ["another version", withVersion(encodeFrame(hello), 9), /another version: 9/],
  ])("closes, counts and names: %s", async (_what, bytes, reason) => {
    const one = await start("1");
    await raw(one.transport.ports()[0]!, bytes);
    expect(one.refused).toHaveLength(1);
    expect(one.refused[0]).toMatch(reason);
    expect(Object.values(one.transport.refused())).toEqual([1]);
    expect(one.host.messages).toEqual([]);
  });

  test.each([
    ["another cluster", { ...hello, clusterId: "8" }, "another cluster"],
    ["another member meant", { ...hello, to: "5" }, "another member was meant"],
  ])("refuses %s by name", async (_what, greeting, reason) => {
    const one = await start("1");
    await raw(one.transport.ports()[0]!, encodeFrame(greeting));
    expect(one.refused).toEqual([reason]);
  });

  test("who sends what is no message is cut off, counted and named, whoever dialled", async () => {
    const one = await start("1");
    const nonsense = "a frame that is no message of the consensus";
    await raw(one.transport.ports()[0]!, Buffer.concat([encodeFrame(hello), encodeFrame({ m: "nonsense" }), encodeFrame({ m: "late" })]));
    expect(one.refused).toEqual([nonsense]);
    expect(one.transport.refused()).toEqual({ [nonsense]: 1 });
    expect(one.host.messages).toEqual([]);
    // On the connection that this member dialled, as an answer.
    const two = await start("2");
    one.transport.setPeers([two.address()]);
    await expect.poll(() => one.transport.stats()[0]?.connected).toBe(true);
    two.transport.send("1", "nonsense");
    await expect.poll(() => one.transport.refused()).toEqual({ [nonsense]: 2 });
    expect(one.host.lost).toContain("2");
  });

  test("a peer that cannot be dialled is talked to on the connection that it dialled, and is not said to have ended", async () => {
    const one = await start("1");
    const two = await start("2");
    one.transport.setPeers([{ id: "2", urls: ["http://127.0.0.1:1"] }]);
    await one.host.until(() => one.host.ended.length > 0); // nobody has heard of it so far
    one.host.ended.length = 0;
    two.transport.setPeers([one.address()]);
    await expect.poll(() => two.transport.stats()[0]?.connected).toBe(true);
    const attempts = one.host.lost.length;
    one.transport.send("2", { to: "two" });
    two.transport.send("1", { to: "one" });
    await two.host.until(() => two.host.messages.length === 1);
    await one.host.until(() => one.host.messages.length === 1);
    expect(await one.transport.call("2", { n: 1 }, 5_000)).toEqual(await two.transport.call("1", { n: 1 }, 5_000));
    expect([one.host.ended, one.host.lost.length]).toEqual([[], attempts]);
    // When it goes, so does the connection, and questions on it are given up at once.
    two.host.answer = () => new Promise(() => {});
    const asked = one.transport.call("2", "never answered", 60_000);
    await two.transport.stop();
    await expect(asked).rejects.toMatchObject({ reason: "timeout" });
    await one.host.until(() => one.host.ended.includes("2"));
  });

  test("a member whose addresses all refuse connections is said to have ended", async () => {
    const one = await start("1");
    const two = await start("2");
    one.transport.setPeers([two.address()]);
    await expect.poll(() => one.transport.stats()[0]?.connected).toBe(true);
    await two.transport.stop();
    await one.host.until(() => one.host.ended.includes("2"));
    // One that may still be there behind another address is not.
    const silent = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const [refusing] = two.address().urls;
    const urls = [`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, refusing!];
    const three = await start("3");
    three.transport.setPeers([{ id: "2", urls }]);
    await three.host.until(() => three.host.lost.length >= 2);
    expect(three.host.ended).toEqual([]);
    await new Promise((resolve) => silent.close(resolve));
  });

  test("the log names each change of a connection once, with the reason", async () => {
    const said: (string | null)[] = [];
    const one = await start("1", { onPeer: (peer, problem) => said.push(peer.id === "2" ? problem : "who?") });
    const two = await start("2");
    const address = two.address();
    await two.transport.stop();
    one.transport.setPeers([address]);
    await one.host.until(() => one.host.lost.length > 3);
    expect(said).toEqual([expect.stringContaining("ECONNREFUSED")]);
    const again = await start("2", { addresses: [{ host: "127.0.0.1", port: Number(new URL(address.urls[0]!).port), secure: false }] });
    await expect.poll(() => said.length).toBe(2);
    expect(said[1]).toBeNull();
    await again.transport.stop();
    await expect.poll(() => said.length).toBeGreaterThanOrEqual(3);
    expect(said[2]).toMatch(/closed|ECONNRE/);
  });

  test("why a TLS handshake failed is told with the address, also when the connection is gone by then", async () => {
    const one = await start("1", SECURE);
    await raw(one.transport.ports()[0]!, Buffer.from("no TLS"));
    const gone = connect(one.transport.ports()[0]!, "127.0.0.1");
    await once(gone, "connect");
    gone.destroy();
    await expect.poll(() => one.refused.length).toBe(2);
    expect(one.remotes).toEqual(["127.0.0.1", "127.0.0.1"]);
    expect(one.refused[0]).toMatch(/^TLS: /);
  });

  test("who only holds a place makes room for a member", async () => {
    const one = await start("1", { connectionsMax: 4 });
    const two = await start("2");
    const idle: Socket[] = [];
    for (let n = 0; n < 6; n++) {
      const socket = connect(one.transport.ports()[0]!, "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      idle.push(socket);
    }
    two.transport.setPeers([one.address()]);
    await expect.poll(() => two.transport.stats()[0]?.connected).toBe(true);
    await expect.poll(() => idle.map(({ destroyed }) => destroyed)).toEqual([true, true, true, false, false, false]);
    expect(one.transport.refused()).toEqual({ "too many connections": 3 });
    for (const socket of idle) socket.destroy();
    expect(two.transport.stats()[0]?.connected).toBe(true);
  });

  test("whom the host does not admit is told why, in both directions", async () => {
    const one = await start("1");
    const two = await start("2");
    one.host.judge = (peer) => (peer.diskId === "9" ? { kind: "replaced", message: `disk ${peer.diskId} of ${peer.id}` } : null);
    two.transport.setPeers([one.address()]);
    await two.host.until(() => two.host.refusals.length > 0);
    expect(two.host.refusals[0]).toEqual({ by: "1", kind: "replaced", message: "disk 9 of 2" });
    expect(one.refused[0]).toBe("disk 9 of 2");
    one.transport.setPeers([two.address()]);
    await expect.poll(() => one.transport.stats()[0]?.problem).toMatch(/not talked to: disk 9 of 2/);
    expect(one.transport.stats()[0]?.connected).toBe(false);
  });

  test("a member answers one that it does not know as a peer, and takes a snapshot from it: its own log may be behind", async () => {
    const behind = await start("2");
    const ahead = await start("3");
    ahead.host.snapshots.set("s", [new Uint8Array([7])]);
    ahead.transport.setPeers([behind.address()]);
    await expect.poll(() => ahead.transport.stats()[0]?.connected).toBe(true);
    ahead.transport.send("2", "append");
    await behind.host.until(() => behind.host.messages.length > 0);
    behind.transport.send("3", "appendReply");
    await ahead.host.until(() => ahead.host.messages.length > 0);
    expect(ahead.host.messages).toEqual([{ from: "2", message: "appendReply" }]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of behind.transport.fetchSnapshot("3", "s", 0)) chunks.push(chunk);
    expect(chunks.map((chunk) => [...chunk])).toEqual([[7]]);
    expect(behind.host.lost).toEqual([]);
    // Without a connection there is nobody to answer.
    await ahead.transport.stop();
    await expect.poll(() => (behind.transport.send("3", "again"), behind.host.lost)).toContain("3");
  });

  test("who is no peer any more is disconnected, and learns why when it comes back", async () => {
    const one = await start("1");
    const two = await start("2");
    one.transport.setPeers([two.address()]);
    two.transport.setPeers([one.address()]);
    await expect.poll(() => two.transport.stats()[0]?.connected).toBe(true);
    one.host.judge = () => ({ kind: "removed", message: "removed" });
    one.transport.setPeers([]);
    await two.host.until(() => two.host.refusals.length > 0);
    expect(two.host.refusals[0]?.kind).toBe("removed");
  });

  test("greet() tells the members to somebody outside the cluster", async () => {
    const one = await start("1");
    const stranger = make("0", { clusterId: () => "0" });
    expect(await stranger.transport.greet(`http://127.0.0.1:${one.transport.ports()[0]}`)).toEqual({
      clusterId: "7",
      members: [{ id: "1", name: "one" }],
      configIndex: 4,
    });
  });

  test("who only asks who is there is not listened to any further", async () => {
    const one = await start("1");
    const asked: unknown[] = [];
    one.host.answer = async (_from, request) => asked.push(request);
    const question = encodeFrame({ hello: 1, purpose: "greeting", clusterId: "0", from: "0", to: "0", boot: 0 });
    const orders = [encodeFrame({ q: 1, call: { membership: { op: "remove", id: "2" } } }), encodeFrame({ m: "append" })];
    const answers = new FrameReader().push(await raw(one.transport.ports()[0]!, Buffer.concat([question, ...orders])));
    expect(answers).toMatchObject([{ welcome: 1, clusterId: "7" }]);
    expect(asked).toEqual([]);
    expect(one.host.messages).toEqual([]);
  });

  test.each([
    ["http://127.0.0.1:80", ":80"],
    ["https://127.0.0.1:443", ":443"],
  ])("%s is dialled at its port", async (url, port) => {
    const stranger = make("0", { clusterId: () => "0" });
    const told = await stranger.transport.greet(url).catch(String);
    if (String(told).includes("ECONN")) expect(told).toContain(`127.0.0.1${port}`); // unless somebody listens there
  });

  test("reasons are counted by their kind: nobody can make them endless", async () => {
    const one = await start("1");
    for (const length of [0, 200_000, 4_000_000_000]) await raw(one.transport.ports()[0]!, lengthOnly(length));
    for (const version of [7, 9]) await raw(one.transport.ports()[0]!, withVersion(encodeFrame(hello), version));
    expect(one.transport.refused()).toEqual({ "a frame of a wrong length": 3, "a frame of another version": 2 });
  });

  test("the end does not wait for a TLS handshake that nobody finishes", async () => {
    const one = await start("1", SECURE);
    const socket = connect(one.transport.ports()[0]!, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    const other = connect(one.transport.ports()[0]!, "127.0.0.1"); // when it is turned away, the first has been taken
    other.on("error", () => {});
    other.end("no TLS");
    await expect.poll(() => one.refused.length).toBe(1);
    const closed = once(socket, "close");
    await one.transport.stop();
    await closed;
  });

  test("a snapshot of which nothing more comes is given up", async () => {
    const one = await start("1", { snapshotStallMs: 30 });
    const two = await start("2");
    one.transport.setPeers([two.address()]);
    await expect.poll(() => one.transport.stats()[0]?.connected).toBe(true);
    let read = () => {};
    two.host.readSnapshot = async function* () {
      yield new Uint8Array(10);
      await new Promise<void>((resolve) => (read = resolve)); // a disk that hangs
    };
    const chunks = one.transport.fetchSnapshot("2", "s", 0)[Symbol.asyncIterator]();
    expect((await chunks.next()).value).toHaveLength(10);
    await expect(chunks.next()).rejects.toMatchObject({ reason: "snapshotFailed", message: "nothing of the snapshot came for 30 ms" });
    read();
  });

  test("a snapshot that goes on at another place than was asked for is refused", async () => {
    const one = await start("1");
    const two = await start("2");
    one.transport.setPeers([two.address()]);
    await expect.poll(() => one.transport.stats()[0]?.connected).toBe(true);
    // As a build that knows of no offsets: it begins at the beginning, and says no place.
    const send = Link.prototype.send;
    const older = vi.spyOn(Link.prototype, "send").mockImplementation(function (this: Link, value: unknown) {
      const { at: _, ...frame } = value as { at?: number };
      return send.call(this, frame);
    });
    onTestFinished(() => older.mockRestore());
    two.host.readSnapshot = async function* () {
      yield new Uint8Array(10);
    };
    const chunks = one.transport.fetchSnapshot("2", "s", 10)[Symbol.asyncIterator]();
    await expect(chunks.next()).rejects.toMatchObject({ reason: "snapshotFailed", message: "a snapshot from another place" });
    expect((await one.transport.fetchSnapshot("2", "s", 0)[Symbol.asyncIterator]().next()).value).toHaveLength(10);
  });

  test("a snapshot stream keeps to its rate and holds up no message", async () => {
    const one = await start("1");
    const two = await start("2", { snapshotBytesPerSecond: 1_000_000 });
    one.transport.setPeers([two.address()]);
    two.transport.setPeers([one.address()]);
    two.host.snapshots.set(
      "s",
      Array.from({ length: 10 }, () => new Uint8Array(50_000)),
    );
    await expect.poll(() => two.transport.stats()[0]?.connected).toBe(true);
    await expect.poll(() => one.transport.stats()[0]?.connected).toBe(true);
    const order: string[] = [];
    const fetched = (async () => {
      for await (const _ of one.transport.fetchSnapshot("2", "s", 0)) order.push("chunk");
    })();
    await expect.poll(() => order.length).toBeGreaterThan(0);
    two.transport.send("1", "heartbeat");
    await one.host.until(() => one.host.messages.length === 1);
    expect(order.length).toBeLessThan(10);
    await fetched;
    expect(order.length).toBe(10);
  });
});

/** The head of a frame, of which nothing more comes. */
function lengthOnly(length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(length, 0);
  return head;
}

function flipped(frame: Buffer, at: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
}

function withVersion(frame: Buffer, version: number): Buffer {
  const copy = Buffer.from(frame);
  copy[8] = version;
  copy.writeUInt32LE(crc(copy.subarray(8)), 4);
  return copy;
}
