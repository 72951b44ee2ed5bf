/**
 * Queues: first in, first out within a priority; a message is handed to one consumer at a time, and is gone when that one says that it is
 * done with it. A consumer that does not say so in time loses its receipt, and the message is handed out again, in its old place.
 *
 * A message moves from place to place (queue-keys.ts) by transactions that compare what was seen, so that whoever comes second moves
 * nothing: anybody may promote what is due, and doing it twice is impossible. There is no lease a message: three small writes in its life.
 *
 * Here is how messages get in. queue-take.ts hands them out, queue-flight.ts is what becomes of them, queue-state.ts looks at them.
 */
import { type Bytes, EMPTY, ascii } from "../bytes/bytes.ts";
import { errBadField, errQueueFull } from "../errors.ts";
import type { Compare, Operation } from "../store/command.ts";
import type { CallOptions, Host, RecipeContext } from "./client-port.ts";
import { once } from "./dedup.ts";
import { segmentOf } from "./names.ts";
import { isOpenNow } from "./queue-gate.ts";
import { PRIORITY_DEFAULT, itemIn, queueKey, suffixOf, timeDigits } from "./queue-keys.ts";
import { DELAY_MS_MAX, checkSpan, settingsIn, settingsOp } from "./queue-settings.ts";
import { isPassing, repeat } from "./repeat.ts";
import { appendOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

const BATCH_MAX = 50;

export interface EnqueueOptions extends CallOptions {
  /** Not handed out before. */
  readonly delayMs?: number | undefined;
  /** 0 first, 9 last; default 5. */
  readonly priority?: number | undefined;
  /** Of messages of one group one is handed out at a time, in their order. */
  readonly group?: string | undefined;
  /** For a condition of the kind `has`. */
  readonly itemName?: string | undefined;
  /** Putting again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
}

/** The bound of a queue as it was seen last. A guess: that it has not changed is part of the transaction. */
interface Bound {
  readonly maxLength: number | null;
  /** Of the queue's settings. */
  readonly modRevision: number;
}

const lastSeen = new WeakMap<Host, Map<string, Bound>>();
const SEEN_MAX = 1_000;

/**
 * Puts messages, all of them or none.
 * @returns their ids, in the order of the bodies
 * @throws QuorateError badField; queueFull
 */
export async function enqueue(
  context: RecipeContext,
  name: string,
  bodies: readonly Bytes[],
  options: EnqueueOptions = {},
): Promise<string[]> {
  const { idempotencyKey, signal, itemName } = options;
  if (bodies.length < 1 || bodies.length > BATCH_MAX) throw errBadField("body", `body: must be 1 to ${BATCH_MAX} messages`);
  const priority = checkPriority(options.priority);
  const delay = checkSpan(options.delayMs ?? 0, DELAY_MS_MAX, "delay");
  const now = context.host.clockMs();
  const suffix = ascii(suffixOf({ putAt: Math.floor(now), deliveries: 0, group: options.group ?? null }));
  const place = delay === 0 ? `i/${priority}/` : `d/${timeDigits(now + delay)}/${priority}/`;
  const puts = bodies.map((body) => appendOp(queueKey(name, place), suffix, body));
  const named = itemName === undefined ? [] : [putOp(queueKey(name, `n/${segmentOf(itemName, "name")}`), EMPTY)];
  return once(context, { kind: "queues", name, key: idempotencyKey }, async (parts) => {
    for (;;) {
      const known = await boundOf(context, name, options);
      const length = known.maxLength === null ? null : await lengthOf(context, name, known.maxLength, bodies.length, options);
      const compare = [modifiedAt(queueKey(name, "cfg"), known.modRevision), ...(length?.compare ?? []), ...parts.compare];
      const request = txnOf(compare, [...puts, ...named, ...(length?.count ?? []), ...parts.note], parts.look);
      const act = () => context.store.txn(request, { signal });
      const result = await (idempotencyKey === undefined ? act() : repeat(context, act, { signal }));
      if (result.succeeded) {
        await openGate(context, name);
        return result.responses.slice(0, puts.length).map((one) => (one.op === "append" ? itemIn(one.key)!.id : ""));
      }
      const [noted] = foundAt(result, 0);
      if (noted !== undefined) return idsAt(noted.createRevision, bodies.length);
      lastSeen.get(context.host)?.delete(name);
    }
  });
}

/** What `append` made of keys in one transaction. */
function idsAt(revision: number, count: number): string[] {
  const first = revision.toString().padStart(20, "0");
  return Array.from({ length: count }, (_, n) => (n === 0 ? first : `${first}.${n.toString().padStart(4, "0")}`));
}

/** Of a queue with a bound: that there is room, and that nobody else has filled it meanwhile. @throws QuorateError queueFull */
async function lengthOf(
  context: RecipeContext,
  name: string,
  maxLength: number,
  more: number,
  options: CallOptions,
): Promise<{ compare: Compare[]; count: Operation[] }> {
  const counter = queueKey(name, "len");
  const counts = ["i/", "d/", "f/"].map((place) => rangeOp(keysUnder(queueKey(name, place)), { countOnly: true }));
  const result = await repeat(context, () => context.store.txn(txnOf([], [rangeOp(oneKey(counter)), ...counts]), options), options);
  const length = result.responses.slice(1).reduce((sum, one) => sum + (one.op === "range" ? one.count : 0), 0);
  if (length + more > maxLength) throw errQueueFull({ length, maxLength, retryAfterMs: 1_000 });
  return { compare: [modifiedAt(counter, foundAt(result, 0)[0]?.modRevision ?? 0)], count: [putOp(counter, EMPTY)] };
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

/**
 * Whoever changes what a gate waits for looks whether it opens now: so no single crash leaves it shut. When the store does not answer, the
 * message is in nevertheless, and the next one who looks opens it.
 */
async function openGate(context: RecipeContext, name: string): Promise<void> {
  try {
    const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(queueKey(name, "condition")))));
    if (kvs[0] !== undefined) await isOpenNow(context, name, kvs[0]);
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

function checkPriority(priority = PRIORITY_DEFAULT): number {
  if (!Number.isInteger(priority) || priority < 0 || priority > 9) throw errBadField("priority", "priority: must be 0 to 9");
  return priority;
}
