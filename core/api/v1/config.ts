/** Configuration: see core/recipes/config.ts and core/recipes/rollout.ts. */
import { type Schema, Validator } from "@cfworker/json-schema";
import { z } from "zod";
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { errBadField, errKeyAbsent } from "../../errors.ts";
import {
  type ConfigChange,
  type ConfigSnapshot,
  type ConfigStep,
  configSchema,
  jsonOf,
  newestConfig,
  publishConfig,
  readConfig,
  rollBackConfig,
  setConfigSchema,
  subscribeConfig,
} from "../../recipes/config.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { type Rollout, acknowledgeConfig, configRollout, isRolledOut, whenRolledOut } from "../../recipes/rollout.ts";
import { recipeIdempotencyKey, revisionIn } from "./conditions.ts";
import { flagParam, nameParam, revisionParam, ttlParam, waitParam } from "./fields.ts";
import { BYTES, type Operation, operation } from "./operation.ts";
import { bytes, empty, etagOf, json } from "./reply.ts";
import { listHeaders, listReply } from "./rosters.ts";
import { type ServerEvent, eventStream, lastEventId, wantsEvents } from "./waiting.ts";

const params = z.object({ namespace: nameParam });
const keyParams = z.object({ namespace: nameParam, key: nameParam });
const publishedOut = z.object({ revision: z.int() });

const valuesOut = {
  values: z.record(z.string(), z.unknown()).describe("Of each key whose value is JSON."),
  bytes: z.record(z.string(), z.string()).optional().describe("Of the others: base64."),
};
const snapshotOut = z.object({
  revision: z.int(),
  ...valuesOut,
  revisions: z.record(z.string(), z.int()).describe("Of the last change of each key."),
});
const changeOut = z.object({ revision: z.int(), ...valuesOut, deleted: z.array(z.string()) });

/** No code is made of the schema: it is walked, which works where code from text is forbidden. */
function check(schema: unknown, key: string, value: unknown): string | null {
  // One key is checked at a time: what the whole must have is no matter of one of them.
  const { required: _, ...rest } = schema as Schema;
  const { valid, errors } = new Validator(rest as Schema, "2020-12").validate({ [key]: value });
  return valid ? null : (errors.at(-1)?.error ?? "it is not as the schema wants it");
}

const matchHeaders = z.object({
  "if-match": z.string().optional().describe('Only if it was changed last at this revision: `"17"`; `*`: only if it is there.'),
  "if-none-match": z.literal("*").optional().describe("`*`: only if it is not there."),
  "idempotency-key": recipeIdempotencyKey,
});

function conditionIn(headers: z.output<typeof matchHeaders>): ConfigChange["ifRevision"] {
  if (headers["if-none-match"] !== undefined) return 0;
  const match = headers["if-match"];
  return match === undefined ? undefined : (revisionIn(match, "if-match") ?? "any");
}

const put = operation({
  method: "PUT",
  path: "/v1/config/{namespace}/{key}",
  tag: "config",
  summary: "Publishes a value. 412 when a condition does not hold, 422 when it is not as the schema of the namespace wants it.",
  params: keyParams,
  headers: matchHeaders,
  body: BYTES,
  replies: { 200: { description: "It is published.", schema: publishedOut } },
  handle: async ({ params: { namespace, key }, headers, body, context, signal }) => {
    const options = { check, idempotencyKey: headers["idempotency-key"], signal };
    const { revision } = await publishConfig(context, namespace, [{ key, value: body, ifRevision: conditionIn(headers) }], options);
    return json(200, { revision }, revision, { etag: etagOf(revision) });
  },
});

const remove = operation({
  method: "DELETE",
  path: "/v1/config/{namespace}/{key}",
  tag: "config",
  summary: "Deletes a value. 412 when a condition does not hold; one that is not there is fine.",
  params: keyParams,
  headers: matchHeaders,
  replies: { 204: { description: "It is deleted." } },
  handle: async ({ params: { namespace, key }, headers, context, signal }) => {
    const options = { check, idempotencyKey: headers["idempotency-key"], signal };
    const { revision } = await publishConfig(context, namespace, [{ key, value: null, ifRevision: conditionIn(headers) }], options);
    return empty(204, revision);
  },
});

const patch = operation({
  method: "PATCH",
  path: "/v1/config/{namespace}",
  tag: "config",
  summary: "Publishes several values at once: subscribers see all of them or none.",
  params,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: z.strictObject({
    set: z.record(z.string(), z.unknown()).default({}).describe("Values by key: JSON."),
    delete: z.array(z.string()).default([]).describe("Keys."),
    if: z
      .record(z.string(), z.int().min(0))
      .default({})
      .describe("For a key, the revision of its last change; 0: it is not there. Of keys that are set or deleted. Otherwise 412."),
  }),
  replies: { 200: { description: "They are published.", schema: publishedOut } },
  handle: async ({ params: { namespace }, headers, body, context, signal }) => {
    const deleted = new Set(body.delete);
    const both = Object.keys(body.set).find((key) => deleted.has(key));
    if (both !== undefined) throw errBadField("delete", `delete: ${both} is set too`);
    const alone = Object.keys(body.if).find((key) => !deleted.has(key) && !Object.hasOwn(body.set, key));
    if (alone !== undefined) throw errBadField("if", `if: ${alone} is neither set nor deleted`);
    const changes: ConfigChange[] = [
      ...Object.entries(body.set).map(([key, value]) => ({ key, value: utf8Encode(JSON.stringify(value)), ifRevision: body.if[key] })),
      ...[...deleted].map((key) => ({ key, value: null, ifRevision: body.if[key] })),
    ];
    const { revision } = await publishConfig(context, namespace, changes, { check, idempotencyKey: headers["idempotency-key"], signal });
    return json(200, { revision }, revision);
  },
});

