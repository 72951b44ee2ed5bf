/** Scoped tokens: see core/tokens. */
import { z } from "zod";
import { TokenOffice } from "../auth/token-office.ts";
import { callerOf } from "./dispatch.ts";
import { durationField } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";

const give = operation({
  method: "POST",
  path: "/v1/tokens",
  tag: "tokens",
  summary: "Gives whoever asks a token that allows less than he may do himself.",
  description:
    "Entries of `allow` are `kind:name:verbs`, such as `locks:deploy-*:acquire` or `kv:/app/*:read,write`. Whoever holds the token can make a narrower one of it without asking.",
  body: z.strictObject({
    allow: z.array(z.string()).min(1),
    ttl: durationField,
    act: z
      .strictObject({ method: z.enum(["GET", "PUT", "POST", "PATCH", "DELETE"]), path: z.string().startsWith("/v1/") })
      .optional()
      .describe("Good for this request only: its method, and its path with the query."),
  }),
  replies: {
    201: { description: "The token.", schema: z.object({ token: z.string(), expiresAt: z.int().describe("Milliseconds since 1970.") }) },
  },
  handle: async ({ body: { allow, ttl, act }, request, services }) => {
    const caller = await callerOf(request, services);
    const given = await new TokenOffice(services).give(caller, { allow, ttlMs: ttl, act });
    return json(201, { token: given.token, expiresAt: given.expiresAtMs });
  },
});

const voidAll = operation({
  method: "POST",
  path: "/v1/tokens/void",
  tag: "tokens",
  summary: "Voids all scoped tokens there are. For users of the role root.",
  replies: { 204: { description: "None of before is good any more." } },
  handle: async ({ member, services }) => {
    await new TokenOffice(services).voidAll(member);
    return empty(204);
  },
});

export const tokenOperations: readonly Operation[] = [give, voidAll];
