/**
 * A consumer that goes on: takes messages as they come, hands so many of them at a time to a function, keeps them for as long as that
 * works, acknowledges what it did, and gives back what it could not do.
 */
import { errBadField } from "../errors.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { Delivery } from "./queue-delivery.ts";
import { VISIBILITY_MS, takeMessages, untilWorthIt } from "./queue-take.ts";
import { repeat } from "./repeat.ts";

const CONCURRENCY_MAX = 100;

export interface ConsumeOptions extends CallOptions {
  /** Messages at the same time, 1 to 100; default 1. */
  readonly concurrency?: number | undefined;
  /** How long after this process has died a message is handed out again; while it lives, the time is extended. Default 30 s. */
  readonly visibilityMs?: number | undefined;
  /** Who it is, for people who look. */
  readonly consumer?: string | undefined;
  /**
   * Told what the function threw, and of an acknowledgement that came too late: then the message may be done twice. Left out: nobody is.
   * What it throws ends the consumer.
   */
  readonly onError?: ((error: unknown, delivery: Delivery) => void) | undefined;
}

/**
 * Consumes until `signal` fires; then waits for the function to end what it has. A message is acknowledged when the function resolves, unless
 * it has done so itself, and given back when it throws: later each time, until it is dead (`maxDeliveries`).
 * @throws QuorateError badField, and what the store refuses for good: permissionDenied, for example
 */
export async function consumeMessages(
  context: RecipeContext,
  name: string,
  handle: (delivery: Delivery) => Promise<unknown>,
  options: ConsumeOptions = {},
): Promise<void> {
  const { concurrency = 1, visibilityMs = VISIBILITY_MS, consumer, signal } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > CONCURRENCY_MAX)
    throw errBadField("concurrency", `concurrency: must be 1 to ${CONCURRENCY_MAX}`);
  const { host } = context;
  const working = new Set<Promise<void>>();
  const over = new AbortController();
  const end = (): void => over.abort();
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  let failed: { readonly error: unknown } | undefined;
  const until = { signal: over.signal, until: Infinity };
  try {
    while (!over.signal.aborted) {
      if (working.size >= concurrency) {
        await Promise.race(working);
        continue;
      }
      let sentMs = 0;
      // What was claimed and not heard of comes back when its time is over.
      const taken = await repeat(
        context,
        () => {
          sentMs = host.monotonicMs();
          return takeMessages(context, name, { max: concurrency - working.size, visibilityMs, consumer, signal: over.signal });
        },
        until,
      );
      for (const message of taken.messages) {
        const delivery = new Delivery(context, name, { ...message, receipt: message.receipt! }, visibilityMs, sentMs);
        const work = workOn(delivery, handle, options)
          .catch((error: unknown) => {
            failed ??= { error };
            end();
          })
          .finally(() => working.delete(work));
        working.add(work);
      }
      if (taken.messages.length === 0) await repeat(context, () => untilWorthIt(context, name, taken, over.signal), until);
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    end();
    signal?.removeEventListener("abort", end);
    await Promise.all(working);
  }
  if (failed !== undefined) throw failed.error;
}

/** @throws what `onError` throws, and nothing else */
async function workOn(
  delivery: Delivery,
  handle: (delivery: Delivery) => Promise<unknown>,
  { onError = () => {} }: ConsumeOptions,
): Promise<void> {
  const kept = delivery.keep();
  try {
    await handle(delivery);
    if (!delivery.isOver) await delivery.ack();
    else if (delivery.signal.aborted) onError(delivery.signal.reason, delivery);
  } catch (error) {
    onError(error, delivery);
    if (!delivery.isOver) {
      const reason = error instanceof Error ? error.message : String(error);
      await delivery.reject({ reason }).catch((refused: unknown) => onError(refused, delivery));
    }
  } finally {
    delivery.stop();
    await kept;
  }
}
