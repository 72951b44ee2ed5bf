/**
 * What is used of Workers and Durable Objects beyond the Fetch API: the whole list, by hand. Source:
 * https://developers.cloudflare.com/durable-objects/api/ and https://developers.cloudflare.com/workers/runtime-apis/websockets/.
 */

interface DurableObjectId {
  toString(): string;
}

interface DurableObjectStub {
  fetch(request: Request): Promise<Response>;
}

type LocationHint = "wnam" | "enam" | "sam" | "weur" | "eeur" | "apac" | "oc" | "afr" | "me";

interface DurableObjectNamespace {
  idFromName(name: string): DurableObjectId;
  get(id: DurableObjectId, options?: { locationHint?: LocationHint }): DurableObjectStub;
  /** Objects of a jurisdiction never leave it; other ids are other objects. */
  jurisdiction(name: string): DurableObjectNamespace;
}

interface DurableObjectStorage {
  readonly sql: {
    exec(
      query: string,
      ...bindings: (ArrayBuffer | string | number | null)[]
    ): {
      toArray(): Record<string, ArrayBuffer | string | number | null>[];
    };
    readonly databaseSize: number;
  };
  transactionSync<T>(work: () => T): T;
  sync(): Promise<void>;
  getAlarm(): Promise<number | null>;
  setAlarm(atMs: number): Promise<void>;
  deleteAlarm(): Promise<void>;
  deleteAll(): Promise<void>;
}

/** A WebSocket that stays open while its object sleeps. */
interface HibernatableWebSocket {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** At most 16,384 bytes. */
  serializeAttachment(value: unknown): void;
  deserializeAttachment(): unknown;
}

declare class WebSocketRequestResponsePair {
  constructor(request: string, response: string);
}

/** The two ends of a socket: that of the client, and that of the object. */
declare const WebSocketPair: new () => { 0: HibernatableWebSocket; 1: HibernatableWebSocket };

interface DurableObjectState {
  readonly id: DurableObjectId;
  readonly storage: DurableObjectStorage;
  blockConcurrencyWhile<T>(work: () => Promise<T>): Promise<T>;
  waitUntil(work: Promise<unknown>): void;
  acceptWebSocket(socket: HibernatableWebSocket): void;
  getWebSockets(): HibernatableWebSocket[];
  setWebSocketAutoResponse(pair: WebSocketRequestResponsePair): void;
  /** Ends this instance: the next request gets a new one. */
  abort(reason?: string): void;
}

interface ExecutionContext {
  waitUntil(work: Promise<unknown>): void;
}

interface ResponseInit {
  webSocket?: HibernatableWebSocket;
}
