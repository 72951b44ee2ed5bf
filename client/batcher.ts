/**
 * Calls made in one moment go in one request, where the wire can: reads with reads, which may be asked again, and writes with writes.
 * Each has its own answer, or its own error.
 */
import { type QuorateError, errConnectionLost, isQuorateError } from "../core/errors.ts";
import { isPassing } from "../core/recipes/repeat.ts";
import { isUnknown } from "./outcome.ts";
import type { BatchWire, Call, CallPart } from "./wire.ts";

interface Waiting {
  readonly part: CallPart<unknown>;
  readonly alone: () => Promise<unknown>;
  readonly answer: (result: unknown) => void;
  readonly fail: (error: unknown) => void;
}

export class Batcher {
  readonly #wire: BatchWire;
  readonly #run: <T>(call: Call<T>) => Promise<T>;
  #reads: Waiting[] = [];
  #writes: Waiting[] = [];

  /** @param run sends a call, and sends it again where that is safe */
  constructor(wire: BatchWire, run: <T>(call: Call<T>) => Promise<T>) {
    this.#wire = wire;
    this.#run = run;
  }

  /** @param alone sends the call by itself: when nobody else asks, and when its part of a batch may be asked again */
  add<T>(part: CallPart<T>, repeatable: boolean, alone: () => Promise<T>): Promise<T> {
    if (this.#reads.length + this.#writes.length === 0) queueMicrotask(() => this.#flush());
    return new Promise<T>((answer, fail) => {
      const waiting = { part, alone, answer: answer as (result: unknown) => void, fail };
      (repeatable ? this.#reads : this.#writes).push(waiting);
    });
  }

  #flush(): void {
    const { callsMax } = this.#wire;
    for (const [all, repeatable] of [
      [this.#reads, true],
      [this.#writes, false],
    ] as const) {
      for (let at = 0; at < all.length; at += callsMax) void this.#send(all.slice(at, at + callsMax), repeatable);
    }
    this.#reads = [];
    this.#writes = [];
  }

  /** Never rejects: whoever waits is told. */
  async #send(together: readonly Waiting[], repeatable: boolean): Promise<void> {
    if (together.length === 1) return settle(together[0]!);
    let results: readonly (object | QuorateError)[];
    try {
      results = await this.#run(
        this.#wire.call(
          together.map(({ part }) => part.message),
          repeatable,
        ),
      );
    } catch (error) {
      for (const { fail } of together) fail(error);
      return;
    }
    for (const [at, waiting] of together.entries()) {
      const result = results[at] ?? errConnectionLost("the batch", "its answer is not whole");
      if (!isQuorateError(result)) read(waiting, result);
      // By itself it is asked again as often, and at as many endpoints, as any call.
      else if (isPassing(result) && (repeatable || !isUnknown(result))) void settle(waiting);
      else waiting.fail(result);
    }
  }
}

function read({ part, answer, fail }: Waiting, result: object): void {
  try {
    answer(part.read(result));
  } catch (error) {
    fail(errConnectionLost("the batch", error)); // something between has answered, or cut it short
  }
}

async function settle({ alone, answer, fail }: Waiting): Promise<void> {
  try {
    answer(await alone());
  } catch (error) {
    fail(error);
  }
}
