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
import type { Operation } from "../store/command.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { type Once, once } from "./dedup.ts";
import { segmentOf } from "./names.ts";
import { forgetBound, roomIn } from "./queue-bound.ts";
import { isOpenNow } from "./queue-gate.ts";
import { PRIORITY_DEFAULT, queueKey, suffixOf, timeDigits } from "./queue-keys.ts";
import { DELAY_MS_MAX, checkSpan } from "./queue-settings.ts";
import { isPassing, repeat } from "./repeat.ts";
import { appendOp, foundAt, oneKey, putOp, readOf, txnOf } from "./requests.ts";

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
  const request = [bodies, delay, priority, options.group, itemName];
  return once(context, { kind: "queues", name, key: idempotencyKey, request }, async (parts) =>
    idsAt(await putWithin(context, name, { puts, beside: named, parts, signal, isOnce: idempotencyKey !== undefined }), bodies.length),
  );
}

export interface Putting extends CallOptions {
  /** One for each message. */
  readonly puts: readonly Operation[];
  readonly beside?: readonly Operation[];
  readonly parts: Once;
  /** Then an outcome that is not known is asked for again. */
  readonly isOnce: boolean;
}

/** Puts messages if the queue's bound allows it. @returns the revision, which is in their names @throws QuorateError queueFull */
export async function putWithin(
  context: RecipeContext,
  name: string,
  { puts, beside = [], parts, isOnce, signal }: Putting,
): Promise<number> {
  for (;;) {
    const room = await roomIn(context, name, { signal });
    if (room.free < puts.length) {
      // A repeat may find the queue full of what it put the first time.
      const looked =
        parts.look.length === 0 ? undefined : await repeat(context, () => context.store.txn(txnOf([], parts.look), { signal }), { signal });
      const noted = looked && parts.noted(foundAt(looked, 0));
      if (noted !== undefined) return noted.revision;
      throw errQueueFull({ free: room.free, maxLength: room.maxLength, retryAfterMs: 1_000 });
    }
    const request = txnOf([...room.compare, ...parts.compare], [...puts, ...beside, ...room.count, ...parts.note()], parts.look);
    const act = () => context.store.txn(request, { signal });
    const result = await (isOnce ? repeat(context, act, { signal }) : act());
    if (result.succeeded) {
      await openGate(context, name);
      return result.revision;
    }
    const noted = parts.noted(foundAt(result, 0));
    if (noted !== undefined) return noted.revision;
    forgetBound(context, name);
  }
}

/** What `append` made of keys in one transaction. */
function idsAt(revision: number, count: number): string[] {
  const first = revision.toString().padStart(20, "0");
  return Array.from({ length: count }, (_, n) => (n === 0 ? first : `${first}.${n.toString().padStart(4, "0")}`));
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
