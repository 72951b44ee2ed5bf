/** Keys and values over plain HTTP: bytes in, bytes out; the ETag is the revision of the key. */
import { z } from "zod";
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { utf8Decode } from "../../bytes/utf8.ts";
import { errBadField, errKeyAbsent, isQuorateError } from "../../errors.ts";
import { deleteOp, keysUnder, oneKey, putOp, readOf, txnOf } from "../../recipes/requests.ts";
import { randomLease } from "../../recipes/session.ts";
import { type KeyValue, type LeaseId, NO_LEASE, type Operation as StoreOperation } from "../../store/command.ts";
import { type CommandSession, ONE_COMMAND } from "../../store/sessions.ts";
import { retryOf } from "../error-table.ts";
import type { ApiReply } from "../exchange.ts";
import { conditionHeaders, conditionsOf, idempotencyKey, matcherOf } from "./conditions.ts";
import { contentTypeField, durationField, flagParam, keyParam, leaseParam, revisionParam, waitParam } from "./fields.ts";
import { BYTES, type Call, type Operation, operation } from "./operation.ts";
import { bytes, empty, etagOf, json } from "./reply.ts";
import { within } from "./waiting.ts";
import { bytesOut, bytesToJson, keyValueOut, keyValueToJson } from "./wire.ts";

const params = z.object({ key: keyParam });
const UNTYPED = "application/octet-stream";
/** A page that somebody stored must not run as one of this origin. */
const INERT = { "x-content-type-options": "nosniff", "content-security-policy": "sandbox" };
/** What curl and forms say of any body: nothing is known of the value. */
const FORM = "application/x-www-form-urlencoded";

const typeHeader = {
  "content-type": contentTypeField
    .optional()
    .describe(`Kept with the value, and told with it; left out or \`${FORM}\`, which curl says of anything: \`${UNTYPED}\`.`),
};

/** The part of a put or an append. */
function typeOf(headers: { "content-type"?: string | undefined }): { contentType?: Bytes } {
  const type = headers["content-type"];
  return type === undefined || type === UNTYPED || type.startsWith(FORM) ? {} : { contentType: type as Bytes };
}
const PAGE_MAX = 10_000;
const PAGE = 1_000;

const listOut = z.object({
  kvs: z.array(keyValueOut),
  count: z.int().describe("Keys that begin so, on all pages."),
  revision: z.int().describe("All pages show the keys as of this revision."),
  cursor: z.string().optional().describe("Of the next page; left out on the last one."),
});

const readQuery = z.object({
  prefix: flagParam.describe("All keys that begin so, as JSON."),
  limit: z.coerce.number().pipe(z.int().min(1).max(PAGE_MAX)).optional().describe(`Keys a page; default ${PAGE}.`),
  cursor: z.string().optional(),
  keysOnly: flagParam,
  revision: revisionParam.optional().describe("As it was at this revision."),
  serializable: flagParam.describe("Answered by this member at once, perhaps from a moment ago."),
  wait: waitParam,
});

const read = operation({
  method: "GET",
  path: "/v1/kv/{key*}",
  tag: "kv",
  summary: "The value of a key, or the keys that begin so.",
  description:
    "With `wait`, a key that is not there is waited for, and so is a change of one whose ETag is in `If-None-Match`: 304 when nothing has happened.",
  params,
  query: readQuery,
  headers: z.object({ "if-none-match": z.string().optional().describe("ETags, or `*`: 304 while the key is at one of these revisions.") }),
  replies: {
    200: {
      description: "The value; of a prefix, a page of keys.",
      bytes: true,
      schema: listOut,
      headers: {
        ETag: "The revision at which the key was put last.",
        "Quorate-Create-Revision": "The revision at which it was created.",
        "Quorate-Version": "How often it was put since then.",
        "Quorate-Lease": "The lease that it dies with, if there is one.",
      },
    },
    304: { description: "It has not changed." },
  },
  handle: (call) => (call.query.prefix ? list(call) : readOne(call)),
});

type ReadCall = Call<z.output<typeof params>, z.output<typeof readQuery>, { "if-none-match"?: string | undefined }>;

