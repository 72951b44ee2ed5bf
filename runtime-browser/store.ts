/**
 * The entry `quorate/browser`: a whole store inside the browser, for pages that work offline, for tests and demos. All pages of an origin that
 * open the same database see one store. One of them has it (a Web Lock decides); the others send their requests there over a BroadcastChannel.
 * When its page is closed, reloaded or dies, the next in line opens the database and goes on.
 *
 * A request whose page is gone before the answer: one that only reads is asked anew; of others nobody knows whether they were done, which
 * the answer says: 503 with the outcome `unknown`, as from a member that was lost.
 */
import { type LockPort, webLocks } from "../adapters/idb-storage/idb-log-storage.ts";
import { problemReply } from "../core/api/v1/problem.ts";
import { QuorateError, errStorageFailed, errTimeout } from "../core/errors.ts";
import { BrowserMember } from "./browser-member.ts";
import type { TabMessage } from "./tab-messages.ts";

export interface StoreOptions {
  /** Name of the database. Default `quorate`. */
  readonly database?: string;
  /** Space that keys, values and kept history may take, in bytes. Default 64 MiB. */
  readonly quotaBytes?: number;
  /** Told what should be known: that the storage failed, that the browser may clear the data. Default: the console. */
  readonly onNotice?: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
}

export interface BrowserStore {
  /** Answers as a server does: v1, v2, v3 JSON. Of the URL, path and query count. */
  fetch(input: Request | string | URL, init?: RequestInit): Promise<Response>;
  /** Whether this page has the store now. */
  readonly isWriter: boolean;
  /** Resolves when requests are answered, by this page or another. */
  readonly ready: Promise<void>;
  /**
   * Asks the browser to keep the data when it runs short of space. Where it says false, what is stored may be gone one day.
   * Best called after the user has done something on the page.
   */
  persist(): Promise<boolean>;
  close(): Promise<void>;
}

/** How long a page that has the store may say nothing until it is asked anew. It answers at once, unless it stands still. */
const SILENCE_MS = 3_000;
/** Until a page that could not open the store tries again. */
const AGAIN_MS = 1_000;
/** Between questions who has the store. */
const ASK_MS = 250;

export function openStore(options: StoreOptions = {}): BrowserStore {
  return new SharedStore(options);
}

/** A request under way in another page. */
interface Asked {
  readonly writer: string;
  readonly head: (reply: { readonly status: number; readonly headers: readonly (readonly [string, string])[] }) => void;
  readonly fail: (error: Error) => void;
  controller: ReadableStreamDefaultController<Uint8Array> | null;
}

/** The page that was asked is gone. */
class WriterGone extends Error {}

class SharedStore implements BrowserStore {
  readonly #options: Required<StoreOptions>;
  readonly #self = crypto.randomUUID();
  readonly #channel: BroadcastChannel;
  readonly #asked = new Map<string, Asked>();
  /** Of other pages, under way here. */
  readonly #serving = new Map<string, AbortController>();
  readonly #over = new AbortController();
  #member: BrowserMember | null = null;
  #writer: string | null = null;
  #found: (() => void)[] = [];
  #heardAtMs = 0;
  /** Why this page, in its turn, does not have the store; null: it has not been its turn, or has it. */
  #failure: QuorateError | null = null;
  readonly ready: Promise<void>;

  constructor(options: StoreOptions) {
    const say = (level: "info" | "warn", message: string, details = {}): void =>
      level === "warn" ? console.warn(`quorate: ${message}`, details) : undefined;
    this.#options = { database: "quorate", quotaBytes: 64 * 1024 * 1024, onNotice: say, ...options };
    this.#channel = new BroadcastChannel(`quorate ${this.#options.database}`);
    this.#channel.addEventListener("message", (event: MessageEvent<TabMessage>) => this.#heard(event.data));
    this.#say({ kind: "who" });
    this.ready = this.#writerKnown().then(() => {});
    void this.#waitForTurn();
  }

  get isWriter(): boolean {
    return this.#member !== null;
  }

  async persist(): Promise<boolean> {
    return navigator.storage.persist();
  }

