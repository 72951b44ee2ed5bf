/**
 * One row for each way in which a request can fail: what a client may do about it. Code and text come with the error; the HTTP status
 * follows from the code as in etcd 3.4's gateway (grpc-gateway 1.9: FailedPrecondition is 412 there, 400 from etcd 3.5 on).
 *
 * A row is found by the error's reason. The v2 view has numbers and statuses of its own, beside its replies.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { CODES, type ErrorCode, QuorateError, isQuorateError } from "../errors.ts";
import type { ApiReply } from "./exchange.ts";
import { quoteText } from "./v3/json-codec.ts";

/**
 * May the same request be sent again? `never`: it would fail again, until something else changes. `safe`: it had no effect, and may
 * succeed later or elsewhere. `unknown`: it may have had its effect.
 */
export type Retry = "never" | "safe" | "unknown";

export interface ErrorRow {
  readonly code: ErrorCode;
  readonly retry: Retry;
}

const row = (code: ErrorCode, retry: Retry = "never"): ErrorRow => ({ code, retry });

export const ERROR_TABLE: Readonly<Record<string, ErrorRow>> = {
  emptyKey: row("invalidArgument"),
  keyNotFound: row("invalidArgument"),
  valueProvided: row("invalidArgument"),
  leaseProvided: row("invalidArgument"),
  tooManyOps: row("invalidArgument"),
  duplicateKey: row("invalidArgument"),
  invalidSortOption: row("invalidArgument"),
  compacted: row("outOfRange"),
  futureRevision: row("outOfRange"),
  noSpace: row("resourceExhausted"),
  corrupt: row("dataLoss"),
  requestTooLarge: row("invalidArgument"),
  messageTooLarge: row("resourceExhausted"),
  tooManyRequests: row("resourceExhausted", "safe"),
  leaseNotFound: row("notFound"),
  leaseExists: row("failedPrecondition"),
  leaseTtlTooLarge: row("outOfRange"),
  electionNoLeader: row("unknown", "safe"),
  electionNotLeader: row("unknown"),
  electionNoKey: row("unknown"),
  sessionExpired: row("unknown"),
  waitCanceled: row("canceled", "safe"),
  keyAbsent: row("notFound"),
  preconditionFailed: row("failedPrecondition"),
  staleHolder: row("aborted"),
  receiptExpired: row("aborted"),
  queueFull: row("resourceExhausted", "safe"),
  behind: row("unavailable", "safe"),
  nothingThere: row("notFound"),
  methodNotAllowed: row("invalidArgument"),
  internal: row("internal", "unknown"),
  sessionLost: row("aborted"),
  held: row("aborted", "safe"),
  conflict: row("aborted"),
  limited: row("resourceExhausted", "safe"),
  schemaFailed: row("invalidArgument"),
  contended: row("resourceExhausted", "safe"),
  sequencePassed: row("failedPrecondition"),
  resultNotKept: row("failedPrecondition"),
  keyReused: row("invalidArgument"),
  noLeader: row("unavailable", "safe"),
  notLeader: row("failedPrecondition", "safe"),
  leaderChanged: row("unavailable", "unknown"),
  timeout: row("unavailable", "unknown"),
  connectionLost: row("unavailable", "unknown"),
  unreachable: row("unavailable", "safe"),
  stopped: row("unavailable", "unknown"),
  memberNotFound: row("notFound"),
  memberBadUrls: row("invalidArgument"),
  peerUrlExists: row("failedPrecondition"),
  memberNotLearner: row("failedPrecondition"),
  memberRemoved: row("notFound"),
  learnerNotReady: row("failedPrecondition", "safe"),
  notForLearner: row("unavailable", "safe"),
  notEnoughStarted: row("unknown"),
  unhealthy: row("unavailable", "safe"),
  leaderTransferTimeout: row("unavailable", "unknown"),
  badLeaderTransferee: row("failedPrecondition"),
  authNotEnabled: row("failedPrecondition"),
  rootUserNotExist: row("failedPrecondition"),
  rootRoleNotExist: row("failedPrecondition"),
  userExists: row("failedPrecondition"),
  roleExists: row("failedPrecondition"),
  roleNotGranted: row("failedPrecondition"),
  permissionNotGranted: row("failedPrecondition"),
  permissionDenied: row("permissionDenied"),
  invalidAuthManagement: row("invalidArgument"),
  authFailed: row("invalidArgument"),
  invalidAuthToken: row("unauthenticated"),
  verifyOnly: row("unknown"),
  authOldRevision: row("invalidArgument", "safe"),
  userEmpty: row("invalidArgument"),
  userNotFound: row("failedPrecondition"),
  roleEmpty: row("invalidArgument"),
  roleNotFound: row("failedPrecondition"),
  unsupported: row("failedPrecondition"),
  damaged: row("dataLoss"),
  storageFailed: row("internal", "unknown"),
  notStored: row("resourceExhausted", "safe"),
  locked: row("failedPrecondition"),
  snapshotOutdated: row("failedPrecondition"),
  notCovered: row("failedPrecondition"),
  badField: row("invalidArgument"),
  badValue: row("invalidArgument"),
  badJson: row("invalidArgument"),
  badProtobuf: row("internal"),
};

const STATUS: Readonly<Record<ErrorCode, number>> = {
  canceled: 408,
  unknown: 500,
  invalidArgument: 400,
  deadlineExceeded: 504,
  notFound: 404,
  alreadyExists: 409,
  permissionDenied: 403,
  resourceExhausted: 429,
  failedPrecondition: 412,
  aborted: 409,
  outOfRange: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  dataLoss: 500,
  unauthenticated: 401,
};

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** @returns what a client may do; for an error without a row, what follows from its code alone: nothing */
export function retryOf(error: QuorateError): Retry {
  return ERROR_TABLE[error.reason]?.retry ?? "never";
}

/** The HTTP status of a code in etcd 3.4's gateway. */
export function statusOf(code: ErrorCode): number {
  return STATUS[code];
}

export function statusText(status: number): string {
  return STATUS_TEXT[status] ?? "";
}

/** Told of what should not have happened: a handler threw something that is no operating error. */
export type OnInternalError = (error: unknown) => void;

const JSON_TYPE = Object.freeze({ "content-type": "application/json" });
const BUG = new QuorateError("internal", "internal", "internal error: the server's log has the details");

/** An operating error as it is; anything else is a bug, of which the client learns nothing but that. */
export function asQuorateError(error: unknown, onInternalError: OnInternalError): QuorateError {
  if (isQuorateError(error)) return error;
  onInternalError(error);
  return BUG;
}

/** The reply of etcd's gateway to a failed request: `{"error", "message", "code"}`, the text twice. */
export function v3Error(error: unknown, onInternalError: OnInternalError): ApiReply {
  const { code, message } = asQuorateError(error, onInternalError);
  return v3ErrorReply(code, message);
}

/** The same, of a code and a text. */
export function v3ErrorReply(code: ErrorCode, message: string): ApiReply {
  const text = quoteText(message);
  const body = `{"error":${text},"message":${text},"code":${CODES[code]}}` as Bytes;
  return { status: STATUS[code], headers: JSON_TYPE, body };
}
