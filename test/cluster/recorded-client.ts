/** A client of a cluster that does random operations on a few keys, through any member, and has each of them recorded. */
import type { Random } from "../differential/random.ts";
import type { Answer, Found, Recorder, Request } from "../history/revision-check.ts";
import { base64, fromBase64 } from "./http.ts";

/** A client gives up and asks elsewhere; what it asked for may still happen. */
const ANSWER_MS = 2_500;
const KEYS = ["a", "b", "c", "d", "e"];

interface KeyValue {
  readonly value?: string;
  readonly mod_revision: string;
  readonly version: string;
}

interface Body {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly KeyValue[];
  readonly prev_kv?: KeyValue;
  readonly deleted?: string;
  readonly succeeded?: boolean;
  readonly responses?: readonly { readonly response_range?: { readonly kvs?: readonly KeyValue[] } }[];
}

export interface ClientOptions {
  readonly id: number;
  readonly random: Random;
  readonly recorder: Recorder;
  /** Members that may be asked, as of now. */
  readonly urls: () => readonly string[];
}

export class RecordedClient {
  readonly #options: ClientOptions;
  readonly #known = new Map<string, number>();
  #count = 0;
  #stopping = false;
  #done: Promise<void> | null = null;
  acknowledged = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { id, recorder, random, urls } = this.#options;
    while (!this.#stopping) {
      const request = this.#draw();
      const url = random.pick(urls());
      const outcome = await recorder.record(id, request, () => send(url, request));
      if (typeof outcome === "object") {
        this.acknowledged++;
        if (outcome.found) this.#known.set(request.key, outcome.found.modRevision);
      } else await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #draw(): Request {
    const { id, random } = this.#options;
    const key = random.pick(KEYS);
    const value = `${id}-${++this.#count}`;
    return random.weighted<Request>([
      [35, { kind: "put", key, value }],
      [30, { kind: "get", key }],
      [10, { kind: "stale-get", key }],
      [20, { kind: "swap", key, value, expected: this.#known.get(key) ?? 0 }],
      [5, { kind: "delete", key }],
    ]);
  }
}

async function send(url: string, request: Request): Promise<Answer | "refused" | "unknown"> {
  const { path, body } = wire(request);
  try {
    const reply = await fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await reply.text();
    return reply.status === 200 ? answerOf(request, JSON.parse(text) as Body) : "unknown";
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return cause?.code === "ECONNREFUSED" ? "refused" : "unknown"; // without an answer it may have been done
  }
}

function wire(request: Request): { path: string; body: unknown } {
  const key = base64(request.key);
  switch (request.kind) {
    case "put":
      return { path: "/v3/kv/put", body: { key, value: base64(request.value), prev_kv: true } };
    case "delete":
      return { path: "/v3/kv/deleterange", body: { key } };
    case "get":
      return { path: "/v3/kv/range", body: { key } };
    case "stale-get":
      return { path: "/v3/kv/range", body: { key, serializable: true } };
    case "swap": {
      const compare = [{ key, target: "MOD", result: "EQUAL", mod_revision: String(request.expected) }];
      const success = [{ request_put: { key, value: base64(request.value) } }];
      return { path: "/v3/kv/txn", body: { compare, success, failure: [{ request_range: { key } }] } };
    }
  }
}

function answerOf(request: Request, body: Body): Answer {
  const revision = Number(body.header.revision);
  switch (request.kind) {
    case "put":
      return { revision, found: foundOf(body.prev_kv) };
    case "delete":
      return { revision, deleted: Number(body.deleted ?? 0) };
    case "swap": {
      if (body.succeeded === true) return { revision, succeeded: true };
      return { revision, succeeded: false, found: foundOf(body.responses?.[0]?.response_range?.kvs?.[0]) };
    }
    default:
      return { revision, found: foundOf(body.kvs?.[0]) };
  }
}

function foundOf(kv: KeyValue | undefined): Found | null {
  if (kv === undefined) return null;
  return { value: fromBase64(kv.value ?? ""), modRevision: Number(kv.mod_revision), version: Number(kv.version) };
}
