/**
 * The network between whole members: messages may be lost, late, repeated and out of order; a call gets at most one answer, and when it
 * gets none the caller learns of it by a broken connection or by its own patience; a stream of a snapshot is slow and breaks. Values are
 * encoded and decoded, so that members share no object. Before the first message between two processes each asks the other's host
 * whether it may talk to that one, as in the handshake of adapters/tcp-transport.
 */
import { decode, encode } from "@msgpack/msgpack";
import { QuorateError, errTimeout, isQuorateError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/raft/types.ts";
import type {
  Greeting,
  PeerAddress,
  PeerClaim,
  PeerRefusal,
  Transport,
  TransportHost,
  TransportStats,
} from "../../../core/replica/transport-port.ts";
import type { Chance } from "../../helpers/chance.ts";
import type { Engine } from "./engine.ts";
import type { Life } from "./life.ts";
import type { Swarm } from "./swarm.ts";

const DELAY_FLOOR_MS = 0.1;
/** Between two attempts to connect. */
const REDIAL_MS = 500;
/**
 * Whether a member can answer a leader that is not in the configuration it knows, as one that is far behind meets it. etcd remembers the
 * address that such a leader connects from with ("remotes" in its rafthttp); adapters/tcp-transport does not, so that a member of whose
 * known peers none leads any more stays behind. Set to false to see it: seed 408.
 */
const ANSWERS_STRANGERS = true;

/** What the network needs of the run. */
export interface NetworkRun {
  readonly engine: Engine;
  readonly swarm: Swarm;
  count(what: string): void;
}

const errNotSent = (peer: NodeId) => new QuorateError("unavailable", "notSent", `member ${peer} cannot be reached`, { peer });
const errBroken = (peer: NodeId) => new QuorateError("unavailable", "snapshotFailed", "the stream of a snapshot broke", { peer });

export class SimulatedNetwork {
  readonly run: NetworkRun;
  readonly chance: Chance;
  readonly #attached = new Map<NodeId, SimulatedTransport>();
  readonly #cut = new Set<string>();
  readonly #clogged = new Map<string, number>();

  constructor(run: NetworkRun, chance: Chance) {
    this.run = run;
    this.chance = chance;
  }

  attach(transport: SimulatedTransport): void {
    this.#attached.set(transport.id, transport);
  }

  /** The process ended: connections to it break. */
  detach(transport: SimulatedTransport): void {
    if (this.#attached.get(transport.id) !== transport) return;
    this.#attached.delete(transport.id);
    for (const other of this.#attached.values()) other.lost(transport.id);
  }

  all(): Iterable<SimulatedTransport> {
    return this.#attached.values();
  }

  transportOf(id: NodeId): SimulatedTransport | undefined {
    return this.#attached.get(id);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
    this.#clogged.clear();
  }

  /** Cuts links in one of the shapes that clusters meet. @param order who is in the middle of it comes first */
  partition(order: readonly NodeId[]): string {
    const both = (a: NodeId, b: NodeId): void => {
      this.cut(a, b);
      this.cut(b, a);
    };
    const [first, second] = order;
    if (first === undefined || second === undefined) return "alone";
    const rest = order.slice(1);
    const shape = this.chance.pick(["halves", "isolate", "isolate", "one-way", "bridge", "deaf", "mute"] as const);
    switch (shape) {
      case "halves": {
        const at = this.chance.int(1, order.length - 1);
        for (const a of order.slice(0, at)) for (const b of order.slice(at)) both(a, b);
        break;
      }
      case "isolate":
        for (const other of rest) both(first, other);
        break;
      case "one-way":
        this.cut(first, second);
        break;
      case "deaf":
        for (const other of rest) this.cut(other, first);
        break;
      case "mute":
        for (const other of rest) this.cut(first, other);
        break;
      case "bridge": {
        // Two halves that meet in one member only.
        const at = rest.length >> 1;
        for (const a of rest.slice(0, at)) for (const b of rest.slice(at)) both(a, b);
      }
    }
    return shape;
  }

  delay(from: NodeId, to: NodeId): number {
    const { swarm, engine } = this.run;
    const link = `${from}>${to}`;
    if (this.chance.hit(swarm.clog)) {
      this.#clogged.set(link, engine.now + this.chance.exponential(800));
      this.run.count("network clog");
    }
    const clogged = Math.max(0, (this.#clogged.get(link) ?? 0) - engine.now);
    return DELAY_FLOOR_MS + clogged + this.chance.exponential(swarm.delayMean);
  }

  /** Takes one thing to a process, unless it is lost on the way. It does not survive the end of that process. */
  carry(from: NodeId, target: SimulatedTransport, act: () => void): void {
    const { engine, swarm } = this.run;
    if (this.isCut(from, target.id)) {
      this.run.count("network cut off");
      return;
    }
    if (this.chance.hit(swarm.loss)) {
      this.run.count("network drop");
      return;
    }
    engine.after(this.delay(from, target.id), () => {
      if (!this.isCut(from, target.id) && this.#attached.get(target.id) === target) target.life.run(act);
    });
  }
}

interface Call {
  readonly to: NodeId;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: QuorateError) => void;
}

interface Stream {
  readonly from: NodeId;
  readonly fail: () => void;
}

export interface TransportOptions {
  readonly network: SimulatedNetwork;
  readonly life: Life;
  readonly id: NodeId;
  /** What this process says of itself. */
  readonly claim: () => PeerClaim;
  /** Told of every message that leaves. */
  readonly onSend: (message: unknown) => void;
}

export class SimulatedTransport implements Transport {
  readonly id: NodeId;
  readonly life: Life;
  readonly #network: SimulatedNetwork;
  readonly #claim: () => PeerClaim;
  readonly #onSend: (message: unknown) => void;
  #host: TransportHost | null = null;
  #peers: readonly PeerAddress[] = [];
  /** Processes with which hands were shaken. */
  readonly #shaken = new Set<SimulatedTransport>();
  readonly #calls = new Map<number, Call>();
  readonly #streams = new Set<Stream>();
  #callCount = 0;
  #dropped = 0;

  constructor({ network, life, id, claim, onSend }: TransportOptions) {
    this.#network = network;
    this.life = life;
    this.id = id;
    this.#claim = claim;
    this.#onSend = onSend;
  }

  async start(host: TransportHost): Promise<void> {
    this.#host = host;
    if (!this.life.alive) return;
    this.#network.attach(this);
    this.#dial();
  }

  /** Connections are kept up also when there is nothing to say: so a member hears that it was removed. */
  #dial(): void {
    this.life.after(REDIAL_MS, () => {
      if (this.#host === null) return;
      for (const { id } of this.#peers) this.#connected(id);
      this.#dial();
    });
  }

  listen(): Promise<void> {
    return Promise.resolve(); // whoever is started can be reached
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers;
    for (const other of this.#shaken) {
      if (peers.some(({ id }) => id === other.id)) continue;
      this.#shaken.delete(other);
      other.#shaken.delete(this);
    }
    // Who is connected to this member and not one of its peers is judged again.
    for (const other of this.#network.all()) {
      if (!other.#shaken.has(this) || peers.some(({ id }) => id === other.id)) continue;
      if (this.#host?.admit(other.#claim()) !== null) other.#shaken.delete(this);
    }
  }

  /** The process there to whom this one may speak; undefined when there is none, or one of the two will not have it. */
  #connected(to: NodeId): SimulatedTransport | undefined {
    const target = this.#network.transportOf(to);
    if (!this.life.alive || target === undefined || !this.#mayReach(target)) return undefined;
    if (this.#shaken.has(target)) return target;
    if (this.#network.isCut(this.id, to) || this.#network.isCut(to, this.id)) return undefined;
    const theirs = target.#host?.admit(this.#claim()) ?? null;
    const ours = this.#host?.admit(target.#claim()) ?? null;
    if (theirs !== null) this.#turnedAway(to, theirs);
    if (ours !== null || theirs !== null) return undefined;
    this.#shaken.add(target);
    return target;
  }

  #mayReach(target: SimulatedTransport): boolean {
    return this.#peers.some(({ id }) => id === target.id) || (ANSWERS_STRANGERS && target.#shaken.has(this));
  }

  #turnedAway(by: NodeId, refusal: PeerRefusal): void {
    this.#network.run.count(`turned away: ${refusal.kind}`);
    this.life.after(1, () => this.#host?.turnedAway(by, refusal));
  }

  send(to: NodeId, message: unknown): void {
    if (!this.life.alive) return;
    this.#onSend(message);
    const { run, chance } = this.#network;
    const bytes = encode(message, { ignoreUndefined: true });
    const target = this.#connected(to);
    if (target === undefined) {
      this.#dropped++;
      this.#unreachable(to);
      return;
    }
    const arrive = (): void => {
      for (const byte of bytes) run.engine.mix(byte);
      run.count("messages");
      target.#host?.message(this.id, decode(bytes));
    };
    this.#network.carry(this.id, target, arrive);
    if (chance.hit(run.swarm.duplicate)) {
      run.count("network duplicate");
      this.#network.carry(this.id, target, arrive);
    }
    if (run.swarm.breaksShow && this.#network.isCut(this.id, to)) this.#unreachable(to);
  }

  #unreachable(peer: NodeId): void {
    this.life.after(1, () => this.#host?.unreachable(peer));
  }

  call(to: NodeId, request: unknown, timeoutMs: number): Promise<unknown> {
    if (!this.life.alive) return new Promise(() => undefined);
    const target = this.#connected(to);
    if (target === undefined) return Promise.reject(errNotSent(to));
    const number = ++this.#callCount;
    const bytes = encode(request, { ignoreUndefined: true });
    return new Promise((resolve, reject) => {
      this.#calls.set(number, { to, resolve, reject });
      this.life.after(timeoutMs, () => this.#end(number)?.reject(errTimeout()));
      this.#network.carry(this.id, target, () => target.#answer(this, number, decode(bytes)));
    });
  }

  #end(number: number): Call | undefined {
    const call = this.#calls.get(number);
    this.#calls.delete(number);
    return call;
  }

  #answer(asker: SimulatedTransport, number: number, request: unknown): void {
    if (this.#host === null) return;
    const reply = (settle: (call: Call) => void): void => {
      if (!this.life.alive) return;
      this.#network.carry(this.id, asker, () => {
        const call = asker.#end(number);
        if (call !== undefined) settle(call);
      });
    };
    this.#host.call(asker.id, request).then(
      (answer) => {
        const bytes = encode(answer, { ignoreUndefined: true });
        reply((call) => call.resolve(decode(bytes)));
      },
      (error: unknown) => {
        const known = isQuorateError(error) ? error : new QuorateError("internal", "internal", String(error));
        reply((call) => call.reject(known));
      },
    );
  }

  /** A process there ended: half of the calls to it learn it at once, the others by their patience. */
  lost(peer: NodeId): void {
    const { chance } = this.#network;
    for (const other of this.#shaken) if (other.id === peer) this.#shaken.delete(other);
    for (const [number, call] of this.#calls) {
      if (call.to !== peer || chance.hit(0.5)) continue;
      this.life.after(chance.exponential(5), () => this.#end(number)?.reject(errTimeout()));
    }
    for (const stream of this.#streams) if (stream.from === peer) stream.fail();
    this.#unreachable(peer);
    if (this.#network.run.swarm.breaksShow) this.life.after(60, () => this.#host?.gone(peer));
  }

  async *fetchSnapshot(from: NodeId, id: string, offset: number): AsyncIterable<Uint8Array> {
    const { run, chance } = this.#network;
    const source = this.#connected(from);
    if (source === undefined || this.#network.isCut(this.id, from)) throw errNotSent(from);
    let fail = (): void => {};
    const broken = new Promise<"broken">((resolve) => {
      fail = () => this.life.after(0, () => resolve("broken"));
    });
    const stream: Stream = { from, fail };
    this.#streams.add(stream);
    try {
      const chunks = source.#host!.readSnapshot(id, offset)[Symbol.asyncIterator]();
      for (;;) {
        await this.life.sleep(this.#network.delay(from, this.id));
        if (this.#network.isCut(from, this.id) || chance.hit(run.swarm.streamBreak)) {
          run.count("snapshot stream broken");
          throw errBroken(from);
        }
        const next = await Promise.race([chunks.next(), broken]);
        if (next === "broken") throw errBroken(from);
        if (next.done === true) return;
        run.count("snapshot chunk");
        yield next.value.slice();
      }
    } finally {
      this.#streams.delete(stream);
    }
  }

  /** Answers somebody who is not a member yet. */
  greet(): Greeting | undefined {
    return this.#host?.greet();
  }

  stats(): readonly TransportStats[] {
    return this.#peers.map(({ id }) => ({
      peer: id,
      connected: this.#network.transportOf(id) !== undefined,
      sentBytes: 0,
      sentFrames: 0,
      dropped: this.#dropped,
      reconnects: 0,
      problem: null,
      roundTripMs: null,
    }));
  }

  refused(): Readonly<Record<string, number>> {
    return {};
  }

  async stop(): Promise<void> {
    this.#network.detach(this);
    for (const [number] of this.#calls) this.#end(number)?.reject(errTimeout());
    this.#host = null;
  }
}
