/**
 * One differential run from a seed: what is sent follows from the seed, the view and the number of requests alone. On a difference the sequence is made
 * as small as it gets, and told together with the command that replays it.
 */
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { Client, type Sender } from "./exchange.ts";
import { GrpcSender } from "./grpc-sender.ts";
import { Random } from "./random.ts";
import { describeDifference, describeSteps, runSteps, type Difference } from "./run-steps.ts";
import { shrink } from "./shrink.ts";
import { Side } from "./side.ts";
import type { Step, View } from "./step.ts";
import { v2Steps } from "./v2-steps.ts";
import { v3Steps } from "./v3-steps.ts";

export interface Comparison {
  readonly view: View;
  readonly seed: number;
  readonly requests: number;
  /** undefined: no difference. Else a text for people: the smallest sequence, both answers, and how to replay it. */
  readonly report: string | undefined;
}

/** Events that etcd keeps for `waitIndex`. */
const V2_HISTORY = 1_000;
const V3_REVISIONS = 300;
const SHRINK_LIMITS = { trialsMax: 120, msMax: 25_000 };

export function stepsOf(view: View, seed: number, requests: number): Step[] {
  const random = new Random(seed);
  return view === "v2" ? v2Steps(random, requests) : v3Steps(random, requests, view);
}

/** @throws Error when a server did not answer */
export async function compareServers(
  urls: { readonly etcd: string; readonly quorate: string },
  view: View,
  seed: number,
  requests: number,
): Promise<Comparison> {
  const clientOf = (url: string): Sender => (view === "grpc" ? new GrpcSender(url) : new Client(url));
  const etcd = new Side("etcd", clientOf(urls.etcd));
  const quorate = new Side("quorate", clientOf(urls.quorate));
  try {
    const steps = stepsOf(view, seed, requests);
    const result = await runSteps(etcd, quorate, view, steps);
    if (result.difference === undefined) return { view, seed, requests: result.requests, report: undefined };
    const prefix = steps.slice(0, result.difference.step + 1);
    const smallest = await smaller(etcd, quorate, view, prefix, result.difference);
    const report = [
      `seed ${seed}, ${view}: difference after ${result.requests} requests; replay: npm run differential -- --view ${view} --seed ${seed} --requests ${requests}`,
      `smallest sequence found, ${smallest.steps.length} of ${prefix.length} steps:`,
      describeSteps(smallest.steps),
      describeDifference(smallest.difference, ["etcd", "quorate"]),
    ].join("\n");
    return { view, seed, requests: result.requests, report };
  } finally {
    etcd.close();
    quorate.close();
  }
}

async function smaller(
  etcd: Side,
  quorate: Side,
  view: View,
  prefix: readonly Step[],
  first: Difference,
): Promise<{ steps: readonly Step[]; difference: Difference }> {
  // The part of the answer that differs, without numbers: another fault found by chance while shrinking is another report.
  const kind = (difference: Difference): string =>
    `${difference.request.path.split("?")[0]} ${difference.found[0]?.split(":")[0]?.replace(/\d+/g, "#")}`;
  let difference = first;
  const steps = await shrink(
    prefix,
    async (some) => {
      const again = (await runSteps(etcd, quorate, view, some)).difference;
      if (again === undefined || kind(again) !== kind(first)) return false;
      difference = again;
      return true;
    },
    SHRINK_LIMITS,
  );
  return { steps, difference };
}

/**
 * Two running servers for one view. Not shared between views: a compaction asked for through v3 also ends the v2 history of ours, for the two
 * are views of one store, and etcd has two stores.
 */
export class Pair {
  readonly view: View;
  readonly #etcd: ServerProcess;
  readonly #quorate: ServerProcess;

  private constructor(view: View, etcd: ServerProcess, quorate: ServerProcess) {
    this.view = view;
    this.#etcd = etcd;
    this.#quorate = quorate;
  }

  /** @param against what plays our part: etcd compared with itself shows the noise of the method */
  static async start(view: View, against: "quorate" | "etcd" = "quorate"): Promise<Pair> {
    const [etcd, quorate] = await Promise.all([startEtcd(), against === "etcd" ? startEtcd() : startQuorate()]);
    const pair = new Pair(view, etcd, quorate);
    try {
      await Promise.all([etcd, quorate].map(({ url }) => (view === "v2" ? fillV2(url) : fillV3(url))));
    } catch (error) {
      await pair.stop();
      throw error;
    }
    return pair;
  }

  /** @throws Error when a server did not answer, with what ours printed */
  async compare(seed: number, requests: number): Promise<Comparison> {
    try {
      return await compareServers({ etcd: this.#etcd.url, quorate: this.#quorate.url }, this.view, seed, requests);
    } catch (error) {
      const ended = this.#quorate.exit();
      const state = ended === undefined ? "is running" : `ended with ${ended.signal ?? ended.code}`;
      throw new Error(`seed ${seed}, ${this.view}: the server ${state}\n--- its output:\n${this.#quorate.output()}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#etcd.stop(), this.#quorate.stop()]);
  }
}

/** Fills the v2 event history, so that `waitIndex=1` is gone on both sides. */
function fillV2(url: string): Promise<void> {
  return repeat(V2_HISTORY + 10, () => fetch(`${url}/v2/keys/fill`, { method: "PUT", body: new URLSearchParams({ value: "x" }) }));
}

/** So many revisions that a request for a few hundred before the newest never asks for revision 0, which means the newest. */
function fillV3(url: string): Promise<void> {
  return repeat(V3_REVISIONS, () => fetch(`${url}/v3/kv/put`, { method: "POST", body: '{"key":"YQ=="}' }));
}

async function repeat(times: number, send: () => Promise<Response>): Promise<void> {
  for (let n = 0; n < times; n += 10) await Promise.all(Array.from({ length: 10 }, async () => (await send()).text()));
}
