/** The transport between members as the settings want it: where to listen, and with which certificates. */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type PeerTls, TcpTransport } from "../../adapters/tcp-transport/tcp-transport.ts";
import { ConfigError } from "../config.ts";
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

/** @throws ConfigError for files of TLS that cannot be read or used, and for flags that do not go together */
export function peerTransport(settings: Settings, identity: PeerIdentity, notices: PeerNotices): TcpTransport {
  const urls = settings["listen-peer-urls"] ?? DEFAULT_LISTEN;
  const tls = tlsOf(settings, urls);
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

function tlsOf(settings: Settings, urls: readonly string[]): PeerTls | undefined {
  const [cert, key, ca] = [settings["peer-cert-file"], settings["peer-key-file"], settings["peer-trusted-ca-file"]];
  const secure = urls.filter((url) => url.startsWith("https:")).length;
  if (secure > 0 && secure < urls.length) throw new ConfigError("--listen-peer-urls mixes http and https; wanted: one of them");
  if (secure > 0 && (cert === undefined || key === undefined)) {
    throw new ConfigError("--listen-peer-urls is https, which needs --peer-cert-file and --peer-key-file");
  }
  if ((cert === undefined) !== (key === undefined)) throw new ConfigError("--peer-cert-file and --peer-key-file belong together");
  const clientAuth = settings["peer-client-cert-auth"];
  if (clientAuth && ca === undefined) throw new ConfigError("--peer-client-cert-auth needs --peer-trusted-ca-file");
  if (cert === undefined && ca === undefined) return undefined;
  const files = {
    ...(cert === undefined ? {} : { cert: read("peer-cert-file", cert, (text) => createSecureContext({ cert: text })) }),
    ...(key === undefined ? {} : { key: read("peer-key-file", key, (text) => createPrivateKey(text)) }),
    ...(ca === undefined ? {} : { ca: read("peer-trusted-ca-file", ca, (text) => new X509Certificate(text)) }),
  };
  try {
    createSecureContext(files);
  } catch (error) {
    throw new ConfigError(`--peer-cert-file ${JSON.stringify(cert)} and --peer-key-file ${JSON.stringify(key)}: ${messageOf(error)}`);
  }
  return { ...files, requireClientCert: clientAuth };
}

/** @param check throws for what cannot be used */
function read(name: string, path: string, check: (text: Buffer) => unknown): Buffer {
  let text: Buffer;
  try {
    text = readFileSync(path);
  } catch (error) {
    throw new ConfigError(`--${name} is ${JSON.stringify(path)}, which cannot be read: ${messageOf(error)}`);
  }
  try {
    check(text);
  } catch (error) {
    throw new ConfigError(`--${name} is ${JSON.stringify(path)}, which cannot be used: ${messageOf(error)}`);
  }
  return text;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
