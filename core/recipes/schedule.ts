/**
 * Schedules: messages that are put into a queue at their times. Whoever sees that a time has come may fire: the schedule's next time and the
 * messages are one transaction that compares the schedule with what was seen, so that each tick is put once, whoever leads.
 *
 *     /quorate/schedules/<name>
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errKeyAbsent } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { AsOf, CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { once } from "./dedup.ts";
import { nameOfKey, prefixOf, segmentOf } from "./names.ts";
import { forgetBound, roomIn } from "./queue-bound.ts";
import { PRIORITY_DEFAULT, queueKey, suffixOf } from "./queue-keys.ts";
import { putWithin } from "./queue.ts";
import { repeat } from "./repeat.ts";
import { appendOp, deleteOp, keysUnder, modifiedAt, oneKey, putOp, readOf, txnOf } from "./requests.ts";

const KIND = "schedules";
const ROOT = `/quorate/${KIND}/` as Bytes;
/** Ticks that one transaction puts. */
const TICKS_MAX = 50;
/** Ticks for which the queue has no room wait so long until it is looked at again. */
const FULL_MS = 1_000;
/** A tick that is put so late was not missed. */
const ON_TIME_MS = 60_000;
const EVERY_MS_MIN = 1_000;

export interface Schedule {
  /** A cron expression of five fields, or six with seconds first; or `everyMs`. */
  readonly cron?: string | undefined;
  readonly everyMs?: number | undefined;
  /** Of the cron expression: a name such as `Europe/Berlin`. Default UTC. */
  readonly tz?: string | undefined;
  readonly queue: string;
  readonly body: string;
  /** After a time in which nobody could fire: nothing for the ticks that were missed, one message for all of them, or one for each. */
  readonly catchUp: "none" | "one" | "all";
}

export interface ScheduleState extends Schedule {
  readonly name: string;
  /** By the store's clock; null: not known yet. */
  readonly nextAtMs: number | null;
  /** Why it cannot be fired; null: it can. */
  readonly problem: string | null;
  readonly modRevision: number;
}

interface Kept extends Schedule {
  readonly nextAtMs: number | null;
  readonly problem: string | null;
}

/** When a schedule's next tick after a time is. @throws Error saying what is wrong with it */
export type NextTick = (schedule: Schedule, afterMs: number) => number | null;

/** Its next time is found by whoever fires. @throws QuorateError badField */
export async function putSchedule(context: RecipeContext, name: string, schedule: Schedule, options: CallOptions = {}): Promise<AsOf> {
  const { cron, everyMs, queue } = schedule;
  if ((cron === undefined) === (everyMs === undefined)) throw errBadField("cron", "cron: exactly one of cron and every is to be given");
  if (everyMs !== undefined && !(everyMs >= EVERY_MS_MIN)) throw errBadField("every", "every: must be at least 1s");
  segmentOf(queue, "queue");
  const value = encode({ ...schedule, nextAtMs: null, problem: null });
  return repeat(context, () => context.store.txn(txnOf([], [putOp(keyOf(name), value)]), options), options);
}

/** @returns undefined when there is none of this name */
export async function readSchedule(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<ScheduleState | undefined> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(keyOf(name))), options), options);
  return kvs[0] === undefined ? undefined : stateIn(kvs[0]);
}

export async function listSchedules(context: RecipeContext, options: ReadOptions = {}): Promise<ScheduleState[]> {
  const { kvs } = await repeat(context, () => context.store.range(readOf(keysUnder(ROOT)), options), options);
  return kvs.map(stateIn);
}

export async function deleteSchedule(context: RecipeContext, name: string): Promise<void> {
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(oneKey(keyOf(name)))])));
}

