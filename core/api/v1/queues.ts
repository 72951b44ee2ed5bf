/** Queues: see core/recipes/queue.ts. */
import { z } from "zod";
import { enqueue } from "../../recipes/queue.ts";
import { acknowledge, extendMessage, rejectMessage } from "../../recipes/queue-flight.ts";
import { setQueue } from "../../recipes/queue-settings.ts";
import { type Peeked, peekMessages, purgeDead, queueState, redriveDead } from "../../recipes/queue-state.ts";
import { type Message, takeMessages } from "../../recipes/queue-take.ts";
import { type Gate, readGate, removeGate, setGate } from "../../recipes/queue-gate.ts";
import { errKeyAbsent } from "../../errors.ts";
import { recipeIdempotencyKey } from "./conditions.ts";
import { durationField, nameParam, waitParam } from "./fields.ts";
import { GuardedStore } from "./guarded-store.ts";
import { BYTES, type Operation, operation } from "./operation.ts";
import { QueueWaiters } from "./queue-waiters.ts";
import { empty, json } from "./reply.ts";
import type { V1Services } from "./services.ts";
import { bytesOut, bytesToJson, valueField } from "./wire.ts";

const params = z.object({ name: nameParam });
const PATH = "/v1/queues/{name}";

const putQuery = z.object({
  delay: durationField.optional().describe("Not handed out before."),
  priority: z.coerce.number().pipe(z.int().min(0).max(9)).optional().describe("0 first, 9 last; default 5."),
  group: z.string().min(1).optional().describe("Of messages of one group one is handed out at a time, in their order."),
  item: z.string().min(1).optional().describe("A name for it, for a condition of the kind `has`."),
});

function putOptions({ delay, priority, group, item }: z.output<typeof putQuery>): Parameters<typeof enqueue>[3] {
  return { delayMs: delay, priority, group, itemName: item };
}

const put = operation({
  method: "POST",
  path: PATH,
  tag: "queues",
  summary: "Puts a message: the body, whatever it is.",
  params,
  query: putQuery,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: BYTES,
  replies: { 201: { description: "It is in the queue.", schema: z.object({ id: z.string() }) } },
  handle: async ({ params: { name }, query, headers, body, context, signal }) => {
    const options = { ...putOptions(query), idempotencyKey: headers["idempotency-key"], signal };
    const [id] = await enqueue(context, name, [body], options);
    return json(201, { id });
  },
});

const putMany = operation({
  method: "POST",
  path: `${PATH}/batch`,
  tag: "queues",
  summary: "Puts several messages, all of them or none.",
  params,
  query: putQuery,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: z.strictObject({ messages: z.array(valueField).min(1).max(50) }),
  replies: { 201: { description: "They are in the queue.", schema: z.object({ ids: z.array(z.string()) }) } },
  handle: async ({ params: { name }, query, headers, body, context, signal }) => {
    const options = { ...putOptions(query), idempotencyKey: headers["idempotency-key"], signal };
    return json(201, { ids: await enqueue(context, name, body.messages, options) });
  },
});

const messageOut = z.object({
  id: z.string(),
  body: bytesOut,
  deliveries: z.int().describe("This one included."),
  priority: z.int(),
  group: z.string().optional(),
  receipt: z.string().optional().describe("To acknowledge it with; left out when it is gone already."),
});

function messageToJson({ id, body, deliveries, priority, group, receipt }: Message): z.infer<typeof messageOut> {
  return {
    id,
    body: bytesToJson(body),
    deliveries,
    priority,
    ...(group === null ? {} : { group }),
    ...(receipt === null ? {} : { receipt }),
  };
}

/** Who waits at a member. */
const waiting = new WeakMap<V1Services, QueueWaiters>();
let ownLines = 0;

function waitersOf(services: V1Services): QueueWaiters {
  let waiters = waiting.get(services);
  if (waiters === undefined) waiting.set(services, (waiters = new QueueWaiters()));
  return waiters;
}

