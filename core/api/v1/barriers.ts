/** Barriers, rendezvous of several parties, and the register of fences, over HTTP. */
import { z } from "zod";
import { errStaleHolder, isQuorateError } from "../../errors.ts";
import { barrierState, closeBarrier, observeBarrier, openBarrier, waitAtBarrier } from "../../recipes/barrier.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { checkFence } from "../../recipes/fence.ts";
import { Rendezvous, enterRendezvous, leaveRendezvous, queueForRendezvous, rendezvousMembers } from "../../recipes/rendezvous.ts";
import { leaseParam, nameParam, revisionParam, ttlParam, waitParam } from "./fields.ts";
import { namedParams } from "./holding.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";
import { type ServerEvent, eventStream, wantsEvents } from "./waiting.ts";

const barrierOut = z.object({
  closed: z.int().nullable().describe("The revision at which it was closed; null: it is open."),
  lease: z.string().optional().describe("That keeps it closed: PUT /v1/leases/{lease} renews it."),
});

const close = operation({
  method: "PUT",
  path: "/v1/barriers/{name}",
  tag: "barriers",
  summary: "Closes a barrier, unless it is closed.",
  description: "Without `ttl` it stays closed until it is opened; with it, until the lease in the reply has ended, if that is not renewed.",
  params: namedParams,
  query: z.object({
    ttl: ttlParam,
    id: leaseParam.optional().describe("Of the lease; a random number."),
    owner: z.string().max(256).optional(),
  }),
  replies: {
    200: { description: "It was closed already, and stays so on its own terms.", schema: barrierOut },
    201: { description: "It is closed.", schema: barrierOut },
  },
  handle: async ({ context, params, query }) => {
    const { closed, before, session } = await closeBarrier(context, params.name, query);
    session?.detach();
    return json(before ? 200 : 201, { closed, ...(session === null ? {} : { lease: session.id }) });
  },
});

const open = operation({
  method: "DELETE",
  path: "/v1/barriers/{name}",
  tag: "barriers",
  summary: "Opens a barrier: all who wait pass. One that is open is fine.",
  params: namedParams,
  replies: { 204: { description: "It is open." } },
  handle: async ({ context, params }) => {
    await openBarrier(context, params.name);
    return empty(204);
  },
});

const wait = operation({
  method: "GET",
  path: "/v1/barriers/{name}",
  tag: "barriers",
  summary: "Waits until a barrier is open, or tells of each change.",
  description:
    "423 when it is still closed at the end of the wait. Ask again with `closed` from that reply: then it passes even if the barrier was closed again meanwhile.",
  params: namedParams,
  query: z.object({ wait: waitParam, closed: revisionParam.optional().describe("The closing whose end is waited for.") }),
  replies: { 200: { description: "Pass.", schema: barrierOut, events: { closed: barrierOut, open: barrierOut } } },
  handle: async ({ context, params, query, signal, request, services }) => {
    if (wantsEvents(request)) return eventStream(services, (until) => changes(context, params.name, until));
    await waitAtBarrier(context, params.name, { wait: query.wait ?? 0, closed: query.closed, signal });
    const { closed, revision } = await barrierState(context, params.name, { signal });
    return json(200, { closed }, revision);
  },
});

async function* changes(context: RecipeContext, name: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  for await (const { closed, revision } of observeBarrier(context, name, signal)) {
    yield { event: closed === null ? "open" : "closed", id: revision, data: { closed } };
  }
}

const metOut = z.object({
  ticket: z.string().describe("By which it is left."),
  generation: z.int().describe("The number of the round."),
  lease: z.string().describe("PUT /v1/leases/{lease} renews it; a party whose lease ends has left."),
  members: z.array(z.string()).describe("The leases of all parties that are in."),
});
const waitingOut = z.object({ ticket: z.string(), generation: z.int(), lease: z.string() });

