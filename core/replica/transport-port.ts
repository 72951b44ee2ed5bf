/**
 * Port: how members reach one another. Implementations: adapters/tcp-transport. Three kinds of traffic: messages of the consensus
 * (one way, may be lost, repeated or late), calls (a question with one answer, or an error that says whether it was asked), and
 * snapshots (a stream of its own, so that a large one holds up nothing).
 *
 * Values are what MessagePack carries: plain objects, arrays, strings, numbers, booleans, null and Uint8Array.
 */
import type { NodeId } from "../raft/types.ts";

export interface PeerAddress {
  readonly id: NodeId;
  /** `http://host:port` or `https://host:port`, as etcd writes peer addresses; tried in turn. */
  readonly urls: readonly string[];
}

/** What a member says of itself when it connects. */
export interface PeerClaim {
  readonly id: NodeId;
  /** Openings of its storage. */
  readonly boot: number;
  readonly diskId: string;
}

/** Why a member is not talked to. `removed`, `replaced` and `stale` end it; a `stranger` is not talked to now, and may ask again. */
export interface PeerRefusal {
  readonly kind: "removed" | "replaced" | "stale" | "stranger";
  readonly message: string;
}

/** Who the transport works for. Nothing here may block; what a peer sent was checked for form, not for sense. */
export interface TransportHost {
  /** @returns false for what is no message at all: the connection that it came by is to be closed, counted and named */
  message(from: NodeId, message: unknown): boolean;
  /** Answers a call of a peer. What it throws reaches the caller as a `QuorateError` of the same code and reason. */
  call(from: NodeId, request: unknown): Promise<unknown>;
  /** Answers somebody who does not belong to the cluster yet: the members, so that it can join. */
  greet(): Greeting;
  /** Whether somebody who says to be that member is talked to: asked for both directions. null: yes */
  admit(peer: PeerClaim): PeerRefusal | null;
  /** A peer does not talk to this member. The transport names it to an operator; here is what follows from it. */
  turnedAway(by: NodeId, refusal: PeerRefusal): void;
  /** Chunks of a snapshot this member holds, without its first `offset` bytes. @throws QuorateError notFound */
  readSnapshot(id: string, offset: number): AsyncIterable<Uint8Array>;
  /** A connection to a peer broke, or messages to it were dropped. */
  unreachable(peer: NodeId): void;
  /** After a connection to it broke: nobody listens at its addresses, so its process has ended. Left unsaid where that cannot be told. */
  gone(peer: NodeId): void;
}

/** What a member tells to somebody who wants to join. */
export interface Greeting {
  readonly clusterId: string;
  /** `ConsensusMember`s, unchecked where they come from a wire. */
  readonly members: readonly unknown[];
  /** Index of the entry that made the configuration in force: whoever is in it was added there or before. */
  readonly configIndex: number;
}

export interface TransportStats {
  readonly peer: NodeId;
  readonly connected: boolean;
  readonly sentBytes: number;
  readonly sentFrames: number;
  readonly dropped: number;
  readonly reconnects: number;
  /** Why there is no connection, as the last attempt ended; null while there is one. */
  readonly problem: string | null;
  /** Milliseconds of the last answered ping; null before the first. */
  readonly roundTripMs: number | null;
}

export interface Transport {
  /** Begins to connect to the peers. */
  start(host: TransportHost): Promise<void>;
  /** Takes connections of others from now on. Once is enough; a member alone has no need. @throws QuorateError listenFailed */
  listen(): Promise<void>;
  /**
   * The peers to keep connections with, this member left out. Connections to others are closed; whoever is connected here on its own
   * account, and admitted, is still answered: a member whose log is behind may not know yet who leads it.
   */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Queues a message. Dropped (and `unreachable` is told) when the peer is not connected or its queue is full. */
  send(to: NodeId, message: unknown): void;
  /**
   * @throws QuorateError `unavailable`/`notSent` when the call certainly did not reach the peer; `unavailable`/`timeout` when the
   *   outcome is unknown; otherwise what the peer threw
   */
  call(to: NodeId, request: unknown, timeoutMs: number): Promise<unknown>;
  /**
   * @param offset bytes of it that are here already: what follows them is fetched
   * @throws QuorateError when the peer cannot be reached, does not hold it, or the stream breaks
   */
  fetchSnapshot(from: NodeId, id: string, offset: number): AsyncIterable<Uint8Array>;
  stats(): readonly TransportStats[];
  /** Frames and connections refused since the start, by reason. */
  refused(): Readonly<Record<string, number>>;
  stop(): Promise<void>;
}
