/**
 * A watch whose stream is recorded for `history/watch-check.ts`, from the first revision on. Whenever it is cut off it resumes at the
 * revision after the last one that it was told of, at whatever member.
 */
import { type ClientRequest, request as httpRequest } from "node:http";
import { decodeKeyValue } from "../history/http-client.ts";
import type { StreamItem, StreamRecord, WatchEvent } from "../history/watch-check.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { base64 } from "./http.ts";

export type Wanted = Pick<StreamRecord, "key" | "end" | "prev" | "without">;

export const ALL_KEYS: Wanted = { key: "\0", end: "\0", prev: true };

type WireKeyValue = Parameters<typeof decodeKeyValue>[0];

interface Message {
  readonly result?: {
    readonly header: { readonly revision: string };
    readonly created?: boolean;
    readonly canceled?: boolean;
    readonly events?: readonly { readonly type?: string; readonly kv: WireKeyValue; readonly prev_kv?: WireKeyValue }[];
  };
}

/** A member that cannot serve watches now: a learner. */
const UNAVAILABLE = 503;

export class RecordedWatch {
  readonly #name: string;
  readonly #wanted: Wanted;
  readonly #items: StreamItem[] = [];
  /** What should not have come, one sentence each. */
  readonly faults: string[] = [];
  #request: ClientRequest | undefined;
  #next = 1;
  events = 0;

  constructor(name: string, wanted: Wanted) {
    this.#name = name;
    this.#wanted = wanted;
  }

  /** Resumes; ends by itself when the member dies. */
  start(url: string): void {
    if (this.#request !== undefined) this.#items.push({ kind: "broken" }, { kind: "resumed", startRevision: this.#next });
    const { key, end, prev, without } = this.#wanted;
    const filters = without === undefined ? {} : { filters: [without === "put" ? "NOPUT" : "NODELETE"] };
    const range = { key: base64(key), ...(end === undefined ? {} : { range_end: base64(end) }), prev_kv: prev === true };
    const body = JSON.stringify({ create_request: { ...range, ...filters, start_revision: String(this.#next) } });
    const headers = { "content-type": "application/json", "content-length": body.length };
    let rest = "";
    const request = httpRequest(`${url}/v3/watch`, { method: "POST", agent: false, headers }, (reply) => {
      reply.setEncoding("utf8");
      reply.on("error", () => {});
      if (reply.statusCode !== 200) {
        if (reply.statusCode !== UNAVAILABLE) this.faults.push(`the watch was refused: ${reply.statusCode}`);
        reply.resume();
        return;
      }
      reply.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "" && this.#request === request) this.#take(JSON.parse(line) as Message);
      });
    });
    request.on("error", () => {});
    request.end(body);
    this.#request = request;
  }

  stop(): void {
    this.#request?.destroy();
  }

  /** @throws Error when it has not come to `revision` in time */
  until(revision: number, timeoutMs: number): Promise<void> {
    const what = () => `the watch of ${this.#name} comes to revision ${revision}; it is at ${this.#next - 1} ${this.faults.join()}`;
    return untilTrue(() => this.#next > revision, { timeoutMs, what });
  }

  /** @param completeTo all up to this revision must have come */
  record(completeTo: number): StreamRecord {
    return { name: this.#name, startRevision: 1, ...this.#wanted, completeTo, items: this.#items };
  }

  #take(message: Message): void {
    const { result } = message;
    if (result === undefined || result.canceled === true) {
      this.faults.push(`the watch was canceled: ${JSON.stringify(message)}`);
      return;
    }
    const events = (result.events ?? []).map(({ type, kv, prev_kv: prev }): WatchEvent => {
      const { key, value, createRevision, modRevision, version } = decodeKeyValue(kv);
      const before = this.#wanted.prev === true ? { prev: prev === undefined ? null : decodeKeyValue(prev) } : {};
      return { type: type === "DELETE" ? "delete" : "put", key, value, createRevision, modRevision, version, ...before };
    });
    if (events.length === 0) return; // it was created
    this.events += events.length;
    this.#items.push({ kind: "events", revision: Number(result.header.revision), events });
    this.#next = events.at(-1)!.modRevision + 1;
  }
}

/** All that a watch of everything tells that begins now. @throws Error when it does not come to `revision` */
export async function watchWhole(url: string, revision: number): Promise<StreamRecord> {
  const watch = new RecordedWatch("all that happened", { key: "\0", end: "\0" });
  watch.start(url);
  try {
    await watch.until(revision, 20_000);
  } finally {
    watch.stop();
  }
  return watch.record(revision);
}
