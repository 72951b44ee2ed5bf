/** Leases: what dies with whoever keeps it alive. */
import { z } from "zod";
import { errBadField } from "../../errors.ts";
import { randomLease } from "../../recipes/session.ts";
import { durationField, leaseParam } from "./fields.ts";
import { type Operation, operation } from "./operation.ts";
import { empty, json } from "./reply.ts";
import { bytesOut, bytesToJson } from "./wire.ts";

const leaseOut = z.object({ lease: z.string(), ttl: z.int().describe("Seconds.") });
const params = z.object({ lease: leaseParam });

const grant = operation({
  method: "POST",
  path: "/v1/leases",
  tag: "leases",
  summary: "Grants a lease.",
  description: "Granting an id again that is there already, with the same time to live, is the same act: it begins anew.",
  body: z.strictObject({ id: leaseParam.optional(), ttl: durationField }),
  replies: { 201: { description: "It is granted.", schema: leaseOut } },
  handle: async ({ body: { id, ttl }, context, store, signal }) => {
    const seconds = Math.ceil(ttl / 1_000);
    if (seconds < 1) throw errBadField("ttl", "ttl: must be at least 1s");
    const lease = id ?? randomLease(context);
    await store.grant(lease, seconds, { signal });
    return json(201, { lease, ttl: seconds }, undefined, { location: `/v1/leases/${lease}` });
  },
});

const renew = operation({
  method: "PUT",
  path: "/v1/leases/{lease}",
  tag: "leases",
  summary: "Keeps a lease alive: its time begins anew.",
  params,
  replies: { 200: { description: "It lives on.", schema: leaseOut } },
  handle: async ({ params: { lease }, store, signal }) => json(200, { lease, ttl: await store.keepAlive(lease, { signal }) }),
});

const look = operation({
  method: "GET",
  path: "/v1/leases/{lease}",
  tag: "leases",
  summary: "How long a lease has to live, and which keys die with it.",
  params,
  replies: {
    200: { description: "As it is.", schema: leaseOut.extend({ remaining: z.int().describe("Seconds."), keys: z.array(bytesOut) }) },
  },
  handle: async ({ params: { lease }, store, member, signal }) => {
    const remaining = await store.remaining(lease, { signal });
    const known = member.store.lease(lease);
    return json(200, { lease, ttl: known?.ttlSeconds ?? 0, remaining, keys: (known?.keys ?? []).map(bytesToJson) });
  },
});

const revoke = operation({
  method: "DELETE",
  path: "/v1/leases/{lease}",
  tag: "leases",
  summary: "Ends a lease, and with it its keys. One that is gone already is fine.",
  params,
  replies: { 204: { description: "It is gone." } },
  handle: async ({ params: { lease }, store, signal }) => {
    await store.revoke(lease, { signal });
    return empty(204);
  },
});

export const leaseOperations: readonly Operation[] = [grant, renew, look, revoke];
