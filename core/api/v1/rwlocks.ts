/** Read-write locks over HTTP. */
import { z } from "zod";
import { type RwEntry, acquireRead, acquireWrite, downgradeRw, queueForRw, releaseRw, resumeRw, rwState } from "../../recipes/rwlock.ts";
import { nameParam } from "./fields.ts";
import {
  acquireQuery,
  acquireReplies,
  acquireReply,
  entryOut,
  heldReply,
  holdOut,
  leasedParams,
  namedParams,
  pollOperation,
  releaseOperation,
  renewOperation,
} from "./holding.ts";
import { type Operation, operation } from "./operation.ts";
import { json } from "./reply.ts";

const modeField = z.enum(["read", "write"]);
const rwEntryOut = entryOut.extend({ mode: modeField });

const acquire = operation({
  method: "POST",
  path: "/v1/rwlocks/{name}/{mode}",
  tag: "rwlocks",
  summary: "Acquires a lock for reading, with others, or for writing, alone.",
  description: "In the order in which they came: readers behind a waiting writer wait too. 423 when the time to wait is over.",
  params: z.object({ name: nameParam, mode: modeField }),
  query: acquireQuery,
  replies: acquireReplies,
  handle: (call) => {
    const { context, params } = call;
    const { name, mode } = params;
    return acquireReply(call, {
      acquire: (options) => (mode === "read" ? acquireRead : acquireWrite)(context, name, options),
      queue: (options) => queueForRw(context, name, mode, options),
      holder: async () => (await rwState(context, name)).holders[0],
    });
  },
});

const look = operation({
  method: "GET",
  path: "/v1/rwlocks/{name}",
  tag: "rwlocks",
  summary: "Who holds a lock, one writer or readers, and who waits for it.",
  params: namedParams,
  replies: {
    200: { description: "As it is.", schema: z.object({ holders: z.array(rwEntryOut), line: z.array(rwEntryOut), revision: z.int() }) },
  },
  handle: async ({ context, params, signal }) => {
    const { holders, line, revision } = await rwState(context, params.name, { signal });
    return json(200, { holders: holders.map(entryToJson), line: line.map(entryToJson), revision }, revision);
  },
});

const renew = renewOperation("rwlocks", "Renews a lock or a place in its line: its time begins anew. 410 when it is lost.", resumeRw);

const poll = pollOperation("rwlocks", resumeRw, "/wait");

const downgrade = operation({
  method: "POST",
  path: "/v1/rwlocks/{name}/{lease}/downgrade",
  tag: "rwlocks",
  summary: "Makes the writer a reader; nobody can write in between. There is no way back: two who wanted it would wait for each other.",
  params: leasedParams,
  replies: { 200: { description: "It is held for reading.", schema: holdOut } },
  handle: async ({ context, params: { name, lease } }) => heldReply(200, await downgradeRw(context, name, lease)),
});

const release = releaseOperation("rwlocks", "Releases a lock, or gives up a place in its line. What is gone already is fine.", releaseRw);

function entryToJson({ lease, key, fence, owner, mode }: RwEntry): z.infer<typeof rwEntryOut> {
  return { lease, key, fence: Number(fence), owner, mode };
}

export const rwlockOperations: readonly Operation[] = [acquire, look, renew, poll, downgrade, release];
