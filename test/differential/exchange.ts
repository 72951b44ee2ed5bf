/** Requests and open watches over HTTP/1.1, as one client of one server. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface WireRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** A request whose answer may go on; `close` hangs up. */
export interface OpenStream {
  /** When something last came. */
  readonly changedAt: () => number;
  /** All so far; undefined while not even the head has come. */
  readonly answer: () => Answer | undefined;
  readonly ended: () => boolean;
  readonly close: () => void;
}

/** A client of one server, over some protocol. */
export interface Sender {
  /** @throws Error when no whole answer came in time */
  send(request: WireRequest): Promise<Answer>;
  /** Resolves when the answer has begun. */
  open(request: WireRequest): Promise<OpenStream>;
  close(): void;
}

const ANSWER_MS = 10_000;
const HEAD_MS = 3_000;
const BODY_MAX = 16 * 1024 * 1024;

export class Client implements Sender {
  readonly #url: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(url: string) {
    this.#url = new URL(url);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @throws Error when no whole answer came within 10 s */
  send(request: WireRequest): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = this.#start(request, this.#agent);
      sent.setTimeout(ANSWER_MS, () =>
        sent.destroy(new Error(`no answer within ${ANSWER_MS} ms: ${request.method} ${request.path} ${request.body ?? ""}`)),
      );
      sent.once("error", (cause) =>
        reject(new Error(`${request.method} ${request.path} ${request.body ?? ""}: ${String(cause)}`, { cause })),
      );
      sent.once("response", (reply) => {
        let body = "";
        reply.setEncoding("utf8");
        reply.on("data", (text: string) => (body += text));
        reply.once("end", () => resolve({ ...headOf(reply), body }));
        reply.once("error", reject);
      });
      sent.end(request.body);
    });
  }

  /** Resolves when the head has come, and for a v3 watch its first message; or after 3 s without. */
  async open(request: WireRequest): Promise<OpenStream> {
    let changedAt = performance.now();
    let head: Omit<Answer, "body"> | undefined;
    let body = "";
    let ended = false;
    const sent = this.#start(request, new Agent({ keepAlive: false }));
    const isV3 = request.path.startsWith("/v3");
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, HEAD_MS);
      const begun = (): void => {
        clearTimeout(timer);
        resolve();
      };
      sent.on("error", () => {
        ended = true;
        begun();
      });
      sent.once("response", (reply) => {
        head = headOf(reply);
        changedAt = performance.now();
        if (!isV3) begun();
        reply.setEncoding("utf8");
        reply.on("data", (text: string) => {
          if (body.length < BODY_MAX) body += text;
          changedAt = performance.now();
          if (body.includes("\n")) begun();
        });
        reply.on("error", () => (ended = true));
        reply.once("end", () => {
          ended = true;
          begun();
        });
      });
      sent.end(request.body);
    });
    return {
      changedAt: () => changedAt,
      answer: () => (head === undefined ? undefined : { ...head, body }),
      ended: () => ended,
      close: () => sent.destroy(),
    };
  }

  #start(request: WireRequest, agent: Agent): ClientRequest {
    const headers: Record<string, string> = { ...request.headers };
    if (request.body !== undefined) headers["content-length"] = String(Buffer.byteLength(request.body));
    return httpRequest({ host: this.#url.hostname, port: this.#url.port, method: request.method, path: request.path, headers, agent });
  }
}

function headOf(reply: IncomingMessage): Omit<Answer, "body"> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(reply.headers)) headers[name] = Array.isArray(value) ? value.join(", ") : (value ?? "");
  return { status: reply.statusCode ?? 0, headers };
}
