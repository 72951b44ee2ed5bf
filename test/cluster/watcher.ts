/**
 * A client that watches all keys from the first revision on and, whenever its server dies, resumes at the one after the last it saw: over all
 * crashes it must have seen each event once, in order, and just those that the history has.
 */
import { request as httpRequest, type ClientRequest } from "node:http";
import { base64 } from "./http.ts";

export interface SeenEvent {
  readonly revision: number;
  /** `PUT key=value` or `DELETE key`, keys and values in base64. */
  readonly what: string;
}

interface WatchMessage {
  readonly result?: {
    readonly canceled?: boolean;
    readonly events?: readonly {
      readonly type?: string;
      readonly kv: { readonly key: string; readonly value?: string; readonly mod_revision: string };
    }[];
  };
}

const EVERYTHING = { key: base64("\0"), range_end: base64("\0") };

export class Watcher {
  readonly seen: SeenEvent[] = [];
  readonly faults: string[] = [];
  #request: ClientRequest | undefined;

  /** The revision of the newest event seen; all of an earlier revision were seen with it, for a revision comes in one message. */
  get revision(): number {
    return this.seen.at(-1)?.revision ?? 0;
  }

  /** Resumes; ends by itself when the server dies. */
  start(url: string, from: number = this.revision + 1): void {
    const body = JSON.stringify({ create_request: { ...EVERYTHING, start_revision: String(from) } });
    const headers = { "content-type": "application/json", "content-length": body.length };
    let rest = "";
    this.#request = httpRequest(`${url}/v3/watch`, { method: "POST", agent: false, headers }, (reply) => {
      reply.setEncoding("utf8");
      reply.on("error", () => {});
      if (reply.statusCode !== 200) {
        this.faults.push(`the watch was refused: ${reply.statusCode}`);
        reply.resume();
        return;
      }
      reply.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "") this.#take(JSON.parse(line) as WatchMessage);
      });
    });
    this.#request.on("error", () => {});
    this.#request.end(body);
  }

  stop(): void {
    this.#request?.destroy();
  }

  /** @throws Error when it has not come to `revision` in time */
  async until(revision: number, timeoutMs = 10_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (this.revision < revision) {
      if (this.faults.length > 0) throw new Error(this.faults.join("; "));
      if (performance.now() > end) throw new Error(`the watch is at revision ${this.revision} and never came to ${revision}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #take(message: WatchMessage): void {
    if (message.result === undefined || message.result.canceled === true)
      this.faults.push(`the watch was cancelled: ${JSON.stringify(message)}`);
    const before = this.revision;
    for (const { type, kv } of message.result?.events ?? []) {
      const revision = Number(kv.mod_revision);
      if (revision <= before) this.faults.push(`an event of revision ${revision} came again, after ${before}`);
      // Every change has a revision of its own and this watch sees all keys, so that revisions come without a gap.
      if (revision > this.revision + 1 && this.revision > 0) this.faults.push(`revision ${revision} came after ${this.revision}`);
      if (revision < this.revision) this.faults.push(`revision ${revision} came after ${this.revision}`);
      this.seen.push({ revision, what: type === "DELETE" ? `DELETE ${kv.key}` : `PUT ${kv.key}=${kv.value ?? ""}` });
    }
  }
}

/** All events there ever were, from a watch that starts now. */
export async function history(url: string, upTo: number): Promise<readonly SeenEvent[]> {
  const watcher = new Watcher();
  watcher.start(url, 1);
  try {
    await watcher.until(upTo);
  } finally {
    watcher.stop();
  }
  return watcher.seen;
}
