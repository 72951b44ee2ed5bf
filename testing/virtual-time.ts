/** Time that moves when the test says so, for code that waits: no test of it takes real time, and each run is the same. */
import TinyQueue from "tinyqueue";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

/** Virtual milliseconds after which what a test waits for counts as stuck. */
const STUCK_MS = 6 * 3600_000;

/** Runs a task after all that can happen now; where the host has nothing better, after a moment. Taken before a test can replace it. */
const { setImmediate: nextTurn = (task: () => void): unknown => setTimeout(task, 0) } = globalThis as {
  readonly setImmediate?: (task: () => void) => unknown;
};

export class VirtualTime {
  #now = 0;
  #order = 0;
  readonly #timers = new TinyQueue<Timer>([], (a, b) => a.at - b.at || a.order - b.order);
  readonly #digests = new CountedDigests();

  /** Milliseconds since the beginning. */
  get now(): number {
    return this.#now;
  }

  /** Calls `wake` once, at its time, in whole milliseconds. @returns takes it back */
  after(ms: number, wake: () => void): () => void {
    let wanted = true;
    this.#timers.push({ at: Math.ceil(this.#now + Math.max(0, ms) - 1e-6), order: this.#order++, wake: () => wanted && wake() });
    return () => (wanted = false);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = () => {
        cancel();
        reject(signal!.reason as Error);
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort);
    });
  }

  /** Lets everything happen that can without time moving. */
  async settle(): Promise<void> {
    do await new Promise<void>((resolve) => nextTurn(resolve));
    while (this.#digests.pending > 0);
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await this.settle();
    while ((this.#timers.peek()?.at ?? Infinity) <= until) await this.#step();
    this.#now = until;
    await this.settle();
  }

  /** Moves time until the work is done. @throws Error when it never is, and what the work throws */
  async run<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const mark = () => void (done = true);
    work.then(mark, mark);
    const stuckAt = this.#now + STUCK_MS;
    await this.settle();
    while (!done) {
      if (this.#timers.length === 0 || this.#now > stuckAt) throw new Error(`still not done at ${this.#now} ms`);
      await this.#step();
    }
    return work;
  }

  /** To the next timer, and what follows from it. */
  async #step(): Promise<void> {
    const timer = this.#timers.pop()!;
    this.#now = Math.max(this.#now, timer.at);
    timer.wake();
    await this.settle();
  }

  close(): void {
    this.#digests.close();
  }
}

/** Digests of the Web Crypto API are made on other threads: time must not pass meanwhile. */
class CountedDigests {
  pending = 0;
  readonly #subtle = globalThis.crypto.subtle;
  /** What another one, begun before, has put there. */
  readonly #before = Object.getOwnPropertyDescriptor(this.#subtle, "digest");

  constructor() {
    const digest = this.#subtle.digest.bind(this.#subtle);
    const counted = (...given: Parameters<typeof digest>): ReturnType<typeof digest> => {
      this.pending++;
      return digest(...given).finally(() => this.pending--);
    };
    Object.defineProperty(this.#subtle, "digest", { value: counted, configurable: true });
  }

  close(): void {
    if (this.#before === undefined) Reflect.deleteProperty(this.#subtle, "digest");
    else Object.defineProperty(this.#subtle, "digest", this.#before);
  }
}
