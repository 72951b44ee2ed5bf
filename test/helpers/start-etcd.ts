/** A real etcd of one member, where it is installed: what this project's server is compared with. */
import { execFileSync } from "node:child_process";
import { freePort } from "./free-port.ts";
import { startServer, type ServerProcess } from "./start-server.ts";
import { tempDir } from "./temp-dir.ts";

export interface EtcdOptions {
  /** Default: a fresh temporary directory. */
  readonly dataDir?: string;
  readonly port?: number;
  /** The port for other members; nobody uses it, but etcd insists. */
  readonly peerPort?: number;
  readonly flags?: readonly string[];
  /** false: return at once after the start. Default true. */
  readonly waitReady?: boolean;
}

/** The version of the etcd on the path, or undefined when there is none. */
export function etcdVersion(): string | undefined {
  try {
    return /etcd Version: (\S+)/.exec(execFileSync("etcd", ["--version"], { encoding: "utf8" }))?.[1];
  } catch {
    return undefined;
  }
}

/** @throws Error with the server's output when it did not become ready */
export async function startEtcd(options: EtcdOptions = {}): Promise<ServerProcess> {
  const port = options.port ?? (await freePort());
  const dataDir = options.dataDir ?? tempDir("etcd");
  const url = `http://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${options.peerPort ?? (await freePort())}`;
  const log = ["--logger=zap", "--log-level=error"];
  const clients = ["--listen-client-urls", url, "--advertise-client-urls", url];
  const peers = ["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl, "--initial-cluster", `default=${peerUrl}`];
  return startServer({
    name: "etcd",
    command: "etcd",
    args: ["--enable-v2", "--data-dir", dataDir, ...log, ...clients, ...peers, ...(options.flags ?? [])],
    port,
    dataDir,
    env: { ETCD_UNSUPPORTED_ARCH: process.arch },
    waitReady: options.waitReady ?? true,
  });
}
