/**
 * How the pages ask the cluster: requests go to the member that the page came from, and to the others when that one does not answer, by
 * the client's own rules. What is asked for here is also what "as curl" shows.
 */
import { openStore } from "../client/connect.ts";
import { etcdWire } from "../client/etcd.ts";
import { v1Wire } from "../client/v1.ts";
import type { Call } from "../client/wire.ts";
import { token } from "./state.ts";

/** One request, as it can be shown and sent. */
export interface ApiCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With the query. */
  readonly path: string;
  /** JSON, if there is a body. */
  readonly body?: object;
  /** Sending it twice is as sending it once. */
  readonly repeatable?: boolean;
}

const ATTEMPT_MS = 1_000;

/** A POST of the v3 gateway that changes nothing. */
export const ask = (path: string, body: object = {}): ApiCall => ({ method: "POST", path: `/v3/${path}`, body, repeatable: true });
/** One that does. */
export const act = (path: string, body: object): ApiCall => ({ method: "POST", path: `/v3/${path}`, body });

const WIRES = { v1: v1Wire, v3: etcdWire } as const;

function storeOf(endpoints: readonly string[], api: keyof typeof WIRES = "v3") {
  return openStore({ endpoints, wire: WIRES[api](), token: () => token.value, retry: { attemptMs: ATTEMPT_MS } }).store;
}

let endpoints: readonly string[] = [location.origin];
const alone = new Map<string, ReturnType<typeof storeOf>>();
let store = storeOf(endpoints);
/** Whose errors are those of v1. */
let v1Store = storeOf(endpoints, "v1");
token.subscribe(() => connectAnew());

/**
 * Addresses of members that answer: one of them is asked when another does not. The others are left out, because whether a write that was
 * sent to nobody was done is something that a browser does not tell.
 */
export function learnEndpoints(answering: readonly string[]): void {
  const wanted = [...new Set(answering.filter((url) => URL.canParse(url)).map((url) => new URL(url).origin))];
  if (wanted.length === 0 || wanted.join() === endpoints.join()) return;
  endpoints = wanted;
  connectAnew();
}

/** A store keeps the token that it was first given. */
function connectAnew(): void {
  store = storeOf(endpoints);
  v1Store = storeOf(endpoints, "v1");
  alone.clear();
}

export const MEMBER_LIST = ask("cluster/member/list");

/** Asks who there is, and who of them answers. @throws QuorateError when nobody answers */
export async function lookForMembers(signal: AbortSignal): Promise<void> {
  const { members } = await send<{ readonly members: readonly { readonly clientURLs?: readonly string[] }[] }>(MEMBER_LIST, signal);
  const urls = members.flatMap(({ clientURLs = [] }) => clientURLs);
  const soon = AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]);
  const answers = urls.map((url) => sendTo(url, ask("maintenance/status"), soon).then(() => url));
  const told = await Promise.allSettled(answers);
  learnEndpoints(told.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
}

/** For watches. */
export function theStore() {
  return store;
}

/** @throws QuorateError */
export function send<T>(call: ApiCall, signal?: AbortSignal): Promise<T> {
  return (call.path.startsWith("/v1/") ? v1Store : store).call(wired<T>(call), signal);
}

/** The same of one member, whichever answers otherwise. @throws QuorateError */
export function sendTo<T>(endpoint: string, call: ApiCall, signal?: AbortSignal): Promise<T> {
  let one = alone.get(endpoint);
  if (one === undefined) alone.set(endpoint, (one = storeOf([endpoint])));
  return one.call(wired<T>(call), signal);
}

function wired<T>({ method, path, body, repeatable = method === "GET" }: ApiCall): Call<T> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  return { method, path, ...sent, repeatable, decode: (text) => (text === "" ? undefined : JSON.parse(text)) as T } as Call<T>;
}

/** The request for a shell. The token is not in it: what is copied ends up in chats and tickets. */
export function asCurl({ method, path, body }: ApiCall): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = [`curl ${quoted(location.origin + path)}`];
  if (method !== (body === undefined ? "GET" : "POST")) parts.push(`-X ${method}`);
  if (token.value !== "") parts.push('-H "Authorization: $TOKEN"');
  if (body !== undefined) parts.push(`-d ${quoted(JSON.stringify(body))}`);
  return parts.join(" ");
}
