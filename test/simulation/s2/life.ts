/**
 * One process from start to end. What happens to it goes through here: nothing does after it died, and while it is paused (a stopped
 * process, a collector of garbage, a moved virtual machine) everything waits and comes at once afterwards.
 */
import type { Engine } from "./engine.ts";

export class Life {
  alive = true;
  /** Its disk reported an error, so that it may end itself. */
  mayFail = false;
  /** Called once when it dies: those who wait for an answer of it. */
  readonly onDeath = new Set<() => unknown>();
  #pausedUntil = 0;
  #backlog: (() => void)[] = [];
  readonly #engine: Engine;
  readonly number: number;

  constructor(engine: Engine, number: number) {
    this.#engine = engine;
    this.number = number;
  }

  get paused(): boolean {
    return this.#pausedUntil > this.#engine.now;
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#engine.now + ms);
    const resume = (): void => {
      if (this.paused) return;
      const waiting = this.#backlog;
      this.#backlog = [];
      // One event each, so that what follows from one is over before the next.
      for (const run of waiting) this.after(0, run);
    };
    this.#engine.at(this.#pausedUntil, resume);
  }

  die(): void {
    this.alive = false;
    this.#backlog = [];
    for (const tell of this.onDeath) tell();
    this.onDeath.clear();
  }

  /** Now; after the pause; or never, once it is dead. */
  run(act: () => void): void {
    if (!this.alive) return;
    if (this.paused) this.#backlog.push(act);
    else act();
  }

  after(ms: number, act: () => void): void {
    this.#engine.after(ms, () => this.run(act));
  }

  /** Never resolves when the process dies meanwhile. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }
}
