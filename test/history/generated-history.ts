/**
 * Random histories that are linearizable because they are made so: clients whose requests overlap, each done by the model at one moment
 * between call and return. Some answers are lost, whether the request was done or not; some members answer stale reads from what they had.
 */
import { Random } from "../differential/random.ts";
import {
  type KeyValue,
  type Operation,
  type Request,
  type Response,
  type SingleResult,
  HistoryRecorder,
  type Invocation,
} from "./history.ts";
import { State, apply } from "./model.ts";
import type { TruthEvents, WatchEvent } from "./watch-check.ts";
import { Workload } from "./workload.ts";

export interface GenerateOptions {
  readonly seed: number;
  readonly operations: number;
  readonly clients: number;
  readonly keys: readonly string[];
  readonly singleKey?: boolean;
  /** Percent of the answers. Default 5. */
  readonly lost?: number;
}

export interface GeneratedHistory {
  readonly operations: Operation[];
  readonly truth: TruthEvents[];
}

/** Draws what happens next until all clients have done their part. */
export function generateHistory({ seed, operations, clients, keys, singleKey, lost = 5 }: GenerateOptions): GeneratedHistory {
  const random = new Random(seed);
  const state = new State();
  const truth: TruthEvents[] = [];
  let time = 0;
  const recorder = new HistoryRecorder(() => ++time);
  /** What the member m2 answers stale reads from, as it is behind; it catches up now and then. All else is done by m1. */
  let behind = state.clone();
  let started = 0;
  const isStale = (request: Request): boolean => request.kind === "range" && request.serializable === true;
  const perform = (request: Request): Response => {
    if (isStale(request)) return apply(behind, request);
    const before = state.clone();
    const response = apply(state, request);
    if (state.revision > before.revision) truth.push(eventsOf(before, state));
    return response;
  };
  interface Client {
    readonly name: string;
    readonly workload: Workload;
    request: Request | null;
    invocation: Invocation | null;
    response: Response | null;
  }
  const all = Array.from({ length: clients }, (_, at): Client => {
    const name = `c${at + 1}`;
    return {
      name,
      workload: new Workload({ random, client: name, keys, ...(singleKey === true ? { singleKey, serializable: 0 } : {}) }),
      request: null,
      invocation: null,
      response: null,
    };
  });
  /** Requests whose client has given up, and which are done later or never. */
  const late: Request[] = [];
  while (started < operations || all.some(({ request }) => request !== null)) {
    if (random.chance(20)) behind = state.clone();
    if (late.length > 0 && random.chance(10)) perform(late.splice(random.int(late.length), 1)[0]!);
    const client = random.pick(all);
    if (client.request === null) {
      if (started++ >= operations) continue;
      client.request = client.workload.next();
      client.invocation = recorder.invoke(client.name, client.request, isStale(client.request) ? "m2" : "m1");
    } else if (client.response === null) {
      if (random.chance(lost)) {
        if (random.chance(50)) late.push(client.request);
        client.invocation!.unknown();
        client.request = null;
      } else client.response = perform(client.request);
    } else {
      if (random.chance(lost)) client.invocation!.unknown();
      else {
        client.invocation!.ok(client.response);
        client.workload.observe(client.response);
      }
      client.request = null;
      client.response = null;
    }
  }
  return { operations: recorder.operations(), truth };
}

function eventsOf(before: State, { revision, changes }: State): TruthEvents {
  const events = [...changes].map(([key, now]): WatchEvent => {
    const prev = before.get(key) ?? null;
    if (now === null) return { type: "delete", key, value: "", createRevision: 0, modRevision: revision, version: 0, prev };
    const { value, createRevision, modRevision, version } = now;
    return { type: "put", key, value, createRevision, modRevision, version, prev };
  });
  return { revision, events };
}

/** The history with one answer changed in one field, always to something else. null: there is no answer that has a field. */
export function alterOne(
  operations: readonly Operation[],
  random: Random,
  options: { readonly keepHeader?: boolean } = {},
): Operation[] | null {
  for (let tries = 0; tries < 1000; tries++) {
    const at = random.int(operations.length);
    const operation = operations[at]!;
    if (operation.response === null) continue;
    const response = alterResponse(operation.response, random, options.keepHeader === true);
    if (response !== null) return operations.with(at, { ...operation, response });
  }
  return null;
}

function alterResponse(response: Response, random: Random, keepHeader: boolean): Response | null {
  if (!keepHeader && random.chance(25)) return { ...response, revision: Math.max(1, response.revision + random.pick([-2, -1, 1, 2])) };
  if (response.kind !== "txn") {
    const altered = alterResult(response, random);
    return altered === null ? null : { ...altered, revision: response.revision };
  }
  const results = response.results.map((one) => alterResult(one, random));
  const at = results.findIndex((one) => one !== null);
  if (at < 0) return null;
  return { ...response, results: response.results.with(at, results[at]!) };
}

function alterResult(result: SingleResult, random: Random): SingleResult | null {
  switch (result.kind) {
    case "put":
      return result.prev === undefined || result.prev === null ? null : { ...result, prev: alterKeyValue(result.prev, random) };
    case "delete":
      return { ...result, deleted: result.deleted + random.pick(result.deleted > 0 ? [1, -1] : [1]) };
    case "range": {
      if (result.kvs.length === 0) return null;
      const at = random.int(result.kvs.length);
      const kvs = random.chance(30) ? result.kvs.toSpliced(at, 1) : result.kvs.with(at, alterKeyValue(result.kvs[at]!, random));
      return { ...result, kvs };
    }
  }
}

function alterKeyValue(keyValue: KeyValue, random: Random): KeyValue {
  const field = random.pick(["value", "createRevision", "modRevision", "version"] as const);
  if (field === "value") return { ...keyValue, value: `${keyValue.value}x` };
  return { ...keyValue, [field]: keyValue[field] + random.pick([-1, 1]) };
}
