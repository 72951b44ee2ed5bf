/** What the log says of connections between members: that a peer is reached or not, and why; who was turned away. */
import type { RefusedConnection } from "../../adapters/tcp-transport/tcp-transport.ts";
import type { PeerAddress } from "../../core/replica/transport-port.ts";
import { refusalNotices } from "../refusal-notices.ts";

type Notice = (level: "info" | "warn", message: string, details: Record<string, unknown>) => void;

export interface PeerNotices {
  onPeer(peer: PeerAddress, problem: string | null): void;
  onRefused(refusal: RefusedConnection): void;
}

/** @param monotonicMs of any origin */
export function peerNotices(notice: Notice, monotonicMs: () => number): PeerNotices {
  return {
    onPeer({ id, urls }, problem) {
      if (problem === null) notice("info", `connected to member ${id}`, { urls });
      else notice("warn", `no connection to member ${id}: ${problem}`, { urls });
    },
    onRefused: refusalNotices((refusal) => notice("warn", "a connection between members was turned away", { ...refusal }), monotonicMs),
  };
}
