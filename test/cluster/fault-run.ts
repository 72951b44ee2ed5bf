/**
 * A cluster of three real processes under faults, with clients whose history is judged afterwards and watches that may miss nothing:
 * `faults.test.ts` does each fault once; `npm run faults -- --minutes 10 --seed 7` goes on for longer.
 */
import { writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { Random } from "../differential/random.ts";
import { Recorder, type Truth, checkHistory } from "../history/revision-check.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { BadDisk, compileBadDisk } from "./bad-disk.ts";
import { callV3, fromBase64 } from "./http.ts";
import { FAULTS, type Fault, Nemesis } from "./nemesis.ts";
import { PeerProxy } from "./peer-proxy.ts";
import { RecordedClient } from "./recorded-client.ts";
import { Watcher, history } from "./watcher.ts";

export interface FaultRunOptions {
  readonly seed: number;
  readonly faults?: readonly Fault[];
  /** After the faults, goes on with faults by chance until so much time has passed. */
  readonly minutes?: number;
  readonly progress?: (text: string) => void;
}

export interface FaultRunResult {
  readonly operations: number;
  readonly unknown: number;
  readonly revisions: number;
  readonly watched: number;
  readonly faults: Readonly<Record<string, number>>;
  /** One sentence each; empty: all is well. */
  readonly violations: readonly string[];
}

const CLIENTS = 6;
const library = compileBadDisk();

export async function faultRun(options: FaultRunOptions): Promise<FaultRunResult> {
  const random = new Random(options.seed);
  const agent = new Agent({ keepAlive: true });
  const proxy = new PeerProxy();
  const disks = new Map<string, BadDisk>();
  const env = (name: string): Record<string, string> => {
    if (library === undefined) return {};
    const disk = disks.get(name) ?? new BadDisk(library);
    disks.set(name, disk);
    return disk.env;
  };
  // Short, so that snapshots are made, moved and fallen back to all the time.
  const flags = ["--snapshot-count", "500"];
  const advertise = ({ name, peerUrl }: { name: string; peerUrl: string }) => proxy.address(name, Number(new URL(peerUrl).port));
  const cluster = await Cluster.start({ size: 3, env, flags, advertise });
  const recorder = new Recorder(() => performance.now());
  const urls = () => cluster.urls;
  const clients = Array.from(
    { length: CLIENTS },
    (_, id) => new RecordedClient({ id, random: new Random(options.seed * 100 + id), recorder, urls }),
  );
  const watches = new ResumingWatches(cluster, 2);
  const nemesis = new Nemesis({ cluster, proxy, disks, random, agent });
  try {
    await cluster.untilLeader();
    clients.forEach((client) => client.start());
    watches.start();
    const faults = options.faults ?? FAULTS;
    const begun = performance.now();
    for (const fault of shuffled(faults, random)) {
      options.progress?.(fault);
      await nemesis.once(fault);
    }
    while (performance.now() - begun < (options.minutes ?? 0) * 60_000) {
      const fault = random.pick(FAULTS);
      options.progress?.(fault);
      await nemesis.once(fault);
    }
    await Promise.all(clients.map((client) => client.stop()));
    await cluster.untilLeader();
    const { header } = await callV3<{ header: { revision: string } }>(agent, urls()[0]!, "/v3/kv/range", { key: "YQ==" });
    const last = Number(header.revision);
    const violations: string[] = [];
    await watches.finish(last, violations);
    await untilSame(cluster, agent);
    const truth = await truthOf(urls()[0]!, last);
    violations.push(...checkHistory(recorder.operations, truth), ...watches.compare(truth));
    if (violations.length > 0) {
      const file = join(tempDir("history"), "history.ndjson");
      writeFileSync(file, recorder.operations.map((operation) => JSON.stringify(operation)).join("\n"));
      violations.push(
        `the history is in ${file}`,
        ...cluster.members.map(({ name, process: one }) => `--- ${name}:\n${one.output().slice(-3_000)}`),
      );
    }
    return {
      operations: recorder.operations.length,
      unknown: recorder.operations.filter(({ answer }) => answer === null).length,
      revisions: truth.length,
      watched: watches.seen(),
      faults: nemesis.counts,
      violations,
    };
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
    watches.stop();
    agent.destroy();
    await cluster.stop();
    await proxy.stop();
  }
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const left = [...list];
  return Array.from(list, () => left.splice(random.int(left.length), 1)[0]!);
}

/** Watches that go on at another member whenever they are cut off. */
class ResumingWatches {
  readonly #cluster: Cluster;
  readonly #watchers: Watcher[];
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(cluster: Cluster, count: number) {
    this.#cluster = cluster;
    this.#watchers = Array.from({ length: count }, () => new Watcher());
  }

  start(): void {
    // Also without need: a watch that moves to a member that is behind must not see anything twice.
    const move = () => this.#watchers.forEach((watcher) => this.#move(watcher));
    move();
    this.#timer = setInterval(move, 700);
  }

  #move(watcher: Watcher): void {
    watcher.stop();
    const { urls } = this.#cluster;
    watcher.start(urls[++this.#turn % urls.length]!);
  }

  async finish(revision: number, violations: string[]): Promise<void> {
    for (const watcher of this.#watchers) {
      await watcher.until(revision, 20_000).catch((error: unknown) => violations.push(`a watch: ${String(error)}`));
    }
    this.stop();
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const watcher of this.#watchers) watcher.stop();
  }

  seen(): number {
    return this.#watchers.reduce((sum, { seen }) => sum + seen.length, 0);
  }

  compare(truth: readonly Truth[]): string[] {
    return this.#watchers.flatMap(({ seen, faults }) => {
      const differing = truth.find(({ revision, key, value }, at) => {
        const event = seen[at];
        return event?.revision !== revision || event.what !== describe(key, value);
      });
      const wrong = differing === undefined ? [] : [`a watch saw something else than ${JSON.stringify(differing)}`];
      return [...faults.map((fault) => `a watch: ${fault}`), ...wrong];
    });
  }
}

const base = (text: string): string => Buffer.from(text, "utf8").toString("base64");
const describe = (key: string, value: string | undefined): string =>
  value === undefined ? `DELETE ${base(key)}` : `PUT ${base(key)}=${base(value)}`;

async function truthOf(url: string, last: number): Promise<Truth[]> {
  return (await history(url, last)).map(({ revision, what }) => {
    if (what.startsWith("DELETE ")) return { revision, key: fromBase64(what.slice("DELETE ".length)), value: undefined };
    const [, key = "", value = ""] = /^PUT ([A-Za-z0-9+/]+={0,2})=(.*)$/.exec(what) ?? [];
    return { revision, key: fromBase64(key), value: fromBase64(value) };
  });
}

async function untilSame(cluster: Cluster, agent: Agent): Promise<void> {
  let seen = "";
  await untilTrue(
    async () => {
      const hashes = await Promise.all(cluster.urls.map((url) => callV3<{ hash: number }>(agent, url, "/v3/maintenance/hash", {})));
      seen = hashes.map(({ hash }) => hash).join(", ");
      return new Set(hashes.map(({ hash }) => hash)).size === 1;
    },
    { timeoutMs: 20_000, what: () => `equal state everywhere; hashes ${seen}` },
  );
}
