/** The servers that are compared. */
import { etcdVersion, startEtcd } from "../test/helpers/start-etcd.ts";
import { startQuorate } from "../test/helpers/start-quorate.ts";
import type { ServerProcess } from "../test/helpers/start-server.ts";

export interface Contender {
  readonly name: "quorate" | "etcd";
  /** @param at an earlier server of this contender, ended: the new one gets its port and data */
  start(at?: ServerProcess, options?: { readonly flags?: readonly string[]; readonly waitReady?: boolean }): Promise<ServerProcess>;
}

const quorate: Contender = {
  name: "quorate",
  start: (at, options) => startQuorate({ ...placeOf(at), ...options }),
};

const etcd: Contender = {
  name: "etcd",
  start: (at, options) => startEtcd({ ...placeOf(at), ...options }),
};

function placeOf(at: ServerProcess | undefined): { port?: number; dataDir?: string } {
  return at === undefined ? {} : { port: at.port, dataDir: at.dataDir };
}

/** Ours first; etcd when it is installed. `QUORATE_BENCH_OURS=etcd` compares etcd with itself, which shows the noise of the method. */
export function contenders(): readonly [Contender, ...Contender[]] {
  const ours: Contender = process.env["QUORATE_BENCH_OURS"] === "etcd" ? { ...etcd, name: "quorate" } : quorate;
  return etcdVersion() === undefined ? [ours] : [ours, etcd];
}

/** Calls `work` with a server of each contender, which are ended afterwards in any case. */
export async function withServers<T>(
  list: readonly Contender[],
  flags: readonly string[],
  work: (servers: readonly ServerProcess[]) => Promise<T>,
): Promise<T> {
  const servers: ServerProcess[] = [];
  try {
    for (const contender of list) servers.push(await contender.start(undefined, { flags }));
    return await work(servers);
  } finally {
    for (const server of servers) await server.stop();
  }
}
