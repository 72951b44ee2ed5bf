/** How far long work is, on one line of the standard error stream; only where somebody looks: nothing is printed into a pipe. */

const EVERY_MS = 100;

export class Progress {
  readonly #what: string;
  #shownMs = -Infinity;
  #done = 0;

  /** @param what such as "keys written" */
  constructor(what: string) {
    this.#what = what;
  }

  /** @param more done since the last call */
  add(more: number): void {
    this.#done += more;
    if (!process.stderr.isTTY || performance.now() - this.#shownMs < EVERY_MS) return;
    this.#shownMs = performance.now();
    process.stderr.write(`\r${this.#done} ${this.#what}`);
  }

  /** @returns how much was done */
  end(): number {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    return this.#done;
  }
}