const enter = operation({
  method: "POST",
  path: "/v1/rendezvous/{name}",
  tag: "rendezvous",
  summary: "Enters a round, and waits until so many parties have.",
  description:
    "Asking again with `id`, the lease of the reply, goes on waiting and renews it. 409 for another number of parties than the first one said.",
  params: namedParams,
  query: z.object({
    parties: z.coerce.number().pipe(z.int().min(1).max(100)),
    ttl: ttlParam,
    id: leaseParam.optional().describe("Of the lease to be there by, a random number. Good for one round."),
    wait: waitParam,
  }),
  replies: {
    200: {
      description:
        "All are there. With `Accept: text/event-stream`: a stream, which ends when they are; `wait` left out: it waits without end.",
      schema: metOut,
      events: { ready: metOut },
    },
    202: { description: "Not all yet; the place is kept for as long as it is renewed.", schema: waitingOut },
  },
  handle: async ({ context, params: { name }, query, signal, request, services }) => {
    const { parties, ttl, id, wait } = query;
    if (wantsEvents(request)) {
      return eventStream(services, (until) =>
        readyEvent(context, name, () => enterRendezvous(context, name, parties, { ttl, id, wait, signal: until })),
      );
    }
    const found = await queueForRendezvous(context, name, parties, { ttl, id, wait: wait ?? 0, signal });
    const { generation, lease } = found;
    if (!(found instanceof Rendezvous)) return json(202, { ticket: ticketOf(found), generation, lease });
    return json(200, await met(context, name, found));
  },
});

async function* readyEvent(context: RecipeContext, name: string, enter: () => Promise<Rendezvous>): AsyncGenerator<ServerEvent> {
  const rendezvous = await enter();
  yield { event: "ready", data: await met(context, name, rendezvous) };
}

async function met(context: RecipeContext, name: string, rendezvous: Rendezvous): Promise<z.infer<typeof metOut>> {
  const { generation, lease, session } = rendezvous;
  session.detach();
  return { ticket: ticketOf(rendezvous), generation, lease, members: [...(await rendezvousMembers(context, name, generation))] };
}

function ticketOf({ generation, lease }: { readonly generation: number; readonly lease: string }): string {
  return `${generation}.${lease}`;
}

const leave = operation({
  method: "DELETE",
  path: "/v1/rendezvous/{name}/{ticket}",
  tag: "rendezvous",
  summary: "Leaves a round, and waits until all have left.",
  params: z.object({ name: nameParam, ticket: z.string().regex(/^\d{1,15}\.[1-9]\d{0,18}$/, "must be a ticket of a rendezvous") }),
  query: z.object({ wait: waitParam }),
  replies: {
    202: { description: "It has left; others are inside still. Again waits on." },
    204: { description: "All have left." },
  },
  handle: async ({ context, params: { name, ticket }, query, signal }) => {
    const [generation, lease] = ticket.split(".") as [string, string];
    try {
      await leaveRendezvous(context, name, { generation: Number(generation), lease }, { wait: query.wait ?? 0, signal });
    } catch (error) {
      if (isQuorateError(error) && error.reason === "held") return empty(202);
      throw error;
    }
    await context.store.revoke(lease);
    return empty(204);
  },
});

const fenceOut = z.object({ fence: z.int().describe("The highest seen.") });

const fence = operation({
  method: "POST",
  path: "/v1/fences/{name}",
  tag: "fences",
  summary: "Shows a fence, just before an act outside the store. 409 when a higher one has been seen: somebody else holds now.",
  description:
    "For a resource that cannot compare fences itself. It narrows the time in which a former holder can still act, and does not close it.",
  params: namedParams,
  body: z.strictObject({ fence: z.int().min(0) }),
  replies: { 200: { description: "None higher has been seen.", schema: fenceOut } },
  handle: async ({ context, params, body }) => {
    const { accepted, highest } = await checkFence(context, params.name, BigInt(body.fence));
    if (!accepted) throw errStaleHolder({ fence: Number(highest) });
    return json(200, { fence: Number(highest) });
  },
});

export const barrierOperations: readonly Operation[] = [close, open, wait];
export const rendezvousOperations: readonly Operation[] = [enter, leave];
export const fenceOperations: readonly Operation[] = [fence];
