/**
 * The bound of a queue (`maxLength`): whoever puts messages, by himself or by a schedule, counts what is there and puts under the condition
 * that nobody else has put, and that the bound is still the one that was seen. A queue without a bound costs neither.
 */
import { EMPTY } from "../bytes/bytes.ts";
import type { Compare, Operation } from "../store/command.ts";
import type { CallOptions, Host, RecipeContext } from "./client-port.ts";
import { queueKey } from "./queue-keys.ts";
import { settingsIn, settingsOp } from "./queue-settings.ts";
import { repeat } from "./repeat.ts";
import { foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

/** As it was seen last. A guess: that it has not changed is part of the transaction. */
interface Bound {
  readonly maxLength: number | null;
  /** Of the queue's settings. */
  readonly modRevision: number;
}

export interface Room {
  /** How many more messages there may be; without a bound `Infinity`. */
  readonly free: number;
  readonly maxLength: number | null;
  /** That it is so still. */
  readonly compare: readonly Compare[];
  /** To be done with the putting. */
  readonly count: readonly Operation[];
}

const lastSeen = new WeakMap<Host, Map<string, Bound>>();
const SEEN_MAX = 1_000;

/** What was looked up once of the bound is believed until `forgetBound`. */
export async function roomIn(context: RecipeContext, name: string, options: CallOptions = {}): Promise<Room> {
  const { maxLength, modRevision } = await boundOf(context, name, options);
  const same = modifiedAt(queueKey(name, "cfg"), modRevision);
  if (maxLength === null) return { free: Infinity, maxLength, compare: [same], count: [] };
  const counter = queueKey(name, "len");
  const counts = ["i/", "d/", "f/"].map((place) => rangeOp(keysUnder(queueKey(name, place)), { countOnly: true }));
  const result = await repeat(context, () => context.store.txn(txnOf([], [rangeOp(oneKey(counter)), ...counts]), options), options);
  const length = result.responses.slice(1).reduce((sum, one) => sum + (one.op === "range" ? one.count : 0), 0);
  const nobodyElse = modifiedAt(counter, foundAt(result, 0)[0]?.modRevision ?? 0);
  return { free: maxLength - length, maxLength, compare: [same, nobodyElse], count: [putOp(counter, EMPTY)] };
}

/** To be called when what was compared does not hold. */
export function forgetBound({ host }: RecipeContext, name: string): void {
  lastSeen.get(host)?.delete(name);
}

async function boundOf(context: RecipeContext, name: string, { signal }: CallOptions): Promise<Bound> {
  const known = lastSeen.get(context.host)?.get(name);
  if (known !== undefined) return known;
  const result = await repeat(context, () => context.store.txn(txnOf([], [settingsOp(name)]), { signal }), { signal });
  const [kv] = foundAt(result, 0);
  const found = { maxLength: settingsIn(kv).maxLength, modRevision: kv?.modRevision ?? 0 };
  let all = lastSeen.get(context.host);
  if (all === undefined) lastSeen.set(context.host, (all = new Map()));
  all.set(name, found);
  if (all.size > SEEN_MAX) all.delete(all.keys().next().value!);
  return found;
}
