/**
 * `fetch` on Node's own HTTP client, for two things that the host's cannot do without a further library: certificates of one's own, and
 * connections that end with the command.
 */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, type AgentOptions, request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import type { Fetch } from "../../client/http-store.ts";

export interface NodeFetch {
  readonly fetch: Fetch;
  /** Ends all connections, also those in use. */
  close(): void;
}

/** @param tls of https: authorities, and a certificate to show */
export function nodeFetch(tls: AgentOptions): NodeFetch {
  const http = new HttpAgent({ keepAlive: true });
  const https = new HttpsAgent({ ...tls, keepAlive: true });
  const fetch: Fetch = (url, { method = "GET", headers = {}, body, signal }) =>
    new Promise((resolve, reject) => {
      const options = { method, headers: headers as Record<string, string>, ...(signal ? { signal } : {}) };
      const answered = (reply: IncomingMessage): void => resolve(responseOf(reply));
      const sent = url.startsWith("https:")
        ? requestHttps(url, { ...options, agent: https }, answered)
        : requestHttp(url, { ...options, agent: http }, answered);
      sent.on("error", (error) => reject(signal?.aborted === true ? (signal.reason as Error) : told(error)));
      sent.end(body as string | undefined);
    });
  return {
    fetch,
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

function responseOf(reply: IncomingMessage): Response {
  const status = reply.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, value] of Object.entries(reply.headers)) if (value !== undefined) headers.set(name, String(value));
  const empty = status === 204 || status === 304;
  if (empty) reply.resume();
  return new Response(empty ? null : (Readable.toWeb(reply) as ReadableStream), { status, headers });
}

/** Of several addresses tried, Node's error has no text of its own. */
function told(error: Error): Error {
  if (!(error instanceof AggregateError) || error.message !== "") return error;
  const errors = error.errors as Error[];
  return new AggregateError(errors, errors.map(({ message }) => message).join("; "));
}
