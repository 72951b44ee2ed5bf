/** What an administrator asks of one namespace, after worker.ts has checked who asks: how it is, and its quota. */
import { utf8Decode } from "../core/bytes/utf8.ts";
import { fromUint8Array } from "../core/bytes/bytes.ts";
import type { NamespaceMember } from "./namespace-member.ts";
import { QUOTA_BYTES_MAX } from "./settings.ts";
import { refusal } from "./refusal.ts";

/** Of the JSON of a `PUT`. */
const BODY_BYTES_MAX = 1024;

/** `GET`: how the namespace is; `PUT {"quotaBytes": N}`: what it may hold from now on. */
export async function administer(request: Request, member: NamespaceMember, storage: DurableObjectStorage): Promise<Response> {
  if (request.method === "PUT") {
    const quota = quotaIn(fromUint8Array(new Uint8Array(await request.arrayBuffer()).slice(0, BODY_BYTES_MAX)));
    if (typeof quota === "string") return refusal(400, "bad_field", quota);
    await member.setQuota(quota);
  } else if (request.method !== "GET") return refusal(405, "method_not_allowed", "a namespace takes GET and PUT");
  const { replica } = member;
  const { store } = replica;
  const { appliedIndex, problems } = replica.status();
  return Response.json({
    revision: store.revision,
    compactedRevision: store.compactedRevision,
    keys: store.keyCount(),
    leases: store.leaseIds().length,
    bytes: store.sizeBytes(),
    bytesInUse: store.sizeInUseBytes(),
    diskBytes: storage.sql.databaseSize,
    quotaBytes: replica.quotaBytes,
    appliedIndex,
    problems,
  });
}

/** @returns what is wrong with it, as a sentence */
function quotaIn(body: Parameters<typeof utf8Decode>[0]): number | string {
  let asked: unknown;
  try {
    asked = JSON.parse(utf8Decode(body));
  } catch (error) {
    return `the body is no JSON: ${(error as Error).message}`;
  }
  const { quotaBytes, ...others } = (asked ?? {}) as Record<string, unknown>;
  const [strange] = Object.keys(others);
  if (strange !== undefined) return `${strange} cannot be set: a namespace has quotaBytes`;
  if (Number.isSafeInteger(quotaBytes) && Number(quotaBytes) >= 1 && Number(quotaBytes) <= QUOTA_BYTES_MAX) return Number(quotaBytes);
  return `quotaBytes: wanted: a whole number from 1 to ${QUOTA_BYTES_MAX}`;
}
