/** A client of a cluster that does random requests on a few keys, through any member, and has each of them recorded. */
import type { Random } from "../differential/random.ts";
import type { HistoryRecorder } from "../history/history.ts";
import { HttpHistoryClient } from "../history/http-client.ts";
import { Workload } from "../history/workload.ts";
import type { ClusterMember } from "../helpers/start-cluster.ts";

/** A client gives up and asks elsewhere; what it asked for may still happen. */
const ANSWER_MS = 2_500;
/** After a request without an answer. */
const PAUSE_MS = 20;

export interface ClientOptions {
  readonly name: string;
  readonly random: Random;
  readonly recorder: HistoryRecorder;
  /** Members that may be asked, as of now. */
  readonly members: () => readonly ClusterMember[];
  readonly keys: readonly string[];
  /** See `WorkloadOptions`. */
  readonly singleKey: boolean;
}

export class RecordedClient {
  readonly #options: ClientOptions;
  readonly #workload: Workload;
  #stopping = false;
  #done: Promise<void> | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { random, name: client, keys, singleKey } = options;
    this.#workload = new Workload({ random, client, keys, singleKey });
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const outcome = await this.#client().send(this.#workload.next());
      if (typeof outcome === "object") this.#workload.observe(outcome);
      else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #client(): HttpHistoryClient {
    const { name: client, recorder, random, members } = this.#options;
    const { name, url, process: server } = random.pick(members());
    // After a restart a member may be behind what it told before.
    return new HttpHistoryClient({ client, member: `${name}#${server.pid}`, url, recorder, timeoutMs: ANSWER_MS });
  }
}
