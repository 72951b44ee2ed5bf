/**
 * The way between one client and the store of a test: `fetch` without a socket, and what can go wrong on it. A request, a reply or a whole
 * stream can be lost, late or refused; nothing of it takes real time.
 */
import type { Fetch } from "../client/http-store.ts";
import type { VirtualTime } from "./virtual-time.ts";

/**
 * What happens to one request.
 * - `none`: it is answered.
 * - `loseRequest`: the connection breaks before the store has it; nothing is done.
 * - `loseReply`: it is done, and the connection breaks before the answer: the outcome of a write is unknown.
 * - `leaderLost`: it is done, and the answer is that the leader changed meanwhile: the outcome of a write is unknown.
 * - `refuse`: there is no leader; nothing is done, and it is said so.
 * - `unreachable`: there is no connection; nothing is done, and the client knows it.
 */
export type Fault = "none" | "loseRequest" | "loseReply" | "leaderLost" | "refuse" | "unreachable";

/** The server. */
export type Answer = (request: Request) => Response | Promise<Response>;

export interface TestRequest {
  /** From 1 on, of this client. */
  readonly number: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly body: string;
  /** Virtual milliseconds. */
  readonly at: number;
}

/** The connections of a time. */
class Line {
  isStalled = false;
  readonly #over = new AbortController();

  get broken(): AbortSignal {
    return this.#over.signal;
  }

  break(): void {
    this.#over.abort(new TypeError("the connection was reset"));
  }
}

export class TestNetwork {
  /** Every request that the client has made. */
  readonly requests: TestRequest[] = [];
  /** Decides what happens to each request. */
  fault: (request: TestRequest) => Fault = () => "none";
  /** Of the way to the store, and of the way back, each. */
  latencyMs: (request: TestRequest) => number = () => 0;
  /** To be given to whatever wants to `fetch`. */
  readonly fetch: Fetch = (url, init) => this.#fetch(url, init);
  readonly #time: VirtualTime;
  readonly #answer: Answer;
  readonly #headers: () => Record<string, string>;
  #line = new Line();
  #cut: Promise<void> | undefined;
  #heal = (): void => {};

  /** @param headers of every reply */
  constructor(time: VirtualTime, answer: Answer, headers: () => Record<string, string>) {
    this.#time = time;
    this.#answer = answer;
    this.#headers = headers;
  }

  /** Breaks every connection there is; new ones can be made. */
  breakConnections(): void {
    this.#line.break();
    this.#line = new Line();
  }

  /** Nothing passes any more on the connections there are, and nobody is told, as when a machine is gone; new ones can be made. */
  stallConnections(): void {
    this.#line.isStalled = true;
    this.#line = new Line();
  }

  /** Nothing passes any more, in either direction, and nobody is told: until `heal`. */
  partition(): void {
    this.#cut ??= new Promise((resolve) => (this.#heal = resolve));
  }

  /** New connections can be made again; those of before are broken. */
  heal(): void {
    this.breakConnections();
    this.#cut = undefined;
    this.#heal();
  }

  async #fetch(url: string, { method = "GET", headers, body, signal }: RequestInit): Promise<Response> {
    const { pathname, search } = new URL(url);
    const request: TestRequest = {
      number: this.requests.length + 1,
      method,
      path: pathname + search,
      body: typeof body === "string" ? body : "",
      at: this.#time.now,
    };
    this.requests.push(request);
    const line = this.#line;
    const fault = this.fault(request);
    const ended = AbortSignal.any([line.broken, ...(signal ? [signal] : [])]);
    await this.#travel(request, line, ended);
    if (fault === "unreachable") throw Object.assign(new TypeError("nobody is there"), { code: "ECONNREFUSED" });
    if (fault === "loseRequest") throw new TypeError("the connection was reset");
    if (fault === "refuse") return problem("no_leader", "etcdserver: no leader");
    const reply = await this.#answer(new Request(url, { method, headers: headers ?? {}, body: body ?? null, signal: ended }));
    await this.#travel(request, line, ended);
    if (fault === "loseReply") throw new TypeError("the connection was reset");
    if (fault === "leaderLost") return problem("leader_changed", "etcdserver: leader changed");
    for (const [name, value] of Object.entries(this.#headers())) reply.headers.set(name, value);
    return reply.body === null ? reply : new Response(this.#carry(reply.body, line, ended), reply);
  }

  async #travel(request: TestRequest, line: Line, ended: AbortSignal): Promise<void> {
    ended.throwIfAborted();
    const ms = this.latencyMs(request);
    if (ms > 0) await this.#time.sleep(ms, ended);
    await this.#uncut(line, ended);
  }

  /** Waits for a partition to end, which ends whatever waits in it; what stalls waits until the client gives up. */
  async #uncut(line: Line, ended: AbortSignal): Promise<void> {
    if (this.#cut === undefined && !line.isStalled) return;
    const broken = new Promise<never>((_, reject) => {
      ended.addEventListener("abort", () => reject(ended.reason as Error), { once: true });
    });
    await Promise.race([line.isStalled ? broken : this.#cut, broken]);
    ended.throwIfAborted();
  }

  /** A body on its way: it stands still in a partition, and ends with its connection. */
  #carry(body: ReadableStream<Uint8Array>, line: Line, ended: AbortSignal): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      start: (out) => {
        ended.addEventListener("abort", () => {
          out.error(ended.reason);
          reader.cancel(ended.reason).catch(() => {}); // it has ended by itself
        });
      },
      pull: async (out) => {
        const { done, value } = await reader.read();
        await this.#uncut(line, ended);
        if (done) out.close();
        else out.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }
}

function problem(code: string, detail: string): Response {
  return Response.json({ code, detail, status: 503 }, { status: 503, headers: { "content-type": "application/problem+json" } });
}