const takeSome = operation({
  method: "POST",
  path: `${PATH}/take`,
  tag: "queues",
  summary: "Takes messages: they are handed out again unless they are acknowledged in time.",
  params,
  query: z.object({
    max: z.coerce.number().pipe(z.int().min(1).max(100)).default(1),
    visibility: durationField.optional().describe("How long the consumer has; default 30s, at most 12h."),
    wait: waitParam,
    consumer: z.string().max(256).optional().describe("Who it is, for people who look."),
    ack: z
      .enum(["auto", "manual"])
      .default("manual")
      .describe("`auto`: they are gone at once: handed out at most once, instead of at least once."),
  }),
  replies: {
    200: { description: "Messages.", schema: z.array(messageOut) },
    204: { description: "There is none." },
  },
  handle: async ({ params: { name }, query, context, store, member, services, signal }) => {
    const options = { max: query.max, visibilityMs: query.visibility, consumer: query.consumer, pop: query.ack === "auto" };
    let taken = await takeMessages(context, name, options);
    if (taken.messages.length === 0 && query.wait !== undefined) {
      // Whoever has rights of his own, or a guard, waits by himself.
      const line = member === services.member && !(store instanceof GuardedStore) ? `all ${name}` : `own ${++ownLines}`;
      taken = (await waitersOf(services).take(services, { line, context, name, options, waitMs: query.wait }, signal)) ?? taken;
    }
    return taken.messages.length === 0 ? empty(204) : json(200, taken.messages.map(messageToJson));
  },
});

const receipt = z.string().min(1).describe("As it came with the message.");

const ack = operation({
  method: "POST",
  path: `${PATH}/ack`,
  tag: "queues",
  summary: "The message is done with: it is gone. With `Quorate-Ack` any write can say so at the same time.",
  params,
  body: z.strictObject({ receipt }),
  replies: { 204: { description: "It is gone." } },
  handle: async ({ params: { name }, body, context, signal }) => {
    const { revision } = await acknowledge(context, name, body.receipt, { signal });
    return empty(204, revision);
  },
});

const more = operation({
  method: "POST",
  path: `${PATH}/extend`,
  tag: "queues",
  summary: "More time for a message, from now on.",
  params,
  body: z.strictObject({ receipt, visibility: durationField.default(30_000) }),
  replies: { 200: { description: "The receipt that is good from now on.", schema: z.object({ receipt: z.string() }) } },
  handle: async ({ params: { name }, body, context, signal }) =>
    json(200, { receipt: await extendMessage(context, name, body.receipt, body.visibility, { signal }) }),
});

const nack = operation({
  method: "POST",
  path: `${PATH}/nack`,
  tag: "queues",
  summary: "The message could not be done: it is handed out again later, or is dead.",
  params,
  body: z.strictObject({
    receipt,
    delay: durationField.optional().describe("Default: 1s, twice as long with each delivery, at most 5m."),
    dead: z.boolean().default(false),
    reason: z.string().max(1_000).optional(),
  }),
  replies: { 204: { description: "It is given back." } },
  handle: async ({ params: { name }, body: { delay, dead, reason, ...rest }, context, signal }) => {
    await rejectMessage(context, name, rest.receipt, { delayMs: delay, dead, reason, signal });
    return empty(204);
  },
});

const settingsOut = z.object({
  maxLength: z.int().nullable(),
  maxDeliveries: z.int(),
  fair: z.enum(["strict", "weighted"]),
});

const state = operation({
  method: "GET",
  path: PATH,
  tag: "queues",
  summary: "How many messages there are, and in which state.",
  params,
  replies: {
    200: {
      description: "As it is.",
      schema: z.object({
        visible: z.int(),
        delayed: z.int(),
        inFlight: z.int(),
        dead: z.int(),
        oldestAgeMs: z.int().nullable().describe("Of the visible message that was put first; null: there is none, or nobody said when."),
        settings: settingsOut,
        revision: z.int(),
      }),
    },
  },
  handle: async ({ params: { name }, context, services, signal }) => {
    const { oldestAtMs, revision, ...rest } = await queueState(context, name, { signal });
    const oldestAgeMs = oldestAtMs === null ? null : Math.max(0, Math.floor(services.host.clockMs() - oldestAtMs));
    return json(200, { ...rest, oldestAgeMs, revision }, revision);
  },
});

const configure = operation({
  method: "PUT",
  path: PATH,
  tag: "queues",
  summary: "Sets the bounds of a queue.",
  params,
  body: z.strictObject({
    maxLength: z.int().min(1).nullable().default(null).describe("More messages are refused: 429."),
    maxDeliveries: z.int().min(1).default(10).describe("Handed out so often and not acknowledged, a message is dead."),
    fair: z.enum(["strict", "weighted"]).default("strict").describe("`weighted`: lower priorities get 1 in 2, 1 in 4 …"),
  }),
  replies: { 200: { description: "As it is now.", schema: settingsOut } },
  handle: async ({ params: { name }, body, context }) => json(200, await setQueue(context, name, body)),
});