const get = operation({
  method: "GET",
  path: "/v1/config/{namespace}/{key}",
  tag: "config",
  summary: "A value, as it is or as it was.",
  params: keyParams,
  query: z.object({ revision: revisionParam.optional().describe("As it was then; 410 when history does not go back so far.") }),
  replies: { 200: { description: "The value.", schema: z.unknown(), bytes: true, headers: { etag: "The revision of its last change." } } },
  handle: async ({ params: { namespace, key }, query, context, signal }) => {
    const { entries, revision } = await readConfig(context, namespace, { revision: query.revision, signal });
    const entry = entries.get(key);
    if (entry === undefined) throw errKeyAbsent();
    const type = jsonOf(entry.value) === undefined ? "application/octet-stream" : "application/json";
    return bytes(200, entry.value, type, revision, { etag: etagOf(entry.revision), "cache-control": "no-cache" });
  },
});

const list = operation({
  method: "GET",
  path: "/v1/config/{namespace}",
  tag: "config",
  summary: "All values of a namespace, as of one revision.",
  description:
    "With `If-None-Match` of an earlier reply and `wait`: when they are others. With `Accept: text/event-stream`: all of them, and then what each revision changes; `reset` when history is gone, and with `conflate` always the newest state.",
  params,
  query: z.object({
    revision: revisionParam.optional().describe("As they were then; 410 when history does not go back so far."),
    wait: waitParam,
    conflate: flagParam.describe("Of a stream: who reads slowly gets the newest state, and not what was between."),
  }),
  headers: listHeaders,
  replies: {
    200: {
      description: "The values.",
      schema: snapshotOut,
      events: { snapshot: snapshotOut, change: changeOut, reset: snapshotOut },
      headers: { etag: "Another whenever the values are others." },
    },
    304: { description: "They are as the ETag says, still." },
  },
  handle: async (call) => {
    const {
      context,
      params: { namespace },
      query,
      request,
      services,
      signal,
    } = call;
    const after = lastEventId(request);
    if (wantsEvents(request)) {
      return eventStream(services, (until) =>
        query.conflate ? newest(context, namespace, until) : events(context, namespace, after, until),
      );
    }
    if (query.revision !== undefined) {
      const then = await readConfig(context, namespace, { revision: query.revision, signal });
      return json(200, snapshotToJson(then), then.revision, { etag: then.etag });
    }
    return listReply(
      call,
      query.wait ?? 0,
      "no-cache",
      () => readConfig(context, namespace, { signal }),
      (until) => subscribeConfig(context, namespace, { signal: until }),
      snapshotToJson,
    );
  },
});

async function* events(
  context: RecipeContext,
  namespace: string,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  let isFirst = after === undefined;
  for await (const step of subscribeConfig(context, namespace, { after, signal })) {
    const event = step.changes !== "reset" ? "change" : isFirst ? "snapshot" : "reset";
    yield { event, id: step.revision, data: event === "change" ? changeToJson(step) : snapshotToJson(step) };
    isFirst = false;
  }
}

async function* newest(context: RecipeContext, namespace: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  let event = "snapshot";
  for await (const snapshot of newestConfig(context, namespace, { signal })) {
    yield { event, id: snapshot.revision, data: snapshotToJson(snapshot) };
    event = "reset";
  }
}

function valuesToJson(values: Iterable<readonly [string, Bytes]>): { values: Record<string, unknown>; bytes?: Record<string, string> } {
  const found: [string, unknown][] = [];
  const others: [string, string][] = [];
  for (const [key, value] of values) {
    const parsed = jsonOf(value);
    if (parsed === undefined) others.push([key, btoa(value)]);
    else found.push([key, parsed.json]);
  }
  return { values: Object.fromEntries(found), ...(others.length === 0 ? {} : { bytes: Object.fromEntries(others) }) };
}

function snapshotToJson({ revision, entries }: ConfigSnapshot): z.infer<typeof snapshotOut> {
  const revisions = Object.fromEntries([...entries].map(([key, entry]) => [key, entry.revision]));
  return { revision, ...valuesToJson([...entries].map(([key, { value }]) => [key, value] as const)), revisions };
}

function changeToJson({ revision, changes }: ConfigStep): z.infer<typeof changeOut> {
  const all = changes === "reset" ? [] : [...changes];
  const set = all.flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]));
  return { revision, ...valuesToJson(set), deleted: all.flatMap(([key, value]) => (value === null ? [key] : [])) };
}

