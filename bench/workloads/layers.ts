/**
 * What each layer of a cluster costs: three members in this one process, first the Raft core alone, then with durable logs, then with
 * TCP between them. The whole, with HTTP and the store, is the row of `cluster.ts`.
 */
import { FileLogStorage } from "../../adapters/file-storage/file-log-storage.ts";
import { NodeFileSystem } from "../../adapters/file-storage/node-file-system.ts";
import { MemoryNetwork } from "../../adapters/memory/transport.ts";
import { TcpTransport } from "../../adapters/tcp-transport/tcp-transport.ts";
import { foundingLog } from "../../core/raft/config-change.ts";
import { DEFAULT_LIMITS } from "../../core/raft/limits.ts";
import { RaftNode } from "../../core/raft/node.ts";
import { Xoshiro128 } from "../../core/raft/prng.ts";
import { RaftConsensus } from "../../core/replica/raft-consensus.ts";
import type { Transport } from "../../core/replica/transport-port.ts";
import { freePorts } from "../../test/helpers/free-port.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { VALUE_BYTES } from "../load/requests.ts";
import type { Progress, Row } from "../row.ts";

const IDS = ["1", "2", "3"];
const SECONDS = 2;
/** Proposals handed to the core at once: what a busy server gathers during one write. */
const BATCH = 64;
/** Proposals that wait for their outcome, in the rows with a log. */
const OUTSTANDING = 512;
const TARGET_CORE = 300_000;

export async function layers({ progress }: { readonly progress: Progress }): Promise<Row[]> {
  const row = (what: string, ours: number): Row => {
    progress(`${what}: ${Math.round(ours)}/s`);
    return { workload: "three members in one process", measure: `${what}: proposals/s`, ours, etcd: undefined };
  };
  const core: Row = { ...row("Raft core", coreAlone()), target: { of: "ours", atLeast: TARGET_CORE } };
  return [core, row("core + log", await withLogs(memoryTransports())), row("core + log + TCP", await withLogs(await tcpTransports()))];
}

function coreAlone(): number {
  const founding = foundingLog(IDS.map((id) => ({ id, meta: "" })));
  const nodes = new Map(IDS.map((id) => [id, nodeOf(id, founding)]));
  const leader = nodes.get("1")!;
  // Two ticks of an election's time: the others no longer wait for a leader that they might have heard.
  for (let tick = 0; tick < 2 * DEFAULT_LIMITS.electionTicks && leader.status().role !== "leader"; tick++) {
    for (const node of nodes.values()) node.tick();
    leader.campaign();
    exchange(nodes);
  }
  const data = Array.from({ length: BATCH }, () => new Uint8Array(VALUE_BYTES));
  const began = performance.now();
  let count = 0;
  while (performance.now() - began < SECONDS * 1_000) {
    if (leader.propose(data).ok) count += BATCH;
    exchange(nodes);
    if (count % (BATCH * 128) === 0) for (const node of nodes.values()) compact(node);
  }
  return count / SECONDS;
}

function nodeOf(id: string, { hard, entries }: ReturnType<typeof foundingLog>): RaftNode {
  const restored = { hard, entries, snapshot: null, applied: 0, boot: 1, joinIndex: 0 };
  const options = { preVote: true, checkQuorum: true, reads: "quorum", maxClockDriftPpm: 0, priority: 100 } as const;
  return new RaftNode({ id, limits: DEFAULT_LIMITS, prng: new Xoshiro128(1, id), restored, ...options });
}

/** Delivers messages and reports writes as durable at once, until nothing moves any more. */
function exchange(nodes: ReadonlyMap<string, RaftNode>): void {
  for (let moved = true; moved;) {
    moved = false;
    for (const node of nodes.values()) {
      while (node.hasReady()) {
        moved = true;
        const { send, sendAfterPersist, apply, seq } = node.ready();
        for (const message of send) nodes.get(message.to)!.step(message);
        node.persisted(seq);
        for (const message of sendAfterPersist) nodes.get(message.to)!.step(message);
        const last = apply.at(-1);
        if (last !== undefined) node.applied(last.index);
      }
    }
  }
}

function compact(node: RaftNode): void {
  const { log, applied: index } = node.inspect();
  const { config, index: configIndex } = node.configAt(index)!;
  node.compacted({ index, term: log.term(index)!, config, configIndex, size: 1, id: String(index) });
}

interface Transports {
  readonly of: (id: string, consensus: () => RaftConsensus) => Transport;
  readonly url: (id: string) => string;
}

function memoryTransports(): Transports {
  const network = new MemoryNetwork();
  return { of: (id) => network.transport(id), url: (id) => `http://member-${id}:2380` };
}

async function tcpTransports(): Promise<Transports> {
  const ports = await freePorts(IDS.length);
  const portOf = (id: string): number => ports[IDS.indexOf(id)]!;
  return {
    url: (id) => `http://127.0.0.1:${portOf(id)}`,
    of: (id, consensus) =>
      new TcpTransport({
        clusterId: () => "7",
        id: () => id,
        boot: () => consensus().boot,
        diskId: () => id,
        urls: () => [],
        addresses: [{ host: "127.0.0.1", port: portOf(id), secure: false }],
        snapshotBytesPerSecond: 1e9,
      }),
  };
}

async function withLogs(transports: Transports): Promise<number> {
  const founding = IDS.map((id) => ({ id, meta: { name: id, peerUrls: [transports.url(id)], clientUrls: [] } }));
  let applied = 0;
  const members = IDS.map((id): RaftConsensus => {
    const consensus: RaftConsensus = new RaftConsensus({
      storage: new FileLogStorage({ directory: tempDir("layer"), fileSystem: new NodeFileSystem() }),
      transport: transports.of(id, () => consensus),
      begin: async () => ({ identity: { clusterId: "7", memberId: id, diskId: id }, founding, joinIndex: 0, bootstrapPeers: [] }),
      seed: Number(id),
      defer: setImmediate,
      onNotice: () => {},
    });
    return consensus;
  });
  const counting = members[0]!;
  await Promise.all(
    members.map((member) =>
      member.start({
        apply: (entries) => {
          if (member === counting) applied += entries.filter(({ kind }) => kind === "data").length;
        },
        restore: () => Promise.resolve(),
        officeChanged: () => {},
        answer: () => Promise.reject(new Error("nobody asks")),
        failed: (error) => {
          throw error;
        },
        removed: () => {},
      }),
    ),
  );
  const ticking = setInterval(() => members.forEach((member) => member.tick(1)), 100);
  const data = new Uint8Array(VALUE_BYTES);
  const leader = async (): Promise<RaftConsensus> => {
    for (;;) {
      const found = members.find((member) => member.status().leading);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const leading = await leader();
  const from = applied;
  let proposed = 0;
  const began = performance.now();
  while (performance.now() - began < SECONDS * 1_000) {
    while (proposed - (applied - from) < OUTSTANDING && leading.propose(data).ok) proposed++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const rate = (applied - from) / ((performance.now() - began) / 1_000);
  clearInterval(ticking);
  await Promise.all(members.map((member) => member.stop()));
  return rate;
}
