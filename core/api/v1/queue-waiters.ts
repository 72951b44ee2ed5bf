/**
 * Requests that wait for a message. Whatever their number, a member keeps one watch and one timer a queue, and hands each message to the
 * request that has waited longest; so that a message wakes one of them, not all.
 */
import type { RecipeContext } from "../../recipes/client-port.ts";
import { type TakeMessagesOptions, type TakenMessages, rejectMessage, takeMessages, untilWorthIt } from "../../recipes/queue.ts";
import { within } from "./waiting.ts";
import type { V1Services } from "./services.ts";

interface Waiter {
  readonly context: RecipeContext;
  readonly options: TakeMessagesOptions;
  readonly resolve: (taken: TakenMessages) => void;
  readonly reject: (error: unknown) => void;
  isOver: boolean;
}

export class QueueWaiters {
  readonly #lines = new Map<string, Waiter[]>();

  /**
   * Takes, and waits while there is nothing.
   * @param line who may share a watch: callers with the same rights on the same queue
   * @returns undefined when the time is over @throws QuorateError as `takeMessages`; the signal's reason
   */
  async take(
    services: V1Services,
    {
      line,
      context,
      name,
      options,
      waitMs,
    }: { line: string; context: RecipeContext; name: string; options: TakeMessagesOptions; waitMs: number },
    signal: AbortSignal,
  ): Promise<TakenMessages | undefined> {
    const wait = (over: AbortSignal): Promise<TakenMessages> =>
      new Promise((resolve, reject) => {
        const waiter: Waiter = { context, options, resolve, reject, isOver: false };
        over.addEventListener("abort", () => {
          waiter.isOver = true;
          reject(over.reason as Error);
        });
        this.#join(line, name, waiter);
      });
    return within(services, waitMs, signal, wait);
  }

  #join(line: string, name: string, waiter: Waiter): void {
    const waiting = this.#lines.get(line);
    if (waiting !== undefined) return void waiting.push(waiter);
    this.#lines.set(line, [waiter]);
    void this.#serve(line, name);
  }

  /** For as long as anybody waits. Never rejects: who waits is told. */
  async #serve(line: string, name: string): Promise<void> {
    const waiting = this.#lines.get(line)!;
    for (;;) {
      while (waiting[0]?.isOver === true) waiting.shift();
      const [first] = waiting;
      if (first === undefined) return void this.#lines.delete(line);
      try {
        const taken = await takeMessages(first.context, name, first.options);
        if (taken.messages.length > 0) {
          await this.#handOver(waiting, first, name, taken);
          continue;
        }
        await this.#untilWorthIt(first, name, taken);
      } catch (error) {
        waiting.splice(waiting.indexOf(first), 1);
        first.reject(error);
      }
    }
  }

  /** To the first who still waits: whoever it was taken for may have gone meanwhile. When nobody waits, it goes back to its place. */
  async #handOver(waiting: Waiter[], first: Waiter, name: string, taken: TakenMessages): Promise<void> {
    const heir = waiting.find(({ isOver }) => !isOver);
    if (heir !== undefined) {
      waiting.splice(waiting.indexOf(heir), 1);
      return heir.resolve(taken);
    }
    for (const { receipt } of taken.messages) {
      if (receipt !== null) await rejectMessage(first.context, name, receipt, { delayMs: 0 });
    }
  }

  /** Until there may be something, or the first one in the line has gone: then the next one's turn has come. */
  async #untilWorthIt(first: Waiter, name: string, taken: TakenMessages): Promise<void> {
    const gone = new AbortController();
    const { host } = first.context;
    const watched = untilWorthIt(first.context, name, taken, gone.signal);
    const look = async (): Promise<void> => {
      while (!first.isOver && !gone.signal.aborted) await host.sleep(LOOK_MS, gone.signal).catch(() => {});
    };
    try {
      await Promise.race([watched, look()]);
    } finally {
      gone.abort();
      await watched.catch(() => {});
    }
  }
}

/** How soon it is noticed that the first one has gone, with whose rights the queue is watched. */
const LOOK_MS = 250;
