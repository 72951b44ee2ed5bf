/**
 * What goes wrong, as `application/problem+json` (RFC 9457): `status` and `code` say what, `detail` says it to a person, `field` names what
 * cannot be taken. `outcome` is "unknown" where a write may have happened; it is "none" where nothing was done. `retryAfterMs` is there
 * where the same request may do later.
 */
import { z } from "zod";
import { utf8Encode } from "../../bytes/utf8.ts";
import type { ErrorCode, QuorateError } from "../../errors.ts";
import { ERROR_TABLE } from "../error-table.ts";
import type { ApiReply } from "../exchange.ts";

export const PROBLEM_TYPE = "application/problem+json";

export const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string().describe("What went wrong, to branch on; in snake case."),
  field: z.string().optional().describe("The field of the request that cannot be taken."),
  outcome: z.enum(["none", "unknown"]).describe("Whether a write may have happened nevertheless."),
  retryAfterMs: z.int().optional().describe("The same request may do after so long."),
});

const BY_REASON: Readonly<Record<string, number>> = {
  compacted: 410,
  futureRevision: 404,
  requestTooLarge: 413,
  messageTooLarge: 413,
  noSpace: 507,
  leaseExists: 409,
  leaseTtlTooLarge: 400,
  sessionLost: 410,
  schemaFailed: 422,
  keyReused: 422,
  held: 423,
  preconditionFailed: 412,
  userEmpty: 401,
  authFailed: 401,
  methodNotAllowed: 405,
  notLeader: 503,
};

const BY_CODE: Readonly<Record<ErrorCode, number>> = {
  canceled: 499,
  unknown: 500,
  invalidArgument: 400,
  deadlineExceeded: 504,
  notFound: 404,
  alreadyExists: 409,
  permissionDenied: 403,
  resourceExhausted: 429,
  failedPrecondition: 409,
  aborted: 409,
  outOfRange: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  dataLoss: 500,
  unauthenticated: 401,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  412: "Precondition Failed",
  413: "Content Too Large",
  422: "Unprocessable Content",
  423: "Locked",
  429: "Too Many Requests",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  507: "Insufficient Storage",
};

const TYPE = "urn:quorate:problem:";

/** When nothing says how long to wait. */
const RETRY_AFTER_MS = 1_000;

type Problem = z.infer<typeof problemSchema>;

/** The body of the reply, for streams that have begun already. */
export function problemOf(error: QuorateError): Problem {
  const { reason, details } = error;
  const status = statusOf(error);
  const field = details["field"];
  const retry = ERROR_TABLE[reason]?.retry ?? "never";
  const given = details["retryAfterMs"];
  const retryAfterMs = typeof given === "number" ? Math.ceil(given) : status === 429 || status === 503 ? RETRY_AFTER_MS : undefined;
  const extra = Object.entries(details).filter(([name, value]) => value !== null && name !== "retryAfterMs");
  return {
    ...Object.fromEntries(extra),
    type: TYPE + snakeCase(reason),
    title: TITLES[status] ?? "Error",
    status,
    detail: error.message,
    code: snakeCase(reason),
    ...(typeof field === "string" ? { field } : {}),
    outcome: retry === "unknown" ? "unknown" : "none",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

export function problemReply(error: QuorateError, headers: Readonly<Record<string, string>> = {}): ApiReply {
  return replyOf(problemOf(error), headers);
}

/** What goes wrong before a request has reached its operation, or after that has failed to answer. */
export function faultProblem(status: number, reason: string, detail: string): ApiReply {
  const code = snakeCase(reason);
  const outcome = status === 500 || status === 504 ? "unknown" : "none";
  const retryAfterMs = status === 503 ? { retryAfterMs: RETRY_AFTER_MS } : {};
  return replyOf({ type: TYPE + code, title: TITLES[status] ?? "Error", status, detail, code, outcome, ...retryAfterMs });
}

function replyOf(problem: Problem, headers: Readonly<Record<string, string>> = {}): ApiReply {
  const { status, retryAfterMs } = problem;
  return {
    status,
    headers: {
      "content-type": PROBLEM_TYPE,
      "cache-control": "no-store",
      ...(retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) }),
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...headers,
    },
    body: utf8Encode(`${JSON.stringify(problem)}\n`),
  };
}

function statusOf({ code, reason }: QuorateError): number {
  return BY_REASON[reason] ?? BY_CODE[code];
}

function snakeCase(reason: string): string {
  return reason.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
