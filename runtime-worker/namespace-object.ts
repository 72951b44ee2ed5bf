/**
 * One namespace as a Durable Object: the events of the platform, handed to the member behind them. Requests come from worker.ts alone.
 */
import { pathAndQuery, toResponse } from "../core/api/exchange-fetch.ts";
import type { ApiReply } from "../core/api/exchange.ts";
import { TIME } from "../core/api/v1/reply.ts";
import { directoryOf } from "./directory-object.ts";
import { assert } from "../core/invariant.ts";
import { administer, administerSnapshot } from "./administration.ts";
import { refusal } from "./refusal.ts";
import { HibernatingSockets } from "./hibernating-sockets.ts";
import { NamespaceMember } from "./namespace-member.ts";
import { log } from "./log.ts";
import { ADMIN_PATH, type Chosen, namespaceOf, originOf } from "./namespaces.ts";
import { type Env, type Settings, settingsOf } from "./settings.ts";
import { VERSION } from "./version.ts";

/** For the answer to leave before the instance ends. */
const ANSWER_MS = 100;

interface Open {
  readonly member: NamespaceMember;
  readonly sockets: HibernatingSockets;
  readonly settings: Settings;
}

export class QuorateNamespace {
  readonly #state: DurableObjectState;
  readonly #env: Env;
  readonly #opened: Promise<Open>;
  #name: string | null = null;
  #clientUrl: string | null = null;

  constructor(state: DurableObjectState, env: Env) {
    this.#state = state;
    this.#env = env;
    // Answered by the platform, without waking the object.
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    this.#opened = state.blockConcurrencyWhile(() => this.#open());
  }

  async #open(): Promise<Open> {
    const onError = (error: unknown, where: Readonly<Record<string, unknown>>): void =>
      log("error", "a request failed", { namespace: this.#name, ...where, error });
    const settings = settingsOf(this.#env);
    const member = await NamespaceMember.open({
      storage: this.#state.storage,
      settings,
      version: VERSION,
      clientUrl: () => this.#clientUrl,
      onError,
      onNotice: (level, message, details) => {
        if (level === "warn") log(level, message, { namespace: this.#name, ...details });
      },
      onFailed: (error) => {
        log("error", "the storage failed: the object is started anew", { namespace: this.#name, error });
        this.#state.abort(error.message);
      },
    });
    const { sockets: watches, app } = member;
    const sockets = new HibernatingSockets({
      sockets: watches,
      access: app.access,
      onError: (error) => onError(error, { what: "a WebSocket" }),
    });
    await sockets.resume(this.#state.getWebSockets());
    return { member, sockets, settings };
  }

  /** Only worker.ts sends requests here, those under `/admin` after it has checked who asks. */
  async fetch(sent: Request): Promise<Response> {
    const open = await this.#opened;
    const { member, sockets, settings } = open;
    const { path, query } = pathAndQuery(sent.url);
    if (this.#isReplaced) return refusal(503, "unavailable", "the state was just replaced: ask again", { "retry-after": "1" });
    const [, administered, snapshot] = ADMIN_PATH.exec(path) ?? [];
    const chosen = namespaceOf(sent, settings);
    assert(administered !== undefined || "name" in chosen, () => `a request of no namespace came to one: ${path}`);
    const request =
      "name" in chosen && chosen.path !== path
        ? new Request(originOf(sent.url) + chosen.path + (query === "" ? "" : `?${query}`), sent)
        : sent;
    this.#name ??= administered ?? (chosen as Chosen).name;
    this.#clientUrl ??= originOf(sent.url) + (request === sent ? "" : `/ns/${this.#name}`);
    if (!member.isListed) this.#enlist(open);
    try {
      if (administered !== undefined) {
        const asked = { member, storage: this.#state.storage, onReplaced: () => this.#replaced() };
        return await (snapshot === undefined ? administer(request, asked) : administerSnapshot(request, asked));
      }
      if (sockets.accepts(request)) {
        const opened = await sockets.open(request, (socket) => this.#state.acceptWebSocket(socket));
        return "status" in opened ? plain(opened, request, member) : new Response(null, { status: 101, webSocket: opened });
      }
      const reply = await member.app.app.fetch(request, { isSecure: request.url.startsWith("https:") });
      // Clients of v1 are told that the object can sleep behind a WebSocket, and not behind a stream.
      if (reply.headers.has(TIME)) reply.headers.set("quorate-watch", "websocket");
      return reply;
    } finally {
      member.upkeep();
    }
  }

  #isReplaced = false;
  /** The next instance reads the new state; streams of this one are cut, and their clients resume. */
  #replaced(): void {
    this.#isReplaced = true;
    setTimeout(() => this.#state.abort("the state was replaced"), ANSWER_MS);
  }

  /** In the directory, for whoever administers the Worker; tried again with each request until it is done. */
  #enlist({ member, settings }: Open): void {
    if (this.#isEnlisting || this.#name === null) return;
    this.#isEnlisting = true;
    const told = directoryOf(this.#env, settings)
      .fetch(new Request(`https://directory/${this.#name}`, { method: "PUT" }))
      .then(
        ({ ok, status }) => (ok ? member.listed() : log("error", "the namespace could not be listed", { namespace: this.#name, status })),
        (error: unknown) => log("error", "the namespace could not be listed", { namespace: this.#name, error }),
      )
      .finally(() => (this.#isEnlisting = false));
    this.#state.waitUntil(told);
  }
  #isEnlisting = false;

  async alarm(): Promise<void> {
    await (await this.#opened).member.alarmRang();
  }

  async webSocketMessage(socket: HibernatableWebSocket, data: string | ArrayBuffer): Promise<void> {
    (await this.#opened).sockets.message(socket, data);
  }

  async webSocketClose(socket: HibernatableWebSocket, code: number, reason: string): Promise<void> {
    (await this.#opened).sockets.closed(socket);
    try {
      socket.close(code === 1005 || code === 1006 ? 1000 : code, reason); // the other half of the closing
    } catch {
      return; // it is closed already
    }
  }

  async webSocketError(socket: HibernatableWebSocket): Promise<void> {
    (await this.#opened).sockets.closed(socket);
  }
}

function plain(reply: ApiReply, request: Request, { app }: NamespaceMember): Response {
  const { path } = pathAndQuery(request.url);
  return toResponse(reply, request, {
    access: app.access,
    bodyBytesMax: 0,
    onError: (error) => log("error", "a request failed", { path, error }),
  });
}
