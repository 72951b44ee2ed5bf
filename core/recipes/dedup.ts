/**
 * Requests that are not done twice. What a request with an `Idempotency-Key` did is noted in the very transaction that did it, under a key
 * that must not be there yet; whoever repeats the request finds the note. Its revision is that of the transaction. Whoever sends another
 * request with the same key is told so: the answer to the first one is none to his.
 *
 *     /quorate/dedup/<kind>/<name>/<sha256 of the Idempotency-Key> = <digest of the request, 16 digits> + <result>
 */
import { type Bytes, EMPTY, fromUint8Array, toUint8Array } from "../bytes/bytes.ts";
import { utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errKeyReused } from "../errors.ts";
import type { Compare, KeyValue, LeaseId, Operation } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { prefixOf } from "./names.ts";
import { createdAt, oneKey, putOp, rangeOp } from "./requests.ts";
import { type SharedLease, withSharedLease } from "./shared-lease.ts";

const KEPT: SharedLease = { family: 1, sliceMs: 3_600_000, keepMs: 24 * 3_600_000 };
const KEY_CHARS_MAX = 256;
const DIGEST_CHARS = 16;

/** The parts of a transaction that see to it that it is done once. */
export interface Once {
  readonly compare: readonly Compare[];
  /** With what is done. @param result kept for a repeat, beside the revision; at most a few hundred bytes */
  readonly note: (result?: Bytes) => readonly Operation[];
  /** When it cannot be done: finds the note. */
  readonly look: readonly Operation[];
  /** What was done the first time, if it was. @param found by `look` @throws QuorateError keyReused */
  readonly noted: (found: readonly KeyValue[]) => Noted | undefined;
}

export interface Noted {
  readonly revision: number;
  readonly result: Bytes;
}

/** A request that may be repeated. */
export interface OnceRequest {
  readonly kind: string;
  readonly name: string;
  readonly key: string | undefined;
  /** All that the answer depends on, for JSON; byte strings are text in it. */
  readonly request: readonly unknown[];
}

const ALWAYS: Once = { compare: [], note: () => [], look: [], noted: () => undefined };

/**
 * Calls `act` with what goes into its transaction; nothing without an `Idempotency-Key`.
 * @throws QuorateError badField; keyReused; what `act` throws
 */
export async function once<T>(
  context: RecipeContext,
  { kind, name, key, request }: OnceRequest,
  act: (parts: Once) => Promise<T>,
): Promise<T> {
  if (key === undefined) return act(ALWAYS);
  if (key.length < 1 || key.length > KEY_CHARS_MAX) {
    throw errBadField("idempotency-key", `idempotency-key: must have 1 to ${KEY_CHARS_MAX} characters; it has ${key.length}`);
  }
  const noteKey = (prefixOf(`dedup/${kind}`, name) + (await sha256(key))) as Bytes;
  const digest = (await sha256(JSON.stringify(request))).slice(0, DIGEST_CHARS);
  return withSharedLease(context, KEPT, (lease) => act(partsOf(noteKey, digest, lease)));
}

function partsOf(key: Bytes, digest: string, lease: LeaseId): Once {
  return {
    compare: [createdAt(key, 0)],
    note: (result = EMPTY) => [putOp(key, (digest + result) as Bytes, lease)],
    look: [rangeOp(oneKey(key))],
    noted: ([kv]) => {
      if (kv === undefined) return undefined;
      if (!kv.value.startsWith(digest)) throw errKeyReused();
      return { revision: kv.createRevision, result: kv.value.slice(DIGEST_CHARS) as Bytes };
    },
  };
}

/** In hexadecimal digits. */
async function sha256(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", toUint8Array(utf8Encode(text))));
  return [...fromUint8Array(digest)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
