/**
 * Conditions of a write that come in headers, as compares of its transaction: `If-Match` and `If-None-Match` (RFC 9110 section 13.1),
 * `Quorate-Guard` of whoever holds a lock, and `Quorate-Ack` of whoever works on a message, which acknowledges it with the same write.
 */
import { z } from "zod";
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { QuorateError, errBadField, errPreconditionFailed, errReceiptExpired, errStaleHolder, isQuorateError } from "../../errors.ts";
import { acknowledging } from "../../recipes/queue-flight.ts";
import { createdAt, modifiedAt, oneKey, rangeOp } from "../../recipes/requests.ts";
import type { Compare, Operation, OperationResult } from "../../store/command.ts";
import { decodeBytes } from "./percent.ts";

const onceWithin = (time: string): z.ZodOptional<z.ZodString> =>
  z
    .string()
    .optional()
    .describe(
      `Makes it happen once: the same request with the same key again, within ${time}, is answered as it was the first time; another request with it is refused (422).`,
    );
/** Of every write of keys (decision 10). */
export const idempotencyKey = onceWithin("an hour");
/** Of what a recipe notes beside its keys. */
export const recipeIdempotencyKey = onceWithin("a day");

/** Headers of every write. */
export const conditionHeaders = z.object({
  "if-match": z.string().optional().describe('The write is done only if the key is at this revision: `"17"`, or `*` for any.'),
  "if-none-match": z.string().optional().describe("`*`: the write is done only if the key is not there."),
  "quorate-guard": z
    .string()
    .optional()
    .describe("`<key>@<fence>` of a hold, the key percent-encoded: the write is done only while it is held; otherwise 409, stale_holder."),
  "idempotency-key": idempotencyKey,
  "quorate-ack": z
    .string()
    .optional()
    .describe("A receipt of a queue: the message is acknowledged together with the write, or neither; otherwise 409, receipt_expired."),
});
export type ConditionHeaders = z.output<typeof conditionHeaders>;

/** A condition: what must hold, what is done beside the write, and what it means when it does not hold. */
interface Condition {
  readonly compare: Compare;
  readonly beside?: readonly Operation[];
  /** @param at the revision of the key now; 0 when it is not there */
  readonly failed: (kv: { readonly createRevision: number; readonly modRevision: number }) => QuorateError | undefined;
}

export interface Conditions {
  readonly compares: readonly Compare[];
  /** Done with the write. */
  readonly beside: readonly Operation[];
  /** To be done when the compares do not hold, to find out which. */
  readonly looks: readonly Operation[];
  /** Which condition does not hold. @param results of `looks` */
  why(results: readonly OperationResult[]): QuorateError;
}

/** @param key the one that is written; `If-Match` is about it @throws QuorateError badField */
export function conditionsOf(headers: ConditionHeaders, key: Bytes): Conditions {
  const all = [...matches(headers, key), ...guards(headers), ...acks(headers)];
  return {
    compares: all.map(({ compare }) => compare),
    beside: all.flatMap(({ beside }) => beside ?? []),
    looks: all.map(({ compare }) => rangeOp({ key: compare.key, end: compare.end })),
    why: (results) => {
      for (const [at, { failed }] of all.entries()) {
        const result = results[at];
        const kv = result?.op === "range" ? result.kvs[0] : undefined;
        const error = failed(kv ?? { createRevision: 0, modRevision: 0 });
        if (error !== undefined) return error;
      }
      // It did not hold when it was asked, and does now that it is looked at: nothing has changed in between but by another condition.
      return errPreconditionFailed("a condition of the request does not hold", 0);
    },
  };
}

function matches(headers: ConditionHeaders, key: Bytes): Condition[] {
  const found: Condition[] = [];
  const match = headers["if-match"];
  if (match !== undefined) {
    const revision = revisionIn(match, "if-match");
    found.push({
      compare: revision === null ? { ...oneKey(key), target: "create", operator: "greater", value: 0 } : modifiedAt(key, revision),
      failed: ({ modRevision }) =>
        (revision === null ? modRevision > 0 : modRevision === revision)
          ? undefined
          : errPreconditionFailed(modRevision === 0 ? "the key is not there" : "the key has been changed", modRevision),
    });
  }
  const none = headers["if-none-match"];
  if (none !== undefined) {
    if (none.trim() !== "*") throw errBadField("if-none-match", "if-none-match: of a write it must be *");
    found.push({
      compare: createdAt(key, 0),
      failed: ({ modRevision }) => (modRevision === 0 ? undefined : errPreconditionFailed("the key is there already", modRevision)),
    });
  }
  return found;
}

function guards(headers: ConditionHeaders): Condition[] {
  const text = headers["quorate-guard"];
  if (text === undefined) return [];
  const { key, revision } = keyAt(text, "quorate-guard");
  return [
    {
      compare: createdAt(key, revision),
      failed: ({ createRevision }) => (createRevision === revision ? undefined : errStaleHolder()),
    },
  ];
}

function acks(headers: ConditionHeaders): Condition[] {
  const text = headers["quorate-ack"];
  if (text === undefined) return [];
  const { key, revision } = keyAt(text, "quorate-ack");
  if (!/^\/quorate\/queues\/[^/]+\/f\//.test(key)) throw errBadField("quorate-ack", "quorate-ack: is no receipt of a queue");
  return [
    {
      compare: modifiedAt(key, revision),
      beside: acknowledging(key),
      failed: ({ modRevision }) => (modRevision === revision ? undefined : errReceiptExpired()),
    },
  ];
}

/** `<key>@<revision>`, the key percent-encoded. */
function keyAt(text: string, field: string): { key: Bytes; revision: number } {
  const at = text.lastIndexOf("@");
  const revision = Number(text.slice(at + 1));
  const key = at < 0 ? EMPTY : decodeBytes(text.slice(0, at), field);
  if (key === EMPTY || !Number.isSafeInteger(revision) || revision < 1) throw errBadField(field, `${field}: has the form <key>@<revision>`);
  return { key, revision };
}

/**
 * `If-None-Match` of a read (RFC 9110 section 13.1.2): whether the copy that the client has is that of a revision. ETags of others match
 * nothing.
 */
export function matcherOf(etags: string): (revision: number) => boolean {
  if (etags.trim() === "*") return () => true;
  const known = new Set([...etags.matchAll(/"(\d{1,16})"/g)].map(([, digits]) => Number(digits)));
  return (revision) => known.has(revision);
}

/** An ETag alone: `*` says nothing where what is not there is as good as 0. @throws QuorateError badField */
export function etagIn(etag: string): number {
  const revision = revisionIn(etag, "if-match");
  if (revision === null)
    throw errBadField("if-match", "if-match: must be an ETag as this API gives them; *, any, cannot be asked for here");
  return revision;
}

/** What a recipe calls a conflict is, of a request with `If-Match`, that this does not hold. */
export async function ifMatching<T>(match: string | undefined, act: (revision: number | undefined) => Promise<T>): Promise<T> {
  if (match === undefined) return act(undefined);
  try {
    return await act(etagIn(match));
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "conflict") throw error;
    throw new QuorateError("failedPrecondition", "preconditionFailed", error.message, error.details);
  }
}

/** @returns null for `*` @throws QuorateError badField */
export function revisionIn(etag: string, field: string): number | null {
  const text = etag.trim();
  if (text === "*") return null;
  const [, digits] = /^(?:W\/)?"?(\d{1,16})"?$/.exec(text) ?? [];
  if (digits === undefined) throw errBadField(field, `${field}: must be an ETag as this API gives them, such as "17", or *`);
  return Number(digits);
}
