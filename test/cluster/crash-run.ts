/**
 * One server that is ended again and again under load, and its clients, who know what must be there afterwards. After each restart:
 *
 * - every writer finds what was acknowledged, and of a request under way all or nothing;
 * - no revision or index is below one that was told before;
 * - the watch resumes after the last revision it saw, and misses nothing and repeats nothing;
 * - the long poll of the v2 API does so too;
 * - leases that were granted are there, with their keys.
 */
import { Agent } from "node:http";
import type { ServerProcess } from "../helpers/start-server.ts";
import { Random } from "../differential/random.ts";
import { base64, callV3 } from "./http.ts";
import { appendGarbage, logFiles, segmentFiles, writeGarbageAfterData } from "./data-files.ts";
import { V2Waiter } from "./v2-waiter.ts";
import { history, Watcher } from "./watcher.ts";
import { v2Writer, v3Writer, type Writer } from "./writer.ts";

/** kill: SIGKILL · garbage: SIGKILL, then a torn write behind the log's end · append: SIGKILL, then bytes appended to the newest log file · terminate: SIGTERM */
export type Ending = "kill" | "garbage" | "append" | "terminate";

export interface CrashRunOptions {
  readonly seed: number;
  /** Starts the server; `at` is the one before, ended. */
  readonly start: (at: ServerProcess | undefined) => Promise<ServerProcess>;
  readonly endings: readonly Ending[];
  readonly cycles: number;
  readonly onCycle?: (text: string) => void;
}

export interface CrashResult {
  readonly cycles: number;
  readonly acknowledged: number;
  readonly events: number;
  /** One sentence each; empty when all is well. */
  readonly faults: readonly string[];
}

const V3_WRITERS = 8;
const V2_WRITERS = 3;
const LOAD_MS_MIN = 80;
const LOAD_MS_MAX = 450;
const GARBAGE_BYTES_MAX = 5_000;
const LEASE_TTL = "86400";

type Status = { header: { revision: string } };

export class CrashRun {
  readonly #options: CrashRunOptions;
  readonly #random: Random;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #writers: Writer[];
  readonly #watcher = new Watcher();
  readonly #waiter = new V2Waiter();
  readonly #leases: string[] = [];
  readonly #faults: string[] = [];
  #server: ServerProcess | undefined;

