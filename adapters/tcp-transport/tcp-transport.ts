/**
 * The transport between members over TCP or TLS (`node:net`, `node:tls`; also on Deno and Bun).
 *
 * Each member dials each other one and sends its messages and calls on the connection it dialled; answers to calls come back on the
 * same one. Whom it cannot reach it talks to on the connection that the other one dialled, as etcd's streams allow: a member whose
 * address is wrong, or behind a wall, takes part as long as it reaches the others. A snapshot has a connection of its own, so that it delays no heartbeat. Whoever talks nonsense, is of another cluster,
 * or is not admitted by the host (removed, another disk, an old copy of a disk) is closed, counted by reason and named to `onRefused`.
 * Connections that have not said who they are give way to newer ones when there are too many.
 */
import { type Server, type Socket, connect, createServer } from "node:net";
import { type SecureContextOptions, type TLSSocket, connect as connectTls, createServer as createTlsServer } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import { must } from "../../core/invariant.ts";
import { QuorateError, errMemberNotFound } from "../../core/errors.ts";
import type { NodeId } from "../../core/raft/types.ts";
import type {
  Greeting,
  PeerAddress,
  PeerClaim,
  PeerRefusal,
  Transport,
  TransportHost,
  TransportStats,
} from "../../core/replica/transport-port.ts";
import { type Answer, Calls, encodeError, errNotSent } from "./calls.ts";
import { FrameError } from "./frame.ts";
import { HANDSHAKE_MS_MAX, HELLO_BYTES_MAX, Hello, Refusal, Welcome } from "./handshake.ts";
import { Link, type LinkEvents } from "./link.ts";

/** Pauses between attempts to reach a peer: doubled from the first to the last, then kept. */
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;
/** Connections taken at once; members are few, and each needs two and one for a snapshot. */
const CONNECTIONS_MAX = 256;
/** A snapshot of which nothing comes for so long is given up, in milliseconds: the member can then ask for another. */
const SNAPSHOT_STALL_MS = 30_000;

export interface PeerTls {
  /** For the next connection, made or taken; the same object as long as nothing has changed. */
  current(): SecureContextOptions;
  /** Whoever connects is asked for a certificate, and refused without a valid one. */
  readonly requiresCertificate: boolean;
  /** Whoever is connected to has to have a valid one. */
  readonly verifiesServer: boolean;
  /** @returns why a valid certificate does not do; null when it does */
  refuse(socket: TLSSocket): string | null;
}

export interface TcpTransportOptions {
  readonly clusterId: () => string;
  readonly id: () => NodeId;
  readonly boot: () => number;
  readonly diskId: () => string;
  /** Where others reach this member. */
  readonly urls: () => readonly string[];
  /** Where to listen once there is need to; port 0 takes a free one. */
  readonly addresses: readonly { readonly host: string; readonly port: number; readonly secure: boolean }[];
  readonly tls?: PeerTls;
  /** Bytes a second that one snapshot stream may take of the network. */
  readonly snapshotBytesPerSecond: number;
  /** See SNAPSHOT_STALL_MS. */
  readonly snapshotStallMs?: number;
  /** See CONNECTIONS_MAX. */
  readonly connectionsMax?: number;
  /** Told of each peer that was turned away, and why. */
  readonly onRefused?: (refusal: RefusedConnection) => void;
  /** Told when a peer is reached, when it is no longer, and when the reason why it is not has changed. */
  readonly onPeer?: (peer: PeerAddress, problem: string | null) => void;
}

/** A connection that was turned away. */
export interface RefusedConnection {
  /** IP address; "?" when it was gone before it could be asked. */
  readonly remote: string;
  /** Whom it said to be, or was taken for. */
  readonly member?: NodeId;
  readonly reason: string;
}

interface Peer {
  address: PeerAddress;
  link: Link | null;
  calls: Calls;
  stopped: boolean;
  reconnects: number;
  problem: string | null;
  /** What `onPeer` was told last; undefined before the first time. */
  told: string | null | undefined;
  dropped: number;
  sentBytes: number;
  sentFrames: number;
  roundTripMs: number | null;
}

/** Who asks before belonging to a cluster. */
const NOBODY = { clusterId: "0", from: "0", boot: 0, diskId: "0" };

