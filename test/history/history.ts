/**
 * Histories of clients of a store that speaks like etcd: what was asked, when, and what came back; recorded by callers, judged by the checks
 * beside this file, kept as one JSON line an operation.
 *
 * Keys and values are text in ASCII, so that text order is byte order. Every value is written by one request only: a value that is seen
 * names its write. Requests that were certainly not done are left out; a request whose outcome is not known stays open for ever
 * (`return: null`): it happened at some time after its call, or will, or never does.
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Absent: none. */
  readonly lease?: string;
}

export interface PutRequest {
  readonly kind: "put";
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
  /** Asks for what was there before. */
  readonly prev?: boolean;
}

/** `end` absent: one key; "\0": all keys from `key` on; otherwise all in [key, end). */
export interface DeleteRequest {
  readonly kind: "delete";
  readonly key: string;
  readonly end?: string;
  /** Asks for what was there before. */
  readonly prev?: boolean;
}

/** `end` as in DeleteRequest. */
export interface RangeRequest {
  readonly kind: "range";
  readonly key: string;
  readonly end?: string;
  /** A member may answer from what it has. Has no meaning inside a transaction. */
  readonly serializable?: boolean;
}

/** A key that is not there has create revision, mod revision and version 0, and compares false with any value. */
export type Compare = { readonly key: string; readonly op: "=" | "!=" | "<" | ">" } & (
  | { readonly target: "create" | "mod" | "version"; readonly value: number }
  | { readonly target: "value"; readonly value: string }
);

export type SingleRequest = PutRequest | DeleteRequest | RangeRequest;

export interface TxnRequest {
  readonly kind: "txn";
  readonly compare: readonly Compare[];
  readonly success: readonly SingleRequest[];
  readonly failure: readonly SingleRequest[];
}

export type Request = SingleRequest | TxnRequest;

export interface PutResult {
  readonly kind: "put";
  /** Absent: not asked for; null: nothing was there. */
  readonly prev?: KeyValue | null;
}

export interface DeleteResult {
  readonly kind: "delete";
  readonly deleted: number;
  /** In order of keys. Absent: not asked for. */
  readonly prev?: readonly KeyValue[];
}

export interface RangeResult {
  readonly kind: "range";
  /** In order of keys. */
  readonly kvs: readonly KeyValue[];
}

export type SingleResult = PutResult | DeleteResult | RangeResult;

export interface TxnResult {
  readonly kind: "txn";
  readonly succeeded: boolean;
  readonly results: readonly SingleResult[];
}

/** `revision` is the header's: of the write itself, or the one at which a request that wrote nothing was answered. */
export type Response = { readonly revision: number } & (SingleResult | TxnResult);

export interface Operation {
  readonly client: string;
  /** Who answered, or was asked. A member that lost memory by a restart is another one: give it another name, "m1#2". */
  readonly member?: string;
  /** Of one clock for all clients, any unit. */
  readonly call: number;
  /** null: the outcome is not known. */
  readonly return: number | null;
  readonly request: Request;
  /** null when `return` is. */
  readonly response: Response | null;
}

/** A fault that a check found, in plain words. */
export interface Violation {
  readonly rule: string;
  readonly text: string;
  readonly operations: readonly Operation[];
}

/** A request under way. The first of the three counts; what comes later is a mistake of the caller. */
export interface Invocation {
  ok(response: Response): void;
  /** Certainly not done, now or later. */
  refused(): void;
  /** Perhaps done, perhaps not yet. */
  unknown(): void;
}

/** Requests that may change the store. */
export function mayWrite(request: Request): boolean {
  if (request.kind !== "txn") return request.kind !== "range";
  return [...request.success, ...request.failure].some(({ kind }) => kind !== "range");
}

/** Did an answered request make a revision? */
export function wrote(response: Response): boolean {
  const results = response.kind === "txn" ? response.results : [response];
  return results.some((one) => one.kind === "put" || (one.kind === "delete" && one.deleted > 0));
}

