/** Services and their instances: see core/recipes/services.ts. */
import { z } from "zod";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { type Value, revise } from "../../recipes/roster.ts";
import {
  type Instance,
  STATUSES,
  type ServiceChange,
  type ServiceFilter,
  type ServiceInfo,
  type ServiceList,
  checkService,
  listServices,
  servicePrefix,
  watchServices,
} from "../../recipes/services.ts";
import { type Prober, type ServiceCheck, keepVerdict, termsOf } from "../../recipes/service-check.ts";
import { errBadField } from "../../errors.ts";
import { durationField, nameParam, ttlParam, waitParam } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
import { etagOf, json } from "./reply.ts";
import {
  enterReply,
  enteredOut,
  entryParams,
  heartbeatOperation,
  leaveReply,
  listHeaders,
  listReply,
  newSecretHeader,
  secretHeader,
} from "./rosters.ts";
import { type ServerEvent, eventStream, lastEventId, wantsEvents } from "./waiting.ts";

const TTL = "30s";
/** Lists may be some seconds old, and are better than none for some minutes. */
const CACHE = "max-age=2, stale-while-revalidate=30, stale-if-error=600";
const DRAIN_MS_MAX = 55_000;

const fields = {
  port: z.int().min(0).max(65_535),
  scheme: z.string(),
  zone: z.string(),
  weight: z.number().min(0).max(1e6).describe("Of what it should get, compared to others; left out: 1."),
  tags: z.array(z.string()),
  version: z.string(),
  status: z.enum(STATUSES).describe("`draining`: it takes no new work. Left out: passing."),
  meta: z.record(z.string(), z.unknown()),
  check: z
    .strictObject({
      url: z
        .string()
        .describe("`http://…` or `https://…`, which is well when it answers 200 to 299, or `tcp://HOST:PORT`, when it connects."),
      interval: z.union([z.string(), z.number()]).optional().describe('Between two questions, "1s" to "1h"; left out: 10s.'),
      timeout: z.union([z.string(), z.number()]).optional().describe("At most the interval; left out: 2s."),
      failAfter: z.int().min(1).max(100).optional().describe("Failures in a row until it is critical; left out: 3."),
    })
    .describe("The store asks there how it is. Only where `--service-check-hosts` allows; otherwise 400."),
};
const checkedOut = z
  .object({ status: z.enum(["passing", "critical", "refused"]), output: z.string() })
  .optional()
  .describe("What the check found.");
const infoIn = z.strictObject({ address: z.string().min(1), ...z.object(fields).partial().shape });
const changeIn = z.strictObject({ address: z.string().min(1).optional(), ...z.object(fields).partial().shape });
const instanceOut = z.looseObject({
  id: z.string(),
  address: z.string(),
  ...z.object(fields).partial({ port: true, scheme: true, zone: true, version: true, check: true }).shape,
  checked: checkedOut,
  incarnation: z.int(),
  revision: z.int(),
});
const listOut = z.object({ instances: z.array(instanceOut), revision: z.int() });

const register = operation({
  method: "PUT",
  path: "/v1/services/{name}/{id}",
  tag: "services",
  summary: "Registers an instance of a service, or renews it.",
  description: "It is listed until it leaves, or its TTL is over without a heartbeat. 409 when the id is another's, who is alive.",
  params: entryParams,
  query: z.object({ ttl: ttlParam.describe('How long it is listed without a heartbeat, "2s" to "1h"; left out: 30s.') }),
  headers: newSecretHeader,
  body: infoIn,
  replies: {
    200: { description: "It was registered, and is renewed.", schema: enteredOut },
    201: { description: "It is registered.", schema: enteredOut },
  },
  handle: (call) => {
    const { name, id } = call.params;
    const value = checkService(call.body);
    refuseCheck(call.body.check, call.services.prober);
    return enterReply(call, { prefix: servicePrefix(name), id, merge: keepVerdict }, call.query.ttl ?? TTL, () => value);
  },
});

const heartbeat = heartbeatOperation("services", "Renews an instance. 410 when it is not listed any more: register again.", servicePrefix);