export interface RunScheduleOptions extends CallOptions {
  /** Running it again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
}

/** Puts the message now, beside its times. @throws QuorateError keyAbsent, queueFull; without `idempotencyKey` it is not tried again */
export async function runSchedule(
  context: RecipeContext,
  name: string,
  { idempotencyKey, signal }: RunScheduleOptions = {},
): Promise<AsOf> {
  const schedule = await readSchedule(context, name, { signal });
  if (schedule === undefined) throw errKeyAbsent({ name });
  const message = messageOf(context, schedule);
  return once(context, { kind: KIND, name, key: idempotencyKey, request: [] }, async (parts) => ({
    revision: await putWithin(context, schedule.queue, { puts: [message], parts, signal, isOnce: idempotencyKey !== undefined }),
  }));
}

/**
 * Fires what is due of all schedules; done by several at once it happens once.
 * @returns when there is something to do next, by the store's clock; null: when a schedule is put
 */
export async function fireSchedules(context: RecipeContext, nextTick: NextTick, options: CallOptions = {}): Promise<number | null> {
  let next: number | null = null;
  for (const schedule of await listSchedules(context, options)) {
    const at = await fire(context, schedule, nextTick, options);
    if (at !== null && (next === null || at < next)) next = at;
  }
  return next;
}

async function fire(context: RecipeContext, schedule: ScheduleState, nextTick: NextTick, options: CallOptions): Promise<number | null> {
  const { name, modRevision, ...rest } = schedule;
  if (rest.problem !== null) return null;
  const now = context.host.clockMs();
  if (rest.nextAtMs !== null && rest.nextAtMs > now) return rest.nextAtMs;
  const room = await roomIn(context, rest.queue, options);
  if (rest.nextAtMs !== null && room.free < 1) return now + FULL_MS;
  let kept: Kept;
  let ticks: number[] = [];
  try {
    ({ kept, ticks } = due(rest, now, nextTick, Math.min(room.free, TICKS_MAX)));
  } catch (error) {
    kept = { ...rest, problem: (error as Error).message };
  }
  const messages = ticks.map(() => messageOf(context, schedule));
  const compare = [modifiedAt(keyOf(name), modRevision), ...(ticks.length === 0 ? [] : room.compare)];
  const request = txnOf(compare, [putOp(keyOf(name), encode(kept)), ...messages, ...(ticks.length === 0 ? [] : room.count)]);
  const { succeeded } = await repeat(context, () => context.store.txn(request, options), options);
  if (succeeded) return kept.problem === null ? kept.nextAtMs : null;
  // Another was faster, this very try was not heard, or the queue's bound is another: whoever looks again sees.
  forgetBound(context, rest.queue);
  return now;
}

/**
 * Which ticks are to be put now, at most `most` of them, and what is kept afterwards. Each next tick is counted from the one before it, so that firing late moves
 * none; what is older than `ON_TIME_MS` was missed.
 */
function due(kept: Kept, now: number, nextTick: NextTick, most: number): { kept: Kept; ticks: number[] } {
  if (kept.nextAtMs === null) return { kept: { ...kept, nextAtMs: nextTick(kept, now) }, ticks: [] };
  let at: number | null = kept.nextAtMs;
  const ticks: number[] = [];
  const missedBefore = now - ON_TIME_MS;
  if (at < missedBefore && kept.catchUp !== "all") {
    if (kept.catchUp === "one") ticks.push(at);
    const { everyMs } = kept;
    at = everyMs === undefined ? nextTick(kept, missedBefore) : at + Math.ceil((missedBefore - at) / everyMs) * everyMs;
  }
  while (at !== null && at <= now && ticks.length < most) {
    ticks.push(at);
    at = nextTick(kept, at);
  }
  return { kept: { ...kept, nextAtMs: at }, ticks };
}

function messageOf(context: RecipeContext, { queue, body }: Schedule) {
  const suffix = suffixOf({ putAt: Math.floor(context.host.clockMs()), deliveries: 0, group: null }) as Bytes;
  return appendOp(queueKey(queue, `i/${PRIORITY_DEFAULT}/`), suffix, utf8Encode(body));
}

function stateIn({ key, value, modRevision }: KeyValue): ScheduleState {
  const name = nameOfKey(KIND, key) ?? "";
  try {
    return { ...(JSON.parse(utf8Decode(value)) as Kept), name, modRevision };
  } catch {
    const nothing = { queue: "", body: "", catchUp: "none", nextAtMs: null } as const;
    return { ...nothing, problem: "it was written by another program", name, modRevision };
  }
}

function encode(kept: Kept & { readonly name?: string; readonly modRevision?: number }): Bytes {
  const { name: _, modRevision: __, ...rest } = kept;
  return utf8Encode(JSON.stringify(rest));
}

function keyOf(name: string): Bytes {
  return prefixOf(KIND, name).slice(0, -1) as Bytes;
}
