/** One request of a client that may find its server dead. */
import { type Agent, request as httpRequest } from "node:http";
import { untilTrue } from "../helpers/until-ready.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

const ANSWER_MS = 20_000;

/** @returns undefined when the whole answer did not come: what was asked for may have been done or not */
export function ask(
  agent: Agent,
  url: string,
  method: string,
  path: string,
  body?: string,
  contentType = "application/json",
): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { "content-type": contentType, "content-length": Buffer.byteLength(body) };
    const { hostname, port } = new URL(url);
    const sent = httpRequest({ hostname, port, method, path, headers, agent, timeout: ANSWER_MS }, (reply) => {
      let text = "";
      reply.setEncoding("utf8");
      reply.on("data", (part: string) => (text += part));
      reply.on("error", () => resolve(undefined));
      reply.on("end", () => resolve(reply.complete ? { status: reply.statusCode ?? 0, headers: reply.headers, text } : undefined));
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", () => resolve(undefined));
    sent.end(body);
  });
}

export const base64 = (text: string): string => Buffer.from(text, "utf8").toString("base64");
export const fromBase64 = (text: string): string => Buffer.from(text, "base64").toString("utf8");

/** Repeats a v3 call until it succeeds: for calls that may be done twice, while a leader may just have been lost. */
export async function callV3Until<T>(agent: Agent, url: string, path: string, body: unknown): Promise<T> {
  let last = "never tried";
  let done: { readonly answer: T } | undefined;
  await untilTrue(
    async () => {
      const reply = await ask(agent, url, "POST", path, JSON.stringify(body));
      if (reply?.status === 200) done = { answer: JSON.parse(reply.text) as T };
      last = reply === undefined ? "no answer" : `${reply.status} ${reply.text}`;
      return done !== undefined;
    },
    { what: () => `${path} ${JSON.stringify(body)}: ${last}` },
  );
  return done!.answer;
}

/**
 * A change of members, asked for until it is made: a member that was not heard from for a moment refuses it for now, and after the loss
 * of a leader nobody knows whether it was made.
 */
export async function changeMembers(agent: Agent, url: string, path: "add" | "remove", body: unknown): Promise<void> {
  let last: Reply | undefined;
  await untilTrue(
    async () => {
      last = await ask(agent, url, "POST", `/v3/cluster/member/${path}`, JSON.stringify(body));
      return last?.status === 200 || /Peer URLs already exists|member not found|permanently removed/.test(last?.text ?? "");
    },
    { timeoutMs: 20_000, what: () => `${path} ${JSON.stringify(body)}: ${last?.status} ${last?.text}` },
  );
}

/** A v3 call that must succeed. @throws Error when it does not */
export async function callV3<T>(agent: Agent, url: string, path: string, body: unknown): Promise<T> {
  const reply = await ask(agent, url, "POST", path, JSON.stringify(body));
  if (reply?.status !== 200)
    throw new Error(`${path} ${JSON.stringify(body)}: ${reply === undefined ? "no answer" : `${reply.status} ${reply.text}`}`);
  return JSON.parse(reply.text) as T;
}