const peekedOut = z.object({ id: z.string(), body: bytesOut, deliveries: z.int(), priority: z.int(), reason: z.string().optional() });

const peekedToJson = (one: Peeked): z.infer<typeof peekedOut> => ({ ...one, body: bytesToJson(one.body) });

const limitQuery = z.object({ limit: z.coerce.number().pipe(z.int().min(1).max(1_000)).default(10) });

const look = operation({
  method: "GET",
  path: `${PATH}/messages`,
  tag: "queues",
  summary: "The next messages, without taking them.",
  params,
  query: limitQuery,
  replies: { 200: { description: "Visible messages.", schema: z.array(peekedOut) } },
  handle: async ({ params: { name }, query: { limit }, context, signal }) => {
    return json(200, (await peekMessages(context, name, { limit, signal })).map(peekedToJson));
  },
});

const dead = operation({
  method: "GET",
  path: `${PATH}/dead`,
  tag: "queues",
  summary: "Messages that could not be done.",
  params,
  query: limitQuery,
  replies: { 200: { description: "Dead messages.", schema: z.array(peekedOut) } },
  handle: async ({ params: { name }, query: { limit }, context, signal }) => {
    return json(200, (await peekMessages(context, name, { dead: true, limit, signal })).map(peekedToJson));
  },
});

const countOut = z.object({ count: z.int() });

const again = operation({
  method: "POST",
  path: `${PATH}/dead/redrive`,
  tag: "queues",
  summary: "Makes the dead messages visible again, as if they had never been handed out.",
  params,
  replies: { 200: { description: "How many.", schema: countOut } },
  handle: async ({ params: { name }, context, signal }) => json(200, { count: await redriveDead(context, name, { signal }) }),
});

const purge = operation({
  method: "DELETE",
  path: `${PATH}/dead`,
  tag: "queues",
  summary: "Removes the dead messages.",
  params,
  replies: { 200: { description: "How many.", schema: countOut } },
  handle: async ({ params: { name }, context }) => json(200, { count: await purgeDead(context, name) }),
});

const mode = z.enum(["latch", "cycle"]).default("latch").describe("`cycle`: it closes again when the queue is empty.");
const open = z.boolean().default(false);
const gateIn = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("manual"), open, mode }),
  z.strictObject({ kind: z.literal("size"), size: z.int().min(1).describe("So many messages are visible."), open, mode }),
  z.strictObject({ kind: z.literal("has"), item: z.string().min(1).describe("A message was put with this name."), open, mode }),
  z.strictObject({
    kind: z.literal("members"),
    group: nameParam,
    size: z.int().min(1).describe("The group has so many members."),
    open,
    mode,
  }),
]);
const gateOut = z.looseObject({ kind: z.enum(["manual", "size", "has", "members"]), open: z.boolean(), mode: z.enum(["latch", "cycle"]) });

const readCondition = operation({
  method: "GET",
  path: `${PATH}/condition`,
  tag: "queues",
  summary: "What has to be before messages are handed out, and whether it is.",
  params,
  replies: { 200: { description: "As it is.", schema: gateOut } },
  handle: async ({ params: { name }, context, signal }) => {
    const gate = await readGate(context, name, { signal });
    if (gate === null) throw errKeyAbsent({ name });
    return json(200, gate);
  },
});

const setCondition = operation({
  method: "PUT",
  path: `${PATH}/condition`,
  tag: "queues",
  summary: "While the condition is there and does not hold, nothing is handed out.",
  params,
  body: gateIn,
  replies: { 200: { description: "As it is now.", schema: gateOut } },
  handle: async ({ params: { name }, body, context }) => json(200, await setGate(context, name, body satisfies Gate)),
});

const removeCondition = operation({
  method: "DELETE",
  path: `${PATH}/condition`,
  tag: "queues",
  summary: "Messages are handed out whatever may be.",
  params,
  replies: { 204: { description: "There is none." } },
  handle: async ({ params: { name }, context }) => {
    await removeGate(context, name);
    return empty(204);
  },
});

export const queueOperations: readonly Operation[] = [
  put,
  putMany,
  takeSome,
  ack,
  more,
  nack,
  state,
  configure,
  look,
  dead,
  again,
  purge,
  readCondition,
  setCondition,
  removeCondition,
];
