/**
 * The wire of this project's own API, v1: all that the recipes need, in JSON that people can read. Calls of one moment go together by
 * `/v1/batch`; a watch is a stream of server-sent events.
 */
import { type ErrorCode, QuorateError, errCompacted } from "../core/errors.ts";
import type { AsOf } from "../core/recipes/client-port.ts";
import type { RangeResult, TxnRequest, TxnResult } from "../core/store/command.ts";
import { type EventMessage, type TxnMessage, eventOf, keysQuery, txnMessage, txnResultOf } from "./v1-messages.ts";
import type { Call, StreamStep, Wire } from "./wire.ts";

/** Three pings are missing then. */
const SILENCE_MS = 50_000;
/** Less than what the head of a reply may take. */
const POLL = "8s";
/** Of the server: more in one batch are refused. */
const BATCH_MAX = 128;

/** Errors are told apart by their reasons; of the code, only this much is on the wire. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: "invalidArgument",
  401: "unauthenticated",
  403: "permissionDenied",
  404: "notFound",
  410: "outOfRange",
  412: "failedPrecondition",
  423: "failedPrecondition",
  429: "resourceExhausted",
  499: "canceled",
  501: "unimplemented",
  503: "unavailable",
  504: "deadlineExceeded",
};

interface Problem {
  readonly status: number;
  /** In snake case. */
  readonly code: string;
  readonly detail: string;
  readonly [extra: string]: string | number | boolean;
}

type Done = TxnMessage & AsOf;

/** To be given to `connect`, which takes it anyhow. */
export function v1Wire(): Wire {
  return {
    range: (request, { serializable, minRevision }) => {
      const asked = txnMessage({ compare: [], success: [{ op: "range", ...request }], failure: [] });
      const read = (done: Done): RangeResult & AsOf => {
        const [first] = txnResultOf(done, done.revision).responses;
        return first as RangeResult & AsOf;
      };
      const call = txnCall(asked, true, read);
      if (!serializable && minRevision === 0) return call;
      const headers = { "quorate-min-revision": minRevision.toString() };
      const { method, path, body, decode } = call;
      return {
        method,
        path: serializable ? `${path}?serializable` : path,
        headers,
        ...(body === undefined ? {} : { body }),
        repeatable: true,
        decode,
      };
    },
    txn: (request, idempotencyKey) => {
      const call = txnCall(txnMessage(request), readsOnly(request), txnOf);
      if (idempotencyKey === undefined) return call;
      const { part: _, ...alone } = call; // in a batch, keys would be of all that is in it
      return { ...alone, headers: { "idempotency-key": idempotencyKey }, repeatable: true };
    },
    batch: {
      callsMax: BATCH_MAX,
      call: (txns, repeatable) => ({
        ...post("/v1/batch", { txns }),
        repeatable,
        decode: (body) => {
          const { results } = JSON.parse(body) as { readonly results: readonly (object & { readonly problem?: Problem })[] };
          return results.map((result) => (result.problem === undefined ? result : errorIn(result.problem)));
        },
      }),
    },
    grant: (id, ttlSeconds) => ({ ...post("/v1/leases", { id, ttl: `${ttlSeconds}s` }), repeatable: true, decode: () => {} }),
    keepAlive: (id) => ({ ...lease("PUT", id), decode: (body) => (JSON.parse(body) as { readonly ttl: number }).ttl }),
    revoke: (id) => ({ ...lease("DELETE", id), decode: () => {} }),
    remaining: (id) => ({ ...lease("GET", id), decode: (body) => (JSON.parse(body) as { readonly remaining: number }).remaining }),
    watchForms: ["socket", "stream", "poll"],
    watch: ({ startRevision, noPut, noDelete, prevKv, key, end }, form) => {
      const flags = { ...(noPut && { noPut: "1" }), ...(noDelete && { noDelete: "1" }), ...(prevKv && { prev: "1" }) };
      const query = new URLSearchParams({ ...keysQuery({ key, end }), after: (startRevision - 1).toString(), ...flags });
      const call = { method: "GET", path: `/v1/watch?${query.toString()}`, silenceMs: SILENCE_MS };
      if (form === "stream") return { ...call, headers: { accept: "text/event-stream" }, read: eventReader() };
      if (form === "socket") return { ...call, read: readSocket };
      return { ...call, path: `${call.path}&wait=${POLL}`, read: (line) => stepOf("change", JSON.parse(line) as object) };
    },
    authorization: (token) => `Bearer ${token}`,
    errorOf: (_status, body) => {
      try {
        const problem = JSON.parse(body) as Partial<Problem>;
        return problem.code === undefined ? undefined : errorIn(problem as Problem);
      } catch {
        return undefined;
      }
    },
  };
}

function post(path: string, message: object) {
  return { method: "POST", path, body: JSON.stringify(message) };
}

function lease(method: string, id: string) {
  return { method, path: `/v1/leases/${id}`, repeatable: true };
}

function txnCall<T>(message: object, repeatable: boolean, read: (done: Done) => T): Call<T> {
  const part = { message, read: (result: object) => read(result as Done) };
  return { ...post("/v1/txn", message), repeatable, decode: (body) => read(JSON.parse(body) as Done), part };
}

function txnOf(done: Done): TxnResult & AsOf {
  return { ...txnResultOf(done, done.revision), revision: done.revision };
}

function readsOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ op }) => op === "range");
}

function errorIn({ type: _, title: __, status, code, detail, ...details }: Problem): QuorateError {
  const reason = code.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
  return new QuorateError(CODES[status] ?? "unknown", reason, detail, details);
}

/** Server-sent events (HTML, section 9.2), as this API sends them: each with one line of data. */
function eventReader(): (line: string) => StreamStep {
  let event = "";
  return (line) => {
    if (line.startsWith("event: ")) event = line.slice("event: ".length);
    return line.startsWith("data: ") ? stepOf(event, JSON.parse(line.slice("data: ".length)) as object) : { kind: "alive" };
  };
}

function readSocket(message: string): StreamStep {
  if (message === "pong") return { kind: "alive" };
  const { event, data } = JSON.parse(message) as { readonly event: string; readonly data: object };
  return stepOf(event, data);
}

function stepOf(event: string, data: object): StreamStep {
  switch (event) {
    case "change": {
      const { events, revision } = data as { readonly events: readonly EventMessage[] } & AsOf;
      return { kind: "events", events: events.map(eventOf), revision };
    }
    case "reset":
      return { kind: "failed", error: errCompacted({ compactRevision: (data as { readonly compactRevision: number }).compactRevision }) };
    case "error":
      return { kind: "failed", error: errorIn(data as Problem) };
    default:
      return { kind: "alive" };
  }
}
