/**
 * The watches of one WebSocket: several ranges at once, each with a name that the client gives it.
 *
 *     → {"id": "jobs", "watch": {"prefix": "jobs/", "after": 41}}
 *     ← {"id": "jobs", "event": "open", "data": {"revision": 41}}
 *     ← {"id": "jobs", "event": "change", "data": {"events": […], "revision": 42}}
 *     → {"id": "jobs", "cancel": true}
 *     ← {"id": "jobs", "event": "end"}
 *
 * Events and their data are those of the stream of server-sent events at the same path; whoever comes back goes on with `after`. A range in the
 * query of the URL is watched from the beginning, under an empty name. `ping` is answered `pong`. A slow reader is sent nothing more until it has read: its watches fall
 * back to the history of the store, as all do. What a message cannot have is answered by an `error` with the problem as its data.
 */
import { z } from "zod";
import { errBadField, errInternal, isQuorateError } from "../../errors.ts";
import type { V1Services } from "./services.ts";
import { badField } from "./dispatch.ts";
import { problemOf } from "./problem.ts";
import { type WatchAsked, type Watching, changesOf, checkWatch } from "./watch.ts";
import { bytesField } from "./wire.ts";

/** A WebSocket of any host, for text. */
export interface TextSocket {
  /** Resolves when the other side is ready for more, or gone. Does nothing when it is closed. */
  send(text: string): Promise<void>;
  /** @param code of RFC 6455 section 7.4.1 */
  close(code: number, reason: string): void;
  /** One listener. */
  onMessage(listener: (text: string) => void): void;
  /** One listener; called once, at once if it is closed already. */
  onClose(listener: () => void): void;
  /**
   * Remembers what the socket watches, where the host may put a member to sleep under open sockets: `run` is given the last of it again.
   * @throws QuorateError badField when it is more than can be remembered
   */
  keep?(watches: readonly KeptWatch[]): void;
}

/** A watch under way: everything up to `asked.after` has been told. */
export interface KeptWatch {
  readonly id: string;
  readonly asked: WatchAsked;
}

interface OpenWatch {
  asked: WatchAsked;
  readonly canceled: AbortController;
}

/** Watches of one socket: each may have one batch of changes under way. */
export const SOCKET_WATCHES_MAX = 100;
const ID_CHARS_MAX = 128;
/** The client breaks the rules of RFC 6455 section 7.4.1: policy violation. */
const POLICY = 1008;
/** Refusals that wait for a client that does not read them. */
const ERRORS_WAITING_MAX = 100;

const watchIn = z.strictObject({
  key: bytesField.optional(),
  prefix: bytesField.optional(),
  from: bytesField.optional(),
  to: bytesField.optional(),
  after: z.int().min(0).optional(),
  noPut: z.boolean().default(false),
  noDelete: z.boolean().default(false),
  prev: z.boolean().default(false),
});
const id = z.string().max(ID_CHARS_MAX);
const messageIn = z.union([z.strictObject({ id, watch: watchIn }), z.strictObject({ id, cancel: z.literal(true) })]);

export class WatchSocket {
  readonly #socket: TextSocket;
  readonly #watching: Watching;
  readonly #services: Pick<V1Services, "onInternalError">;
  readonly #watches = new Map<string, OpenWatch>();
  #errorsWaiting = 0;

  constructor(socket: TextSocket, watching: Watching, services: Pick<V1Services, "onInternalError">) {
    this.#socket = socket;
    this.#watching = watching;
    this.#services = services;
  }

  /** @param first what the URL asks for */
  run(first: WatchAsked | undefined): void {
    this.#listen();
    if (first !== undefined) this.#open("", first);
  }

  /** Goes on with what the socket had before the member slept. */
  resume(watches: readonly KeptWatch[]): void {
    this.#listen();
    for (const { id: name, asked } of watches) this.#start(name, asked, true);
  }

