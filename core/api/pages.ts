/**
 * Replies that belong to no view: pages for unknown paths and methods, and what goes wrong before or outside a handler.
 * Texts and headers are those that etcd 3.4 answers with, which are those of Go's `net/http` and of its JSON gateway.
 */
import { type Bytes, EMPTY, ascii } from "../bytes/bytes.ts";
import type { ApiReply } from "./exchange.ts";
import { faultProblem } from "./v1/problem.ts";

const PLAIN = Object.freeze({ "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
const JSON_TYPE = Object.freeze({ "content-type": "application/json" });

export function textPage(status: number, text: string, headers: Readonly<Record<string, string>> = {}): ApiReply {
  return { status, headers: { ...PLAIN, ...headers }, body: ascii(text) };
}

export function notFoundPage(): ApiReply {
  return { status: 404, headers: PLAIN, body: ascii("404 page not found\n") };
}

/** @param allow left out where etcd sends no `allow` header, as on the paths of the JSON gateway */
export function methodNotAllowedPage(allow?: string): ApiReply {
  return textPage(405, "Method Not Allowed\n", allow === undefined ? {} : { allow });
}

/** What HEAD gets: the same head, no body. */
export function withoutBody(reply: ApiReply): ApiReply {
  return { ...reply, body: EMPTY };
}

const isGateway = (path: string): boolean => path.startsWith("/v3/") || path.startsWith("/v3beta/");

/** A path that no route has. */
export function unknownPathPage(path: string, knownUnderOtherMethod: boolean): ApiReply {
  if (knownUnderOtherMethod) return methodNotAllowedPage();
  return isGateway(path) ? textPage(404, "Not Found\n") : notFoundPage();
}

const encodeJson = (value: object): Bytes => JSON.stringify(value) as Bytes;

/** @param reason of v1's problems; the others have numbers for it */
interface Fault {
  readonly status: number;
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

/** A fault in the form of the view that the path belongs to. The texts are ASCII. */
function faultReply(path: string, { status, code, reason, message }: Fault): ApiReply {
  if (path.startsWith("/v1/")) return faultProblem(status, reason, message);
  if (isGateway(path)) return { status, headers: JSON_TYPE, body: encodeJson({ error: message, message, code }) };
  if (path.startsWith("/v2/")) {
    return { status, headers: JSON_TYPE, body: encodeJson({ errorCode: 300, message: "Raft Internal Error", cause: message, index: 0 }) };
  }
  return textPage(status, message + "\n");
}

/** A handler threw what it should not have: a bug. The details are in the log, not in the reply. */
export function internalErrorReply(path: string): ApiReply {
  return faultReply(path, { status: 500, code: 13, reason: "internal", message: "internal error: the server's log has the details" });
}

export function bodyTooLargeReply(path: string): ApiReply {
  return faultReply(path, { status: 413, code: 3, reason: "requestTooLarge", message: "etcdserver: request is too large" });
}

export function slowBodyReply(path: string): ApiReply {
  return faultReply(path, { status: 408, code: 4, reason: "slowBody", message: "the request body did not arrive in time" });
}

/** The member is ending: another one, or a later try, may do. */
export function stoppingReply(path: string): ApiReply {
  return faultReply(path, { status: 503, code: 14, reason: "stopped", message: "etcdserver: server stopped" });
}

/** Of who passes requests on: no member was there to take it, so nothing was done. */
export function unreachableReply(path: string): ApiReply {
  return faultReply(path, { status: 503, code: 14, reason: "unreachable", message: "no member of the cluster can be reached" });
}

/** Of who passes requests on: the member that had it is lost. The words are those by which etcd's clients know that nobody knows. */
export function lostReply(path: string): ApiReply {
  return faultReply(path, { status: 504, code: 14, reason: "timeout", message: "etcdserver: request timed out" });
}

/** Asked to become another protocol, where a host has no way to. */
export function noUpgradeReply(path: string): ApiReply {
  const message = "no WebSockets here: watch by server-sent events (Accept: text/event-stream) or with ?wait=";
  return faultReply(path, { status: 501, code: 12, reason: "unsupported", message });
}