/** Collects the operations of all clients of a run. */
export class HistoryRecorder {
  readonly #now: () => number;
  readonly #finished: Operation[] = [];
  readonly #open = new Set<Omit<Operation, "return" | "response">>();

  /** @param now one clock for all clients, never going back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @throws Error from the handle when it is told two outcomes */
  invoke(client: string, request: Request, member?: string): Invocation {
    const begun = { client, ...(member === undefined ? {} : { member }), call: this.#now(), request };
    this.#open.add(begun);
    const end = (): void => {
      if (!this.#open.delete(begun)) throw new Error(`an operation of ${client} has its outcome already: ${describeRequest(request)}`);
    };
    return {
      ok: (response) => {
        end();
        this.#finished.push({ ...begun, return: this.#now(), response });
      },
      refused: end,
      unknown: () => {
        end();
        if (mayWrite(request)) this.#finished.push({ ...begun, return: null, response: null });
      },
    };
  }

  /** In order of calls. Writes still under way are among them, as open ones. */
  operations(): Operation[] {
    const open = [...this.#open].filter(({ request }) => mayWrite(request)).map((begun) => ({ ...begun, return: null, response: null }));
    return [...this.#finished, ...open].toSorted((a, b) => a.call - b.call);
  }
}

/** One JSON line an operation. */
export function toNdjson(operations: readonly Operation[]): string {
  return operations.map((operation) => `${JSON.stringify(operation)}\n`).join("");
}

/** @throws Error that names the line which is not an operation */
export function fromNdjson(text: string): Operation[] {
  return text.split("\n").flatMap((line, at) => {
    if (line.trim() === "") return [];
    try {
      return [operationOf(JSON.parse(line))];
    } catch (cause) {
      throw new Error(`line ${at + 1} is not an operation`, { cause });
    }
  });
}

/** The frame is looked at, what is in requests and responses is taken as it is: the file was written by `toNdjson`. */
function operationOf(line: unknown): Operation {
  const { client, call, return: returned, request, response } = line as Operation;
  const outcome = returned === null ? response === null : typeof returned === "number" && typeof response?.revision === "number";
  if (typeof client !== "string" || typeof call !== "number" || typeof request.kind !== "string" || !outcome) {
    throw new Error("client, call, return, request or response are missing or of a wrong kind");
  }
  return line as Operation;
}

/** As short text for reports, as "put a=1" or "if mod a = 3 then put a=2 else range a". */
export function describeRequest(request: Request): string {
  switch (request.kind) {
    case "put":
      return `put ${request.key}=${request.value}${request.lease === undefined ? "" : ` with lease ${request.lease}`}`;
    case "delete":
      return `delete ${describeRange(request)}`;
    case "range":
      return `${request.serializable === true ? "serializable range" : "range"} ${describeRange(request)}`;
    case "txn": {
      const compare = request.compare.map(({ key, target, op, value }) => `${target} ${key} ${op} ${value}`);
      const list = (requests: readonly Request[]): string => (requests.length === 0 ? "nothing" : requests.map(describeRequest).join(", "));
      return `if ${compare.join(" and ") || "true"} then ${list(request.success)} else ${list(request.failure)}`;
    }
  }
}

function describeRange({ key, end }: { readonly key: string; readonly end?: string }): string {
  if (end === undefined) return key;
  return end === "\0" ? `from ${JSON.stringify(key)} on` : `[${key}, ${end})`;
}

/** One operation in plain words. */
export function describe({ client, member, call, return: returned, request, response }: Operation): string {
  const where = member === undefined ? "" : ` at ${member}`;
  const outcome =
    response === null ? "outcome unknown" : `returned ${returned} with revision ${response.revision}: ${JSON.stringify(response)}`;
  return `${client}${where} called ${call} [${describeRequest(request)}], ${outcome}`;
}
