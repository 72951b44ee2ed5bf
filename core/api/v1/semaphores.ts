/** Semaphores over HTTP. */
import { z } from "zod";
import { errHeld } from "../../errors.ts";
import {
  type SemaphoreEntry,
  acquirePermits,
  queueForPermits,
  releasePermits,
  resumePermits,
  semaphoreState,
  setSemaphoreLimit,
  tryPermits,
} from "../../recipes/semaphore.ts";
import {
  acquireQuery,
  acquireReplies,
  acquireReply,
  entryOut,
  namedParams,
  pollOperation,
  releaseOperation,
  renewOperation,
} from "./holding.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";

const semaphoreEntryOut = entryOut.extend({ permits: z.int() });
const countParam = z.coerce.number().pipe(z.int().min(1).max(1_000_000)).optional();

const acquire = operation({
  method: "POST",
  path: "/v1/semaphores/{name}",
  tag: "semaphores",
  summary: "Acquires permits.",
  description:
    "At most `limit` are held at a time, in the order in which they were asked for. The first one to say the limit sets it; another number is 409. 423 when the time to wait is over.",
  params: namedParams,
  query: acquireQuery.extend({
    permits: countParam.describe("How many; left out: 1."),
    limit: countParam.describe("Of the semaphore. Not needed once it is set."),
  }),
  replies: acquireReplies,
  handle: (call) => {
    const { context, params, query } = call;
    const { name } = params;
    const { permits, limit } = query;
    return acquireReply(call, {
      acquire: async (options) => {
        if (options.wait !== 0) return acquirePermits(context, name, { ...options, permits, limit });
        const hold = await tryPermits(context, name, { ...options, permits, limit });
        if (hold === null) throw errHeld(`the semaphore ${JSON.stringify(name)}`);
        return hold;
      },
      queue: (options) => queueForPermits(context, name, { ...options, permits, limit }),
      holder: async () => (await semaphoreState(context, name)).holders[0],
    });
  },
});

const look = operation({
  method: "GET",
  path: "/v1/semaphores/{name}",
  tag: "semaphores",
  summary: "Who holds permits, who waits for them, and how many are left.",
  params: namedParams,
  replies: {
    200: {
      description: "As it is.",
      schema: z.object({
        limit: z.int().nullable(),
        available: z.int().describe("What one who comes now could have at once."),
        holders: z.array(semaphoreEntryOut),
        line: z.array(semaphoreEntryOut),
        revision: z.int(),
      }),
    },
  },
  handle: async ({ context, params, signal }) => {
    const { limit, available, holders, line, revision } = await semaphoreState(context, params.name, { signal });
    return json(200, { limit, available, holders: holders.map(entryToJson), line: line.map(entryToJson), revision }, revision);
  },
});

const setLimit = operation({
  method: "PUT",
  path: "/v1/semaphores/{name}/limit",
  tag: "semaphores",
  summary: "Changes the limit. A higher one wakes who waits; under a lower one, holders finish.",
  params: namedParams,
  body: z.strictObject({ limit: z.int().min(1).max(1_000_000) }),
  replies: { 204: { description: "It is in force." } },
  handle: async ({ context, params, body }) => {
    await setSemaphoreLimit(context, params.name, body.limit);
    return empty(204);
  },
});

const renew = renewOperation(
  "semaphores",
  "Renews permits or a place in the line: their time begins anew. 410 when they are lost.",
  resumePermits,
);

const poll = pollOperation("semaphores", resumePermits);

const release = releaseOperation(
  "semaphores",
  "Gives permits back, or a place in the line up. What is gone already is fine.",
  releasePermits,
);

function entryToJson({ lease, key, fence, owner, permits }: SemaphoreEntry): z.infer<typeof semaphoreEntryOut> {
  return { lease, key, fence: Number(fence), owner, permits };
}

export const semaphoreOperations: readonly Operation[] = [acquire, look, setLimit, renew, poll, release];
