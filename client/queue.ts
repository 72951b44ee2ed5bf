/**
 * A queue whose messages have values of one type. A message that does not fit the type is put among the dead ones, with the reason: handed
 * out again, it would be as unfit.
 */
import { type Duration, milliseconds } from "../core/recipes/durations.ts";
import { isQuorateError } from "../core/errors.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "../core/recipes/client-port.ts";
import { enqueue } from "../core/recipes/queue.ts";
import { consumeMessages } from "../core/recipes/queue-consume.ts";
import { Delivery } from "../core/recipes/queue-delivery.ts";
import { type Gate, readGate, removeGate, setGate } from "../core/recipes/queue-gate.ts";
import { type QueueSettings, setQueue } from "../core/recipes/queue-settings.ts";
import { type QueueState, purgeDead, queueState, redriveDead } from "../core/recipes/queue-state.ts";
import { VISIBILITY_MS, takeMessages, untilWorthIt } from "../core/recipes/queue-take.ts";
import { repeat } from "../core/recipes/repeat.ts";
import { openScope } from "../core/recipes/scope.ts";
import type { TxnRequest } from "../core/store/command.ts";
import type { Guard } from "./txn.ts";
import type { Codec } from "./values.ts";

export interface QueueOptions {
  /** How long a consumer has, before its message is handed out again. Default 30 s. */
  readonly visibility?: Duration | undefined;
}

export interface PutMessageOptions extends CallOptions {
  /** Not handed out before. */
  readonly delay?: Duration | undefined;
  /** 0 first, 9 last; default 5. */
  readonly priority?: number | undefined;
  /** Of messages of one group one is handed out at a time, in their order. */
  readonly group?: string | undefined;
  /** For a condition of the kind `has`. */
  readonly itemName?: string | undefined;
  /** Putting again with the same one is the same act, for a day. Without one the outcome may be unknown, and is not tried again. */
  readonly idempotencyKey?: string | undefined;
}

export interface TakeOptionsOf extends CallOptions {
  /** At most 100; default 1. */
  readonly max?: number | undefined;
  /** How long to wait for one. Left out: not at all. */
  readonly wait?: Duration | undefined;
  /** Who it is, for people who look. */
  readonly consumer?: string | undefined;
}

export interface ConsumeOptionsOf extends CallOptions {
  /** Messages at the same time, 1 to 100; default 1. */
  readonly concurrency?: number | undefined;
  readonly consumer?: string | undefined;
  /** Told what the function threw, and of an acknowledgement that came too late. What it throws ends the consumer. */
  readonly onError?: ((error: unknown, id: string) => void) | undefined;
}

/** One that was taken. `txn.acknowledge(message)` acknowledges it together with what it does. */
export class QueueMessage<T> implements Guard {
  readonly id: string;
  readonly value: T;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
  readonly priority: number;
  readonly group: string | null;
  readonly #delivery: Delivery;

  constructor(delivery: Delivery, value: T) {
    const { id, deliveries, priority, group } = delivery.message;
    [this.id, this.value, this.deliveries, this.priority, this.group] = [id, value, deliveries, priority, group];
    this.#delivery = delivery;
  }

  /** Fires when it may be another's; only of one that is consumed: whoever takes keeps the time himself. */
  get signal(): AbortSignal {
    return this.#delivery.signal;
  }

  guard(txn: TxnRequest): TxnRequest {
    return this.#delivery.guard(txn);
  }

  /** It is done. @throws QuorateError receiptExpired when its time was over before */
  ack(options?: CallOptions): Promise<void> {
    return this.#delivery.ack(options);
  }

  /** More time for it, from now on. @throws QuorateError receiptExpired */
  extend(visibility: Duration, options?: CallOptions): Promise<void> {
    return this.#delivery.extend(milliseconds(visibility, "visibility"), options);
  }

  /** It could not be done: it is handed out again, by default later each time; or, with `dead`, never. @throws QuorateError receiptExpired */
  nack({ delay, dead, reason, signal }: NackOptions = {}): Promise<void> {
    const delayMs = delay === undefined ? undefined : milliseconds(delay, "delay");
    return this.#delivery.reject({ delayMs, dead, reason, signal });
  }
}

export interface NackOptions extends CallOptions {
  readonly delay?: Duration | undefined;
  readonly dead?: boolean | undefined;
  readonly reason?: string | undefined;
}

export class Queue<T, In = T> {
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #codec: Codec<T, In>;
  readonly #visibilityMs: number;

