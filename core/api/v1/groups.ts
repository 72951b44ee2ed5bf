/** Groups: see core/recipes/groups.ts. */
import { z } from "zod";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { type View, groupPrefix, readGroup, watchGroup } from "../../recipes/groups.ts";
import type { Value } from "../../recipes/roster.ts";
import { durationField, nameParam, ttlParam, waitParam } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
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
import { type ServerEvent, eventStream, lastEventId, wantsEvents } from "./waiting.ts";

const memberOut = z.object({
  id: z.string(),
  data: z.unknown().describe("As it was said."),
  since: z.number().nullable().describe("When it joined, by its own clock."),
  incarnation: z.int().describe("One that went and came back has another."),
  revision: z.int(),
});
const viewOut = z.object({ revision: z.int(), members: z.array(memberOut) });

const join = operation({
  method: "PUT",
  path: "/v1/groups/{name}/{id}",
  tag: "groups",
  summary: "Joins a group, or renews a membership. The body is what the others see.",
  params: entryParams,
  query: z.object({ ttl: ttlParam.describe('After so long without a heartbeat it has failed, "2s" to "1h"; left out: 15s.') }),
  headers: newSecretHeader,
  body: z.unknown(),
  replies: {
    200: { description: "It was there, and is renewed.", schema: enteredOut },
    201: { description: "It has joined.", schema: enteredOut },
  },
  handle: (call) => {
    const { name, id } = call.params;
    const value = (before?: Value) => ({
      data: call.body ?? null,
      since: before?.["since"] ?? call.context.host.clockMs(),
    });
    return enterReply(call, { prefix: groupPrefix(name), id }, call.query.ttl, value);
  },
});

const heartbeat = heartbeatOperation("groups", "Renews a membership. 410 when it has ended: join again.", groupPrefix);

const leave = leaveOperation(
  "groups",
  "Leaves a group; the others hear that it left, and did not fail. One that is gone already is fine.",
  groupPrefix,
);

const view = operation({
  method: "GET",
  path: "/v1/groups/{name}",
  tag: "groups",
  summary: "The members of a group as of one revision.",
  description:
    "With `If-None-Match` of an earlier reply and `wait`: when they are others. With `Accept: text/event-stream`: the view, and then each change of it.",
  params: z.object({ name: nameParam }),
  query: z.object({
    wait: waitParam,
    stableFor: durationField.optional().describe("Of a stream: who fails is told of only when it has not come back for so long."),
  }),
  headers: listHeaders,
  replies: {
    200: {
      description: "The view.",
      schema: viewOut,
      events: { view: viewOut, join: memberOut, update: memberOut, leave: memberOut, fail: memberOut },
      headers: { etag: "Another whenever the view is another." },
    },
    304: { description: "It is as the ETag says, still." },
  },
  handle: (call) => {
    const { context, params, query, request, services, signal } = call;
    const { wait = 0, stableFor } = query;
    const { name } = params;
    if (wantsEvents(request)) return eventStream(services, (until) => events(context, name, stableFor, lastEventId(request), until));
    return listReply(
      call,
      wait,
      "no-cache",
      () => readGroup(context, name, { signal }),
      (until) => watchGroup(context, name, { signal: until }),
      viewToJson,
    );
  },
});

async function* events(
  context: RecipeContext,
  name: string,
  stableFor: number | undefined,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  for await (const step of watchGroup(context, name, { stableFor, after, signal })) {
    if (step.changes === null) yield { event: "view", id: step.revision, data: viewToJson(step) };
    else {
      // Who resumes behind a part of a revision would lose the rest of it.
      for (const [at, { type, member }] of step.changes.entries()) {
        yield { event: type, id: at === step.changes.length - 1 ? step.revision : step.revision - 1, data: member };
      }
    }
  }
}

function viewToJson({ revision, members }: View): z.infer<typeof viewOut> {
  return { revision, members: [...members] };
}

export const groupOperations: readonly Operation[] = [join, view, heartbeat, leave];