const SCHEMA_PATH = "/v1/config/{namespace}/.schema";

const putSchema = operation({
  method: "PUT",
  path: SCHEMA_PATH,
  tag: "config",
  summary: "Sets the JSON Schema of a namespace: of an object with a property for each key.",
  description:
    "From now on each value is checked as the property of its key, before it is published; `required` is not looked at. What is published already stays. Draft 2020-12.",
  params,
  body: z.record(z.string(), z.unknown()),
  replies: { 200: { description: "It is set.", schema: publishedOut } },
  handle: async ({ params: { namespace }, body, context, signal }) => {
    check(body, "key", null); // what cannot be used is told at once
    const { revision } = await setConfigSchema(context, namespace, body, { signal });
    return json(200, { revision }, revision);
  },
});

const getSchema = operation({
  method: "GET",
  path: SCHEMA_PATH,
  tag: "config",
  summary: "The JSON Schema of a namespace.",
  params,
  replies: { 200: { description: "The schema.", schema: z.record(z.string(), z.unknown()) } },
  handle: async ({ params: { namespace }, context, signal }) => {
    const schema = await configSchema(context, namespace, { signal });
    if (schema === null) throw errKeyAbsent();
    return json(200, schema);
  },
});

const removeSchema = operation({
  method: "DELETE",
  path: SCHEMA_PATH,
  tag: "config",
  summary: "Takes the schema of a namespace away: any value may be published.",
  params,
  replies: { 204: { description: "There is none any more." } },
  handle: async ({ params: { namespace }, context, signal }) => {
    const { revision } = await setConfigSchema(context, namespace, null, { signal });
    return empty(204, revision);
  },
});

const rollBack = operation({
  method: "POST",
  path: "/v1/config/{namespace}/rollback",
  tag: "config",
  summary: "Publishes what was in force at a revision as a new one. 410 when history does not go back so far.",
  params,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: z.strictObject({ to: z.int().min(1) }),
  replies: {
    200: {
      description: "It is published.",
      schema: z.object({ revision: z.int(), changed: z.array(z.string()).describe("Keys whose values are others now.") }),
    },
  },
  handle: async ({ params: { namespace }, headers, body, context, signal }) => {
    const options = { check, idempotencyKey: headers["idempotency-key"], signal };
    const { revision, changed } = await rollBackConfig(context, namespace, body.to, options);
    return json(200, { revision, changed }, revision);
  },
});

const rolloutOut = z.object({
  target: z.int().describe("The revision that is asked about."),
  consumers: z.record(z.string(), z.int()).describe("What each consumer runs."),
  done: z.boolean(),
});

const rollout = operation({
  method: "GET",
  path: "/v1/config/{namespace}/rollout",
  tag: "config",
  summary: "Who runs which revision.",
  description: "With `wait`: when all consumers run the revision, or a newer one; `done` is false when the time is over first.",
  params,
  query: z.object({
    revision: revisionParam.optional().describe("Left out: that of the last change of the namespace."),
    quorum: z
      .union([z.literal("all"), z.coerce.number().pipe(z.int().min(1))])
      .default("all")
      .describe("`all` that are there, or so many."),
    wait: waitParam,
  }),
  replies: { 200: { description: "As it is.", schema: rolloutOut } },
  handle: async ({ params: { namespace }, query, context, signal }) => {
    const target = query.revision ?? (await lastChange(context, namespace, signal));
    const atLeast = query.quorum === "all" ? undefined : query.quorum;
    const { wait = 0 } = query;
    const found = wait === 0 ? null : await whenRolledOut(context, namespace, target, { wait, atLeast, signal });
    const now: Rollout = found ?? (await configRollout(context, namespace, { signal }));
    const body = { target, consumers: Object.fromEntries(now.consumers), done: isRolledOut(now, target, atLeast) };
    return json(200, body, now.revision, { "cache-control": "no-store" });
  },
});

async function lastChange(context: RecipeContext, namespace: string, signal: AbortSignal): Promise<number> {
  const { entries } = await readConfig(context, namespace, { signal });
  return Math.max(0, ...[...entries.values()].map(({ revision }) => revision));
}

const acknowledge = operation({
  method: "PUT",
  path: "/v1/config/{namespace}/rollout/{consumer}",
  tag: "config",
  summary: "Says which revision a consumer runs. It never goes back.",
  params: z.object({ namespace: nameParam, consumer: nameParam }),
  query: z.object({ ttl: ttlParam.describe("After so long without being said again it is not counted any more; left out: 1m.") }),
  body: z.strictObject({ revision: z.int().min(1) }),
  replies: { 204: { description: "It is noted." } },
  handle: async ({ params: { namespace, consumer }, query, body, context, signal }) => {
    await acknowledgeConfig(context, namespace, consumer, body.revision, { ttl: query.ttl, signal });
    return empty(204);
  },
});

export const configOperations: readonly Operation[] = [
  put,
  get,
  remove,
  list,
  patch,
  putSchema,
  getSchema,
  removeSchema,
  rollBack,
  rollout,
  acknowledge,
];
