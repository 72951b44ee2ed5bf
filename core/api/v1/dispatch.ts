/** From a request to the operation that it asks for: path and method, who asks, the checks of each field, and what goes wrong. */
import type { z } from "zod";
import { type Bytes, EMPTY, fromUint8Array, toUint8Array } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import {
  type QuorateError,
  errBadField,
  errBehind,
  errInternal,
  errMethodNotAllowed,
  errNothingThere,
  errRequestTooLarge,
  errWaitCanceled,
  isQuorateError,
} from "../../errors.ts";
import { assert } from "../../invariant.ts";
import type { Member } from "../../replica/member.ts";
import { type CommandSession, ONE_COMMAND } from "../../store/sessions.ts";
import type { Caller } from "../auth/authorised-member.ts";
import type { ApiReply, ApiRequest, Credentials } from "../exchange.ts";
import { decodeBytes } from "./percent.ts";
import { GuardedStore } from "./guarded-store.ts";
import { MemberStore } from "./member-store.ts";
import { BYTES, type Operation } from "./operation.ts";
import { problemReply } from "./problem.ts";
import { REVISION, TIME } from "./reply.ts";
import type { V1Services } from "./services.ts";

/** An operation, and what is known of it before any request. */
export interface Entry {
  readonly operation: Operation;
  /** How its path is cut. */
  readonly segments: readonly Segment[];
  /** Fields of path and query that are bytes: see `bytesParam`. */
  readonly bytes: ReadonlySet<string>;
  readonly hasEvents: boolean;
}

type Segment = { readonly is: "text"; readonly text: string } | { readonly is: "param" | "rest"; readonly name: string };

export class Dispatcher {
  readonly #services: V1Services;
  /** By the first segment after `/v1`, which is never a parameter. */
  readonly #entries = new Map<string, Entry[]>();

  constructor(services: V1Services, operations: readonly Operation[]) {
    this.#services = services;
    // What is written out goes before what may be anything.
    for (const entry of operations.map(entryOf).sort(bySpeciality)) {
      const [, first] = entry.segments;
      assert(first?.is === "text", () => `an operation at ${entry.operation.path}`);
      const known = this.#entries.get(first.text);
      if (known === undefined) this.#entries.set(first.text, [entry]);
      else known.push(entry);
    }
  }

  /** Never throws: what goes wrong is a reply. */
  async handle(request: ApiRequest): Promise<ApiReply> {
    let reply: ApiReply;
    try {
      reply = await this.#answer(request);
    } catch (error) {
      const known = isQuorateError(error) ? error : undefined;
      if (known === undefined) this.#services.onInternalError(error);
      reply = problemReply(known ?? errInternal());
    }
    const { member, host } = this.#services;
    const time = String(Math.floor(host.clockMs()));
    const headers = { [REVISION]: String(member.store.revision), [TIME]: time, "cache-control": "no-store", ...reply.headers };
    if (request.method !== "HEAD" || typeof reply.body !== "string") return { ...reply, headers };
    const length = reply.status === 204 || reply.status === 304 ? {} : { "content-length": String(reply.body.length) };
    return { ...reply, headers: { ...headers, ...length }, body: EMPTY };
  }

