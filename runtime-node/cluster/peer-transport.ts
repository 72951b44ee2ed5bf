/** The transport between members as the settings want it: where to listen, and with which certificates. */
import { type PeerTls, TcpTransport } from "../../adapters/tcp-transport/tcp-transport.ts";
import { parseClientUrl } from "../client-url.ts";
import type { Settings } from "../settings.ts";
import type { PeerNotices } from "./peer-notices.ts";

/** Bytes a second that one snapshot on its way to a peer may take: heartbeats and appends go on beside it. */
const SNAPSHOT_BYTES_PER_SECOND = 100 * 1024 * 1024;

const DEFAULT_LISTEN = ["http://localhost:2380"];

export interface PeerIdentity {
  readonly clusterId: () => string;
  readonly id: () => string;
  readonly boot: () => number;
  readonly diskId: () => string;
}

/** @param tls where an address is https; see `memberTls` */
export function peerTransport(settings: Settings, identity: PeerIdentity, notices: PeerNotices, tls: PeerTls | undefined): TcpTransport {
  const urls = settings["listen-peer-urls"] ?? DEFAULT_LISTEN;
  return new TcpTransport({
    ...identity,
    urls: () => settings["initial-advertise-peer-urls"],
    addresses: urls.map(parseClientUrl),
    snapshotBytesPerSecond: SNAPSHOT_BYTES_PER_SECOND,
    onRefused: (refusal) => notices.onRefused(refusal),
    onPeer: (peer, problem) => notices.onPeer(peer, problem),
    ...(tls === undefined ? {} : { tls }),
  });
}