  #listen(): void {
    this.#socket.onClose(() => this.#closed());
    this.#socket.onMessage((text) => this.#message(text));
  }

  #closed(): void {
    for (const { canceled } of this.#watches.values()) canceled.abort();
    this.#watches.clear();
  }

  #message(text: string): void {
    if (text === "ping") return void this.#socket.send("pong");
    let name = "";
    try {
      const sent = readMessage(text);
      name = typeof sent["id"] === "string" ? sent["id"] : "";
      const result = messageIn.safeParse(sent);
      if (!result.success) throw whichIsWrong(sent);
      const message = result.data;
      if ("watch" in message) this.#open(message.id, message.watch);
      else this.#cancel(message.id);
    } catch (error) {
      this.#refuse(name, error);
    }
  }

  /** @throws QuorateError badField, permissionDenied, … */
  #open(name: string, asked: WatchAsked): void {
    if (this.#watches.has(name)) throw errBadField("id", `id: ${JSON.stringify(name)} is watching already`);
    if (this.#watches.size >= SOCKET_WATCHES_MAX) throw errBadField("watch", `watch: a socket has at most ${SOCKET_WATCHES_MAX} watches`);
    checkWatch(this.#watching, asked);
    this.#start(name, { ...asked, after: asked.after ?? this.#watching.member.store.revision }, false);
  }

  /** @param resumed it was opened before, and its client knows. @throws QuorateError badField when it cannot be kept */
  #start(name: string, asked: WatchAsked, resumed: boolean): void {
    const canceled = new AbortController();
    this.#watches.set(name, { asked, canceled });
    try {
      this.#keep();
    } catch (error) {
      this.#watches.delete(name);
      throw error;
    }
    void this.#tell(name, asked, resumed, canceled.signal);
  }

  #keep(): void {
    this.#socket.keep?.([...this.#watches].map(([name, { asked }]) => ({ id: name, asked })));
  }

  #forget(name: string): void {
    this.#watches.delete(name);
    this.#keep();
  }

  #cancel(name: string): void {
    const watch = this.#watches.get(name);
    if (watch === undefined) throw errBadField("id", `id: ${JSON.stringify(name)} is not watching`);
    watch.canceled.abort();
  }

  /** Never rejects. */
  async #tell(name: string, asked: WatchAsked, resumed: boolean, signal: AbortSignal): Promise<void> {
    try {
      for await (const { event, id: revision, data } of changesOf(this.#watching, asked, signal)) {
        if (signal.aborted) break;
        if (resumed && event === "open") continue;
        await this.#socket.send(JSON.stringify({ id: name, event, data }));
        const open = this.#watches.get(name);
        if (open === undefined) break; // the socket is closed
        open.asked = { ...asked, after: revision };
        this.#keep();
      }
      this.#forget(name); // before it is said: the name may be used again at once
      await this.#socket.send(JSON.stringify({ id: name, event: "end" }));
    } catch (error) {
      this.#forget(name);
      this.#refuse(name, error);
    }
  }

  #refuse(name: string, error: unknown): void {
    const known = isQuorateError(error) ? error : undefined;
    if (known === undefined) this.#services.onInternalError(error);
    if (this.#errorsWaiting >= ERRORS_WAITING_MAX) return this.#socket.close(POLICY, "too many requests that cannot be taken");
    this.#errorsWaiting++;
    const text = JSON.stringify({ id: name, event: "error", data: problemOf(known ?? errInternal()) });
    void this.#socket.send(text).finally(() => this.#errorsWaiting--);
  }
}

/** @throws QuorateError badField */
function readMessage(text: string): Record<string, unknown> {
  let sent: unknown;
  try {
    sent = JSON.parse(text);
  } catch (error) {
    throw errBadField("message", `the message is no JSON: ${(error as Error).message}`);
  }
  if (typeof sent !== "object" || sent === null || Array.isArray(sent)) throw errBadField("message", "the message is no JSON object");
  return sent as Record<string, unknown>;
}

/** Names the field: of a union zod says only that nothing fits. */
function whichIsWrong(sent: Record<string, unknown>): Error {
  const schema = "cancel" in sent ? messageIn.options[1] : messageIn.options[0];
  const result = schema.safeParse(sent);
  return result.success ? errBadField("message", "the message is none") : badField(result.error, "message");
}
