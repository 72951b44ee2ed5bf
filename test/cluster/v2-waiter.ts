/** A client of the v2 API that follows a tree with one long poll after another: `waitIndex` is one after the index of the event before. */
import { Agent } from "node:http";
import { ask } from "./http.ts";

interface V2Event {
  readonly action?: string;
  readonly node?: { readonly key: string; readonly modifiedIndex: number };
  readonly errorCode?: number;
}

/** "The event in requested index is outdated and cleared": more than 1,000 events since. */
const CLEARED = 401;

export class V2Waiter {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly seen = new Map<number, string>();
  readonly faults: string[] = [];
  #index = 0;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  get index(): number {
    return this.#index;
  }

  /** Follows until the server dies. @param from where a waiter that has seen nothing begins */
  start(url: string, from: number): void {
    if (this.#index === 0) this.#index = from;
    this.#running = this.#follow(url);
  }

  async #follow(url: string): Promise<void> {
    while (!this.#stopped) {
      const reply = await ask(this.#agent, url, "GET", `/v2/keys/?wait=true&recursive=true&waitIndex=${this.#index + 1}`);
      if (reply === undefined || reply.text === "") return;
      const event = JSON.parse(reply.text) as V2Event;
      if (event.errorCode === CLEARED) {
        this.faults.push(`index ${this.#index + 1} was cleared: the waiter was too slow for this test`);
        return;
      }
      if (event.node === undefined) return;
      const { key, modifiedIndex } = event.node;
      if (modifiedIndex <= this.#index) this.faults.push(`event ${modifiedIndex} came after ${this.#index}`);
      this.seen.set(modifiedIndex, `${event.action} ${key}`);
      this.#index = modifiedIndex;
    }
  }

  /** The server is gone: ends the poll under way. */
  async ended(): Promise<void> {
    await this.#running;
  }

  stop(): void {
    this.#stopped = true;
    this.#agent.destroy();
  }
}
