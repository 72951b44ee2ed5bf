/**
 * The one error type of operations, with a closed list of codes (those of gRPC, https://grpc.io/docs/guides/status-codes/).
 * Each view (v1, v2, v3 JSON, gRPC) maps it to its own wire form. Where a client of etcd may match on the text, the text is
 * etcd's (etcd 3.4 `rpctypes`). Branch on `code` and `reason`, never on the text.
 */

/** gRPC status codes by name; the values are the numbers on the wire. */
export const CODES = {
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type ErrorCode = keyof typeof CODES;

/** What went wrong, finer than the code: one name for each function below. */
export type ErrorReason = string;

export interface ErrorDetails {
  readonly [field: string]: string | number | boolean | null;
}

export class QuorateError extends Error {
  override readonly name = "QuorateError";
  readonly code: ErrorCode;
  readonly reason: ErrorReason;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, reason: ErrorReason, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    // An expected outcome, told apart by its reason: collecting a stack trace for each missing key costs more than answering it.
    const host = Error as { stackTraceLimit?: number };
    const limit = host.stackTraceLimit;
    host.stackTraceLimit = 0;
    super(message, options as ErrorOptions);
    if (limit === undefined) delete host.stackTraceLimit;
    else host.stackTraceLimit = limit;
    this.code = code;
    this.reason = reason;
    this.details = details;
  }
}

/** Narrowing for `catch (error: unknown)`. */
export function isQuorateError(error: unknown): error is QuorateError {
  return error instanceof QuorateError;
}

/* @__NO_SIDE_EFFECTS__ */ const make =
  (code: ErrorCode, reason: ErrorReason, message: string) =>
  (details: ErrorDetails = {}): QuorateError =>
    new QuorateError(code, reason, message, details);

// ---- key-value requests: the texts are etcd's
export const errEmptyKey = make("invalidArgument", "emptyKey", "etcdserver: key is not provided");
export const errKeyNotFound = make("invalidArgument", "keyNotFound", "etcdserver: key not found");
export const errValueProvided = make("invalidArgument", "valueProvided", "etcdserver: value is provided");
export const errLeaseProvided = make("invalidArgument", "leaseProvided", "etcdserver: lease is provided");
export const errTooManyOps = make("invalidArgument", "tooManyOps", "etcdserver: too many operations in txn request");
export const errDuplicateKey = make("invalidArgument", "duplicateKey", "etcdserver: duplicate key given in txn request");
export const errInvalidSortOption = make("invalidArgument", "invalidSortOption", "etcdserver: invalid sort option");
export const errCompacted = make("outOfRange", "compacted", "etcdserver: mvcc: required revision has been compacted");
export const errFutureRevision = make("outOfRange", "futureRevision", "etcdserver: mvcc: required revision is a future revision");
export const errNoSpace = make("resourceExhausted", "noSpace", "etcdserver: mvcc: database space exceeded");
export const errCorrupt = make("dataLoss", "corrupt", "etcdserver: corrupt cluster");
export const errRequestTooLarge = make("invalidArgument", "requestTooLarge", "etcdserver: request is too large");
export const errTooManyRequests = make("resourceExhausted", "tooManyRequests", "etcdserver: too many requests");

// ---- leases
export const errLeaseNotFound = make("notFound", "leaseNotFound", "etcdserver: requested lease not found");
export const errLeaseExists = make("failedPrecondition", "leaseExists", "etcdserver: lease already exists");
export const errLeaseTtlTooLarge = make("outOfRange", "leaseTtlTooLarge", "etcdserver: too large lease TTL");

// ---- locks and elections
export const errElectionNoLeader = make("unknown", "electionNoLeader", "election: no leader");
export const errElectionNotLeader = make("unknown", "electionNotLeader", "election: not leader");
export const errElectionNoKey = make("unknown", "electionNoKey", '"leader" field must be provided');

/** Whoever waits has lost its key: its lease has ended, or the key was deleted. */
export function errSessionExpired(of: "mutex" | "election"): QuorateError {
  return new QuorateError("unknown", "sessionExpired", `${of}: session is expired`);
}

/** Whoever asked does not wait any longer. */
export const errWaitCanceled = make("canceled", "waitCanceled", "context canceled");

// ---- the v1 API
export const errKeyAbsent = make("notFound", "keyAbsent", "the key is not there");
/** @param modRevision of the key now; 0 when it is not there */
export function errPreconditionFailed(message: string, modRevision: number): QuorateError {
  const details = modRevision === 0 ? {} : { etag: `"${modRevision}"` };
  return new QuorateError("failedPrecondition", "preconditionFailed", message, details);
}
export const errStaleHolder = make("aborted", "staleHolder", "what guards this write is held no longer");
export const errReceiptExpired = make("aborted", "receiptExpired", "the receipt is good no longer");
export const errQueueFull = make("resourceExhausted", "queueFull", "the queue is full");
/** Asked of a member that has not heard of it yet. */
export const errBehind = make("unavailable", "behind", "this member has not reached the revision that is asked for");
export function errNothingThere(path: string): QuorateError {
  return new QuorateError("notFound", "nothingThere", `there is nothing at ${path}`);
}
export function errMethodNotAllowed(method: string, allow: string): QuorateError {
  return new QuorateError("invalidArgument", "methodNotAllowed", `${method} is not possible here; ${allow} is`);
}
/** A bug; the log has the details. */
export const errInternal = make("internal", "internal", "an error of the server; its log has the details");