  async #answer(request: ApiRequest): Promise<ApiReply> {
    const segments = request.path.split("/").slice(1);
    const found = (this.#entries.get(segments[1] ?? "") ?? []).filter((entry) => matches(entry.segments, segments));
    if (found.length === 0) throw errNothingThere(request.path);
    const method = request.method === "HEAD" ? "GET" : request.method;
    const entry = found.find(({ operation }) => operation.method === method);
    if (entry === undefined) return methodNotAllowed(request, found);
    const { operation } = entry;
    if (request.body.length > this.#services.maxRequestBytes) throw errRequestTooLarge();
    const member = await memberFor(this.#services, request);
    const params = check(operation.params, paramsOf(entry, segments), "path");
    const query = checkedQuery(entry, request);
    const headers = check(operation.headers, headersOf(operation, request), "header");
    const body = bodyOf(operation, request);
    await this.#catchUp(request);
    const store = this.#storeFor(operation, request, member);
    const once = await onceOf(request, this.#services);
    const context = { store, host: this.#services.host };
    let hungUp: AbortSignal | undefined; // most requests do not wait, and need none
    const reply = await operation.handle({
      params,
      query,
      headers,
      body,
      request,
      member,
      store,
      once,
      context,
      get signal() {
        return (hungUp ??= hangUp(request));
      },
      services: this.#services,
    });
    return entry.hasEvents ? { ...reply, headers: { ...reply.headers, vary: "accept" } } : reply;
  }

  /** @throws QuorateError badField */
  #storeFor({ method, tag, headers: own }: Operation, request: ApiRequest, member: Member): MemberStore {
    const guard = method === "GET" ? undefined : request.header(GUARD);
    if (guard === undefined || (own !== undefined && GUARD in own.shape)) return new MemberStore(member, this.#services);
    if (UNGUARDED.has(tag)) throw errBadField(GUARD, `${GUARD}: what this request does cannot be made to depend on a hold`);
    return new GuardedStore(member, this.#services, guard);
  }

  /** Reads that follow one another at several members never go back: a member that is behind waits, or says so. */
  async #catchUp(request: ApiRequest): Promise<void> {
    const text = request.header("quorate-min-revision");
    if (text === undefined) return;
    if (!/^\d{1,16}$/.test(text)) throw errBadField("quorate-min-revision", "the header quorate-min-revision is a revision");
    const { member } = this.#services;
    const wanted = Number(text);
    if (member.store.revision >= wanted) return;
    await member.readBarrier();
    if (member.store.revision >= wanted) return;
    const details = { revision: member.store.revision, minRevision: wanted };
    throw errBehind(details);
  }
}

/** Of a write: it is done only while this is held. */
const GUARD = "quorate-guard";
/** Operations that do something else than transactions. */
const UNGUARDED: ReadonlySet<string> = new Set(["leases", "tokens"]);
const IDEMPOTENCY_KEY_MAX = 256;

/**
 * A session of one command, for this key and its user: the store keeps what came of it for an hour, and refuses any other request that comes
 * with the key. The digest keeps within the bounds of a session's name whatever the client makes up.
 */
async function onceOf(request: ApiRequest, services: V1Services): Promise<CommandSession | undefined> {
  const key = request.header("idempotency-key");
  if (key === undefined) return undefined;
  if (key.length < 1 || key.length > IDEMPOTENCY_KEY_MAX) {
    throw errBadField("idempotency-key", `idempotency-key: must have 1 to ${IDEMPOTENCY_KEY_MAX} characters; it has ${key.length}`);
  }
  const { user } = await callerOf(request, services);
  const name = await sha256(utf8Encode([user ?? "", key].join("\n")));
  const asked = await sha256([request.method, request.path, queryOfRest(request.query), request.body].join("\n") as Bytes);
  const [a, b, c, d, e, f] = [...asked].map((byte) => byte.charCodeAt(0)) as [number, number, number, number, number, number];
  return { client: ONE_COMMAND + btoa(name), sequence: 1 + ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f };
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return fromUint8Array(new Uint8Array(await crypto.subtle.digest("SHA-256", toUint8Array(bytes))));
}

/** Without who asks: a token may be another one by the time of the repeat. */
function queryOfRest(query: string): string {
  return query
    .split("&")
    .filter((part) => !part.startsWith("token="))
    .join("&");
}

/** Who asks, for what is judged by more than the keys it touches. @throws QuorateError invalidAuthToken, userEmpty */
export async function callerOf(request: ApiRequest, { authenticator }: V1Services): Promise<Caller> {
  const credentials = credentialsOf(request);
  if (/^basic /i.test(credentials.header("authorization") ?? "")) return authenticator.basicCaller(credentials);
  await authenticator.prepare(credentials);
  return authenticator.callerOf(credentials);
}

/** As whoever asks may use it. @throws QuorateError invalidAuthToken, userEmpty */
export async function memberFor({ authenticator }: Pick<V1Services, "authenticator">, request: ApiRequest): Promise<Member> {
  const credentials = credentialsOf(request);
  if (/^basic /i.test(credentials.header("authorization") ?? "")) return authenticator.basicMemberFor(credentials);
  await authenticator.prepare(credentials);
  return authenticator.memberFor(credentials);
}

/** The checked query of a request. @throws QuorateError badField */
export function checkedQuery(entry: Entry, request: ApiRequest): object {
  return check(entry.operation.query, queryOf(entry, request.query), "query");
}

/** Who asks: by the header as everywhere, or by `?token=` where a link is all there is. */
export function credentialsOf(request: ApiRequest): Credentials {
  const parts = request.query === "" ? [] : request.query.split("&");
  const given = parts.find((part) => part.startsWith("token="))?.slice("token=".length);
  const rest = queryOfRest(request.query);
  const header = given === undefined ? request.header("authorization") : decode(given, "token");
  const authorization = header?.replace(/^bearer +/i, "");
  return {
    header: (name) => (name === "authorization" ? authorization : request.header(name)),
    certificateName: request.certificateName,
    // Made of the connection when somebody wants to know.
    get source() {
      return request.source;
    },
    act: { method: request.method === "HEAD" ? "GET" : request.method, path: rest === "" ? request.path : `${request.path}?${rest}` },
  };
}

export function entryOf(operation: Operation): Entry {
  const fields = Object.entries({ ...operation.params?.shape, ...operation.query?.shape });
  return {
    operation,
    segments: segmentsOf(operation.path),
    bytes: new Set(fields.filter(([, field]) => (field as z.ZodType).meta()?.["bytes"] === true).map(([name]) => name)),
    hasEvents: Object.values(operation.replies).some(({ events }) => events !== undefined),
  };
}

function segmentsOf(path: string): Segment[] {
  return path
    .split("/")
    .slice(1)
    .map((text) => {
      const [, name, star] = /^\{(\w+)(\*?)\}$/.exec(text) ?? [];
      return name === undefined ? { is: "text", text } : { is: star === "*" ? "rest" : "param", name };
    });
}

const RANK = { text: 0, param: 1, rest: 2 } as const;

function bySpeciality(a: Entry, b: Entry): number {
  for (let at = 0; at < Math.min(a.segments.length, b.segments.length); at++) {
    const difference = RANK[a.segments[at]!.is] - RANK[b.segments[at]!.is];
    if (difference !== 0) return difference;
  }
  return b.segments.length - a.segments.length;
}

function matches(segments: readonly Segment[], sent: readonly string[]): boolean {
  const isOpen = segments.at(-1)?.is === "rest";
  if (isOpen ? sent.length < segments.length : sent.length !== segments.length) return false;
  return segments.every((segment, at) => (segment.is === "text" ? segment.text === sent[at] : sent[at] !== "" || segment.is === "rest"));
}

function paramsOf({ bytes, segments }: Entry, sent: readonly string[]): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [at, segment] of segments.entries()) {
    if (segment.is === "text") continue;
    const raw = segment.is === "rest" ? sent.slice(at).join("/") : sent[at]!;
    const read = bytes.has(segment.name) ? decodeBytes : decode;
    params[segment.name] = read(raw, segment.name);
  }
  return params;
}

function decode(text: string, field: string): string {
  return utf8Decode(decodeBytes(text, field));
}

function queryOf({ bytes }: Entry, query: string): Record<string, string | string[]> {
  const found: Record<string, string | string[]> = {};
  for (const part of query === "" ? [] : query.split("&")) {
    const equals = part.indexOf("=");
    const [name, value] = equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
    const key = decode(name, "query");
    if (key === "token" || key === "") continue; // says who asks
    const plain = value.replaceAll("+", "%20");
    const text = bytes.has(key) ? decodeBytes(plain, key) : decode(plain, key);
    const before = found[key];
    found[key] = before === undefined ? text : [...(Array.isArray(before) ? before : [before]), text];
  }
  return found;
}

function headersOf({ headers }: Operation, request: ApiRequest): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of Object.keys(headers?.shape ?? {})) {
    const value = request.header(name);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function bodyOf({ body }: Operation, request: ApiRequest): unknown {
  if (body === BYTES) return request.body;
  if (body === undefined) {
    if (request.body !== EMPTY) throw errBadField("body", "this request takes no body");
    return undefined;
  }
  let value: unknown;
  try {
    value = request.body === EMPTY ? undefined : JSON.parse(utf8Decode(request.body));
  } catch (error) {
    throw errBadField("body", `the body is no JSON: ${(error as Error).message}`);
  }
  const result = body.safeParse(value);
  if (!result.success) throw badField(result.error, "body");
  return result.data;
}

/** @throws QuorateError badField, naming the first field that cannot be taken */
function check(schema: z.ZodObject | undefined, fields: Readonly<Record<string, unknown>>, place: "path" | "query" | "header"): object {
  if (schema === undefined) {
    const [name] = Object.keys(fields);
    if (name !== undefined) throw errBadField(name, `${name} is no parameter of this request: it takes none`);
    return {};
  }
  const result = schema.safeParse(fields);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") {
    const [name] = issue.keys;
    throw errBadField(name!, `${name} is no parameter of this request: it takes ${Object.keys(schema.shape).join(", ")}`);
  }
  throw badField(result.error, place);
}

/** The first field that cannot be taken. @param place the name of the whole, where it is at fault */
export function badField({ issues }: z.ZodError, place: string): QuorateError {
  const [issue] = issues;
  const path = (issue?.path ?? []).map(String).join(".");
  const field = path === "" ? place : path;
  const isMissing = issue?.code === "invalid_type" && issue.message.endsWith("received undefined");
  return errBadField(field, `${field}: ${isMissing ? "must be given" : (issue?.message ?? "cannot be taken")}`);
}

function hangUp(request: ApiRequest): AbortSignal {
  const controller = new AbortController();
  request.onHangUp?.(() => controller.abort(errWaitCanceled()));
  return controller.signal;
}

function methodNotAllowed(request: ApiRequest, found: readonly Entry[]): ApiReply {
  const methods = new Set<string>(found.map(({ operation }) => operation.method));
  if (methods.has("GET")) methods.add("HEAD");
  const allow = [...methods].join(", ");
  return problemReply(errMethodNotAllowed(request.method, allow), { allow });
}