  constructor(options: CrashRunOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#writers = [
      ...Array.from({ length: V3_WRITERS }, (_, n) => v3Writer(`three${n}`, options.seed + n)),
      ...Array.from({ length: V2_WRITERS }, (_, n) => v2Writer(`two${n}`, options.seed + 100 + n)),
    ];
  }

  /** Ends the server in any case. @throws Error when the server did not come up again */
  async run(): Promise<CrashResult> {
    let cycles = 0;
    try {
      this.#server = await this.#options.start(undefined);
      await this.#firstWrites(this.#server);
      while (cycles < this.#options.cycles && this.#faults.length === 0) {
        await this.#cycle(this.#server, this.#options.endings[cycles % this.#options.endings.length] as Ending);
        cycles++;
        this.#options.onCycle?.(
          `cycle ${cycles}: ${this.#acknowledged()} acknowledged, ${this.#watcher.seen.length} events, ${this.#faults.length} faults`,
        );
      }
      if (this.#faults.length === 0) await this.#compareHistory(this.#server);
    } finally {
      this.#watcher.stop();
      this.#waiter.stop();
      for (const writer of this.#writers) writer.close();
      await this.#server?.stop();
    }
    return { cycles, acknowledged: this.#acknowledged(), events: this.#watcher.seen.length, faults: this.#faults };
  }

  #acknowledged(): number {
    return this.#writers.reduce((sum, writer) => sum + writer.acknowledged(), 0);
  }

  /** Both APIs have a first change, so that there is a place to watch from. */
  async #firstWrites({ url }: ServerProcess): Promise<void> {
    await callV3<Status>(this.#agent, url, "/v3/kv/put", { key: base64("first"), value: base64("1") });
    const reply = await fetch(`${url}/v2/keys/first-of-v2`, { method: "PUT", body: new URLSearchParams({ value: "1" }) });
    const { node } = (await reply.json()) as { node: { modifiedIndex: number } };
    this.#watcher.start(url, 1);
    this.#waiter.start(url, node.modifiedIndex);
  }

  async #cycle(server: ServerProcess, ending: Ending): Promise<void> {
    const writing = this.#writers.map((writer) => writer.run(server.url));
    const granted = this.#grantLease(server.url);
    await new Promise((resolve) => setTimeout(resolve, LOAD_MS_MIN + this.#random.int(LOAD_MS_MAX - LOAD_MS_MIN)));
    if (server.exit() !== undefined) throw new Error(`the server ended by itself: ${JSON.stringify(server.exit())}\n${server.output()}`);
    await this.#end(server, ending);
    for (const writer of this.#writers) writer.stop();
    await Promise.all([...writing, granted, this.#waiter.ended()]);
    this.#watcher.stop();
    this.#server = await this.#options.start(server);
    this.#watcher.start(this.#server.url);
    this.#waiter.start(this.#server.url, 0);
    await this.#check(this.#server);
  }

  async #end(server: ServerProcess, ending: Ending): Promise<void> {
    const exit = await server.kill(ending === "terminate" ? "SIGTERM" : "SIGKILL");
    // etcd raises the signal again when it is done, so that it does not end with 0.
    if (ending === "terminate" && exit.code !== 0 && server.name !== "etcd") {
      this.#faults.push(`SIGTERM ended the server with ${exit.signal ?? exit.code}: ${server.output().slice(-2_000)}`);
    }
    if (ending !== "garbage" && ending !== "append") return;
    const newest = (ending === "append" ? segmentFiles : logFiles)(server.dataDir).at(-1);
    if (newest === undefined) throw new Error(`no log file in ${server.dataDir}`);
    const garbage = Uint8Array.from({ length: 1 + this.#random.int(GARBAGE_BYTES_MAX) }, () => this.#random.int(256));
    if (ending === "append") appendGarbage(newest, garbage);
    else writeGarbageAfterData(newest, garbage);
  }

  /** One lease more a cycle, with one key; what was acknowledged must live on. */
  async #grantLease(url: string): Promise<void> {
    const id = String(7_000 + this.#leases.length);
    try {
      await callV3(this.#agent, url, "/v3/lease/grant", { ID: id, TTL: LEASE_TTL });
      await callV3(this.#agent, url, "/v3/kv/put", { key: base64(`leased/${id}`), value: base64(id), lease: id });
      this.#leases.push(id);
    } catch {
      // The server ended in the middle: whether this lease exists is open, and it is granted under the same id again next time.
      await Promise.resolve();
    }
  }

  async #check({ url }: ServerProcess): Promise<void> {
    for (const writer of this.#writers) this.#faults.push(...(await writer.check(url)));
    const { header } = await callV3<Status>(this.#agent, url, "/v3/kv/range", { key: base64("first") });
    await this.#watcher.until(Number(header.revision));
    this.#faults.push(...this.#watcher.faults, ...this.#waiter.faults);
    for (const id of this.#leases) {
      const lease = await callV3<{ TTL: string; keys?: string[] }>(this.#agent, url, "/v3/lease/timetolive", { ID: id, keys: true });
      if (!(Number(lease.TTL) > 0) || lease.keys?.length !== 1)
        this.#faults.push(`lease ${id} was granted, and is ${JSON.stringify(lease)}`);
    }
    await this.#retryLease(url);
  }

  /** A lease whose grant was cut off may exist: it is removed, so that its id can be granted again. */
  async #retryLease(url: string): Promise<void> {
    const id = String(7_000 + this.#leases.length);
    const lease = await callV3<{ TTL: string }>(this.#agent, url, "/v3/lease/timetolive", { ID: id });
    if (Number(lease.TTL) > 0) await callV3(this.#agent, url, "/v3/lease/revoke", { ID: id });
  }

  /** What the watch saw over all crashes is what there is. */
  async #compareHistory({ url }: ServerProcess): Promise<void> {
    const { header } = await callV3<Status>(this.#agent, url, "/v3/kv/range", { key: base64("first") });
    const all = await history(url, Number(header.revision));
    await this.#watcher.until(Number(header.revision));
    const seen = this.#watcher.seen;
    const at = all.findIndex((event, n) => event.revision !== seen[n]?.revision || event.what !== seen[n]?.what);
    if (at >= 0 || all.length !== seen.length) {
      this.#faults.push(
        `event ${at} of the history is ${JSON.stringify(all[at])}, and the watch saw ${JSON.stringify(seen[at])}; ${all.length} events, seen ${seen.length}`,
      );
    }
    if (this.#waiter.seen.size === 0) this.#faults.push("the v2 waiter saw nothing");
  }
}
