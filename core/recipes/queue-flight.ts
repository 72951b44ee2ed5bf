/** What becomes of a message that was taken: it is acknowledged, given more time, or given back. The receipt says which flight is meant. */
import type { Bytes } from "../bytes/bytes.ts";
import { errBadField, errReceiptExpired } from "../errors.ts";
import type { KeyValue, Operation, TxnRequest } from "../store/command.ts";
import type { AsOf, CallOptions, RecipeContext } from "./client-port.ts";
import { segmentOf } from "./names.ts";
import { heldIn, heldValue, itemIn, itemText, queueKey, timeDigits } from "./queue-keys.ts";
import { DELAY_MS_MAX, type QueueSettings, checkSpan, settingsIn, settingsOp } from "./queue-settings.ts";
import { isCompacted, repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 300_000;
export const VISIBILITY_MS_MAX = 12 * 3_600_000;

/**
 * Operations that end a flight, to be done together with the compare `mod_revision(key) = revision`: a transaction with them acknowledges
 * the message and takes effect at once, or neither.
 * @param key of the flight, as in a receipt
 */
export function acknowledging(key: Bytes): Operation[] {
  const [, , , segment] = key.split("/");
  return freed(decodeURIComponent(segment ?? ""), key);
}

/** The flight is over, and its group may go on. */
export function freed(name: string, key: Bytes): Operation[] {
  const group = itemIn(key)?.group ?? null;
  return [deleteOp(oneKey(key)), ...(group === null ? [] : [deleteOp(oneKey(groupKey(name, group)))])];
}

/**
 * It is done. Saying so again with the same receipt is the same act, for as long as history tells.
 * @throws QuorateError receiptExpired when its time was over before; badField
 */
export async function acknowledge(context: RecipeContext, name: string, receipt: string, { signal }: CallOptions = {}): Promise<AsOf> {
  const { key, revision } = receiptIn(name, receipt);
  const request = txnOf([modifiedAt(key, revision)], freed(name, key));
  const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
  if (!result.succeeded && !(await wasEnded(context, name, key, revision, { signal }))) throw errReceiptExpired();
  return { revision: result.revision };
}

/**
 * Adds to a transaction that it takes effect only while the receipt is good, and acknowledges the message: once, inside the store.
 * @throws QuorateError badField
 */
export function acknowledgedBy(txn: TxnRequest, name: string, receipt: string): TxnRequest {
  const { key, revision } = receiptIn(name, receipt);
  return { ...txn, compare: [...txn.compare, modifiedAt(key, revision)], success: [...txn.success, ...freed(name, key)] };
}

/**
 * Whether this receipt has ended its flight by an acknowledgement. Otherwise, given back, extended or promoted, the message is in another
 * place from that very revision on.
 */
async function wasEnded(context: RecipeContext, name: string, key: Bytes, since: number, options: CallOptions): Promise<boolean> {
  const { id } = itemIn(key)!;
  try {
    const { store } = context;
    for await (const { events } of store.watch({ ...oneKey(key), startRevision: since + 1, noPut: true, signal: options.signal })) {
      const revision = events[0]?.kv.modRevision;
      if (revision === undefined) continue;
      const places = [...Array.from({ length: 10 }, (_, priority) => `i/${priority}/${id}`), `x/${id}`];
      const spread = ["d/", "f/"]; // where times come before the number
      const looks = [...places, ...spread].map((place) => rangeOp(keysUnder(queueKey(name, place)), { keysOnly: true, revision }));
      const result = await repeat(context, () => store.txn(txnOf([], looks), options), options);
      return looks.every((_, at) => foundAt(result, at).every((kv) => itemIn(kv.key)?.id !== id));
    }
  } catch (error) {
    if (!isCompacted(error)) throw error;
  }
  return false; // history does not tell any more
}

/** More time for it, from now on. @returns the receipt that is good from now on @throws QuorateError receiptExpired; badField */
export async function extendMessage(
  context: RecipeContext,
  name: string,
  receipt: string,
  visibilityMs: number,
  options: CallOptions = {},
): Promise<string> {
  const visibility = checkSpan(visibilityMs, VISIBILITY_MS_MAX, "visibility");
  const { kv } = await flightOf(context, name, receipt, options);
  const next = queueKey(name, `f/${timeDigits(context.host.clockMs() + visibility)}/${itemText(itemIn(kv.key)!)}`);
  const to = next === kv.key ? [] : [deleteOp(oneKey(kv.key))];
  const result = await moved(context, kv, [...to, putOp(next, kv.value)], next, options);
  return receiptOf(next, result);
}

export interface RejectOptions extends CallOptions {
  /** Handed out again after so long. Default: 1 s, twice as long with each delivery, at most 5 min. */
  readonly delayMs?: number | undefined;
  /** It is dead: for people to look at. */
  readonly dead?: boolean | undefined;
  readonly reason?: string | undefined;
}

/** It could not be done: it is handed out again later, or is dead. @throws QuorateError receiptExpired; badField */
export async function rejectMessage(context: RecipeContext, name: string, receipt: string, options: RejectOptions = {}): Promise<void> {
  const { kv, settings } = await flightOf(context, name, receipt, options);
  const item = itemIn(kv.key)!;
  const { held, body } = heldIn(kv.value);
  const backoff = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (item.deliveries - 1));
  const delay = checkSpan(options.delayMs ?? backoff, DELAY_MS_MAX, "delay");
  const isDead = options.dead === true || item.deliveries >= settings.maxDeliveries;
  const due = timeDigits(context.host.clockMs() + delay);
  const place = isDead
    ? `x/${itemText(item)}`
    : delay === 0
      ? `i/${held.priority}/${itemText(item)}`
      : `d/${due}/${held.priority}/${itemText(item)}`;
  const reason = options.reason ?? (options.dead === true ? "rejected" : "maxDeliveries");
  const to = queueKey(name, place);
  await moved(context, kv, [...freed(name, kv.key), putOp(to, isDead ? heldValue({ ...held, reason }, body) : body)], to, options);
}

