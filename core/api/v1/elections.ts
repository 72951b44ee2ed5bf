/** Elections over HTTP. */
import { z } from "zod";
import { ascii } from "../../bytes/bytes.ts";
import { errHeld } from "../../errors.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import {
  type Candidate,
  type ElectionState,
  campaign,
  electionState,
  observeElection,
  queueForElection,
  releaseCandidature,
  resumeCampaign,
  transferElection,
} from "../../recipes/election.ts";
import { flagParam, leaseParam, waitParam } from "./fields.ts";
import {
  acquireQuery,
  acquireReplies,
  acquireReply,
  heldReply,
  leasedParams,
  namedParams,
  pollOperation,
  pollReplies,
  releaseOperation,
} from "./holding.ts";
import { BYTES, type Call, type Operation, operation } from "./operation.ts";
import { empty, etagOf, json } from "./reply.ts";
import { type ServerEvent, eventStream, wantsEvents, within } from "./waiting.ts";
import { bytesOut, bytesToJson } from "./wire.ts";

const candidateOut = z.object({
  lease: z.string(),
  key: z.string(),
  term: z.int().describe("Rises from leader to leader."),
  value: bytesOut,
});
const stateOut = z.object({ leader: candidateOut.nullable(), line: z.array(candidateOut).describe("Who comes next."), revision: z.int() });
const noneOut = z.object({ revision: z.int() });

const stand = operation({
  method: "POST",
  path: "/v1/elections/{name}",
  tag: "elections",
  summary: "Campaigns for an office. The body is what the others see of the candidate, its address for example.",
  description:
    "One leads at a time, in the order in which they came; `fence` is the term. `etcdctl elect /quorate/elections/{name}` and an election of Go's client take part. 423 when another leads and the time to wait is over.",
  params: namedParams,
  query: acquireQuery.omit({ owner: true }),
  body: BYTES,
  replies: acquireReplies,
  handle: (call) => {
    const { context, params, body } = call;
    const { name } = params;
    return acquireReply(
      { ...call, query: { ...call.query, owner: undefined } },
      {
        acquire: (options) => campaign(context, name, body, options),
        queue: (options) => queueForElection(context, name, body, options),
        holder: async () => {
          const { leader } = await electionState(context, name);
          return leader === null ? undefined : { lease: leader.lease, owner: null };
        },
      },
    );
  },
});

const look = operation({
  method: "GET",
  path: "/v1/elections/{name}",
  tag: "elections",
  summary: "Who leads, and who comes next.",
  description:
    "With `If-None-Match` of an earlier reply and `wait`: when another leads, or he says something else, or nobody leads. With `Accept: text/event-stream`: that, again and again.",
  params: namedParams,
  query: z.object({ wait: waitParam }),
  headers: z.object({ "if-none-match": z.string().optional() }),
  replies: {
    200: {
      description: "As it is.",
      schema: stateOut,
      events: { leader: candidateOut, none: noneOut },
      headers: { etag: "Of the leader and what he says." },
    },
    304: { description: "It is as the ETag says, still." },
  },
  handle: (call) =>
    wantsEvents(call.request) ? eventStream(call.services, (signal) => observations(call.context, call.params.name, signal)) : poll(call),
});

async function poll(call: Call<z.output<typeof namedParams>, { wait?: number | undefined }, { "if-none-match"?: string | undefined }>) {
  const { context, params, query, headers, services } = call;
  const state = await electionState(context, params.name, { signal: call.signal });
  if (headers["if-none-match"] !== etagIn(state)) return stateReply(state);
  const changed = await within(services, query.wait ?? 0, call.signal, async (signal) => {
    for await (const _ of observeElection(context, params.name, signal)) {
      const now = await electionState(context, params.name, { signal });
      if (etagIn(now) !== etagIn(state)) return now;
    }
    signal.throwIfAborted();
    return undefined;
  });
  return changed === undefined ? empty(304, state.revision, { etag: etagIn(state) }) : stateReply(changed);
}

async function* observations(context: RecipeContext, name: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  for await (const { leader, revision } of observeElection(context, name, signal)) {
    yield leader === null
      ? { event: "none", id: revision, data: { revision } }
      : { event: "leader", id: revision, data: candidateToJson(leader) };
  }
}

function stateReply(state: ElectionState) {
  const { leader, line, revision } = state;
  const body = { leader: leader === null ? null : candidateToJson(leader), line: line.map(candidateToJson), revision };
  return json(200, body, revision, { etag: etagIn(state), "cache-control": "no-cache" });
}

function etagIn({ leader }: ElectionState): string {
  return etagOf(leader?.changed ?? 0);
}

const transfer = operation({
  method: "POST",
  path: "/v1/elections/{name}/transfer",
  tag: "elections",
  summary: "Hands an office over to a candidate in its line; those before it leave, and may come again at the end.",
  params: namedParams,
  query: z.object({ to: leaseParam.describe("The candidate's lease.") }),
  replies: { 204: { description: "He leads." } },
  handle: async ({ context, params, query }) => {
    await transferElection(context, params.name, query.to);
    return empty(204);
  },
});

const renew = operation({
  method: "PUT",
  path: "/v1/elections/{name}/{lease}",
  tag: "elections",
  summary: "Renews an office or a candidature; with a body, of an office, says something else to the others. 410 when it is lost.",
  params: leasedParams,
  query: z.object({ proclaim: flagParam.describe("The body is to be what the others see, even if it is empty.") }),
  body: BYTES,
  replies: pollReplies,
  handle: async ({ context, params: { name, lease }, query, body, signal }) => {
    const held = await resumeCampaign(context, name, lease, { wait: 0, signal });
    const says = query.proclaim || body !== ascii("");
    if (!("proclaim" in held)) {
      if (says) throw errHeld(`the office of ${JSON.stringify(name)}`);
      return heldReply(200, held);
    }
    try {
      if (says) await held.proclaim(body);
    } finally {
      held.session.detach();
    }
    return heldReply(200, held);
  },
});

const pollPlace = pollOperation("elections", resumeCampaign);

const resign = releaseOperation("elections", "Resigns, or gives up a candidature. What is gone already is fine.", releaseCandidature);

function candidateToJson({ lease, key, term, value }: Candidate): z.infer<typeof candidateOut> {
  return { lease, key, term: Number(term), value: bytesToJson(value) };
}

export const electionOperations: readonly Operation[] = [stand, look, transfer, renew, pollPlace, resign];
