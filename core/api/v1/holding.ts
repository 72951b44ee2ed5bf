/**
 * What all operations share by which something is held: a lock, an office, permits. Over HTTP nobody keeps a session alive but the client:
 * what is granted is good for its TTL and is renewed by PUT, or, with `?hold=connection`, for as long as the connection is open.
 */
import { z } from "zod";
import { errHeld, isQuorateError } from "../../errors.ts";
import type { CallOptions, RecipeContext } from "../../recipes/client-port.ts";
import { Hold } from "../../recipes/hold.ts";
import type { WaitOptions } from "../../recipes/turns.ts";
import type { LeaseId } from "../../store/command.ts";
import type { ApiReply } from "../exchange.ts";
import { flagParam, leaseParam, nameParam, ttlParam, waitParam } from "./fields.ts";
import { type Call, type Operation, type ReplyDoc, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";
import { type ServerEvent, eventStream, wantsEvents } from "./waiting.ts";

export const namedParams = z.object({ name: nameParam });
export const leasedParams = z.object({ name: nameParam, lease: leaseParam });

export const acquireQuery = z.object({
  ttl: ttlParam.describe('How long it lives without being renewed, "2s" to "1h"; left out: 15s.'),
  wait: waitParam,
  id: leaseParam
    .optional()
    .describe("Of the lease to hold it by, a random number: asking again with the same one is the same act. Good for one hold."),
  owner: z.string().max(256).optional().describe("Who it is, for people who look."),
  queue: flagParam.describe("When the time to wait is over, keep the place in the line, and answer with a ticket."),
  hold: z
    .literal("connection")
    .optional()
    .describe("Answer with a stream of events, and hold it for as long as the stream is open; `wait` left out: wait without end."),
});
export type AcquireQuery = z.output<typeof acquireQuery>;

export const pollQuery = z.object({ wait: waitParam });

export const holdOut = z.object({
  lease: z.string().describe("By which it is renewed and released."),
  key: z.string(),
  fence: z.int().describe("Rises from holder to holder: send it along to whatever can compare it."),
  guard: z.string().describe("For the header Quorate-Guard: a write with it is done only while this is held."),
  ttl: z.int().describe("Seconds."),
});

export const ticketOut = z.object({
  lease: z.string().describe("By which the place is kept, asked for, and given up."),
  key: z.string(),
  position: z.int().describe("How many are before it, those who hold among them."),
});

/** One who holds or waits. */
export const entryOut = z.object({
  lease: z.string(),
  key: z.string(),
  fence: z.int(),
  owner: z.string().nullable(),
});

/** Of an acquisition. */
export const acquireReplies: Readonly<Record<number, ReplyDoc>> = {
  200: {
    description:
      "With `Accept: text/event-stream`: a stream, which ends with `granted`; `wait` left out: it waits without end. With `hold=connection` too; it is held from `granted` on until the stream ends.",
    events: { granted: holdOut },
  },
  201: { description: "It is held.", schema: holdOut },
  202: { description: "With `queue`: not yet; the place is kept for as long as it is renewed.", schema: ticketOut },
};

/** Of asking for a place again. */
export const pollReplies: Readonly<Record<number, ReplyDoc>> = {
  200: { description: "It is held, and renewed.", schema: holdOut },
  202: { description: "Not yet; the place is renewed.", schema: ticketOut },
};

interface Options extends CallOptions {
  readonly ttl: string | undefined;
  readonly id: LeaseId | undefined;
  readonly owner: string | undefined;
  readonly wait: number | undefined;
}

/** A place that is not held yet. */
interface Ticket {
  readonly lease: LeaseId;
  readonly key: string;
  readonly position: number;
}

export interface Acquisition {
  /** @throws QuorateError held */
  readonly acquire: (options: Options) => Promise<Hold>;
  readonly queue: (options: Options) => Promise<Hold | Ticket>;
  /** Whose end to wait for. */
  readonly holder: (context: RecipeContext) => Promise<{ readonly lease: LeaseId; readonly owner: string | null } | undefined>;
}

/** Acquires as the query says, and answers. */
export async function acquireReply(call: Call<unknown, AcquireQuery>, { acquire, queue, holder }: Acquisition): Promise<ApiReply> {
  const { query, context, services } = call;
  const { ttl, id, owner, wait } = query;
  if (query.hold === "connection") {
    return eventStream(services, (signal) => heldEvents(signal, () => acquire({ ttl, id, owner, wait, signal })));
  }
  if (wantsEvents(call.request)) {
    return eventStream(services, (signal) => grantedEvent(signal, id, () => acquire({ ttl, id, owner, wait, signal })));
  }
  const options = { ttl, id, owner, wait: wait ?? 0, signal: call.signal };
  try {
    const held = query.queue ? await queue(options) : await acquire(options);
    // Who hung up as it was granted does not hear of it, and without an id of his own nobody could ever ask for it again.
    if (call.signal.aborted && id === undefined && held instanceof Hold) await held.release();
    return heldReply(201, held);
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "held") throw error;
    throw errHeld(error.message.replace(/ is held by another$/, ""), await heldBy(context, holder));
  }
}

