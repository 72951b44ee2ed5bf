/** Putting a value only where nobody has written since it was seen. */
import type { Bytes } from "../bytes/bytes.ts";
import type { KeyValue, Operation } from "../store/command.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { type OnceRequest, once } from "./dedup.ts";
import { repeat } from "./repeat.ts";
import { foundAt, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

export interface PutAtOptions extends CallOptions {
  /** Of the key's last change; 0: it is not there. Left out: whatever it is. */
  readonly ifRevision: number | undefined;
  /** Done before it, in the same transaction. */
  readonly before?: readonly Operation[];
}

export type PutAt = { readonly done: true; readonly revision: number } | { readonly done: false; readonly now: KeyValue | undefined };

/**
 * Is asked for again by itself, and done once, which a note tells: of several who put the same value under the same condition one has done
 * it, and a try that arrives late does not undo what came after. Where the value itself is nobody else's, `putOwnAt` does without the note.
 */
export async function putAt(
  context: RecipeContext,
  of: Pick<OnceRequest, "kind" | "name">,
  key: Bytes,
  value: Bytes,
  { ifRevision, before = [], signal }: PutAtOptions,
): Promise<PutAt> {
  const condition = ifRevision === undefined ? [] : [modifiedAt(key, ifRevision)];
  const mine = context.host.randomBytes(12).join("-");
  return once(context, { ...of, key: mine, request: [] }, async (parts): Promise<PutAt> => {
    const writes = [...before, putOp(key, value), ...parts.note()];
    const request = txnOf([...condition, ...parts.compare], writes, [rangeOp(oneKey(key)), ...parts.look]);
    const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
    if (result.succeeded) return { done: true, revision: result.revision };
    const noted = parts.noted(foundAt(result, 1));
    return noted === undefined ? { done: false, now: foundAt(result, 0)[0] } : { done: true, revision: noted.revision };
  });
}

/** The same for a value that nobody else puts: it is its own note, for as long as nobody has written after it. */
export async function putOwnAt(
  context: RecipeContext,
  key: Bytes,
  value: Bytes,
  ifRevision: number,
  { signal }: CallOptions,
): Promise<PutAt> {
  const request = txnOf([modifiedAt(key, ifRevision)], [putOp(key, value)], [rangeOp(oneKey(key))]);
  const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
  if (result.succeeded) return { done: true, revision: result.revision };
  const [now] = foundAt(result, 0);
  return now?.value === value ? { done: true, revision: now.modRevision } : { done: false, now };
}
