/**
 * A client of the v3 JSON gateway whose requests are recorded: base64 keys and values, 64-bit numbers as text, fields that are zero left out.
 *
 * Outcomes: an answer is one; 4xx and a refused connection are "refused", certainly not done; all else (no answer in time, 5xx, a request
 * given up by the server, a connection that broke, a body that cannot be read) is "unknown".
 * Source: etcd's api-grpc-gateway guide; rpc.proto.
 */
import type { Compare, HistoryRecorder, KeyValue, Request, Response, SingleRequest, SingleResult } from "./history.ts";

export interface HttpClientOptions {
  readonly client: string;
  /** Name of the member at `url`, for the record. */
  readonly member: string;
  /** As "http://127.0.0.1:2379". */
  readonly url: string;
  readonly recorder: HistoryRecorder;
  /** After which the outcome is unknown. */
  readonly timeoutMs: number;
  /** Default: the host's. */
  readonly fetch?: typeof fetch;
}

export type Outcome = Response | "refused" | "unknown";

/** 4xx that say nothing about what was done: the gateway's "canceled" (408 or 499). */
const GIVEN_UP = new Set([408, 499]);

const PATHS = { put: "/v3/kv/put", range: "/v3/kv/range", delete: "/v3/kv/deleterange", txn: "/v3/kv/txn" } as const;

export class HttpHistoryClient {
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** Sends one request, records it with its outcome, and tells that. Never throws for what the network or the server does. */
  async send(request: Request): Promise<Outcome> {
    const { client, member, recorder } = this.#options;
    const invocation = recorder.invoke(client, request, member);
    const outcome = await this.#exchange(request);
    if (outcome === "refused") invocation.refused();
    else if (outcome === "unknown") invocation.unknown();
    else invocation.ok(outcome);
    return outcome;
  }

  async #exchange(request: Request): Promise<Outcome> {
    const { url, timeoutMs, fetch: send = fetch } = this.#options;
    const body = JSON.stringify(request.kind === "txn" ? encodeTxn(request) : encodeSingle(request));
    try {
      const reply = await send(url + PATHS[request.kind], {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await reply.text();
      if (reply.ok) return decodeResponse(request, JSON.parse(text) as Reply);
      return reply.status >= 400 && reply.status < 500 && !GIVEN_UP.has(reply.status) ? "refused" : "unknown";
    } catch (error) {
      if ((error as { cause?: { code?: string } }).cause?.code === "ECONNREFUSED") return "refused"; // nothing was sent
      return "unknown"; // by the network, by time, or an answer that is no answer: whatever it was, the request may have been done
    }
  }
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

function text(encoded: string | undefined): string {
  return Buffer.from(encoded ?? "", "base64").toString("utf8");
}

function encodeSingle(request: SingleRequest): object {
  const key = base64(request.key);
  if (request.kind === "put") {
    const { value, lease, prev } = request;
    return { key, value: base64(value), ...(lease === undefined ? {} : { lease }), ...(prev === true ? { prev_kv: true } : {}) };
  }
  const range = { key, ...(request.end === undefined ? {} : { range_end: base64(request.end) }) };
  if (request.kind === "delete") return { ...range, ...(request.prev === true ? { prev_kv: true } : {}) };
  return { ...range, ...(request.serializable === true ? { serializable: true } : {}) };
}

const RESULTS = { "=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER" } as const;

function encodeCompare(compare: Compare): object {
  const common = { key: base64(compare.key), result: RESULTS[compare.op] };
  switch (compare.target) {
    case "value":
      return { ...common, target: "VALUE", value: base64(compare.value) };
    case "mod":
      return { ...common, target: "MOD", mod_revision: String(compare.value) };
    case "create":
      return { ...common, target: "CREATE", create_revision: String(compare.value) };
    case "version":
      return { ...common, target: "VERSION", version: String(compare.value) };
  }
}

function encodeTxn({ compare, success, failure }: Extract<Request, { kind: "txn" }>): object {
  const names = { put: "request_put", range: "request_range", delete: "request_delete_range" } as const;
  const operation = (one: SingleRequest): object => ({ [names[one.kind]]: encodeSingle(one) });
  return { compare: compare.map(encodeCompare), success: success.map(operation), failure: failure.map(operation) };
}

interface WireKeyValue {
  readonly key: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly version?: string;
  readonly lease?: string;
}

interface SingleReply {
  readonly kvs?: readonly WireKeyValue[];
  readonly prev_kv?: WireKeyValue;
  readonly prev_kvs?: readonly WireKeyValue[];
  readonly deleted?: string;
}

interface Reply extends SingleReply {
  readonly header: { readonly revision: string };
  readonly succeeded?: boolean;
  readonly responses?: readonly {
    readonly response_put?: SingleReply;
    readonly response_range?: SingleReply;
    readonly response_delete_range?: SingleReply;
  }[];
}

/** @throws Error when the reply is not one to the request */
export function decodeResponse(request: Request, reply: Reply): Response {
  const revision = number(reply.header.revision);
  if (revision < 1) throw new Error("a reply without a revision");
  if (request.kind !== "txn") return { ...decodeSingle(request, reply), revision };
  const succeeded = reply.succeeded === true;
  const branch = succeeded ? request.success : request.failure;
  const replies = reply.responses ?? [];
  if (replies.length !== branch.length) throw new Error(`${replies.length} answers to ${branch.length} requests`);
  const results = branch.map((one, at) => {
    const names = { put: "response_put", range: "response_range", delete: "response_delete_range" } as const;
    const found = replies[at]![names[one.kind]];
    if (found === undefined) throw new Error(`no answer to a ${one.kind}`);
    return decodeSingle(one, found);
  });
  return { kind: "txn", succeeded, results, revision };
}

function decodeSingle(request: SingleRequest, { kvs, prev_kv, prev_kvs, deleted }: SingleReply): SingleResult {
  switch (request.kind) {
    case "range":
      return { kind: "range", kvs: (kvs ?? []).map(decodeKeyValue) };
    case "put":
      return { kind: "put", ...(request.prev === true ? { prev: prev_kv === undefined ? null : decodeKeyValue(prev_kv) } : {}) };
    case "delete":
      return {
        kind: "delete",
        deleted: number(deleted),
        ...(request.prev === true ? { prev: (prev_kvs ?? []).map(decodeKeyValue) } : {}),
      };
  }
}

/** Of a key value as the gateway writes it, also in watch events. */
export function decodeKeyValue(wire: WireKeyValue): KeyValue {
  return {
    key: text(wire.key),
    value: text(wire.value),
    createRevision: number(wire.create_revision),
    modRevision: number(wire.mod_revision),
    version: number(wire.version),
    ...(wire.lease === undefined || wire.lease === "0" ? {} : { lease: wire.lease }),
  };
}

/** @throws Error when it is not a whole number that a double can hold */
function number(wire: string | undefined): number {
  const value = Number(wire ?? "0");
  if (!Number.isSafeInteger(value)) throw new Error(`not a number of this size: ${wire}`);
  return value;
}
