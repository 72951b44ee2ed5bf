/**
 * A watch that outlives its connections: when one ends, breaks or falls silent it is opened anew, at any endpoint, at the revision after
 * the last one delivered. Written out, because a generator cannot be told to return while it waits.
 */
import { isQuorateError } from "../core/errors.ts";
import type { Host, WatchBatch, WatchRequest } from "../core/recipes/client-port.ts";
import { isPassing } from "../core/recipes/repeat.ts";
import { linesOf } from "./lines.ts";
import type { StreamCall, StreamStep, WatchForm } from "./wire.ts";

export interface OpenStream {
  /** Null: a poll in whose time nothing has happened. */
  readonly body: ReadableStream<Uint8Array> | null;
  readonly call: StreamCall;
  /** To be told when it ended without having said anything. */
  broke(): void;
}

/** Until the head of the reply has come. */
const OPEN_MS = 10_000;
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;

/** So often is polled before a better form is tried again. */
const POLLS_MAX = 64;

export interface Watched {
  /** The best first. */
  forms(): readonly WatchForm[];
  /** A stream from that revision on. @throws QuorateError when the store refuses it */
  open(startRevision: number, form: WatchForm, signal: AbortSignal): Promise<OpenStream>;
}

const DONE = { done: true, value: undefined } as const;

export class WatchIterator implements AsyncIterator<WatchBatch, undefined> {
  readonly #host: Host;
  readonly #watched: Watched;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #end = (): void => this.#over.abort();
  #next: number;
  /** Counts the forms that brought nothing: something between here and the store does not let them through. */
  #form = 0;
  #polls = 0;
  #steps: AsyncGenerator<WatchBatch, void, void>;

  constructor(host: Host, { startRevision, signal }: WatchRequest, watched: Watched) {
    this.#host = host;
    this.#watched = watched;
    this.#next = startRevision;
    this.#signal = signal;
    if (signal?.aborted) this.#end();
    signal?.addEventListener("abort", this.#end);
    this.#steps = this.#run();
  }

  async next(): Promise<IteratorResult<WatchBatch, undefined>> {
    if (this.#over.signal.aborted) return DONE;
    try {
      const step = await this.#steps.next();
      if (!step.done && !this.#over.signal.aborted) return step;
    } catch (error) {
      if (!this.#over.signal.aborted) {
        this.#close();
        throw error;
      }
    }
    this.#close();
    return DONE;
  }

  async return(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.#close();
    return DONE;
  }

  #close(): void {
    this.#signal?.removeEventListener("abort", this.#end);
    this.#over.abort();
    // Frees the connection if it stands at an event; what it may throw is that it was told to end.
    this.#steps.return().catch(() => {});
  }

  async *#run(): AsyncGenerator<WatchBatch, void, void> {
    const { signal } = this.#over;
    let pause = PAUSE_MS;
    for (;;) {
      try {
        for await (const step of this.#stream()) {
          pause = PAUSE_MS;
          if (step.kind === "failed") throw step.error;
          if (step.kind === "alive") continue;
          const { events, revision } = step;
          this.#next = revision + 1;
          if (events.length > 0) yield { events, revision };
        }
      } catch (error) {
        // What is no error of the store is a connection that broke.
        if (signal.aborted || (isQuorateError(error) && !isPassing(error))) throw error;
      }
      await this.#host.sleep(pause * (0.5 + this.#host.randomBytes(1)[0]! / 256), signal);
      pause = Math.min(2 * pause, PAUSE_MS_MAX);
    }
  }

  /** One connection, until it ends. */
  async *#stream(): AsyncGenerator<StreamStep, void, void> {
    const connection = new AbortController();
    const end = (): void => connection.abort();
    this.#over.signal.addEventListener("abort", end);
    const forms = this.#watched.forms();
    const form = forms[this.#form % forms.length]!;
    let heard = false;
    let silent = form === "socket"; // which tells nobody why it was not opened
    const tooLong = (): void => {
      silent = true;
      end();
    };
    let broke = (): void => {};
    try {
      const { body, call, ...stream } = await this.#within(OPEN_MS, this.#watched.open(this.#next, form, connection.signal), tooLong);
      broke = stream.broke;
      if (form === "poll" && ++this.#polls % POLLS_MAX === 0) this.#form = 0;
      heard = body === null;
      if (body === null) return;
      const lines = linesOf(body);
      for (;;) {
        const line = await this.#within(heard ? call.silenceMs : OPEN_MS, lines.next(), tooLong);
        if (line.done) return;
        heard = true;
        const step = call.read(line.value);
        if (step !== undefined) yield step;
      }
    } finally {
      this.#over.signal.removeEventListener("abort", end);
      end();
      if (!heard && !this.#over.signal.aborted) {
        broke();
        if (silent) this.#form++;
      }
    }
  }

  async #within<T>(ms: number, work: Promise<T>, expired: () => void): Promise<T> {
    const timer = new AbortController();
    this.#host.sleep(ms, timer.signal).then(expired, () => {}); // rejects when the work was done in time
    try {
      return await work;
    } finally {
      timer.abort();
    }
  }
}
