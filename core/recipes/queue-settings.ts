/** The bounds of a queue: under `cfg`, beside its messages. */
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { KeyValue, Operation } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { queueKey } from "./queue-keys.ts";
import { repeat } from "./repeat.ts";
import { oneKey, putOp, rangeOp, txnOf } from "./requests.ts";

const DELIVERIES_MAX = 10;

export interface QueueSettings {
  /** Messages that are not acknowledged; more are refused. null: no bound. */
  readonly maxLength: number | null;
  /** Handed out so often and not acknowledged, a message is dead. */
  readonly maxDeliveries: number;
  /** `strict`: what has a lower priority waits for all that has a higher one. `weighted`: it gets 1 in 2, 1 in 4 … */
  readonly fair: "strict" | "weighted";
}

const SETTINGS: QueueSettings = { maxLength: null, maxDeliveries: DELIVERIES_MAX, fair: "strict" };

/** @throws QuorateError badField */
export async function setQueue(context: RecipeContext, name: string, settings: Partial<QueueSettings>): Promise<QueueSettings> {
  const whole = { ...SETTINGS, ...settings };
  const { maxLength, maxDeliveries } = whole;
  if (maxLength !== null && !(Number.isSafeInteger(maxLength) && maxLength >= 1))
    throw errBadField("maxLength", "maxLength: must be above 0");
  if (!(Number.isSafeInteger(maxDeliveries) && maxDeliveries >= 1)) throw errBadField("maxDeliveries", "maxDeliveries: must be above 0");
  const value = utf8Encode(JSON.stringify(whole));
  await repeat(context, () => context.store.txn(txnOf([], [putOp(queueKey(name, "cfg"), value)])));
  return whole;
}

/** The operation that reads them. */
export function settingsOp(name: string): Operation {
  return rangeOp(oneKey(queueKey(name, "cfg")));
}

/** @param kv of what was found, if anything; what another program wrote there are no settings */
export function settingsIn(kv: KeyValue | undefined): QueueSettings {
  if (kv === undefined) return SETTINGS;
  try {
    return { ...SETTINGS, ...(JSON.parse(utf8Decode(kv.value)) as Partial<QueueSettings>) };
  } catch {
    return SETTINGS;
  }
}

/** @throws QuorateError badField */
export function checkSpan(ms: number, max: number, field: string): number {
  if (!(ms >= 0 && ms <= max)) throw errBadField(field, `${field}: must be 0 to ${max} ms`);
  return ms;
}

export const DELAY_MS_MAX = 366 * 24 * 3_600_000;
