/**
 * Conditions of queues: while one is there and is not open, nothing is handed out. Whoever puts, takes or waits looks whether it opens, and
 * opens it by a compare-and-swap, so that no single crash leaves it shut. (etcd's users know it as a queue with a condition node.)
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { prefixOf, segmentOf } from "./names.ts";
import { queueKey } from "./queue-keys.ts";
import { repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

export type Gate = {
  readonly open: boolean;
  /** `latch`: once open, it stays so. `cycle`: it closes when the queue is empty. */
  readonly mode: "latch" | "cycle";
} & (
  | { readonly kind: "manual" }
  /** Opens when so many messages are visible. */
  | { readonly kind: "size"; readonly size: number }
  /** Opens when a message was put with this name. */
  | { readonly kind: "has"; readonly item: string }
  /** Opens when a group has so many members. */
  | { readonly kind: "members"; readonly group: string; readonly size: number }
);

/** Sets the condition; named messages of before count no more. @throws QuorateError badField */
export async function setGate(context: RecipeContext, name: string, gate: Gate): Promise<Gate> {
  if ("size" in gate && !(Number.isSafeInteger(gate.size) && gate.size >= 1)) throw errBadField("size", "size: must be above 0");
  if (gate.kind === "has") segmentOf(gate.item, "item");
  const put = putOp(queueKey(name, "condition"), utf8Encode(JSON.stringify(gate)));
  await repeat(context, () => context.store.txn(txnOf([], [put, deleteOp(keysUnder(queueKey(name, "n/")))])));
  return (await readGate(context, name)) ?? gate;
}

/** As it is now: looked at, it opens if it may. null: there is none. */
export async function readGate(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<Gate | null> {
  const read = async (): Promise<KeyValue | undefined> =>
    (await repeat(context, () => context.store.range(readOf(oneKey(queueKey(name, "condition"))), options), options)).kvs[0];
  const kv = await read();
  if (kv === undefined) return null;
  await isOpenNow(context, name, kv, options);
  return gateIn((await read())?.value ?? kv.value);
}

export async function removeGate(context: RecipeContext, name: string): Promise<void> {
  const all = [deleteOp(oneKey(queueKey(name, "condition"))), deleteOp(keysUnder(queueKey(name, "n/")))];
  await repeat(context, () => context.store.txn(txnOf([], all)));
}

/** What somebody wrote by hand and is none of these is shut until it is removed. */
export function gateIn(value: Bytes): Gate {
  try {
    const gate = JSON.parse(utf8Decode(value)) as Gate | null;
    if (gate !== null && typeof gate === "object" && typeof gate.kind === "string")
      return { ...gate, open: gate.open, mode: gate.mode ?? "latch" };
  } catch {
    // Not JSON.
  }
  return { kind: "manual", open: false, mode: "latch" };
}

/** Whether messages may be taken; opens or closes the gate when that is due. @param kv of the condition, as it was read */
export async function isOpenNow(context: RecipeContext, name: string, kv: KeyValue, options: CallOptions = {}): Promise<boolean> {
  const gate = gateIn(kv.value);
  const isDue = await holds(context, name, gate, options);
  if (isDue === gate.open) return gate.open;
  const value = utf8Encode(JSON.stringify({ ...gate, open: isDue }));
  const request = txnOf([modifiedAt(kv.key, kv.modRevision)], [putOp(kv.key, value)], [rangeOp(oneKey(kv.key))]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  if (result.succeeded) return isDue;
  const [now] = foundAt(result, 0);
  return now === undefined || gateIn(now.value).open;
}

/** What the gate should be. */
async function holds(context: RecipeContext, name: string, gate: Gate, options: CallOptions): Promise<boolean> {
  const count = async (prefix: Bytes): Promise<number> => {
    const request = readOf(keysUnder(prefix), { countOnly: true });
    return (await repeat(context, () => context.store.range(request, options), options)).count;
  };
  if (gate.open && gate.mode === "latch") return true;
  if (gate.open) return (await count(queueKey(name, "i/"))) > 0;
  switch (gate.kind) {
    case "manual":
      return false;
    case "size":
      return (await count(queueKey(name, "i/"))) >= gate.size;
    case "has": {
      const named = readOf(oneKey(queueKey(name, `n/${segmentOf(gate.item, "item")}`)), { countOnly: true });
      return (await repeat(context, () => context.store.range(named, options), options)).count > 0;
    }
    case "members":
      return (await membersOf(context, gate.group, options)) >= gate.size;
  }
}

/** Whoever left last is noted beside the members, under a key of its own (roster.ts). */
async function membersOf(context: RecipeContext, group: string, options: CallOptions): Promise<number> {
  const prefix = prefixOf("groups", group);
  const note = (prefix + ".left") as Bytes;
  const request = txnOf([], [rangeOp(keysUnder(prefix), { countOnly: true }), rangeOp(oneKey(note), { keysOnly: true })]);
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const [all] = result.responses;
  return (all?.op === "range" ? all.count : 0) - foundAt(result, 1).length;
}
