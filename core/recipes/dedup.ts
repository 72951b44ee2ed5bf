/**
 * Requests that are not done twice. What a request with an `Idempotency-Key` did is noted in the very transaction that did it, under a key
 * that must not be there yet; whoever repeats the request finds the note. Its revision is that of the transaction.
 *
 *     /quorate/dedup/<kind>/<name>/<sha256 of the Idempotency-Key>
 */
import { type Bytes, EMPTY, fromUint8Array, toUint8Array } from "../bytes/bytes.ts";
import { utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { Compare, LeaseId, Operation } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { prefixOf } from "./names.ts";
import { createdAt, oneKey, putOp, rangeOp } from "./requests.ts";
import { type SharedLease, withSharedLease } from "./shared-lease.ts";

const KEPT: SharedLease = { family: 1, sliceMs: 3_600_000, keepMs: 24 * 3_600_000 };
const KEY_CHARS_MAX = 256;

/** The parts of a transaction that see to it that it is done once. */
export interface Once {
  readonly compare: readonly Compare[];
  /** With what is done. */
  readonly note: readonly Operation[];
  /** When it cannot be done: finds the note. */
  readonly look: readonly Operation[];
}

const ALWAYS: Once = { compare: [], note: [], look: [] };

/**
 * Calls `act` with what goes into its transaction; nothing without an `Idempotency-Key`.
 * @param result kept for a repeat, beside the revision; at most a few hundred bytes
 * @throws QuorateError badField; what `act` throws
 */
export async function once<T>(
  context: RecipeContext,
  { kind, name, key, result = EMPTY }: { kind: string; name: string; key: string | undefined; result?: Bytes },
  act: (parts: Once) => Promise<T>,
): Promise<T> {
  if (key === undefined) return act(ALWAYS);
  const noteKey = await keyOf(kind, name, key);
  return withSharedLease(context, KEPT, (lease) => act(partsOf(noteKey, result, lease)));
}

function partsOf(key: Bytes, result: Bytes, lease: LeaseId): Once {
  return { compare: [createdAt(key, 0)], note: [putOp(key, result, lease)], look: [rangeOp(oneKey(key))] };
}

/** @throws QuorateError badField */
async function keyOf(kind: string, name: string, key: string): Promise<Bytes> {
  if (key.length < 1 || key.length > KEY_CHARS_MAX) {
    throw errBadField("idempotency-key", `idempotency-key: must have 1 to ${KEY_CHARS_MAX} characters; it has ${key.length}`);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", toUint8Array(utf8Encode(key))));
  const hex = [...fromUint8Array(digest)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return (prefixOf(`dedup/${kind}`, name) + hex) as Bytes;
}