  constructor(context: RecipeContext, name: string, codec: Codec<T, In>, { visibility }: QueueOptions = {}) {
    this.#context = context;
    this.#name = name;
    this.#codec = codec;
    this.#visibilityMs = visibility === undefined ? VISIBILITY_MS : milliseconds(visibility, "visibility");
  }

  /** @returns its id @throws QuorateError queueFull, badField */
  async put(value: In, options?: PutMessageOptions): Promise<string> {
    return (await this.putAll([value], options))[0]!;
  }

  /** All of them or none, at most 50. @returns their ids, in order @throws QuorateError queueFull, badField */
  async putAll(values: readonly In[], { delay, ...options }: PutMessageOptions = {}): Promise<string[]> {
    const delayMs = delay === undefined ? undefined : milliseconds(delay, "delay");
    const bodies = await Promise.all(values.map(async (value) => this.#codec.encode(value)));
    return enqueue(this.#context, this.#name, bodies, { ...options, delayMs });
  }

  /** @returns empty when there is nothing, after `wait` */
  async take({ max, wait, consumer, signal }: TakeOptionsOf = {}): Promise<QueueMessage<T>[]> {
    const { host } = this.#context;
    const visibilityMs = this.#visibilityMs;
    const scope = openScope(host, [signal], wait === undefined ? 0 : milliseconds(wait, "wait"));
    try {
      for (;;) {
        const sentMs = host.monotonicMs();
        const taken = await takeMessages(this.#context, this.#name, { max, visibilityMs, consumer, signal });
        const found = await Promise.all(taken.messages.map((one) => this.#fitting(this.#delivery(one, sentMs))));
        const messages = found.filter((one) => one !== undefined);
        if (messages.length > 0 || wait === undefined) return messages;
        if (taken.messages.length > 0) continue;
        try {
          await repeat(this.#context, () => untilWorthIt(this.#context, this.#name, taken, scope.signal), { signal: scope.signal });
        } catch (error) {
          if (scope.timedOut()) return [];
          throw error;
        }
      }
    } finally {
      scope.close();
    }
  }

  /**
   * Hands messages to `handle` as they come, until `signal` fires, and keeps them for as long as it works. A message is acknowledged when it
   * resolves, and given back when it throws. Then waits for what is under way.
   * @throws QuorateError what the store refuses for good
   */
  async consume(handle: (message: QueueMessage<T>) => Promise<unknown>, options: ConsumeOptionsOf = {}): Promise<void> {
    const { onError, ...rest } = options;
    const work = async (delivery: Delivery): Promise<void> => {
      const message = await this.#fitting(delivery);
      if (message !== undefined) await handle(message);
    };
    await consumeMessages(this.#context, this.#name, work, {
      ...rest,
      visibilityMs: this.#visibilityMs,
      onError: onError && ((error, { message }) => onError(error, message.id)),
    });
  }

  /** When messages are handed out at all. */
  get condition() {
    const [context, name] = [this.#context, this.#name];
    return {
      set: (gate: Gate) => setGate(context, name, gate),
      get: (options?: ReadOptions) => readGate(context, name, options),
      remove: () => removeGate(context, name),
    };
  }

  /** What is left out is as it was by default. @throws QuorateError badField */
  configure(settings: Partial<QueueSettings>): Promise<QueueSettings> {
    return setQueue(this.#context, this.#name, settings);
  }

  state(options?: ReadOptions): Promise<QueueState> {
    return queueState(this.#context, this.#name, options);
  }

  /** Messages that were given up. */
  get dead() {
    const [context, name] = [this.#context, this.#name];
    return {
      /** They are handed out again, in their old places. @returns how many */
      redrive: (options?: CallOptions) => redriveDead(context, name, options),
      /** @returns how many are gone */
      purge: () => purgeDead(context, name),
    };
  }

  #delivery(message: Awaited<ReturnType<typeof takeMessages>>["messages"][number], sentMs: number): Delivery {
    return new Delivery(this.#context, this.#name, { ...message, receipt: message.receipt! }, this.#visibilityMs, sentMs);
  }

  async #fitting(delivery: Delivery): Promise<QueueMessage<T> | undefined> {
    let value: T;
    try {
      value = await this.#codec.decode(delivery.message.body);
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      await delivery.reject({ dead: true, reason: error.message });
      return undefined;
    }
    return new QueueMessage(delivery, value);
  }
}
