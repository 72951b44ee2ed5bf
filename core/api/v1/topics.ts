/** Topics and tasks: see core/recipes/topic.ts and task.ts. */
import { z } from "zod";
import { Session } from "../../recipes/session.ts";
import { deleteTask, directTask, forgetWorker, reportProgress, taskChange, taskState } from "../../recipes/task.ts";
import {
  type TopicEvent,
  deleteCursor,
  moveCursor,
  publish,
  readCursor,
  readEvents,
  readRetention,
  setRetention,
  subscribe,
} from "../../recipes/topic.ts";
import type { ApiReply } from "../exchange.ts";
import { recipeIdempotencyKey, ifMatching } from "./conditions.ts";
import { durationField, leaseParam, nameParam, ttlParam, waitParam } from "./fields.ts";
import { BYTES, type Call, type Operation, operation } from "./operation.ts";
import { bytes, empty, etagOf, json } from "./reply.ts";
import { type ServerEvent, eventStream, lastEventId, wantsEvents, within } from "./waiting.ts";
import { bytesOut, bytesToJson } from "./wire.ts";

const params = z.object({ name: nameParam });
const eventOut = z.object({ revision: z.int().describe("The number of the event."), value: bytesOut });
const eventToJson = ({ revision, value }: TopicEvent): z.infer<typeof eventOut> => ({ revision, value: bytesToJson(value) });
const ifMatch = z.string().optional().describe("Only if its ETag is still this one.");

const say = operation({
  method: "POST",
  path: "/v1/topics/{name}",
  tag: "topics",
  summary: "Publishes an event: the body, whatever it is.",
  params,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: BYTES,
  replies: { 201: { description: "It is published.", schema: z.object({ revision: z.int() }) } },
  handle: async ({ params: { name }, headers, body, context, signal }) => {
    const revision = await publish(context, name, body, { idempotencyKey: headers["idempotency-key"], signal });
    return json(201, { revision }, revision);
  },
});

const hearQuery = z.object({
  after: z.coerce
    .number()
    .pipe(z.int().min(0))
    .optional()
    .describe("Events after this one; 0: from the first that is kept. Left out: those to come. `Last-Event-ID` says the same."),
  limit: z.coerce.number().pipe(z.int().min(1).max(1_000)).default(100),
  wait: waitParam,
});

const hear = operation({
  method: "GET",
  path: "/v1/topics/{name}",
  tag: "topics",
  summary: "Events after a cursor, in their order.",
  description:
    "With `Accept: text/event-stream` a stream without end. Otherwise a page; with `wait`, and no event yet, the first ones to come, or 204.",
  params,
  query: hearQuery,
  replies: {
    200: {
      description: "Events.",
      schema: z.object({
        events: z.array(eventOut),
        more: z.boolean(),
        after: z.int().describe("Where to go on."),
      }),
      events: { event: eventOut, reset: z.object({ revision: z.int().describe("Events since then may have been removed untold.") }) },
    },
    204: { description: "Nothing has been published. Quorate-Revision says where to go on." },
  },
  handle: (call) => (wantsEvents(call.request) ? stream(call) : page(call)),
});

type HearCall = Call<z.output<typeof params>, z.output<typeof hearQuery>>;

async function page({ params: { name }, query, request, context, services, signal }: HearCall): Promise<ApiReply> {
  const read = async (from: number) => readEvents(context, name, { after: from, limit: query.limit, signal });
  const after = lastEventId(request) ?? query.after ?? (await readEvents(context, name, { limit: 1, signal })).revision;
  let found = await read(after);
  if (found.events.length === 0 && query.wait !== undefined) {
    const from = found.revision;
    const heard = await within(services, query.wait, signal, async (until) => {
      for await (const step of subscribe(context, name, { after: from, signal: until })) return step;
      until.throwIfAborted();
      return undefined;
    });
    if (heard !== undefined) found = await read(after);
  }
  const last = found.events.at(-1);
  if (last === undefined) return empty(204, found.revision);
  return json(200, { events: found.events.map(eventToJson), more: found.more, after: last.revision }, found.revision);
}

