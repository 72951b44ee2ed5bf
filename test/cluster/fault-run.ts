/**
 * A cluster of three real processes under faults, with clients whose history is judged afterwards and watches that may miss nothing:
 * `faults.test.ts` does each fault once; `npm run faults -- --minutes 10 --seed 7` goes on for longer.
 */
import { writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { Random } from "../differential/random.ts";
import { HistoryRecorder, type Operation, type Request, describe, toNdjson } from "../history/history.ts";
import { HttpHistoryClient } from "../history/http-client.ts";
import { type SearchOptions, partitionByKey, searchRegister } from "../history/linearizability.ts";
import { WatchTruth, checkWatch, truthOf } from "../history/watch-check.ts";
import { checkWitness } from "../history/witness-check.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { BadDisk, compileBadDisk } from "./bad-disk.ts";
import { callV3 } from "./http.ts";
import { FAULTS, type Fault, Nemesis } from "./nemesis.ts";
import { PeerProxy } from "./peer-proxy.ts";
import { RecordedClient } from "./recorded-client.ts";
import { ALL_KEYS, RecordedWatch, type Wanted, watchWhole } from "./recorded-watch.ts";

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
  /** Keys for which the search came to no end within its bound. */
  readonly undecided: number;
  readonly revisions: number;
  readonly events: number;
  /** Events that the watches were told of. */
  readonly watched: number;
  readonly faults: Readonly<Record<string, number>>;
  /** One sentence each; empty: all is well. */
  readonly violations: readonly string[];
}

/** Keys that change together too, and keys that the search looks at, where each request is for one key. */
const KEYS = ["a", "b", "c", "d", "e"];
const SEARCHED_KEYS = new Set(["s1", "s2"]);
const CLIENTS = 4;
const SINGLE_KEY_CLIENTS = 2;
/** Times that the search of a key looks at its clock: a bound that is the same on every machine. */
const SEARCH_LOOKS_MAX = 2_000;
const WATCHES: Readonly<Record<string, Wanted>> = {
  "all keys": ALL_KEYS,
  "all keys again": ALL_KEYS,
  "puts from s1 on": { key: "s1", end: "\0", prev: true, without: "delete" },
};
/** What the last write is to, which all watches see. */
const LAST_KEY = "s1";
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
  const recorder = new HistoryRecorder(() => performance.now());
  const members = () => cluster.members;
  const clients = Array.from({ length: CLIENTS + SINGLE_KEY_CLIENTS }, (_, id) => {
    const singleKey = id >= CLIENTS;
    const keys = singleKey ? [...SEARCHED_KEYS] : KEYS;
    return new RecordedClient({ name: `c${id}`, random: new Random(options.seed * 100 + id), recorder, members, keys, singleKey });
  });
  const watches = new ResumingWatches(cluster, WATCHES);
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
    const { url } = cluster.members[0]!;
    const closing = new HttpHistoryClient({ client: "last", member: "any", url, recorder, timeoutMs: 20_000 });
    const closed = await closing.send({ kind: "put", key: LAST_KEY, value: "the last one" });
    if (typeof closed !== "object") throw new Error(`the last write was ${closed}`);
    const last = closed.revision;
    const violations: string[] = [];
    await watches.finish(last).catch((error: unknown) => violations.push(String(error)));
    await untilSame(cluster, agent);
    const operations = recorder.operations();
    const truth = truthOf(await watchWhole(url, last));
    const witness = checkWitness(operations, { truth });
    const searched = search(operations, witness.placed);
    const whole = new WatchTruth(truth);
    violations.push(
      ...witness.violations.map(({ rule, text }) => `${rule}: ${text}`),
      ...searched.violations,
      ...watches.judge(last, whole),
    );
    if (violations.length > 0) {
      const file = join(tempDir("history"), "history.ndjson");
      writeFileSync(file, toNdjson(operations));
      violations.push(
        `the history is in ${file}`,
        ...cluster.members.map(({ name, process: one }) => `--- ${name}:\n${one.output().slice(-3_000)}`),
      );
    }
    return {
      operations: operations.length,
      unknown: operations.filter((operation) => operation.return === null).length,
      undecided: searched.undecided,
      revisions: truth.length,
      events: whole.events.length,
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
  readonly #watches: readonly RecordedWatch[];
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(cluster: Cluster, wanted: Readonly<Record<string, Wanted>>) {
    this.#cluster = cluster;
    this.#watches = Object.entries(wanted).map(([name, one]) => new RecordedWatch(name, one));
  }

  start(): void {
    // Also without need: a watch that moves to a member that is behind must not see anything twice.
    const move = () => this.#watches.forEach((watch) => this.#move(watch));
    move();
    this.#timer = setInterval(move, 700);
  }

  #move(watch: RecordedWatch): void {
    watch.stop();
    const { urls } = this.#cluster;
    watch.start(urls[++this.#turn % urls.length]!);
  }

  /** @param revision of a change that all of them see */
  async finish(revision: number): Promise<void> {
    for (const watch of this.#watches) await watch.until(revision, 20_000);
    this.stop();
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const watch of this.#watches) watch.stop();
  }

  seen(): number {
    return this.#watches.reduce((sum, { events }) => sum + events, 0);
  }

  judge(revision: number, truth: WatchTruth): string[] {
    return this.#watches.flatMap((watch) => {
      const record = watch.record(revision);
      const told = checkWatch(record, truth).map(({ rule, text }) => `${rule}: ${text}`);
      return [...watch.faults, ...told].map((fault) => `the watch of ${record.name}: ${fault}`);
    });
  }
}

/** The search that trusts no revision, of the keys whose requests are all for one key. */
function search(operations: readonly Operation[], placed: ReadonlyMap<number, Operation>): { violations: string[]; undecided: number } {
  const searched = [...partitionByKey(operations.filter(({ request }) => SEARCHED_KEYS.has(firstKeyOf(request))))];
  const happened = new Set(placed.values());
  const violations: string[] = [];
  let undecided = 0;
  for (const [key, part] of searched) {
    let result = searchRegister(part, limits());
    // Many requests without an answer make it long: without those that never happened it is shorter.
    if (result.verdict === "unknown") result = searchRegister(part.filter((one) => one.return !== null || happened.has(one)), limits()); // prettier-ignore
    if (result.verdict === "unknown") undecided++;
    if (result.verdict !== "illegal") continue;
    const last = result.longest.slice(-5).map(describe).join("\n  ");
    violations.push(`no order explains the history of ${key}: ${describe(result.blocked!)}\nafter\n  ${last}`);
  }
  return { violations, undecided };
}

function limits(): SearchOptions {
  let looks = 0;
  return { now: () => ++looks, limit: SEARCH_LOOKS_MAX };
}

function firstKeyOf(request: Request): string {
  return request.kind === "txn" ? request.compare[0]!.key : request.key;
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
