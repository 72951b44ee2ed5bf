/** Locks over HTTP. */
import { z } from "zod";
import { errHeld } from "../../errors.ts";
import { type LockEntry, acquireLock, breakLock, lockState, queueForLock, releaseLock, resumeLock, tryLock } from "../../recipes/lock.ts";
import { checkAdmin } from "../auth/authorised-member.ts";
import { callerOf } from "./dispatch.ts";
import { flagParam } from "./fields.ts";
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

const lockEntryOut = entryOut.extend({ since: z.number().nullable().describe("Milliseconds since 1970.") });

const acquire = operation({
  method: "POST",
  path: "/v1/locks/{name}",
  tag: "locks",
  summary: "Acquires a lock.",
  description:
    "One holds it at a time, in the order in which they came. `etcdctl lock /quorate/locks/{name}` and a mutex of Go's client exclude it. 423 when another has it and the time to wait is over.",
  params: namedParams,
  query: acquireQuery,
  replies: acquireReplies,
  handle: (call) => {
    const { context, params } = call;
    const { name } = params;
    return acquireReply(call, {
      acquire: async (options) => {
        if (options.wait !== 0) return acquireLock(context, name, options);
        const hold = await tryLock(context, name, options);
        if (hold === null) throw errHeld(`the lock ${JSON.stringify(name)}`);
        return hold;
      },
      queue: (options) => queueForLock(context, name, options),
      holder: async () => (await lockState(context, name)).holder ?? undefined,
    });
  },
});

const look = operation({
  method: "GET",
  path: "/v1/locks/{name}",
  tag: "locks",
  summary: "Who holds a lock, and who waits for it.",
  params: namedParams,
  replies: {
    200: {
      description: "As it is.",
      schema: z.object({ holder: lockEntryOut.nullable(), line: z.array(lockEntryOut), revision: z.int() }),
    },
  },
  handle: async ({ context, params, signal }) => {
    const { holder, line, revision } = await lockState(context, params.name, { signal });
    return json(200, { holder: holder === null ? null : entryToJson(holder), line: line.map(entryToJson), revision }, revision);
  },
});

const force = operation({
  method: "DELETE",
  path: "/v1/locks/{name}",
  tag: "locks",
  summary: "Takes a lock from whoever holds it; the next one in the line has it then. For users of the role root.",
  description: "The writes that the former holder guards fail from now on.",
  params: namedParams,
  query: z.object({ force: flagParam.refine((given) => given, "must be given: a lock is released by its lease") }),
  replies: {
    200: { description: "Who had it.", schema: lockEntryOut },
    204: { description: "Nobody had it." },
  },
  handle: async (call) => {
    const { services, request, context, params } = call;
    checkAdmin(services.member, await callerOf(request, services));
    const broken = await breakLock(context, params.name);
    return broken === null ? empty(204) : json(200, entryToJson(broken));
  },
});

const renew = renewOperation("locks", "Renews a lock or a place in its line: its time begins anew. 410 when it is lost.", resumeLock);

const poll = pollOperation("locks", resumeLock);

const release = releaseOperation("locks", "Releases a lock, or gives up a place in its line. What is gone already is fine.", releaseLock);

function entryToJson({ lease, key, fence, owner, since }: LockEntry): z.infer<typeof lockEntryOut> {
  return { lease, key, fence: Number(fence), owner, since };
}

export const lockOperations: readonly Operation[] = [acquire, look, force, renew, poll, release];
