/** Putting a value only where nobody has written since it was seen. */
import type { Bytes } from "../bytes/bytes.ts";
import type { KeyValue, Operation } from "../store/command.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { repeat } from "./repeat.ts";
import { foundAt, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

export interface PutAtOptions extends CallOptions {
  /** Of the key's last change; 0: it is not there. Left out: whatever it is. */
  readonly ifRevision: number | undefined;
  /** Done before it, in the same transaction. */
  readonly before?: readonly Operation[];
}

export type PutAt = { readonly done: true; readonly revision: number } | { readonly done: false; readonly now: KeyValue | undefined };

/** May be asked for again: what a try has done that nobody heard of is done. */
export async function putAt(context: RecipeContext, key: Bytes, value: Bytes, options: PutAtOptions): Promise<PutAt> {
  const { ifRevision, before = [], signal } = options;
  const compare = ifRevision === undefined ? [] : [modifiedAt(key, ifRevision)];
  const request = txnOf(compare, [...before, putOp(key, value)], [rangeOp(oneKey(key))]);
  let tries = 0;
  const result = await repeat(context, () => (tries++, context.store.txn(request, { signal })), { signal });
  if (result.succeeded) return { done: true, revision: result.revision };
  const [now] = foundAt(result, 0);
  if (tries > 1 && now?.value === value && now.modRevision > ifRevision!) return { done: true, revision: now.modRevision };
  return { done: false, now };
}