async function readOne(call: ReadCall): Promise<ApiReply> {
  const {
    params: { key },
    query,
    headers,
    store,
    services,
  } = call;
  checkKey(key);
  const known = headers["if-none-match"] === undefined ? undefined : matcherOf(headers["if-none-match"]);
  const options = { serializable: query.serializable };
  const look = async (): Promise<{ kv: KeyValue | undefined; revision: number }> => {
    const { kvs, revision } = await store.range(readOf(oneKey(key), { revision: query.revision ?? 0 }), options);
    return { kv: kvs[0], revision };
  };
  const isSame = (kv: KeyValue | undefined): boolean =>
    known === undefined ? kv === undefined : kv !== undefined && known(kv.modRevision);
  let seen = await look();
  if (query.wait !== undefined && query.revision === undefined && isSame(seen.kv)) {
    const { revision } = seen;
    const changed = await within(services, query.wait, call.signal, async (until) => {
      for await (const _ of store.watch({ ...oneKey(key), startRevision: revision + 1, signal: until })) return true;
      until.throwIfAborted();
      return undefined;
    });
    if (changed === true) seen = await look();
  }
  const { kv, revision } = seen;
  if (kv === undefined) throw errKeyAbsent({ key: utf8Decode(key) });
  const head = headOf(kv);
  if (known !== undefined && isSame(kv)) return empty(304, revision, head);
  return bytes(200, kv.value, kv.contentType ?? UNTYPED, revision, { ...head, ...INERT });
}

/** What a cache must know: the value may change at any moment, so it is asked for anew, with the ETag. */
function headOf({ modRevision, createRevision, version, lease }: KeyValue): Record<string, string> {
  return {
    etag: etagOf(modRevision),
    "cache-control": "no-cache",
    "quorate-create-revision": String(createRevision),
    "quorate-version": String(version),
    ...(lease === NO_LEASE ? {} : { "quorate-lease": lease }),
  };
}

async function list({ params: { key: prefix }, query, store }: ReadCall): Promise<ApiReply> {
  if (query.wait !== undefined) throw errBadField("wait", "wait: a prefix is watched by /v1/watch");
  const page = query.cursor === undefined ? null : readCursor(query.cursor, prefix);
  const limit = query.limit ?? PAGE;
  const { key, end } = prefix === EMPTY ? { key: "\0" as Bytes, end: "\0" as Bytes } : keysUnder(prefix);
  const request = readOf(
    { key: page?.from ?? key, end },
    { limit, revision: page?.revision ?? query.revision ?? 0, keysOnly: query.keysOnly },
  );
  const { kvs, more, count, revision: now } = await store.range(request, { serializable: query.serializable });
  const revision = request.revision === 0 ? now : request.revision;
  const before = page?.before ?? 0;
  const cursor = more ? writeCursor({ from: `${kvs.at(-1)!.key}\0` as Bytes, revision, before: before + kvs.length }) : undefined;
  return json(200, { kvs: kvs.map((kv) => keyValueToJson(kv, query.keysOnly)), count: before + count, revision, cursor }, now, {
    "cache-control": "no-cache",
  });
}

/** Where the next page begins. */
interface Cursor {
  readonly from: Bytes;
  readonly revision: number;
  /** Keys on the pages before. */
  readonly before: number;
}

