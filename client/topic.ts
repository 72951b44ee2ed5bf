/**
 * A topic whose events have values of one type: published in one order for everybody, and followed from any place on, or from where a
 * consumer of a name was last. Delivery is at least once; exactly once for who stores the number of the event together with its effect.
 */
import { errBadField } from "../core/errors.ts";
import type { CallOptions, RecipeContext } from "../core/recipes/client-port.ts";
import { type Cursor, type PublishOptions, moveCursor, publish, readCursor, subscribe } from "../core/recipes/topic.ts";
import type { Codec } from "./values.ts";

export interface SubscribeOptions extends CallOptions {
  /** Events after this one; 0: from the first that is kept. Left out: from the consumer's cursor; without a consumer, those to come. */
  readonly after?: number;
  /** Its cursor is moved by `ack`, and is where the next subscription of this name begins. */
  readonly consumer?: string;
}

/** `reset`: events may have been removed before they were told; those that are left follow. */
export type TopicMessage<T> =
  | {
      readonly kind: "event";
      /** Its number. */
      readonly revision: number;
      readonly value: T;
      /** Everything up to this event is done. @throws QuorateError conflict when another process of this consumer was faster; badField without one */
      ack(options?: CallOptions): Promise<void>;
    }
  | { readonly kind: "reset"; readonly revision: number };

export class Topic<T, In = T> {
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #codec: Codec<T, In>;

  constructor(context: RecipeContext, name: string, codec: Codec<T, In>) {
    this.#context = context;
    this.#name = name;
    this.#codec = codec;
  }

  /** @returns the event's number @throws QuorateError; without `idempotencyKey` the outcome may be unknown, and is not tried again */
  async publish(value: In, options?: PublishOptions): Promise<number> {
    return publish(this.#context, this.#name, await this.#codec.encode(value), options);
  }

  /** Every event from there on, those to come included, until the signal fires, which is no error. */
  async *subscribe({ after, consumer, signal }: SubscribeOptions = {}): AsyncGenerator<TopicMessage<T>, void, void> {
    const context = this.#context;
    const name = this.#name;
    let cursor: Cursor | undefined;
    try {
      if (consumer !== undefined) cursor = await readCursor(context, name, consumer, { signal });
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    }
    const from = after ?? cursor?.after;
    for await (const step of subscribe(context, name, { signal, ...(from === undefined ? {} : { after: from }) })) {
      if (step.kind === "reset") {
        yield step;
        continue;
      }
      const { revision } = step;
      const ack = async (options: CallOptions = {}): Promise<void> => {
        if (consumer === undefined) throw errBadField("consumer", "consumer: only a subscription of one can acknowledge");
        cursor = await moveCursor(context, name, consumer, revision, cursor!, options);
      };
      yield { kind: "event", revision, value: await this.#codec.decode(step.value), ack };
    }
  }
}
