/** Requests to the v1 API of a real server, and what tests look at in the replies. */
import type { ServerProcess } from "../helpers/start-server.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** undefined: the body is no JSON. */
  readonly json: Record<string, unknown> | undefined;
}

export interface Sent {
  /** Sent as JSON, unless it is text or bytes. */
  readonly body?: string | Uint8Array<ArrayBuffer> | object;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Ask = (method: string, path: string, sent?: Sent) => Promise<Answer>;

export function asking(server: () => ServerProcess): Ask {
  return async (method, path, { body, headers = {} } = {}) => {
    const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
    const reply = await fetch(server().url + path, { method, headers, ...(raw === undefined ? {} : { body: raw }) });
    const text = await reply.text();
    const isJson = /^application\/(problem\+)?json$/.test(reply.headers.get("content-type") ?? "") && text !== "";
    return {
      status: reply.status,
      headers: reply.headers,
      text,
      json: isJson ? (JSON.parse(text) as Record<string, unknown>) : undefined,
    };
  };
}
