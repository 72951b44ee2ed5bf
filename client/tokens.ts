/** Scoped tokens in the hands of whoever holds one: to hand on less of it, no server is asked. */
import { milliseconds, type Duration } from "../core/recipes/durations.ts";
import { attenuate } from "../core/tokens/scoped-token.ts";

export { type Act, type Restriction, attenuate, readToken } from "../core/tokens/scoped-token.ts";

export interface PresignOptions {
  /** Scoped; it may do what the link is for. */
  readonly token: string;
  readonly method?: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** How long the link is good. Default 5 min. */
  readonly ttl?: Duration;
}

/**
 * A link for one act: whoever has it can send this request, and no other, until its time is over.
 * @param url of the request, with its query, on the server that gave the token
 * @throws QuorateError badField
 */
export async function presign(url: string, { token, method = "GET", ttl = "5m" }: PresignOptions): Promise<string> {
  const link = new URL(url);
  const exp = Math.floor((Date.now() + milliseconds(ttl, "ttl")) / 1_000);
  const narrow = await attenuate(token, { act: { method, path: link.pathname + link.search }, exp });
  return `${link.origin}${link.pathname}${link.search === "" ? "?" : `${link.search}&`}token=${narrow}`;
}
