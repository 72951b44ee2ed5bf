/**
 * The wire of etcd's v3 JSON gateway, which every etcd from 3.4 on has, and this project's server too. All that recipes need is there but
 * `append`. A serializable read of a member that is behind is asked again linearizably, by `HttpStore`: etcd cannot be told to wait.
 */
import {
  CODES,
  type ErrorCode,
  QuorateError,
  errAuthFailed,
  errAuthOldRevision,
  errCompacted,
  errCorrupt,
  errDuplicateKey,
  errEmptyKey,
  errFutureRevision,
  errInvalidAuthToken,
  errInvalidSortOption,
  errKeyNotFound,
  errLeaderChanged,
  errLeaseExists,
  errLeaseNotFound,
  errLeaseTtlTooLarge,
  errNoLeader,
  errNoSpace,
  errNotForLearner,
  errPermissionDenied,
  errRequestTooLarge,
  errStopped,
  errTimeout,
  errTooManyOps,
  errTooManyRequests,
  errUnsupported,
  errUserEmpty,
} from "../core/errors.ts";
import {
  type EventMessage,
  type HeaderMessage,
  type RangeMessage,
  type TxnMessage,
  eventOf,
  rangeMessage,
  rangeOf,
  rangeResultOf,
  revisionOf,
  txnMessage,
  txnResultOf,
} from "./etcd-messages.ts";
import type { Call, StreamCall, StreamStep, Wire } from "./wire.ts";

/** Told apart by their texts, which etcd's own clients do too. */
const KNOWN = [
  errAuthFailed,
  errAuthOldRevision,
  errCompacted,
  errCorrupt,
  errDuplicateKey,
  errEmptyKey,
  errFutureRevision,
  errInvalidAuthToken,
  errInvalidSortOption,
  errKeyNotFound,
  errLeaderChanged,
  errLeaseExists,
  errLeaseNotFound,
  errLeaseTtlTooLarge,
  errNoLeader,
  errNoSpace,
  errNotForLearner,
  errPermissionDenied,
  errRequestTooLarge,
  errStopped,
  errTimeout,
  errTooManyOps,
  errTooManyRequests,
  errUserEmpty,
];

/** etcd says nothing on a quiet watch for ten minutes: it is opened anew before, which costs one request. */
const SILENCE_MS = 60_000;

/** What begins so has a time-out's meaning, whatever reason follows. */
const TIMED_OUT = errTimeout().message;

interface ErrorMessage {
  readonly code?: number;
  readonly grpc_code?: number;
  readonly message?: string;
}

interface StreamMessage<T> {
  readonly result?: T;
  readonly error?: ErrorMessage;
}

interface WatchMessage {
  readonly header?: HeaderMessage;
  readonly canceled?: boolean;
  readonly cancel_reason?: string;
  readonly compact_revision?: string;
  readonly events?: readonly EventMessage[];
}

function post<T>(path: string, message: object, repeatable: boolean, decode: (body: string) => T): Call<T> {
  return { method: "POST", path: `/v3/${path}`, body: JSON.stringify(message), repeatable, decode };
}

/** To be given to `connect`. */
export function etcdWire(): Wire {
  return {
    range: (request, { serializable }) =>
      post("kv/range", { ...rangeMessage(request), serializable }, true, (body) => {
        const message = JSON.parse(body) as RangeMessage;
        return { ...rangeResultOf(message), revision: revisionOf(message.header) };
      }),
    txn: (request, idempotencyKey) => {
      if (idempotencyKey !== undefined) throw errUnsupported("etcd has no idempotency keys");
      return post("kv/txn", txnMessage(request), readsOnly(request.success) && readsOnly(request.failure), (body) => {
        const message = JSON.parse(body) as TxnMessage;
        return { ...txnResultOf(message), revision: revisionOf(message.header) };
      });
    },
    grant: (ID, TTL) => post("lease/grant", { ID, TTL }, true, () => {}),
    keepAlive: (ID) => post("lease/keepalive", { ID }, true, grantedTtl),
    revoke: (ID) => post("lease/revoke", { ID }, true, () => {}),
    remaining: (ID) =>
      post("lease/timetolive", { ID }, true, (body) => {
        const seconds = Number((JSON.parse(body) as { readonly TTL?: string }).TTL ?? 0);
        if (seconds < 0) throw errLeaseNotFound({ id: ID });
        return seconds;
      }),
    watch: ({ startRevision, noPut, noDelete, prevKv, ...range }): StreamCall => ({
      method: "POST",
      path: "/v3/watch",
      body: JSON.stringify({
        create_request: {
          ...rangeOf(range),
          start_revision: startRevision,
          filters: [...(noPut ? ["NOPUT"] : []), ...(noDelete ? ["NODELETE"] : [])],
          prev_kv: prevKv ?? false,
          progress_notify: true,
        },
      }),
      silenceMs: SILENCE_MS,
      read: readWatch,
    }),
    authorization: (token) => token,
    errorOf: (_status, body) => {
      const message = parsed(body);
      return message?.message === undefined ? undefined : errorIn(message);
    },
  };
}

function readsOnly(operations: readonly { readonly op: string }[]): boolean {
  return operations.every(({ op }) => op === "range");
}

function parsed(body: string): ErrorMessage | undefined {
  try {
    return JSON.parse(body) as ErrorMessage;
  } catch {
    return undefined;
  }
}

function errorIn({ code, grpc_code, message = "" }: ErrorMessage): QuorateError {
  // Of a watch that was refused, etcd gives the reason with the words of gRPC before it.
  const known = KNOWN.map((make) => make()).find((error) => message.endsWith(error.message));
  if (known !== undefined) return known;
  if (message.startsWith(TIMED_OUT)) return errTimeout();
  const named = Object.entries(CODES).find(([, number]) => number === (code ?? grpc_code))?.[0] as ErrorCode | undefined;
  // Its own parts do not reach one another: nobody knows how far a write went.
  if (named === "unavailable" || named === "deadlineExceeded") return errTimeout({ told: message });
  return new QuorateError(named ?? "unknown", "etcd", message);
}

/** A stream with one reply. */
function grantedTtl(body: string): number {
  const { result, error } = JSON.parse(body.split("\n", 1)[0]!) as StreamMessage<{ readonly TTL?: string }>;
  if (error !== undefined) throw errorIn(error);
  if (result === undefined) throw new SyntaxError("a reply without a result");
  const seconds = Number(result.TTL ?? 0);
  if (seconds <= 0) throw errLeaseNotFound();
  return seconds;
}

function readWatch(line: string): StreamStep | undefined {
  if (line === "") return undefined;
  const { result, error } = JSON.parse(line) as StreamMessage<WatchMessage>;
  if (error !== undefined) return { kind: "failed", error: errorIn(error) };
  const { events = [], canceled, cancel_reason = "", compact_revision } = result ?? {};
  if (compact_revision !== undefined) return { kind: "failed", error: errCompacted({ compactRevision: Number(compact_revision) }) };
  if (canceled)
    return { kind: "failed", error: errorIn({ message: cancel_reason === "" ? errPermissionDenied().message : cancel_reason }) };
  if (events.length === 0) return { kind: "alive" };
  const all = events.map(eventOf);
  return { kind: "events", events: all, revision: all.at(-1)!.kv.modRevision };
}