// ---- recipes
/** What was held by a session is held no longer, or may not be: its time is over, or the store says that its lease or key is gone. */
export function errSessionLost(why: string, details: ErrorDetails = {}): QuorateError {
  return new QuorateError("aborted", "sessionLost", `the session is lost: ${why}`, details);
}

/** Somebody else has what was asked for. */
export function errHeld(what: string, details: ErrorDetails = {}): QuorateError {
  return new QuorateError("aborted", "held", `${what} is held by another`, details);
}

/** What was asked for contradicts what is there. */
export function errConflict(message: string, details: ErrorDetails = {}): QuorateError {
  return new QuorateError("aborted", "conflict", message, details);
}

/** What a rate limit allows is used up. */
export const errLimited = make("resourceExhausted", "limited", "the rate limit is used up");
/** A value is not as the schema of its namespace wants it. */
export function errSchemaFailed(message: string, details: ErrorDetails = {}): QuorateError {
  return new QuorateError("invalidArgument", "schemaFailed", message, details);
}
/** Others change the same at the same time, again and again. */
export const errContended = make("resourceExhausted", "contended", "too many do this at the same time");

// ---- sessions
/** A command with a lower number than the session's last one: whoever sends it has lost count. */
export function errSequencePassed(sequence: number, last: number): QuorateError {
  return new QuorateError("failedPrecondition", "sequencePassed", `command ${sequence} of a session that is at ${last} already`, {
    sequence,
    last,
  });
}

/** A repeat of a command whose result was too large to be kept. */
export function errResultNotKept(revision: number): QuorateError {
  return new QuorateError(
    "failedPrecondition",
    "resultNotKept",
    `the command was done before, as of revision ${revision}; its result was too large to be kept`,
    { revision },
  );
}

/** An idempotency key that came with another request before. */
export const errKeyReused = make("invalidArgument", "keyReused", "this idempotency key came with another request before");

// ---- cluster
export const errNoLeader = make("unavailable", "noLeader", "etcdserver: no leader");
export const errNotLeader = make("failedPrecondition", "notLeader", "etcdserver: not leader");
export const errLeaderChanged = make("unavailable", "leaderChanged", "etcdserver: leader changed");
export const errTimeout = make("unavailable", "timeout", "etcdserver: request timed out");
/** Of a client: the connection broke after the request was sent. */
export function errConnectionLost(url: string, cause: unknown): QuorateError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new QuorateError("unavailable", "connectionLost", `the connection to ${url} was lost: ${why}`, { url }, { cause });
}
/** Of a client: there was no connection, so nothing was done. */
export function errUnreachable(url: string, cause: unknown): QuorateError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new QuorateError("unavailable", "unreachable", `${url} cannot be reached: ${why}`, { url }, { cause });
}
export const errStopped = make("unavailable", "stopped", "etcdserver: server stopped");
export const errMemberNotFound = make("notFound", "memberNotFound", "etcdserver: member not found");