function writeCursor({ from, revision, before }: Cursor): string {
  return btoa(JSON.stringify([from, revision, before]))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** @throws QuorateError badField */
function readCursor(text: string, prefix: Bytes): Cursor {
  try {
    const [from, revision, before] = JSON.parse(atob(text.replace(/-/g, "+").replace(/_/g, "/"))) as [Bytes, number, number];
    if (from.startsWith(prefix) && Number.isSafeInteger(revision) && Number.isSafeInteger(before)) return { from, revision, before };
  } catch {
    // Said below.
  }
  throw errBadField("cursor", "cursor: is none that was given for this prefix");
}

const putOut = z.object({
  key: bytesOut,
  revision: z.int(),
  created: z.boolean(),
  lease: z.string().optional().describe("The one that the key dies with: PUT /v1/leases/{lease} keeps it alive."),
  ttl: z.int().optional().describe("Seconds."),
});

const put = operation({
  method: "PUT",
  path: "/v1/kv/{key*}",
  tag: "kv",
  summary: "Puts a value.",
  params,
  query: z.object({
    ttl: durationField.optional().describe("The key dies after so long, unless its lease is kept alive."),
    lease: leaseParam.optional().describe("The key dies with this lease."),
  }),
  headers: conditionHeaders.extend(typeHeader),
  body: BYTES,
  replies: {
    200: { description: "It is put.", schema: putOut, headers: { ETag: "The revision at which it was put." } },
    201: { description: "It is put, and was not there before.", schema: putOut },
  },
  handle: async ({ params: { key }, query, headers, body, store, once, context }) => {
    checkKey(key);
    const conditions = conditionsOf(headers, key);
    const own = await leaseFor(query, once, context);
    const lease = own?.id ?? query.lease ?? NO_LEASE;
    try {
      const writing = [{ ...putOp(key, body, lease), prevKv: true, ...typeOf(headers) } as StoreOperation, ...conditions.beside];
      const result = await store.txn(txnOf(conditions.compares, writing, conditions.looks), { session: once });
      if (!result.succeeded) throw conditions.why(result.responses);
      const [first] = result.responses;
      const created = first?.op === "put" && first.prev === null;
      const { revision } = result;
      const extra = lease === NO_LEASE ? {} : { lease, ...(own === null ? {} : { ttl: own.ttl }) };
      return json(created ? 201 : 200, { key: bytesToJson(key), revision, created, ...extra }, revision, { etag: etagOf(revision) });
    } catch (error) {
      // A lease that nothing was bound to; when it cannot be ended it ends by itself. Where the key may be bound to it, it would go too.
      if (own !== null && isQuorateError(error) && retryOf(error) !== "unknown") await store.revoke(own.id).catch(() => undefined);
      throw error;
    }
  },
});

/** @returns null when the key dies with no lease of its own */
async function leaseFor(
  { ttl, lease }: { ttl?: number | undefined; lease?: LeaseId | undefined },
  once: Call["once"],
  context: Call["context"],
): Promise<{ id: LeaseId; ttl: number } | null> {
  if (ttl === undefined) return null;
  if (lease !== undefined) throw errBadField("ttl", "ttl: the key dies with the lease that is named, or after its own time");
  const seconds = Math.ceil(ttl / 1_000);
  if (seconds < 1) throw errBadField("ttl", "ttl: must be at least 1s");
  // Of a request that is repeated, the same one.
  const id = once === undefined ? randomLease(context) : leaseOfOnce(once);
  await context.store.grant(id, seconds);
  return { id, ttl: seconds };
}

/** 63 bits of the digests in it: of another request it is another lease. */
function leaseOfOnce({ client, sequence }: CommandSession): LeaseId {
  const digest = atob(client.slice(ONE_COMMAND.length));
  let id = 0n;
  for (let at = 0; at < 8; at++) id = (id << 8n) | BigInt(digest.charCodeAt(at));
  return (BigInt.asUintN(63, id ^ BigInt(sequence)) || 1n).toString();
}

const append = operation({
  method: "POST",
  path: "/v1/kv/{key*}",
  tag: "kv",
  summary: "Puts a value under a new key, which begins with this one and goes on with the revision: the order of keys is that of commits.",
  params,
  query: z.object({ lease: leaseParam.optional() }),
  headers: z.object({ "idempotency-key": idempotencyKey, ...typeHeader }),
  body: BYTES,
  replies: {
    201: {
      description: "It is put.",
      schema: z.object({ key: bytesOut, revision: z.int() }),
      headers: { Location: "Of the new key.", ETag: "The revision at which it was put." },
    },
  },
  handle: async ({ params: { key: prefix }, query, headers, body, store, once }) => {
    const request = txnOf([], [{ op: "append", prefix, suffix: EMPTY, value: body, lease: query.lease ?? NO_LEASE, ...typeOf(headers) }]);
    const { responses, revision } = await store.txn(request, { session: once });
    const [first] = responses;
    const key = first?.op === "append" ? first.key : prefix;
    const location = `/v1/kv/${key.split("/").map(percentEncoded).join("/")}`;
    return json(201, { key: bytesToJson(key), revision }, revision, { location, etag: etagOf(revision) });
  },
});

function percentEncoded(text: string): string {
  return text.replace(/[^A-Za-z0-9._~-]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

const remove = operation({
  method: "DELETE",
  path: "/v1/kv/{key*}",
  tag: "kv",
  summary: "Deletes a key, or all keys that begin so. One that is gone already is fine.",
  params,
  query: z.object({ prefix: flagParam.describe("All keys that begin so.") }),
  headers: conditionHeaders,
  replies: { 200: { description: "It is gone.", schema: z.object({ deleted: z.int(), revision: z.int() }) } },
  handle: async ({ params: { key }, query, headers, store, once }) => {
    if (key === EMPTY) throw errBadField("key", "key: an empty one would be everything; POST /v1/txn can do that");
    const conditions = conditionsOf(headers, key);
    const range = query.prefix ? keysUnder(key) : oneKey(key);
    const result = await store.txn(txnOf(conditions.compares, [deleteOp(range), ...conditions.beside], conditions.looks), {
      session: once,
    });
    if (!result.succeeded) throw conditions.why(result.responses);
    const [first] = result.responses;
    return json(200, { deleted: first?.op === "delete" ? first.deleted : 0, revision: result.revision }, result.revision);
  },
});

function checkKey(key: Bytes): void {
  if (key === EMPTY) throw errBadField("key", "key: must not be empty; ?prefix lists all keys");
}

export const kvOperations: readonly Operation[] = [read, put, append, remove];