async function stream({ params: { name }, query, request, context, services, signal }: HearCall): Promise<ApiReply> {
  // Asked for once here, so that a refusal is a reply and no event.
  const { revision } = await readEvents(context, name, { limit: 1, signal });
  const after = lastEventId(request) ?? query.after ?? revision;
  return eventStream(services, async function* (until): AsyncGenerator<ServerEvent> {
    for await (const step of subscribe(context, name, { after, signal: until })) {
      if (step.kind === "event") yield { event: "event", id: step.revision, data: eventToJson(step) };
      else yield { event: "reset", id: step.revision, data: { revision: step.revision } };
    }
  });
}

const retentionOut = z.object({ maxAge: z.int().describe("Milliseconds."), maxCount: z.int().nullable() });

const readKept = operation({
  method: "GET",
  path: "/v1/topics/{name}/retention",
  tag: "topics",
  summary: "How long and how many events are kept.",
  params,
  replies: { 200: { description: "As it is.", schema: retentionOut } },
  handle: async ({ params: { name }, context, signal }) => {
    const { retention, revision } = await readRetention(context, name, { signal });
    return json(200, { maxAge: retention.maxAgeMs, maxCount: retention.maxCount }, revision);
  },
});

const setKept = operation({
  method: "PUT",
  path: "/v1/topics/{name}/retention",
  tag: "topics",
  summary: "Says how long and how many events are kept, of those that are published from now on.",
  params,
  body: z.strictObject({
    maxAge: durationField
      .default(86_400_000)
      .describe("1m to 366d. They live so long at least, and a little more than twice as long at most."),
    maxCount: z.int().min(1).nullable().default(null).describe("Older ones are removed; null: no bound."),
  }),
  replies: { 200: { description: "As it is now.", schema: retentionOut } },
  handle: async ({ params: { name }, body: { maxAge, maxCount }, context }) => {
    const { revision } = await setRetention(context, name, { maxAgeMs: maxAge, maxCount });
    return json(200, { maxAge, maxCount }, revision);
  },
});

const cursorParams = params.extend({ consumer: z.string().min(1) });
const cursorOut = z.object({ after: z.int() });

const readAt = operation({
  method: "GET",
  path: "/v1/topics/{name}/cursors/{consumer}",
  tag: "topics",
  summary: "Where a consumer is: everything up to this event has been seen.",
  params: cursorParams,
  replies: { 200: { description: "0 of one that has not begun.", schema: cursorOut, headers: { ETag: "To move it with." } } },
  handle: async ({ params: { name, consumer }, context, signal }) => {
    const { after, modRevision } = await readCursor(context, name, consumer, { signal });
    return json(200, { after }, undefined, { etag: etagOf(modRevision), "cache-control": "no-cache" });
  },
});

const moveTo = operation({
  method: "PUT",
  path: "/v1/topics/{name}/cursors/{consumer}",
  tag: "topics",
  summary: "Moves a consumer, if nobody else of it has; 412 otherwise.",
  params: cursorParams,
  headers: z.object({ "if-match": z.string().describe("Its ETag, as it was read or moved last.") }),
  body: z.strictObject({ after: z.int().min(0) }),
  replies: { 200: { description: "It is moved.", schema: cursorOut, headers: { ETag: "To move it with next." } } },
  handle: async ({ params: { name, consumer }, headers, body, context, signal }) => {
    const moved = await ifMatching(headers["if-match"], (modRevision = 0) =>
      moveCursor(context, name, consumer, body.after, { modRevision }, { signal }),
    );
    return json(200, { after: moved.after }, moved.modRevision, { etag: etagOf(moved.modRevision) });
  },
});

const forgetAt = operation({
  method: "DELETE",
  path: "/v1/topics/{name}/cursors/{consumer}",
  tag: "topics",
  summary: "Lets a consumer begin anew.",
  params: cursorParams,
  replies: { 204: { description: "It is forgotten." } },
  handle: async ({ params: { name, consumer }, context }) => {
    await deleteCursor(context, name, consumer);
    return empty(204);
  },
});

const direct = operation({
  method: "PUT",
  path: "/v1/tasks/{name}",
  tag: "tasks",
  summary: "Says what is to be done: the body, whatever it is. 412 when something else has been said since.",
  params,
  headers: z.object({ "if-match": ifMatch }),
  body: BYTES,
  replies: { 200: { description: "It is said.", schema: z.object({ revision: z.int() }), headers: { ETag: "Of what is to be done." } } },
  handle: async ({ params: { name }, headers, body, context }) => {
    const { revision } = await ifMatching(headers["if-match"], (at) => directTask(context, name, body, at));
    return json(200, { revision }, revision, { etag: etagOf(revision) });
  },
});

