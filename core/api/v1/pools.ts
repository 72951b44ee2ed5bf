/** Pools of nodes that share a load: see core/recipes/pools.ts. */
import { z } from "zod";
import { errNothingThere } from "../../errors.ts";
import { Picker, STRATEGIES } from "../../recipes/picker.ts";
import { type PoolState, checkNode, poolPrefix, readPool, watchPool } from "../../recipes/pools.ts";
import { nameParam, ttlParam, waitParam } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
import { json } from "./reply.ts";
import {
  enterReply,
  enteredOut,
  entryParams,
  heartbeatOperation,
  leaveOperation,
  listHeaders,
  listReply,
  newSecretHeader,
} from "./rosters.ts";
import { type ServerEvent, eventStream, wantsEvents } from "./waiting.ts";

const params = z.object({ name: nameParam });
const amount = z.number().min(0).max(1e9);
const status = {
  address: z.string().optional(),
  cpu: amount.optional().describe("From 0 to 1."),
  zone: z.string().optional(),
};
const statusIn = z.strictObject({
  ...status,
  capacity: amount.optional().describe("How much it can do at once; left out: 1."),
  inflight: amount.optional().describe("How much it does; left out: 0."),
  weight: amount.optional().describe("Of what it should get, compared to others; left out: 1."),
});
const nodeOut = z.looseObject({ id: z.string(), ...status, capacity: amount, inflight: amount, weight: amount, revision: z.int() });
const poolOut = z.object({ nodes: z.array(nodeOut), revision: z.int() });

const report = operation({
  method: "PUT",
  path: "/v1/pools/{name}/{id}",
  tag: "pools",
  summary: "Reports how a node is, and renews it. Once a second at most, and only when it has changed by a tenth, is enough.",
  params: entryParams,
  query: z.object({ ttl: ttlParam.describe('How long it is listed without a word, "2s" to "1h"; left out: 15s.') }),
  headers: newSecretHeader,
  body: statusIn,
  replies: {
    200: { description: "It was there, and is renewed.", schema: enteredOut },
    201: { description: "It is there.", schema: enteredOut },
  },
  handle: (call) => {
    const { name, id } = call.params;
    const value = { ...checkNode(call.body), updatedAt: call.context.host.clockMs() };
    return enterReply(call, { prefix: poolPrefix(name), id }, call.query.ttl, () => value);
  },
});

const heartbeat = heartbeatOperation("pools", "Renews a node that has nothing new to say. 410 when it is not listed any more.", poolPrefix);

const leave = leaveOperation("pools", "Takes a node out of a pool. One that is gone already is fine.", poolPrefix);

const list = operation({
  method: "GET",
  path: "/v1/pools/{name}",
  tag: "pools",
  summary: "The nodes of a pool, and how they are.",
  description:
    "With `If-None-Match` of an earlier reply and `wait`: when they are others. With `Accept: text/event-stream`: now, and at each change.",
  params,
  query: z.object({ wait: waitParam }),
  headers: listHeaders,
  replies: {
    200: {
      description: "The nodes.",
      schema: poolOut,
      events: { nodes: poolOut },
      headers: { etag: "Another whenever the nodes are others, or say something else." },
    },
    304: { description: "They are as the ETag says, still." },
  },
  handle: (call) => {
    const { context, params: of, query, request, services, signal } = call;
    const watch = (until: AbortSignal) => watchPool(context, of.name, { signal: until });
    if (wantsEvents(request)) return eventStream(services, (until) => events(watch(until)));
    return listReply(call, query.wait ?? 0, "no-cache", () => readPool(context, of.name, { signal }), watch, poolToJson);
  },
});

async function* events(states: AsyncIterable<PoolState>): AsyncGenerator<ServerEvent> {
  for await (const state of states) yield { event: "nodes", id: state.revision, data: poolToJson(state) };
}

const pick = operation({
  method: "GET",
  path: "/v1/pools/{name}/pick",
  tag: "pools",
  summary: "One node of a pool, chosen by what they report. 404 when there is none.",
  description: "For shells and for a first try: who calls often chooses on a copy of his own, as the client does.",
  params,
  query: z.object({
    strategy: z
      .enum(STRATEGIES)
      .default("p2c")
      .describe("`p2c`: of two at random, the one with less to do. `weighted`: at random. `zone`: those of `zone`. `hash`: by `key`."),
    key: z.string().optional(),
    zone: z.string().optional(),
  }),
  replies: { 200: { description: "The node.", schema: nodeOut } },
  handle: async ({ context, params: { name }, query: { strategy, key, zone }, request, signal }) => {
    const { nodes, revision } = await readPool(context, name, { signal });
    const node = new Picker(context.host, { strategy, zone }).pick(nodes, key);
    if (node === undefined) throw errNothingThere(request.path);
    return json(200, node, revision, { "cache-control": "no-store" });
  },
});

function poolToJson({ nodes, revision }: PoolState): z.infer<typeof poolOut> {
  return { nodes: [...nodes] as z.infer<typeof nodeOut>[], revision };
}

export const poolOperations: readonly Operation[] = [report, list, pick, heartbeat, leave];