// ---- membership, maintenance and authentication
export const errMemberBadUrls = make("invalidArgument", "memberBadUrls", "etcdserver: given member URLs are invalid");
export const errPeerUrlExists = make("failedPrecondition", "peerUrlExists", "etcdserver: Peer URLs already exists");
/** Told apart from one that never was: v2 answers 410 for it. v3 has the same words for both. */
export function errMemberRemoved(id: string): QuorateError {
  return new QuorateError("notFound", "memberRemoved", "etcdserver: member not found", { id });
}
export const errMemberNotLearner = make("failedPrecondition", "memberNotLearner", "etcdserver: can only promote a learner member");
/** The code is etcd's too: it forgets to map this one. */
export const errNotEnoughStarted = make(
  "unknown",
  "notEnoughStarted",
  "etcdserver: re-configuration failed due to not enough started members",
);
export const errLearnerNotReady = make(
  "failedPrecondition",
  "learnerNotReady",
  "etcdserver: can only promote a learner member which is in sync with leader",
);
/** Another member may be asked: nothing was done. */
export const errNotForLearner = make("unavailable", "notForLearner", "etcdserver: rpc not supported for learner");
export const errUnhealthy = make("unavailable", "unhealthy", "etcdserver: unhealthy cluster");
export const errLeaderTransferTimeout = make(
  "unavailable",
  "leaderTransferTimeout",
  "etcdserver: request timed out, leader transfer took too long",
);
export const errBadLeaderTransferee = make("failedPrecondition", "badLeaderTransferee", "etcdserver: bad leader transferee");
export const errAuthNotEnabled = make("failedPrecondition", "authNotEnabled", "etcdserver: authentication is not enabled");
export const errRootUserNotExist = make("failedPrecondition", "rootUserNotExist", "etcdserver: root user does not exist");
export const errRootRoleNotExist = make("failedPrecondition", "rootRoleNotExist", "etcdserver: root user does not have root role");
export const errUserExists = make("failedPrecondition", "userExists", "etcdserver: user name already exists");
export const errRoleExists = make("failedPrecondition", "roleExists", "etcdserver: role name already exists");
export const errRoleNotGranted = make("failedPrecondition", "roleNotGranted", "etcdserver: role is not granted to the user");
export const errPermissionNotGranted = make(
  "failedPrecondition",
  "permissionNotGranted",
  "etcdserver: permission is not granted to the role",
);
export const errPermissionDenied = make("permissionDenied", "permissionDenied", "etcdserver: permission denied");
export const errInvalidAuthManagement = make("invalidArgument", "invalidAuthManagement", "etcdserver: invalid auth management");
export const errAuthFailed = make("invalidArgument", "authFailed", "etcdserver: authentication failed, invalid user ID or password");
export const errInvalidAuthToken = make("unauthenticated", "invalidAuthToken", "etcdserver: invalid auth token");
/** The code is etcd's too. */
export const errVerifyOnly = make("unknown", "verifyOnly", "auth: token signing attempted with verify-only key");
/** Users or roles changed between the proposal and its place in the log: it is proposed again, unless the caller's token is older. */
export const errAuthOldRevision = make("invalidArgument", "authOldRevision", "etcdserver: revision of auth store is old");
export const errUserEmpty = make("invalidArgument", "userEmpty", "etcdserver: user name is empty");
export const errUserNotFound = make("failedPrecondition", "userNotFound", "etcdserver: user name not found");
export const errRoleEmpty = make("invalidArgument", "roleEmpty", "etcdserver: role name is empty");
export const errRoleNotFound = make("failedPrecondition", "roleNotFound", "etcdserver: role name not found");

/** What this server, as it is set up, does not do; the message says what, and why. */
export function errUnsupported(message: string): QuorateError {
  return new QuorateError("failedPrecondition", "unsupported", message);
}

/** A request message over the limit of the transport, in the words of gRPC. */
export function errMessageTooLarge(bytes: number, bytesMax: number): QuorateError {
  const message = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
  return new QuorateError("resourceExhausted", "messageTooLarge", message, { bytes, bytesMax });
}

/** A storage fault: the file and the place are named, and the member stops serving (raft.md §3). */
export function errDataLoss(file: string, offset: number, what: string): QuorateError {
  return new QuorateError("dataLoss", "damaged", `${what} in ${file} at byte ${offset}`, { file, offset });
}

/** Another process, or another part of this one, has the storage open. */
export function errStorageLocked(directory: string): QuorateError {
  return new QuorateError("failedPrecondition", "locked", `${directory} is in use by another process`, { directory });
}

/** A snapshot at this or a higher index is there already. */
export function errSnapshotOutdated(index: number, newest: number): QuorateError {
  return new QuorateError("failedPrecondition", "snapshotOutdated", `snapshot at ${index} is not newer than the one at ${newest}`, {
    index,
    newest,
  });
}

/** Entries above the newest snapshot cannot be dropped. */
export function errNotCovered(index: number, newest: number): QuorateError {
  return new QuorateError("failedPrecondition", "notCovered", `cannot drop the log up to ${index}: the newest snapshot is at ${newest}`, {
    index,
    newest,
  });
}

/** The disk refused a write or a sync: fatal, never retried. */
export function errStorageFailed(file: string, action: string, cause: unknown): QuorateError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new QuorateError("internal", "storageFailed", `${action} ${file} failed: ${text}`, { file, action }, { cause });
}

/** The state is stored, and this command cannot be: nothing of it has happened. */
export function errNotStored(cause: unknown): QuorateError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new QuorateError("resourceExhausted", "notStored", `quorate: the command could not be stored: ${text}`, {}, { cause });
}

/** A request field that cannot be taken; the message names it. */
export function errBadField(field: string, message: string): QuorateError {
  return new QuorateError("invalidArgument", "badField", message, { field });
}

/** Bytes that are not the protobuf of the message asked for, in the words of Go's gRPC library. */
export function errBadProtobuf(what: string): QuorateError {
  return new QuorateError("internal", "badProtobuf", `grpc: error unmarshalling request: ${what}`);
}

/** Of a client: a value that does not fit its type, written or read. */
export function errBadValue(message: string, cause?: unknown): QuorateError {
  return new QuorateError("invalidArgument", "badValue", message, {}, { cause });
}

/** A body that is not the JSON of the message asked for; the message says what is wrong with it, in the words of etcd's gateway. */
export function errBadJson(message: string): QuorateError {
  return new QuorateError("invalidArgument", "badJson", message);
}
