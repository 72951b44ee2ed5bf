/**
 * What the log says of connections between members: that a peer is reached or not, and why; who was turned away. Whoever knocks without
 * end fills no log: each address is named once a second, with the number of times that were left out.
 */
import type { RefusedConnection } from "../../adapters/tcp-transport/tcp-transport.ts";
import type { PeerAddress } from "../../core/replica/transport-port.ts";

const REFUSED_INTERVAL_MS = 1_000;
/** Addresses remembered; the one that was named longest ago is forgotten first. */
const REMOTES_MAX = 1_000;

type Notice = (level: "info" | "warn", message: string, details: Record<string, unknown>) => void;

export interface PeerNotices {
  onPeer(peer: PeerAddress, problem: string | null): void;
  onRefused(refusal: RefusedConnection): void;
}

/** @param monotonicMs of any origin */
export function peerNotices(notice: Notice, monotonicMs: () => number): PeerNotices {
  /** In the order of `namedAt`. */
  const remotes = new Map<string, { readonly namedAt: number; leftOut: number }>();
  return {
    onPeer({ id, urls }, problem) {
      if (problem === null) notice("info", `connected to member ${id}`, { urls });
      else notice("warn", `no connection to member ${id}: ${problem}`, { urls });
    },
    onRefused({ remote, member, reason }) {
      const now = monotonicMs();
      const known = remotes.get(remote);
      if (known !== undefined && now - known.namedAt < REFUSED_INTERVAL_MS) {
        known.leftOut++;
        return;
      }
      const leftOut = known?.leftOut ?? 0;
      remotes.delete(remote);
      remotes.set(remote, { namedAt: now, leftOut: 0 });
      for (const oldest of remotes.keys()) {
        if (remotes.size <= REMOTES_MAX) break;
        remotes.delete(oldest);
      }
      notice("warn", "a connection between members was turned away", {
        remote,
        ...(member === undefined ? {} : { member }),
        reason,
        ...(leftOut === 0 ? {} : { leftOut }),
      });
    },
  };
}
