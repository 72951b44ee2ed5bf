/** Counters: see core/recipes/counter.ts. */
import { z } from "zod";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { addToCounter, deleteCounter, readCounter, setCounter } from "../../recipes/counter.ts";
import { recipeIdempotencyKey, ifMatching } from "./conditions.ts";
import { CounterAdds } from "./counter-adds.ts";
import { flagParam, nameParam } from "./fields.ts";
import { GuardedStore } from "./guarded-store.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, etagOf, json } from "./reply.ts";
import type { V1Services } from "./services.ts";

const params = z.object({ name: nameParam });

/** Numbers beyond 2^53 are text: JSON readers lose their last digits. */
const bigIn = z.union([z.int(), z.string().regex(/^-?\d{1,19}$/, "must be a whole number of 64 bits")]).transform((value) => BigInt(value));
const bigOut = z.union([z.int(), z.string()]).describe("Text beyond 2^53.");
const bigToJson = (value: bigint): number | string => (Number.isSafeInteger(Number(value)) ? Number(value) : value.toString());

const countOut = z.object({ value: bigOut, revision: z.int() });

/** What is under way at a member. */
const underWay = new WeakMap<V1Services, CounterAdds>();

/** @param context of any request that may do whatever the member may */
function addsOf(services: V1Services, context: RecipeContext): CounterAdds {
  let adds = underWay.get(services);
  if (adds === undefined) underWay.set(services, (adds = new CounterAdds(context)));
  return adds;
}

const add = operation({
  method: "POST",
  path: "/v1/counters/{name}",
  tag: "counters",
  summary: "Adds to a counter, and tells its total.",
  params,
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  body: z
    .strictObject({
      add: bigIn.default(1n),
      min: bigIn.optional().describe("Not done when the total would be below: 409."),
      max: bigIn.optional().describe("Not done when the total would be above: 409."),
      shards: z.int().optional().describe("Spreads a hot counter over so many keys: then the total is that of one of them."),
    })
    .default({ add: 1n }),
  replies: { 200: { description: "It is added.", schema: countOut } },
  handle: async ({ params: { name }, headers, body: { add: n, shards, ...bounds }, context, store, member, services, signal }) => {
    const idempotencyKey = headers["idempotency-key"];
    // With rights, a guard, or a key of its own, a request adds by itself.
    const isPlain = idempotencyKey === undefined && shards === undefined;
    const isAnybodys = member === services.member && !(store instanceof GuardedStore);
    const added =
      isPlain && isAnybodys
        ? addsOf(services, context).add(name, n, bounds)
        : addToCounter(context, name, n, { ...bounds, shards, idempotencyKey, signal });
    const { value, revision } = await added;
    return json(200, { value: bigToJson(value), revision }, revision);
  },
});

const read = operation({
  method: "GET",
  path: "/v1/counters/{name}",
  tag: "counters",
  summary: "The total; 0 of a counter that nobody has added to.",
  params,
  query: z.object({ serializable: flagParam }),
  replies: { 200: { description: "The total.", schema: countOut, headers: { ETag: "The revision of its last change." } } },
  handle: async ({ params: { name }, query: { serializable }, context, signal }) => {
    const { value, modRevision, revision } = await readCounter(context, name, { serializable, signal });
    return json(200, { value: bigToJson(value), revision }, revision, { etag: etagOf(modRevision), "cache-control": "no-cache" });
  },
});

const set = operation({
  method: "PUT",
  path: "/v1/counters/{name}",
  tag: "counters",
  summary: "Sets a counter. 412 when it has been changed since.",
  params,
  headers: z.object({ "if-match": z.string().optional().describe("Only if its ETag is still this one.") }),
  body: z.strictObject({ value: bigIn }),
  replies: { 200: { description: "It is set.", schema: countOut } },
  handle: async ({ params: { name }, headers, body, context }) => {
    const { value, revision } = await ifMatching(headers["if-match"], (at) => setCounter(context, name, body.value, at));
    return json(200, { value: bigToJson(value), revision }, revision, { etag: etagOf(revision) });
  },
});

const remove = operation({
  method: "DELETE",
  path: "/v1/counters/{name}",
  tag: "counters",
  summary: "Forgets a counter: it is 0 again.",
  params,
  replies: { 204: { description: "It is forgotten." } },
  handle: async ({ params: { name }, context }) => {
    await deleteCounter(context, name);
    return empty(204);
  },
});

export const counterOperations: readonly Operation[] = [add, read, set, remove];