/** @param status of what is held */
export function heldReply(status: 200 | 201, held: Hold | Ticket): ApiReply {
  if (held instanceof Hold) {
    held.session.detach();
    return json(status, holdToJson(held));
  }
  const { lease, key, position } = held;
  return json(202, { lease, key, position });
}

export function holdToJson({ lease, key, fence, guardHeader, session }: Hold): z.infer<typeof holdOut> {
  return { lease, key, fence: Number(fence), guard: guardHeader, ttl: session.ttlSeconds };
}

/** Who has it, and when it ends at the latest if he is gone. */
async function heldBy(context: RecipeContext, holder: Acquisition["holder"]): Promise<Record<string, string | number | null>> {
  try {
    const found = await holder(context);
    if (found === undefined) return {};
    return { holder: found.lease, owner: found.owner, retryAfterMs: 1_000 * (1 + (await context.store.remaining(found.lease))) };
  } catch (error) {
    if (isQuorateError(error)) return {}; // gone meanwhile, say: the refusal is what was asked for
    throw error;
  }
}

/** Held by its TTL from then on, as by any other request. */
async function* grantedEvent(signal: AbortSignal, id: LeaseId | undefined, acquire: () => Promise<Hold>): AsyncGenerator<ServerEvent> {
  const hold = await acquire();
  // As in `acquireReply`. Once it is told it is his, whatever becomes of the stream.
  if (signal.aborted && id === undefined) return hold.release();
  hold.session.detach();
  yield grantedBy(hold);
}

function grantedBy(hold: Hold): ServerEvent {
  return { event: "granted", id: Number(hold.fence), data: holdToJson(hold) };
}

async function* heldEvents(signal: AbortSignal, acquire: () => Promise<Hold>): AsyncGenerator<ServerEvent> {
  const hold = await acquire();
  try {
    yield grantedBy(hold);
    await new Promise<void>((resolve) => {
      for (const end of [signal, hold.signal]) {
        if (end.aborted) resolve();
        end.addEventListener("abort", () => resolve());
      }
    });
    if (!signal.aborted) hold.signal.throwIfAborted();
  } finally {
    await hold.release();
  }
}

/** Goes on with a place by its lease. */
type Resume = (context: RecipeContext, name: string, lease: LeaseId, options: WaitOptions) => Promise<Hold | Ticket>;

/** Keeps alive what is held, or a place in the line. */
export function renewOperation(kind: string, summary: string, resume: Resume): Operation {
  return operation({
    method: "PUT",
    path: `/v1/${kind}/{name}/{lease}`,
    tag: kind,
    summary,
    params: leasedParams,
    replies: pollReplies,
    handle: async ({ context, params: { name, lease }, signal }) => heldReply(200, await resume(context, name, lease, { wait: 0, signal })),
  });
}

/** Waits on with a ticket. @param rest of the path, where another POST has the short one */
export function pollOperation(kind: string, resume: Resume, rest = ""): Operation {
  return operation({
    method: "POST",
    path: `/v1/${kind}/{name}/{lease}${rest}`,
    tag: kind,
    summary: "Waits on with the ticket of a place in the line, and renews it. 410 when it is lost.",
    params: leasedParams,
    query: pollQuery,
    replies: pollReplies,
    handle: async ({ context, params: { name, lease }, query: { wait = 0 }, signal }) =>
      heldReply(200, await resume(context, name, lease, { wait, signal })),
  });
}

/** Gives up what a lease holds, or its place in the line. */
export function releaseOperation(
  kind: string,
  summary: string,
  release: (context: RecipeContext, name: string, lease: LeaseId) => Promise<void>,
): Operation {
  return operation({
    method: "DELETE",
    path: `/v1/${kind}/{name}/{lease}`,
    tag: kind,
    summary,
    params: leasedParams,
    replies: { 204: { description: "It is gone." } },
    handle: async ({ context, params: { name, lease } }) => {
      await release(context, name, lease);
      return empty(204);
    },
  });
}
