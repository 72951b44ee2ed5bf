/** Rate limits: see core/recipes/limit.ts. */
import { z } from "zod";
import { errContended, errLimited, errNothingThere } from "../../errors.ts";
import type { Rate } from "../../recipes/gcra.ts";
import { type Taken, limitRule, setLimit, takeFromLimit } from "../../recipes/limit.ts";
import { recipeIdempotencyKey } from "./conditions.ts";
import { durationField, nameParam } from "./fields.ts";
import { type Operation, type ReplyDoc, operation } from "./operation.ts";
import { problemReply } from "./problem.ts";
import { etagOf, json } from "./reply.ts";

const params = z.object({ name: nameParam });
const countParam = z.coerce.number().pipe(z.int().min(1));

const ruleOut = z.object({
  limit: z.int(),
  perMs: z.int(),
  burst: z.int().describe("So many at once."),
  revision: z.int(),
});

const ruleIn = z.strictObject({
  limit: z.int().min(1).describe("So many"),
  per: durationField.describe('in such a time: "1m".'),
  burst: z.int().min(1).optional().describe("So many at once; left out: as `limit`."),
});

const LIMIT_HEADERS: NonNullable<ReplyDoc["headers"]> = {
  "ratelimit-limit": "Of the rule.",
  "ratelimit-remaining": "So many more would be allowed now.",
  "ratelimit-reset": "Seconds until the whole burst is there again.",
};

const take = operation({
  method: "POST",
  path: "/v1/limits/{name}/{subject}",
  tag: "limits",
  summary: "Takes from the limit of a subject. 429 when it is used up: `retryAfterMs` says after how long the same is allowed.",
  description:
    "The rule is the one that was set for the name, or the one in the query. A refusal changes nothing. 429 with the code `contended`: so many take from this one subject at once that nothing was decided.",
  params: z.object({ name: nameParam, subject: nameParam }),
  query: z.object({
    n: countParam.default(1).describe("How many."),
    reserve: countParam.optional().describe("Of what is there, take up to so many, to be spent without asking."),
    for: durationField.default(1_000).describe("Within this time what was reserved is to be spent; what is left then is lost."),
    limit: countParam.optional(),
    per: durationField.optional(),
    burst: countParam.optional(),
  }),
  headers: z.object({ "idempotency-key": recipeIdempotencyKey }),
  replies: {
    200: {
      description: "Allowed.",
      schema: z.object({
        taken: z.int(),
        remaining: z.int(),
        spendWithinMs: z.int().optional().describe("Of what was reserved, counted from the request."),
      }),
      headers: LIMIT_HEADERS,
    },
  },
  handle: async ({ params: { name, subject }, query, headers, context, signal }) => {
    const { n, reserve, limit, per, burst } = query;
    const rule = limit === undefined || per === undefined ? undefined : { limit, per, burst };
    const idempotency = headers["idempotency-key"];
    const taken = await takeFromLimit(context, name, subject, { n, reserve, rule, idempotencyKey: idempotency, signal });
    const fields = limitHeaders(taken);
    const { retryAfterMs } = taken;
    if (taken.contended) return problemReply(errContended({ retryAfterMs }), fields);
    if (!taken.ok) return problemReply(errLimited({ retryAfterMs }), fields);
    const spend = reserve === undefined ? {} : { spendWithinMs: query.for };
    return json(200, { taken: taken.taken, remaining: taken.remaining, ...spend }, taken.revision, fields);
  },
});

function limitHeaders({ limit, remaining, resetMs }: Taken): Readonly<Record<string, string>> {
  return {
    "ratelimit-limit": String(limit),
    "ratelimit-remaining": String(remaining),
    "ratelimit-reset": String(Math.ceil(resetMs / 1_000)),
    "cache-control": "no-store",
  };
}

const setRule = operation({
  method: "PUT",
  path: "/v1/limits/{name}/.rule",
  tag: "limits",
  summary: "Sets the rule of a limit, for all its subjects.",
  params,
  body: ruleIn,
  replies: { 200: { description: "It is set.", schema: z.object({ revision: z.int() }) } },
  handle: async ({ params: { name }, body, context, signal }) => {
    const { revision } = await setLimit(context, name, body, { signal });
    return json(200, { revision }, revision, { etag: etagOf(revision) });
  },
});

const getRule = operation({
  method: "GET",
  path: "/v1/limits/{name}/.rule",
  tag: "limits",
  summary: "The rule of a limit.",
  params,
  replies: { 200: { description: "The rule.", schema: ruleOut } },
  handle: async ({ params: { name }, context, request, signal }) => {
    const found = await limitRule(context, name, { signal });
    if (found === null) throw errNothingThere(request.path);
    const { rate, changed, revision } = found;
    return json(200, ruleToJson(rate, changed), revision, { etag: etagOf(changed), "cache-control": "no-cache" });
  },
});

function ruleToJson({ limit, perMs, burst }: Rate, revision: number): z.infer<typeof ruleOut> {
  return { limit, perMs, burst, revision };
}

export const limitOperations: readonly Operation[] = [take, setRule, getRule];
