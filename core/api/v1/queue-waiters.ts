/**
 * Requests that wait for a message. Whatever their number, a member keeps one watch and one timer a queue, and hands each message to the
 * request that has waited longest; so that a message wakes one of them, not all.
 */
import type { RecipeContext } from "../../recipes/client-port.ts";
import { rejectMessage } from "../../recipes/queue-flight.ts";
import { type TakeMessagesOptions, type TakenMessages, takeMessages, untilWorthIt } from "../../recipes/queue-take.ts";
import { within } from "./waiting.ts";
import type { V1Services } from "./services.ts";

interface Waiter {
  readonly context: RecipeContext;
  readonly options: TakeMessagesOptions;
  readonly resolve: (taken: TakenMessages) => void;
  readonly reject: (error: unknown) => void;
  /** Fires when it waits no longer. */
  readonly over: AbortSignal;
}

export interface QueueWait {
  /** Who may share a watch: callers with the same rights on the same queue. */
  readonly line: string;
  readonly context: RecipeContext;
  readonly name: string;
  readonly options: TakeMessagesOptions;
  readonly waitMs: number;
}

export class QueueWaiters {
  readonly #lines = new Map<string, Waiter[]>();

  /**
   * Takes, and waits while there is nothing.
   * @returns undefined when the time is over @throws QuorateError as `takeMessages`; the signal's reason
   */
  take(services: V1Services, { line, context, name, options, waitMs }: QueueWait, signal: AbortSignal): Promise<TakenMessages | undefined> {
    const wait = (over: AbortSignal): Promise<TakenMessages> =>
      new Promise((resolve, reject) => {
        over.addEventListener("abort", () => reject(over.reason as Error));
        this.#join(line, name, { context, options, resolve, reject, over });
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
      while (waiting[0]?.over.aborted === true) waiting.shift();
      const [first] = waiting;
      if (first === undefined) return void this.#lines.delete(line);
      try {
        const taken = await takeMessages(first.context, name, first.options);
        if (taken.messages.length > 0) await handOver(waiting, first, name, taken);
        else await untilWorthIt(first.context, name, taken, first.over);
      } catch (error) {
        // Of one that has gone it is its own end, and the next one's turn has come.
        const at = waiting.indexOf(first);
        if (at >= 0) waiting.splice(at, 1);
        first.reject(error);
      }
    }
  }
}

/** To the first who still waits: whoever it was taken for may have gone meanwhile. When nobody waits, it goes back to its place. */
async function handOver(waiting: Waiter[], first: Waiter, name: string, taken: TakenMessages): Promise<void> {
  const heir = waiting.find(({ over }) => !over.aborted);
  if (heir !== undefined) {
    waiting.splice(waiting.indexOf(heir), 1);
    return heir.resolve(taken);
  }
  for (const { receipt } of taken.messages) {
    if (receipt !== null) await rejectMessage(first.context, name, receipt, { delayMs: 0 });
  }
}
