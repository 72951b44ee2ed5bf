/** What a queue holds, for people who look, and what they do about the dead. */
import { type Bytes, successor } from "../bytes/bytes.ts";
import type { KeyValue } from "../store/command.ts";
import type { AsOf, CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { heldIn, itemIn, itemText, queueKey, segmentBefore } from "./queue-keys.ts";
import { type QueueSettings, settingsIn, settingsOp } from "./queue-settings.ts";
import { repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

const REDRIVE_PAGE = 16;

export interface QueueState extends AsOf {
  readonly visible: number;
  readonly delayed: number;
  readonly inFlight: number;
  readonly dead: number;
  /** When the oldest visible message was put, in milliseconds since 1970; null: there is none, or it does not say. */
  readonly oldestAtMs: number | null;
  readonly settings: QueueSettings;
}

export async function queueState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<QueueState> {
  const counts = ["i/", "d/", "f/", "x/"].map((place) => rangeOp(keysUnder(queueKey(name, place)), { countOnly: true }));
  const first = rangeOp(keysUnder(queueKey(name, "i/")), { limit: 1, sortTarget: "create", sortOrder: "ascend", keysOnly: true });
  const request = txnOf([], [...counts, first, settingsOp(name)]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const [visible = 0, delayed = 0, inFlight = 0, dead = 0] = result.responses.map((one) => (one.op === "range" ? one.count : 0));
  const [oldest] = foundAt(result, 4);
  const oldestAtMs = oldest === undefined ? null : (itemIn(oldest.key)?.putAt ?? null);
  return { visible, delayed, inFlight, dead, oldestAtMs, settings: settingsIn(foundAt(result, 5)[0]), revision: result.revision };
}

export interface Peeked {
  readonly id: string;
  readonly body: Bytes;
  readonly deliveries: number;
  readonly priority: number;
  readonly reason?: string | undefined;
}

/** The next visible messages, or the dead ones, without taking them. */
export async function peekMessages(
  context: RecipeContext,
  name: string,
  { dead = false, limit = 10, ...options }: ReadOptions & { readonly dead?: boolean; readonly limit?: number } = {},
): Promise<Peeked[]> {
  const request = readOf(keysUnder(queueKey(name, dead ? "x/" : "i/")), { limit });
  const { kvs } = await repeat(context, () => context.store.range(request, options), options);
  return kvs.flatMap((kv) => {
    const item = itemIn(kv.key);
    if (item === undefined) return [];
    const { id, deliveries } = item;
    if (!dead) return [{ id, deliveries, body: kv.value, priority: Number(segmentBefore(kv.key)) }];
    const { held, body } = heldIn(kv.value);
    return [{ id, deliveries, body, priority: held.priority, reason: held.reason }];
  });
}

/** Makes dead messages visible again, in their old places and as if they had never been handed out. @returns how many */
export async function redriveDead(context: RecipeContext, name: string, options: CallOptions = {}): Promise<number> {
  let count = 0;
  for (let page: readonly KeyValue[] = []; ;) {
    const last = page.at(-1)?.key;
    const all = keysUnder(queueKey(name, "x/"));
    const request = readOf({ ...all, key: last === undefined ? all.key : successor(last) }, { limit: REDRIVE_PAGE });
    ({ kvs: page } = await repeat(context, () => context.store.range(request, options), options));
    if (page.length === 0) return count;
    for (const kv of page) {
      const item = itemIn(kv.key);
      if (item === undefined) continue; // another program's
      const { held, body } = heldIn(kv.value);
      const to = queueKey(name, `i/${held.priority}/${itemText({ ...item, deliveries: 0 })}`);
      const move = txnOf([modifiedAt(kv.key, kv.modRevision)], [deleteOp(oneKey(kv.key)), putOp(to, body)]);
      const { succeeded } = await repeat(context, () => context.store.txn(move, options), options);
      if (succeeded) count++;
    }
  }
}

/** Removes the dead messages. @returns how many */
export async function purgeDead(context: RecipeContext, name: string): Promise<number> {
  const result = await repeat(context, () => context.store.txn(txnOf([], [deleteOp(keysUnder(queueKey(name, "x/")))])));
  const [first] = result.responses;
  return first?.op === "delete" ? first.deleted : 0;
}