type Incoming = { readonly m: unknown } | { readonly q: number; readonly call: unknown } | Answer;

/** Every address of a member refuses connections: its host answers, and no process of it is there. */
class NobodyListens extends Error {
  constructor(refusal: unknown) {
    super(refusal instanceof Error ? refusal.message : String(refusal), { cause: refusal });
  }
}

/** On the stream of a snapshot: a chunk and the bytes before it, or the end, or why there is no more. */
interface SnapshotFrame {
  readonly chunk?: Uint8Array;
  readonly at?: number;
  readonly end?: number;
  readonly error?: Answer["error"];
}

export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #refused: Record<string, number> = {};
  /** Who is connected to this member, and says to be whom: null before the handshake. */
  readonly #accepted = new Map<Socket, PeerClaim | null>();
  /** Every connection to this member, also those in the middle of a TLS handshake: the end waits for none of them. */
  readonly #incoming = new Set<Socket>();
  /** Those that have not said who they are, oldest first, by address and port: TLS puts another socket around the one that came. */
  readonly #strangers = new Map<string, Socket>();
  /** Whose connection was closed last. Node forgets the address of a socket before it tells that its TLS handshake failed. */
  #closedRemote = "?";
  /**
   * Who is connected to this member, and how to talk to it there: a member whose log is behind may be led by one that its configuration
   * does not have yet, and would never catch up if it could not answer; and a peer may be one that cannot be dialled.
   */
  readonly #callers = new Map<NodeId, { readonly link: Link; readonly calls: Calls; readonly address: PeerAddress }>();
  readonly #stopping = new AbortController();
  #servers: Server[] = [];
  #listening: Promise<void> | null = null;
  #host: TransportHost | null = null;

  constructor(options: TcpTransportOptions) {
    this.#options = options;
  }

  async start(host: TransportHost): Promise<void> {
    this.#host = host;
  }

  listen(): Promise<void> {
    this.#listening ??= this.#listen().catch((error: unknown) => {
      this.#listening = null; // the address may become free
      for (const server of this.#servers.splice(0)) server.close();
      throw error;
    });
    return this.#listening;
  }

  async #listen(): Promise<void> {
    for (const { host: address, port, secure } of this.#options.addresses) {
      const server = this.#createServer(secure);
      server.on("connection", (socket) => this.#arrived(socket));
      await new Promise<void>((resolve, reject) => {
        server.once("error", (cause) =>
          reject(
            new QuorateError(
              "unavailable",
              "listenFailed",
              `cannot listen for peers on ${address}:${port}: ${cause.message}`,
              {},
              { cause },
            ),
          ),
        );
        server.listen(port, address, resolve);
      });
      server.on("error", (error) => this.#turnAway({ remote: "listener", reason: error.message }));
      this.#servers.push(server);
    }
  }

  /** Ports that are listened on, in the order of `addresses`. */
  ports(): number[] {
    return this.#servers.map((server) => (server.address() as { port: number }).port);
  }

  #createServer(secure: boolean): Server {
    if (!secure) return createServer({ pauseOnConnect: false }, (socket) => this.#accept(socket));
    const tls = must(this.#options.tls, () => "an https address needs certificates");
    let used = tls.current();
    const server = createTlsServer(
      {
        ...used,
        requestCert: tls.requiresCertificate,
        rejectUnauthorized: tls.requiresCertificate,
        handshakeTimeout: HANDSHAKE_MS_MAX,
      },
      (socket) => {
        const reason = tls.refuse(socket);
        if (reason === null) return this.#accept(socket);
        this.#turnAway({ remote: socket.remoteAddress ?? "?", reason: `TLS: ${reason}` });
        socket.destroy();
      },
    );
    server.prependListener("connection", () => {
      const now = tls.current();
      if (now !== used) server.setSecureContext((used = now));
    });
    server.on("tlsClientError", (error, socket) => {
      this.#turnAway({ remote: socket.remoteAddress ?? this.#closedRemote, reason: `TLS: ${error.message}` });
    });
    return server;
  }

  /** A connection, before any TLS. Members are never kept out by those who only hold a place: the oldest of these makes room. */
  #arrived(socket: Socket): void {
    const [remote, key] = [socket.remoteAddress ?? "?", keyOf(socket)];
    this.#incoming.add(socket);
    this.#strangers.set(key, socket);
    socket.on("close", () => {
      this.#closedRemote = remote;
      this.#incoming.delete(socket);
      if (this.#strangers.get(key) === socket) this.#strangers.delete(key);
    });
    if (this.#incoming.size <= (this.#options.connectionsMax ?? CONNECTIONS_MAX)) return;
    const [oldest] = this.#strangers;
    if (oldest === undefined) return;
    this.#strangers.delete(oldest[0]);
    this.#turnAway({ remote: oldest[1].remoteAddress ?? "?", reason: "too many connections" });
    oldest[1].destroy();
  }

  setPeers(addresses: readonly PeerAddress[]): void {
    const wanted = new Map(addresses.map((address) => [address.id, address]));
    for (const [id, peer] of this.#peers) {
      const address = wanted.get(id);
      if (address !== undefined) {
        peer.address = address;
        continue;
      }
      peer.stopped = true;
      peer.link?.close(undefined);
      this.#peers.delete(id);
    }
    // Who is not to be talked to any more learns why when it connects again.
    for (const [socket, claim] of this.#accepted) {
      if (claim !== null && !wanted.has(claim.id) && this.#admit(claim) !== null) socket.destroy();
    }
    for (const [id, address] of wanted) {
      if (this.#peers.has(id) || id === this.#options.id()) continue;
      const peer: Peer = {
        address,
        link: null,
        calls: new Calls(id),
        stopped: false,
        reconnects: 0,
        problem: "not connected yet",
        told: undefined,
        dropped: 0,
        sentBytes: 0,
        sentFrames: 0,
        roundTripMs: null,
      };
      this.#peers.set(id, peer);
      void this.#keepConnected(peer);
    }
  }

  send(to: NodeId, message: unknown): void {
    const peer = this.#peers.get(to);
    const link = peer?.link ?? this.#callers.get(to)?.link;
    if (link?.send({ m: message }) === true) return;
    if (peer !== undefined) peer.dropped++;
    this.#host?.unreachable(to);
  }

  call(to: NodeId, request: unknown, timeoutMs: number): Promise<unknown> {
    const peer = this.#peers.get(to);
    if (peer === undefined) return Promise.reject(errNotSent(to));
    const { link, calls } = peer.link === null ? (this.#callers.get(to) ?? peer) : peer;
    return calls.ask((number) => link?.send({ q: number, call: request }) === true, timeoutMs);
  }

  async *fetchSnapshot(from: NodeId, id: string, offset: number): AsyncIterable<Uint8Array> {
    const address = this.#peers.get(from)?.address ?? this.#callers.get(from)?.address;
    if (address === undefined) throw errMemberNotFound({ peer: from });
    const arrived: Uint8Array[] = [];
    let arrivedBytes = 0;
    let ended = false;
    let failure: Error | undefined;
    let wake = () => {};
    const stallMs = this.#options.snapshotStallMs ?? SNAPSHOT_STALL_MS;
    const failed = (why: string) => new QuorateError("unavailable", "snapshotFailed", why, { peer: from });
    const link = await this.#dial(address, { purpose: "snapshot", snapshot: id, offset }, (link) => ({
      value: (value) => {
        const { chunk, at, end, error } = (value ?? {}) as SnapshotFrame;
        // A peer of an older build says no place and begins at the beginning.
        if (chunk instanceof Uint8Array && (at ?? arrivedBytes) !== offset + arrivedBytes)
          failure ??= failed("a snapshot from another place");
        else if (chunk instanceof Uint8Array) {
          arrivedBytes += chunk.length;
          arrived.push(chunk);
          if (arrived.length > 8) link.socket.pause(); // the disk is slower than the network
        } else if (end === 1) ended = true;
        else failure = failed(error?.message ?? "an unknown frame in a snapshot");
        wake();
      },
      closed: (error) => {
        if (!ended) failure ??= error ?? failed("the stream of a snapshot broke");
        wake();
      },
    }));
    try {
      for (;;) {
        const chunk = arrived.shift();
        if (chunk !== undefined) {
          if (arrived.length === 0) link.socket.resume();
          yield chunk;
          continue;
        }
        if (failure !== undefined) throw failure;
        if (ended) return;
        const stalled = setTimeout(() => {
          failure ??= failed(`nothing of the snapshot came for ${stallMs} ms`);
          wake();
        }, stallMs);
        await new Promise<void>((resolve) => (wake = resolve));
        clearTimeout(stalled);
      }
    } finally {
      link.close(undefined);
    }
  }

  /** Asks an address who the members are, before belonging to the cluster. @throws QuorateError when nobody answers there */
  async greet(url: string): Promise<Greeting> {
    let welcome: Welcome | undefined;
    const link = await this.#dial(
      { id: "0", urls: [url] },
      { purpose: "greeting" },
      () => ({ value: () => {}, closed: () => {} }),
      (answer) => (welcome = answer),
    );
    link.close(undefined);
    return { clusterId: welcome!.clusterId, members: welcome!.members ?? [], configIndex: welcome!.configIndex ?? 0 };
  }

  stats(): readonly TransportStats[] {
    return [...this.#peers.values()].map((peer) => ({
      peer: peer.address.id,
      connected: peer.link !== null,
      sentBytes: peer.sentBytes + (peer.link?.sentBytes ?? 0),
      sentFrames: peer.sentFrames + (peer.link?.sentFrames ?? 0),
      dropped: peer.dropped,
      reconnects: peer.reconnects,
      problem: peer.problem,
      roundTripMs: peer.roundTripMs,
    }));
  }

  refused(): Readonly<Record<string, number>> {
    return { ...this.#refused };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.setPeers([]);
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#incoming) socket.destroy();
    await Promise.all(closed);
    this.#servers = [];
  }

  // ---- dialling

  async #keepConnected(peer: Peer): Promise<void> {
    let pause = RECONNECT_MS_MIN;
    while (!peer.stopped) {
      let connectedAt: number | null = null;
      try {
        await new Promise<void>((resolve, reject) => {
          this.#dial(peer.address, { purpose: "messages" }, (link) => ({
            value: (value) => this.#received(link, peer.address.id, value, peer.calls),
            closed: (error) => {
              peer.problem = error?.message ?? "the connection was closed";
              if (error instanceof FrameError) {
                this.#turnAway({ remote: link.socket.remoteAddress ?? "?", member: peer.address.id, reason: error.message });
              }
              resolve();
            },
            roundTrip: (ms) => (peer.roundTripMs = ms),
          })).then((link) => {
            if (link.isClosed) return; // with the frame after its welcome
            if (peer.stopped) link.close(undefined);
            peer.link = link;
            peer.problem = null;
            connectedAt = performance.now();
            this.#tell(peer);
          }, reject);
        });
      } catch (error) {
        // Tried again after a pause; `unreachable` tells the consensus, `stats` and `onPeer` an operator.
        peer.problem = error instanceof Error ? error.message : String(error);
        if (error instanceof NobodyListens && !this.#callers.has(peer.address.id)) this.#host?.gone(peer.address.id);
      }
      if (connectedAt !== null && performance.now() - connectedAt > RECONNECT_MS_MAX) pause = RECONNECT_MS_MIN;
      const broke = peer.link !== null;
      if (peer.link !== null) {
        peer.sentBytes += peer.link.sentBytes;
        peer.sentFrames += peer.link.sentFrames;
        peer.link = null;
        peer.reconnects++;
      }
      peer.calls.broken();
      if (broke || !this.#callers.has(peer.address.id)) this.#host?.unreachable(peer.address.id);
      if (peer.stopped) return;
      this.#tell(peer);
      await delay(pause, undefined, { ref: false, signal: this.#stopping.signal }).catch(() => undefined);
      pause = Math.min(RECONNECT_MS_MAX, pause * 2);
    }
  }

  /** Once for each change. */
  #tell(peer: Peer): void {
    if (peer.told === peer.problem) return;
    peer.told = peer.problem;
    this.#options.onPeer?.(peer.address, peer.problem);
  }

  /** Connects to the first address that answers and shakes hands. */
  async #dial(
    address: PeerAddress,
    what: { purpose: Hello["purpose"]; snapshot?: string; offset?: number },
    eventsOf: (link: Link) => LinkEvents,
    onWelcome?: (welcome: Welcome) => void,
  ): Promise<Link> {
    let failure: unknown = errNotSent(address.id);
    let refused = 0;
    for (const url of address.urls) {
      try {
        const socket = await this.#connect(new URL(url));
        return await this.#shake(socket, address.id, what, eventsOf, onWelcome);
      } catch (error) {
        failure = error;
        if (error instanceof Error && "code" in error && error.code === "ECONNREFUSED") refused++;
      }
    }
    throw refused > 0 && refused === address.urls.length ? new NobodyListens(failure) : failure;
  }

  #connect(url: URL): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const { tls } = this.#options;
      const secure = url.protocol === "https:";
      // An URL leaves out the port that its scheme has anyway.
      const at = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || (secure ? 443 : 80)) };
      const secured = secure ? connectTls({ ...tls?.current(), rejectUnauthorized: tls?.verifiesServer !== false, ...at }) : null;
      const socket = secured ?? connect(at);
      socket.setTimeout(HANDSHAKE_MS_MAX, () => socket.destroy(new Error(`no connection to ${url.host} within ${HANDSHAKE_MS_MAX} ms`)));
      socket.once("error", reject);
      socket.once(secure ? "secureConnect" : "connect", () => {
        socket.setTimeout(0);
        socket.off("error", reject);
        const reason = secured === null ? null : (tls?.refuse(secured) ?? null);
        if (reason === null) return resolve(socket);
        socket.destroy();
        reject(new Error(reason));
      });
    });
  }

  /** Sends our hello and reads the answer; then the link is its user's. */
  #shake(
    socket: Socket,
    to: NodeId,
    what: { purpose: Hello["purpose"]; snapshot?: string; offset?: number },
    eventsOf: (link: Link) => LinkEvents,
    onWelcome?: (welcome: Welcome) => void,
  ): Promise<Link> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => link.close(new Error(`no handshake within ${HANDSHAKE_MS_MAX} ms`)), HANDSHAKE_MS_MAX);
      const link = new Link(socket, {
        value: (value) => {
          clearTimeout(timer);
          const welcome = Welcome.safeParse(value);
          if (welcome.success && (to === "0" || (welcome.data.id === to && welcome.data.clusterId === this.#options.clusterId()))) {
            const refusal = to === "0" ? null : this.#admit(welcome.data);
            if (refusal !== null) {
              this.#turnAway({ remote: socket.remoteAddress ?? "?", member: to, reason: refusal.message });
              link.close(new Error(`not talked to: ${refusal.message}`));
              return;
            }
            onWelcome?.(welcome.data);
            link.become(eventsOf(link));
            resolve(link);
            return;
          }
          const refusal = Refusal.safeParse(value);
          link.close(new Error(refusal.success ? `refused: ${refusal.data.refused}` : "an answer from somebody else"));
          if (refusal.success && refusal.data.kind !== undefined) {
            this.#host?.turnedAway(to, { kind: refusal.data.kind, message: refusal.data.refused });
          }
        },
        closed: (error) => {
          clearTimeout(timer);
          reject(error ?? new Error("closed during the handshake"));
        },
      });
      const urls = [...this.#options.urls()];
      link.send({ hello: 1, ...(to === "0" ? NOBODY : { ...this.#self(), urls }), to, ...what } satisfies Hello);
    });
  }

  // ---- answering

  #accept(socket: Socket): void {
    this.#accepted.set(socket, null);
    socket.on("close", () => this.#accepted.delete(socket));
    const [remote, key] = [socket.remoteAddress ?? "?", keyOf(socket)];
    let from: NodeId | null = null;
    let calls: Calls | null = null;
    const timer = setTimeout(() => link.close(new FrameError("no handshake in time")), HANDSHAKE_MS_MAX);
    const events: LinkEvents = {
      value: (value) => {
        if (from !== null && calls !== null) {
          this.#received(link, from, value, calls);
          return;
        }
        clearTimeout(timer);
        const hello = Hello.safeParse(value);
        if (!hello.success) throw new FrameError("no hello");
        const refusal = this.#judge(hello.data);
        if (refusal !== null) {
          this.#turnAway({ remote, member: hello.data.from, reason: refusal.message });
          link.send({ refused: refusal.message, kind: refusal.kind });
          link.close(undefined);
          return;
        }
        if (hello.data.purpose === "greeting") {
          this.#welcome(link, hello.data);
          link.close(undefined); // nobody yet: it has its answer, and nothing else to say
          return;
        }
        link.trust();
        this.#strangers.delete(key);
        from = hello.data.from;
        calls = new Calls(from);
        this.#accepted.set(socket, { id: from, boot: hello.data.boot, diskId: hello.data.diskId ?? "0" });
        if (hello.data.purpose === "messages") {
          this.#callers.set(from, { link, calls, address: { id: from, urls: hello.data.urls ?? [] } });
        }
        this.#welcome(link, hello.data);
      },
      closed: (error) => {
        clearTimeout(timer);
        if (from !== null && this.#callers.get(from)?.link === link) this.#callers.delete(from);
        calls?.broken();
        if (error instanceof FrameError) this.#turnAway({ remote, ...(from === null ? {} : { member: from }), reason: error.message });
      },
    };
    const link = new Link(socket, events, HELLO_BYTES_MAX);
  }

  /** @returns why a caller is not let in, or null */
  #judge(hello: Hello): PeerRefusal | null {
    if (hello.purpose === "greeting") return null;
    if (hello.clusterId !== this.#options.clusterId()) return { kind: "stranger", message: "another cluster" };
    if (hello.to !== this.#options.id()) return { kind: "stranger", message: "another member was meant" };
    return this.#admit({ id: hello.from, boot: hello.boot, diskId: hello.diskId });
  }

  #admit({ id, boot, diskId }: { readonly id: NodeId; readonly boot: number; readonly diskId?: string | undefined }): PeerRefusal | null {
    return this.#host?.admit({ id, boot, diskId: diskId ?? "0" }) ?? null;
  }

  #self(): { clusterId: string; from: NodeId; boot: number; diskId: string } {
    const { clusterId, id, boot, diskId } = this.#options;
    return { clusterId: clusterId(), from: id(), boot: boot(), diskId: diskId() };
  }

  #welcome(link: Link, hello: Hello): void {
    const { from: id, ...self } = this.#self();
    const welcome: Welcome = { welcome: 1, id, ...self };
    if (hello.purpose === "greeting") link.send({ ...welcome, ...this.#host!.greet() });
    else link.send(welcome);
    if (hello.purpose === "snapshot") void this.#sendSnapshot(link, hello.snapshot ?? "", hello.offset ?? 0);
  }

  /** @param calls those that were asked on this connection */
  #received(link: Link, from: NodeId, value: unknown, calls: Calls): void {
    const frame = value as Incoming | null;
    if (typeof frame !== "object" || frame === null) throw new FrameError("a frame that is neither message nor call");
    if ("m" in frame) this.#message(from, frame.m);
    else if ("re" in frame && typeof frame.re === "number") calls.answered(frame);
    else if ("call" in frame && typeof frame.q === "number") {
      const re = frame.q;
      this.#host!.call(from, frame.call).then(
        (ok) => link.send({ re, ok }),
        (error: unknown) => link.send({ re, error: encodeError(error) }),
      );
    } else throw new FrameError("a frame that is neither message nor call");
  }

  /** @throws FrameError, which closes the link, for what is none */
  #message(from: NodeId, message: unknown): void {
    if (this.#host?.message(from, message) === false) throw new FrameError("a frame that is no message of the consensus");
  }

  /** Chunks at the rate allowed, as fast as the peer takes them. */
  async #sendSnapshot(link: Link, id: string, offset: number): Promise<void> {
    const began = performance.now();
    let bytes = 0;
    try {
      for await (const chunk of this.#host!.readSnapshot(id, offset)) {
        if (!link.send({ chunk, at: offset + bytes } satisfies SnapshotFrame)) return; // closed: the peer asks again
        bytes += chunk.length;
        await link.drained();
        const early = (bytes / this.#options.snapshotBytesPerSecond) * 1000 - (performance.now() - began);
        if (early > 1) await delay(early, undefined, { ref: false });
      }
      link.send({ end: 1 });
    } catch (error) {
      link.send({ error: encodeError(error) });
    }
  }

  #turnAway(refusal: RefusedConnection): void {
    const kind = refusal.reason.split(":")[0]!;
    this.#refused[kind] = (this.#refused[kind] ?? 0) + 1;
    this.#options.onRefused?.(refusal);
  }
}

/** Names the connection, whichever socket stands for it. */
function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? "?"} ${remotePort ?? "?"}`;
}