  async fetch(input: Request | string | URL, init?: RequestInit): Promise<Response> {
    // A path alone is enough, wherever the page came from.
    const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, location.href), init);
    const body = request.body === null && !hasBody(request) ? null : new Uint8Array(await request.clone().arrayBuffer());
    for (;;) {
      request.signal.throwIfAborted();
      const writer = await this.#writerKnown();
      if (writer === null) return problem(this.#failure!);
      if (this.#member !== null) return this.#member.fetch(withBody(request, body));
      try {
        return await this.#ask(writer, request, body);
      } catch (error) {
        if (!(error instanceof WriterGone)) throw error;
        if (request.method === "GET" || request.method === "HEAD") continue;
        return problem(errTimeout()); // as of a member that was lost before it answered
      }
    }
  }

  async close(): Promise<void> {
    this.#over.abort();
    for (const asked of this.#asked.values()) asked.fail(new WriterGone());
    for (const serving of this.#serving.values()) serving.abort();
    const member = this.#member;
    this.#member = null;
    this.#channel.close();
    await member?.close();
  }

  // ---- having the store

  /** Waits in line for the lock, and has the store for as long as this page lives. When it fails, the page waits at the end of the line. */
  async #waitForTurn(): Promise<void> {
    const { database } = this.#options;
    while (!this.#over.signal.aborted) {
      try {
        await navigator.locks.request(`quorate turn ${database}`, { signal: this.#over.signal }, () => this.#turn());
      } catch (error) {
        if (this.#over.signal.aborted) return;
        this.#failure = error instanceof QuorateError ? error : errStorageFailed(database, "opening", error);
        this.#options.onNotice("warn", "the store cannot be opened here, and is tried again", { error: String(error) });
      }
      for (const found of this.#found.splice(0)) found();
      await sleep(AGAIN_MS);
    }
  }

  async #turn(): Promise<void> {
    const failed = new AbortController();
    const member = await this.#open(failed);
    this.#failure = null;
    this.#member = member;
    this.#writer = this.#self;
    this.#say({ kind: "here", writer: this.#self });
    this.#gone(this.#self);
    for (const found of this.#found.splice(0)) found();
    await until(AbortSignal.any([this.#over.signal, failed.signal]));
    this.#member = null;
    this.#writer = null;
    await member.close().catch(() => {}); // it has failed, or ends with the page
  }

  #open(failed: AbortController): Promise<BrowserMember> {
    const { database, quotaBytes, onNotice } = this.#options;
    return BrowserMember.open({
      database,
      locks: patient(webLocks),
      quotaBytes,
      version: "browser",
      onNotice,
      onFailed: (error) => {
        this.#failure = error instanceof QuorateError ? error : errStorageFailed(database, "using", error);
        onNotice("warn", "the storage failed: this page has the store no longer", { error: error.message });
        failed.abort();
      },
    });
  }

  // ---- asking the page that has it

  /** @returns the page that has the store; null when it was this page's turn and there is none to be had */
  async #writerKnown(): Promise<string | null> {
    while (this.#writer === null) {
      this.#over.signal.throwIfAborted();
      if (this.#failure !== null) return null;
      this.#say({ kind: "who" });
      await Promise.race([new Promise<void>((resolve) => this.#found.push(resolve)), sleep(ASK_MS)]);
    }
    return this.#writer;
  }

  #ask(writer: string, request: Request, body: Uint8Array | null): Promise<Response> {
    const id = crypto.randomUUID();
    const { pathname, search } = new URL(request.url);
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.#asked.delete(id);
        request.signal.removeEventListener("abort", cancel);
        clearInterval(listening);
      };
      const cancel = (): void => {
        this.#say({ kind: "cancel", id });
        asked.fail(request.signal.reason as Error);
      };
      // A page that is killed says nothing: it is asked whether it is there while nothing comes.
      this.#heardAtMs = performance.now();
      const listening = setInterval(() => {
        if (performance.now() - this.#heardAtMs > SILENCE_MS) this.#gone(writer);
        else this.#say({ kind: "who" });
      }, SILENCE_MS / 3);
      const asked: Asked = {
        writer,
        controller: null,
        head: ({ status, headers }) => {
          const stream = new ReadableStream<Uint8Array>({
            start: (controller) => void (asked.controller = controller),
            cancel: () => {
              this.#say({ kind: "cancel", id });
              forget();
            },
          });
          const isEmpty = status === 204 || status === 304 || request.method === "HEAD";
          resolve(new Response(isEmpty ? null : stream, { status, headers: headers.map(([name, value]) => [name, value]) }));
        },
        fail: (error) => {
          forget();
          asked.controller?.error(error);
          reject(error);
        },
      };
      this.#asked.set(id, asked);
      request.signal.addEventListener("abort", cancel);
      this.#say({ kind: "request", writer, id, method: request.method, url: pathname + search, headers: [...request.headers], body });
    });
  }

  /** What was asked of others than this page will not be answered. */
  #gone(except: string): void {
    const isOver = except === this.#self ? (writer: string) => writer !== this.#self : (writer: string) => writer === except;
    if (this.#writer !== null && this.#writer !== this.#self && isOver(this.#writer)) this.#writer = null;
    for (const asked of [...this.#asked.values()])
      if (isOver(asked.writer)) asked.fail(new WriterGone("the page that had the store is gone"));
  }

  // ---- what is heard

  #heard(message: TabMessage): void {
    switch (message.kind) {
      case "who":
        if (this.#member !== null) this.#say({ kind: "here", writer: this.#self });
        return;
      case "here": {
        this.#heardAtMs = performance.now();
        if (message.writer === this.#writer) return;
        const before = this.#writer;
        this.#writer = message.writer;
        if (before !== null) this.#gone(before);
        for (const found of this.#found.splice(0)) found();
        return;
      }
      case "request":
        if (message.writer === this.#self) void this.#serve(message);
        return;
      case "cancel":
        this.#serving.get(message.id)?.abort();
        return;
      default:
        this.#answered(message);
    }
  }

  #answered(message: Extract<TabMessage, { readonly kind: "head" | "chunk" | "end" }>): void {
    const asked = this.#asked.get(message.id);
    if (asked === undefined) return;
    this.#heardAtMs = performance.now();
    if (message.kind === "head") return asked.head(message);
    if (message.kind === "chunk") return asked.controller?.enqueue(message.data);
    const { controller } = asked;
    asked.controller = null;
    if (message.error === null) controller?.close();
    else controller?.error(new Error(message.error));
    asked.fail(new Error(message.error ?? "the reply is whole")); // has no effect on a reply that began
  }

  async #serve({ id, method, url, headers, body }: Extract<TabMessage, { readonly kind: "request" }>): Promise<void> {
    const cancel = new AbortController();
    this.#serving.set(id, cancel);
    try {
      if (this.#member === null) throw new Error("this page has the store no longer");
      const init = { method, headers: headers.map(([name, value]): [string, string] => [name, value]), signal: cancel.signal };
      const reply = await this.#member.fetch(withBody(new Request(new URL(url, location.href), init), body));
      this.#say({ kind: "head", id, status: reply.status, headers: [...reply.headers] });
      if (reply.body !== null) for await (const data of reply.body) this.#say({ kind: "chunk", id, data });
      this.#say({ kind: "end", id, error: null });
    } catch (error) {
      this.#say({ kind: "end", id, error: String(error) });
    } finally {
      this.#serving.delete(id);
    }
  }

  #say(message: TabMessage): void {
    if (!this.#over.signal.aborted) this.#channel.postMessage(message);
  }
}

/** Whoever had the database before may need a moment to let go of it. */
function patient(locks: LockPort): LockPort {
  return {
    take: async (name) => {
      for (let tries = 0; tries < 40; tries++) {
        const taken = await locks.take(name);
        if (taken !== null) return taken;
        await sleep(50);
      }
      return null;
    },
  };
}

function hasBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

function withBody(request: Request, body: Uint8Array | null): Request {
  if (body === null || !hasBody(request)) return request;
  return new Request(request.url, { method: request.method, headers: request.headers, body: body.slice(), signal: request.signal });
}

function problem(error: QuorateError): Response {
  const { status, headers, body } = problemReply(error);
  return new Response(typeof body === "string" ? body : null, { status, headers });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));
const until = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve())));
