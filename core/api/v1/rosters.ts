/**
 * What services and groups share over HTTP: an entry is kept by heartbeats, and changed by whoever shows its secret; the list is asked for
 * with its ETag, waited for, or followed as a stream of events.
 */
import { z } from "zod";
import { isQuorateError } from "../../errors.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { holdTtlSeconds } from "../../recipes/durations.ts";
import { type Entry, type RosterPlace, type Value, enroll, ownEntry, randomSecret, withdraw } from "../../recipes/roster.ts";
import { Session } from "../../recipes/session.ts";
import type { ApiReply } from "../exchange.ts";
import { nameParam } from "./fields.ts";
import { type Call, type Operation, operation } from "./operation.ts";
import { empty, etagOf, json } from "./reply.ts";
import { within } from "./waiting.ts";

export const entryParams = z.object({ name: nameParam, id: nameParam });

const secret = z.string().min(1).max(256);
/** Of a request that makes an entry. */
export const newSecretHeader = z.object({
  "quorate-secret": secret
    .optional()
    .describe("Whoever has it may change the entry, and make this request again. Left out: one is chosen, and told in the reply."),
});
/** Of a request that changes one. */
export const secretHeader = z.object({ "quorate-secret": secret.describe("Of the entry; otherwise 409.") });

export const enteredOut = z.object({
  id: z.string(),
  ttl: z.int().describe("Seconds: a heartbeat is due earlier than that."),
  incarnation: z.int().describe("The revision at which it came."),
  revision: z.int().describe("Of its last change."),
  secret: z.string().optional().describe("When the request had none."),
});
const heartbeatOut = z.object({ ttl: z.int().describe("Seconds; they begin anew.") });

export const listHeaders = z.object({
  "if-none-match": z.string().optional().describe("An ETag; with `wait`, the reply comes when the list is another: 304 when it is not."),
  "last-event-id": z.string().optional().describe("Resumes a stream of events."),
});

/** Enters, or renews what is there. @param value of what is there already, if anything */
export async function enterReply(
  { context, headers, signal }: Call<unknown, unknown, z.output<typeof newSecretHeader>>,
  { prefix, id, merge }: Omit<RosterPlace, "secret">,
  ttl: string | undefined,
  value: (before: Value | undefined) => Value,
): Promise<ApiReply> {
  const given = headers["quorate-secret"];
  const place = { prefix, id, merge, secret: given ?? randomSecret(context) };
  const before = given === undefined ? undefined : await unlessGone(ownEntry(context, place, { signal }));
  const session = await sessionFor(context, before, ttl, signal);
  try {
    const entry = await enroll(context, place, value(before?.value), session);
    session.detach();
    const { incarnation, revision } = entry;
    const body = { id, ttl: session.ttlSeconds, incarnation, revision, ...(given === undefined ? { secret: place.secret } : {}) };
    return json(before === undefined ? 201 : 200, body, entry.asOf, { etag: etagOf(revision) });
  } catch (error) {
    if (session.id === before?.lease) session.detach();
    else session.end().catch(() => {}); // otherwise it ends with its TTL
    throw error;
  }
}

/** That of the entry which is there, renewed, if it has this TTL; or a new one. */
async function sessionFor(
  context: RecipeContext,
  before: Entry | undefined,
  ttl: string | undefined,
  signal: AbortSignal,
): Promise<Session> {
  const session = before && (await unlessGone(Session.resume(context, before.lease, signal)));
  if (session?.ttlSeconds === holdTtlSeconds(ttl)) return session;
  session?.detach();
  return Session.open(context, { ttl, signal });
}

async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isQuorateError(error) && error.reason === "sessionLost") return undefined;
    throw error;
  }
}

type Own = Call<unknown, unknown, z.output<typeof secretHeader>>;

/** No write: the lease is renewed. 410 when the entry is gone. */
async function heartbeatReply({ context, headers, signal }: Own, place: Pick<RosterPlace, "prefix" | "id">): Promise<ApiReply> {
  const { lease } = await ownEntry(context, { ...place, secret: headers["quorate-secret"] }, { signal });
  const session = await Session.resume(context, lease, signal);
  session.detach();
  return json(200, { ttl: session.ttlSeconds });
}

/** Leaves. What is gone already is fine. */
export async function leaveReply({ context, headers, signal }: Own, place: Pick<RosterPlace, "prefix" | "id">): Promise<ApiReply> {
  const own = { ...place, secret: headers["quorate-secret"] };
  const entry = await unlessGone(ownEntry(context, own, { signal }));
  if (entry !== undefined) {
    await withdraw(context, own, entry.lease);
    await context.store.revoke(entry.lease);
  }
  return empty(204);
}

/** A list that says by its ETag whether it has changed. */
interface Listing {
  readonly etag: string;
  readonly revision: number;
}

/** The list, if it is another than the one that is known; otherwise, when it has become another, or 304. */
export async function listReply<T extends Listing>(
  { headers, services, signal }: Call<unknown, unknown, z.output<typeof listHeaders>>,
  waitMs: number,
  cacheControl: string,
  read: () => Promise<T>,
  watch: (signal: AbortSignal) => AsyncIterable<T>,
  body: (list: T) => unknown,
): Promise<ApiReply> {
  const reply = (list: T): ApiReply => json(200, body(list), list.revision, { etag: list.etag, "cache-control": cacheControl });
  const known = headers["if-none-match"];
  const now = await read();
  if (known !== now.etag && known !== `W/${now.etag}`) return reply(now);
  const changed = await within(services, waitMs, signal, async (until) => {
    for await (const list of watch(until)) if (list.etag !== now.etag) return list;
    until.throwIfAborted();
    return undefined;
  });
  if (changed === undefined) return empty(304, now.revision, { etag: now.etag, "cache-control": cacheControl });
  return reply(changed);
}

/** Keeps an entry alive that has nothing new to say. @param prefixOf where the entries of a name are */
export function heartbeatOperation(kind: string, summary: string, prefixOf: (name: string) => RosterPlace["prefix"]): Operation {
  return operation({
    method: "POST",
    path: `/v1/${kind}/{name}/{id}/heartbeat`,
    tag: kind,
    summary,
    params: entryParams,
    headers: secretHeader,
    replies: { 200: { description: "It is renewed.", schema: heartbeatOut } },
    handle: (call) => heartbeatReply(call, { prefix: prefixOf(call.params.name), id: call.params.id }),
  });
}

/** Takes an entry out. */
export function leaveOperation(kind: string, summary: string, prefixOf: (name: string) => RosterPlace["prefix"]): Operation {
  return operation({
    method: "DELETE",
    path: `/v1/${kind}/{name}/{id}`,
    tag: kind,
    summary,
    params: entryParams,
    headers: secretHeader,
    replies: { 204: { description: "It is gone." } },
    handle: (call) => leaveReply(call, { prefix: prefixOf(call.params.name), id: call.params.id }),
  });
}
