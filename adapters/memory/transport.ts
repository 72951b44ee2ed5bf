/**
 * Members in one process that reach one another through a `MemoryNetwork`: for tests, simulations and demonstrations. Values are
 * encoded and decoded as on a wire, so that members share no object. Who schedules a delivery decides about delay, order and loss.
 */
import { decode, encode } from "@msgpack/msgpack";
import { QuorateError, errTimeout, isQuorateError } from "../../core/errors.ts";
import type { NodeId } from "../../core/raft/types.ts";
import type { PeerAddress, Transport, TransportHost, TransportStats } from "../../core/replica/transport-port.ts";

/** Runs a delivery now or later, or never: then it was lost. */
export type Schedule = (deliver: () => void, from: NodeId, to: NodeId) => void;

/** Who can reach whom. Has no clock. */
export class MemoryNetwork {
  readonly #members = new Map<NodeId, MemoryTransport>();
  readonly #cut = new Set<string>();
  readonly #schedule: Schedule;

  constructor(schedule: Schedule = (deliver) => queueMicrotask(deliver)) {
    this.#schedule = schedule;
  }

  /** A transport for one member; attached while it is started. */
  transport(id: NodeId): MemoryTransport {
    return new MemoryTransport(id, this);
  }

  attach(id: NodeId, transport: MemoryTransport): void {
    this.#members.set(id, transport);
  }

  detach(id: NodeId, transport: MemoryTransport): void {
    if (this.#members.get(id) === transport) this.#members.delete(id);
  }

  /** Nothing passes from one to the other any more; the way back stays open. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  reachable(from: NodeId, to: NodeId): MemoryTransport | undefined {
    return this.#cut.has(`${from}>${to}`) ? undefined : this.#members.get(to);
  }

  /** @returns false when it certainly does not arrive */
  deliver(from: NodeId, to: NodeId, act: (target: MemoryTransport) => void): boolean {
    const target = this.reachable(from, to);
    if (target === undefined) return false;
    this.#schedule(
      () => {
        if (this.reachable(from, to) === target) act(target);
      },
      from,
      to,
    );
    return true;
  }
}

interface Waiting {
  readonly to: NodeId;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: QuorateError) => void;
}

export class MemoryTransport implements Transport {
  readonly #id: NodeId;
  readonly #network: MemoryNetwork;
  readonly #waiting = new Map<number, Waiting>();
  #host: TransportHost | null = null;
  #peers: readonly PeerAddress[] = [];
  #calls = 0;
  #dropped = 0;

  constructor(id: NodeId, network: MemoryNetwork) {
    this.#id = id;
    this.#network = network;
  }

  async start(host: TransportHost): Promise<void> {
    this.#host = host;
    this.#network.attach(this.#id, this);
  }

  listen(): Promise<void> {
    return Promise.resolve(); // whoever is started can be reached
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers;
  }

  #isPeer(id: NodeId): boolean {
    return this.#peers.some((peer) => peer.id === id);
  }

  send(to: NodeId, message: unknown): void {
    const bytes = encode(message, { ignoreUndefined: true });
    const from = this.#id;
    if (this.#isPeer(to) && this.#network.deliver(from, to, (target) => target.#host?.message(from, decode(bytes)))) return;
    this.#dropped++;
    this.#host?.unreachable(to);
  }

  /** The time-out is the network's: a call whose peer is cut off or gone meanwhile fails when somebody asks `giveUp`. */
  call(to: NodeId, request: unknown): Promise<unknown> {
    const number = ++this.#calls;
    const bytes = encode(request, { ignoreUndefined: true });
    const from = this.#id;
    return new Promise((resolve, reject) => {
      const sent = this.#isPeer(to) && this.#network.deliver(from, to, (target) => target.#answer(from, number, decode(bytes)));
      if (sent) this.#waiting.set(number, { to, resolve, reject });
      else reject(new QuorateError("unavailable", "notSent", `member ${to} cannot be reached`, { peer: to }));
    });
  }

  /** Ends the calls to a peer that are under way, as a broken connection does: their outcome is unknown. */
  giveUp(to: NodeId): void {
    for (const [number, waiting] of this.#waiting) {
      if (waiting.to !== to) continue;
      this.#waiting.delete(number);
      waiting.reject(errTimeout());
    }
  }

  #answer(from: NodeId, number: number, request: unknown): void {
    const reply = (act: (waiting: Waiting) => void) => {
      this.#network.deliver(this.#id, from, (asker) => {
        const waiting = asker.#waiting.get(number);
        asker.#waiting.delete(number);
        if (waiting !== undefined) act(waiting);
      });
    };
    if (this.#host === null) return;
    this.#host.call(from, request).then(
      (answer) => {
        const bytes = encode(answer, { ignoreUndefined: true });
        reply((waiting) => waiting.resolve(decode(bytes)));
      },
      (error: unknown) => {
        const known = isQuorateError(error) ? error : new QuorateError("internal", "internal", String(error));
        reply((waiting) => waiting.reject(known));
      },
    );
  }

  /** Who is behind it; null while it is not started. */
  hostOf(): TransportHost | null {
    return this.#host;
  }

  async *fetchSnapshot(from: NodeId, id: string, offset: number): AsyncIterable<Uint8Array> {
    const there = this.#isPeer(from) && this.#network.reachable(from, this.#id) !== undefined;
    const source = there ? (this.#network.reachable(this.#id, from)?.hostOf() ?? null) : null;
    if (source === null) throw new QuorateError("unavailable", "notSent", `member ${from} cannot be reached`, { peer: from });
    for await (const chunk of source.readSnapshot(id, offset)) {
      if (this.#network.reachable(from, this.#id) === undefined) {
        throw new QuorateError("unavailable", "snapshotFailed", "the stream of a snapshot broke", { peer: from });
      }
      yield chunk.slice();
    }
  }

  stats(): readonly TransportStats[] {
    return this.#peers.map(({ id }) => ({
      peer: id,
      connected: this.#network.reachable(this.#id, id) !== undefined,
      sentBytes: 0,
      sentFrames: 0,
      dropped: this.#dropped,
      reconnects: 0,
      problem: this.#network.reachable(this.#id, id) === undefined ? "not reachable" : null,
      roundTripMs: null,
    }));
  }

  refused(): Readonly<Record<string, number>> {
    return {};
  }

  async stop(): Promise<void> {
    this.#network.detach(this.#id, this);
    for (const { to } of [...this.#waiting.values()]) this.giveUp(to);
    this.#host = null;
  }
}
