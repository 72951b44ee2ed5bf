/**
 * Virtual time for code that awaits: one queue of events by (time, order of scheduling), and between two events every promise that can
 * settle does. A turn of the host's event loop ends only when its queue of microtasks is empty, so that waiting for one is waiting for
 * quiet; nothing in a run waits for anything else of the host.
 */
import { EventQueue } from "../event-queue.ts";
import { mix } from "../ledger.ts";

/** All promises that can settle now have settled when this resolves. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class Engine {
  readonly #queue = new EventQueue();
  /** Virtual milliseconds since the beginning. */
  now = 0;
  steps = 0;
  /** Of everything that happened, in order. */
  hash = 0;
  /** What broke while events ran; ends the run. */
  failure: Error | null = null;

  at(time: number, run: () => void): void {
    this.#queue.push(Math.max(time, this.now), run);
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  mix(value: number): void {
    this.hash = mix(this.hash, value);
  }

  mixText(text: string): void {
    for (let at = 0; at < text.length; at++) this.mix(text.charCodeAt(at));
  }

  fail(error: Error): void {
    this.failure ??= error;
  }

  /** Runs until `time`, a number of steps from now, or `until` holds. @returns whether `until` held @throws what broke */
  async run(limits: { time: number; steps?: number; until?: () => boolean }): Promise<boolean> {
    const last = this.steps + (limits.steps ?? Infinity);
    await quiet(); // what was begun before may have events to plan
    while (this.steps < last) {
      const next = this.#queue.pop();
      if (next === undefined) return false;
      if (next.at > limits.time) {
        this.#queue.push(next.at, next.run);
        this.now = limits.time;
        return limits.until?.() ?? false;
      }
      this.now = next.at;
      this.steps++;
      this.mix(Math.floor(next.at * 1000));
      next.run();
      await quiet();
      if (this.failure !== null) throw this.failure;
      if (limits.until?.() === true) return true;
    }
    return false;
  }
}
