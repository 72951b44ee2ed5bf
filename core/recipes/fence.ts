/**
 * A register of the highest fence seen, for what lies outside the store and cannot compare fences itself: asked just before the act, it refuses
 * those who hold no longer, if a later holder has been there. It narrows the window between the question and the act, and does not close it.
 *
 * Key: `/quorate/fences/<name>` = decimal.
 */
import { ascii } from "../bytes/bytes.ts";
import { errBadField } from "../errors.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { segmentOf } from "./names.ts";
import { repeat } from "./repeat.ts";
import { foundAt, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

export interface FenceCheck {
  /** The fence is as high as the highest seen, or higher. */
  readonly accepted: boolean;
  /** The highest seen, this one included. */
  readonly highest: bigint;
}

const FENCE_MAX = 0x7fff_ffff_ffff_ffffn;

/** Shows a fence to the register. Again is the same. @throws QuorateError badField */
export async function checkFence(context: RecipeContext, name: string, fence: bigint, options: CallOptions = {}): Promise<FenceCheck> {
  if (fence < 0n || fence > FENCE_MAX) throw errBadField("fence", `fence must be a whole number from 0 to 2^63 - 1; it is ${fence}`);
  const key = ascii(`/quorate/fences/${segmentOf(name)}`);
  const look = rangeOp(oneKey(key));
  let seen = await repeat(context, () => context.store.txn(txnOf([], [look]), options), options);
  for (;;) {
    const [kv] = foundAt(seen, 0);
    const highest = kv === undefined || !/^\d+$/.test(kv.value) ? -1n : BigInt(kv.value);
    if (fence <= highest) return { accepted: fence === highest, highest };
    const request = txnOf([modifiedAt(key, kv?.modRevision ?? 0)], [putOp(key, ascii(fence.toString()))], [look]);
    seen = await repeat(context, () => context.store.txn(request, options), options);
    if (seen.succeeded) return { accepted: true, highest: fence };
  }
}