const change = operation({
  method: "PATCH",
  path: "/v1/services/{name}/{id}",
  tag: "services",
  summary: "Changes what an instance says of itself; what is left out stays. 410 when it is not listed any more.",
  params: entryParams,
  headers: secretHeader,
  body: changeIn,
  replies: { 200: { description: "It is changed.", schema: z.object({ revision: z.int() }) } },
  handle: async ({ params: { name, id }, headers, body, context, services, signal }) => {
    const place = { prefix: servicePrefix(name), id, secret: headers["quorate-secret"] };
    refuseCheck(body.check, services.prober);
    const merged = (value: Value) => keepVerdict(checkService({ ...value, ...body } as unknown as ServiceInfo), value);
    const { revision } = await revise(context, place, merged, { signal });
    return json(200, { revision }, revision, { etag: etagOf(revision) });
  },
});

const leave = operation({
  method: "DELETE",
  path: "/v1/services/{name}/{id}",
  tag: "services",
  summary: "Takes an instance off the list. One that is gone already is fine.",
  params: entryParams,
  query: z.object({
    drain: durationField
      .refine((ms) => ms <= DRAIN_MS_MAX, "must be at most 55s")
      .optional()
      .describe("First it is `draining` for so long, at most 55s, so that nobody picks it any more: the reply comes after that."),
  }),
  headers: secretHeader,
  replies: { 204: { description: "It is gone." } },
  handle: async (call) => {
    const { context, headers, params, query, services, signal } = call;
    const place = { prefix: servicePrefix(params.name), id: params.id };
    if (query.drain !== undefined) {
      const draining = (value: Value) => ({ ...value, status: "draining" });
      await revise(context, { ...place, secret: headers["quorate-secret"] }, draining, { signal });
      await services.host.sleep(query.drain, signal);
    }
    return leaveReply(call, place);
  },
});

const list = operation({
  method: "GET",
  path: "/v1/services/{name}",
  tag: "services",
  summary: "The instances of a service.",
  description:
    "With `If-None-Match` of an earlier reply and `wait`: when they are others. With `Accept: text/event-stream`: all of them, and then each change. Failures are errors: they are never an empty list.",
  params: z.object({ name: nameParam }),
  query: z.object({
    status: z.enum(STATUSES).optional(),
    tag: z.string().optional(),
    zone: z.string().optional(),
    wait: waitParam,
  }),
  headers: listHeaders,
  replies: {
    200: {
      description: "The instances.",
      schema: listOut,
      events: {
        snapshot: listOut,
        up: instanceOut,
        changed: instanceOut,
        down: z.looseObject({ cause: z.enum(["delete", "expire", "changed"]), ...instanceOut.shape }),
      },
      headers: { etag: "Another whenever the list is another." },
    },
    304: { description: "They are as the ETag says, still." },
  },
  handle: (call) => {
    const { context, params, query, request, services, signal } = call;
    const { wait = 0, ...filter } = query;
    if (wantsEvents(request)) return eventStream(services, (until) => events(context, params.name, filter, lastEventId(request), until));
    return listReply(
      call,
      wait,
      CACHE,
      () => listServices(context, params.name, filter, { signal }),
      (until) => watchServices(context, params.name, filter, { signal: until }),
      listToJson,
    );
  },
});

async function* events(
  context: RecipeContext,
  name: string,
  filter: ServiceFilter,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  for await (const step of watchServices(context, name, filter, { after, signal })) {
    if (step.changes === null) yield { event: "snapshot", id: step.revision, data: listToJson(step) };
    else {
      // Who resumes behind a part of a revision would lose the rest of it.
      for (const [at, one] of step.changes.entries()) {
        yield eventOf(one, at === step.changes.length - 1 ? step.revision : step.revision - 1);
      }
    }
  }
}

/** @throws QuorateError badField when this server would not ask there */
function refuseCheck(check: ServiceCheck | undefined, prober: Prober | undefined): void {
  if (check === undefined) return;
  const { url } = termsOf(check);
  if (prober?.allows(url) !== true)
    throw errBadField("check.url", `check.url: this server asks nobody at ${url.host}; --service-check-hosts says whom it asks`);
}

function eventOf(one: ServiceChange, id: number): ServerEvent {
  const data = one.type === "down" ? { ...one.instance, cause: one.cause } : one.instance;
  return { event: one.type, id, data };
}

function listToJson({ instances, revision }: ServiceList): { instances: readonly Instance[]; revision: number } {
  return { instances, revision };
}

export const serviceOperations: readonly Operation[] = [register, list, heartbeat, change, leave];