/** @returns the revision of the move @throws QuorateError receiptExpired */
async function moved(
  context: RecipeContext,
  kv: KeyValue,
  operations: readonly Operation[],
  to: Bytes,
  { signal }: CallOptions,
): Promise<number> {
  let tries = 0;
  const request = txnOf([modifiedAt(kv.key, kv.modRevision)], operations, [rangeOp(oneKey(to))]);
  const result = await repeat(context, () => (tries++, context.store.txn(request, { signal })), { signal });
  if (result.succeeded) return result.revision;
  const [there] = foundAt(result, 0);
  // A try before may have moved it, unheard.
  if (tries > 1 && there !== undefined && there.modRevision > kv.modRevision) return there.modRevision;
  throw errReceiptExpired();
}

async function flightOf(
  context: RecipeContext,
  name: string,
  receipt: string,
  options: CallOptions,
): Promise<{ kv: KeyValue; settings: QueueSettings }> {
  const { key, revision } = receiptIn(name, receipt);
  const request = txnOf([], [rangeOp(oneKey(key)), settingsOp(name)]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const [kv] = foundAt(result, 0);
  if (kv?.modRevision !== revision) throw errReceiptExpired();
  return { kv, settings: settingsIn(foundAt(result, 1)[0]) };
}

export function groupKey(name: string, group: string): Bytes {
  return queueKey(name, `g/${segmentOf(group, "group")}`);
}

/** `<key>@<revision>`, the key percent-encoded: it goes into headers and URLs as it is. */
export function receiptOf(key: Bytes, revision: number): string {
  return `${key.replace(/[^A-Za-z0-9/._~-]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`)}@${revision}`;
}

/** @throws QuorateError badField */
function receiptIn(name: string, receipt: string): { readonly key: Bytes; readonly revision: number } {
  const at = receipt.lastIndexOf("@");
  const key = receipt
    .slice(0, Math.max(0, at))
    .replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) as Bytes;
  const revision = Number(receipt.slice(at + 1));
  const isFlight = key.startsWith(queueKey(name, "f/")) && itemIn(key) !== undefined;
  if (!isFlight || !Number.isSafeInteger(revision) || revision < 1) throw errBadField("receipt", "receipt: is none of this queue");
  return { key, revision };
}
