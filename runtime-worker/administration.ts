/** What an administrator asks of one namespace, after worker.ts has checked who asks: how it is, its quota, its snapshot. */
import { createHash } from "node:crypto";
import { utf8Decode } from "../core/bytes/utf8.ts";
import { fromUint8Array } from "../core/bytes/bytes.ts";
import { isQuorateError } from "../core/errors.ts";
import { sealed } from "../core/store/snapshot-seal.ts";
import { replaceState } from "./replace-state.ts";
import type { NamespaceMember } from "./namespace-member.ts";
import { QUOTA_BYTES_MAX } from "./settings.ts";
import { refusal } from "./refusal.ts";

/** Of the JSON of a `PUT`. */
const BODY_BYTES_MAX = 1024;
/** As of `quorate snapshot restore`: more than was written since the backup, most likely. */
const BUMP_DEFAULT = 1_000_000;

/** What is asked, and of whom. */
export interface Administered {
  readonly member: NamespaceMember;
  readonly storage: DurableObjectStorage;
  /** The state was replaced: this instance serves nothing more. */
  readonly onReplaced: () => void;
}

/** `GET …/snapshot`: the whole state as a file. `PUT …/snapshot?bump=N`: takes the place of the state, with the revision raised. */
export async function administerSnapshot(request: Request, { member, storage, onReplaced }: Administered): Promise<Response> {
  if (request.method === "GET") {
    const file = sealed(member.replica.snapshot(), createHash("sha256"));
    return new Response(streamOf(file), { headers: { "content-type": "application/octet-stream", "cache-control": "no-store" } });
  }
  if (request.method !== "PUT") return refusal(405, "method_not_allowed", "a snapshot takes GET and PUT");
  const bump = new URL(request.url).searchParams.get("bump") ?? String(BUMP_DEFAULT);
  if (!/^\d{1,15}$/.test(bump)) return refusal(400, "bad_field", "bump: wanted: a whole number, by how much the revision is raised");
  try {
    const file = new Uint8Array(await request.arrayBuffer());
    return Response.json(await replaceState(file, Number(bump), { member, storage, onReplaced }));
  } catch (error) {
    if (!isQuorateError(error) || error.reason === "notStored") throw error;
    return refusal(400, "malformed", error.message);
  }
}

function streamOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void chunks.return(undefined),
  });
}

/** `GET`: how the namespace is; `PUT {"quotaBytes": N}`: what it may hold from now on. */
export async function administer(request: Request, { member, storage }: Administered): Promise<Response> {
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