const taskOut = z.object({
  spec: bytesOut.nullable(),
  workers: z.array(
    z.object({
      worker: z.string(),
      state: z.enum(["running", "done", "failed", "lost"]),
      percent: z.number().optional(),
      note: z.string().optional(),
    }),
  ),
  revision: z.int(),
});

const readTask = operation({
  method: "GET",
  path: "/v1/tasks/{name}",
  tag: "tasks",
  summary: "What is to be done, and how far the workers are.",
  params,
  query: z.object({
    wait: waitParam,
    after: z.coerce.number().pipe(z.int().min(0)).optional().describe("With `wait`: answered at the first change after this revision."),
  }),
  replies: {
    200: { description: "As it is.", schema: taskOut, headers: { ETag: "Of what is to be done." } },
    304: { description: "Nothing has changed." },
  },
  handle: async ({ params: { name }, query: { wait, after }, context, services, signal }) => {
    let state = await taskState(context, name, { signal });
    if (wait !== undefined) {
      const since = after ?? state.revision;
      const changed = await within(services, wait, signal, async (until) => {
        await taskChange(context, name, since, { signal: until });
        return true;
      });
      if (changed === undefined) return empty(304, state.revision);
      state = await taskState(context, name, { signal });
    }
    const { spec, workers, modRevision, revision } = state;
    const head = { etag: etagOf(modRevision), "cache-control": "no-cache" };
    return json(200, { spec: spec === null ? null : bytesToJson(spec), workers, revision }, revision, head);
  },
});

const readSpec = operation({
  method: "GET",
  path: "/v1/tasks/{name}/spec",
  tag: "tasks",
  summary: "What is to be done, as it was said.",
  params,
  replies: { 200: { description: "The bytes.", bytes: true } },
  handle: async ({ params: { name }, context, signal }) => {
    const { spec, modRevision, revision } = await taskState(context, name, { signal });
    const head = { etag: etagOf(modRevision), "cache-control": "no-cache" };
    return spec === null ? empty(204, revision) : bytes(200, spec, "application/octet-stream", revision, head);
  },
});

const removeTask = operation({
  method: "DELETE",
  path: "/v1/tasks/{name}",
  tag: "tasks",
  summary: "Forgets a task and who worked on it.",
  params,
  replies: { 204: { description: "It is forgotten." } },
  handle: async ({ params: { name }, context }) => {
    await deleteTask(context, name);
    return empty(204);
  },
});

const workerParams = params.extend({ worker: z.string().min(1) });

const report = operation({
  method: "PUT",
  path: "/v1/tasks/{name}/workers/{worker}",
  tag: "tasks",
  summary: "Says how far a worker is, and keeps it alive.",
  description:
    "The first report grants a lease, unless one is named; further ones name it, which renews it. Without a report in time the worker is lost.",
  params: workerParams,
  query: z.object({ lease: leaseParam.optional(), ttl: ttlParam }),
  body: z.strictObject({
    state: z.enum(["running", "done", "failed"]).default("running"),
    percent: z.number().optional(),
    note: z.string().optional(),
  }),
  replies: {
    200: { description: "It is noted.", schema: z.object({ lease: z.string(), ttl: z.int().describe("Seconds."), revision: z.int() }) },
  },
  handle: async ({ params: { name, worker }, query: { lease, ttl }, body, context, signal }) => {
    const session = lease === undefined ? await Session.open(context, { ttl, signal }) : await Session.resume(context, lease, signal);
    session.detach(); // the worker keeps it alive, by its reports
    const { revision } = await reportProgress(context, name, worker, body, session.id, { signal });
    return json(200, { lease: session.id, ttl: session.ttlSeconds, revision }, revision);
  },
});

const forget = operation({
  method: "DELETE",
  path: "/v1/tasks/{name}/workers/{worker}",
  tag: "tasks",
  summary: "Forgets a worker.",
  params: workerParams,
  replies: { 204: { description: "It is forgotten." } },
  handle: async ({ params: { name, worker }, context }) => {
    await forgetWorker(context, name, worker);
    return empty(204);
  },
});

export const topicOperations: readonly Operation[] = [say, hear, readKept, setKept, readAt, moveTo, forgetAt];
export const taskOperations: readonly Operation[] = [direct, readTask, readSpec, removeTask, report, forget];
