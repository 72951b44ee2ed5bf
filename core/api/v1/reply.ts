/** Replies of v1. Each says as of which revision of the store it is true. */
import { EMPTY, type Bytes } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import type { ApiReply } from "../exchange.ts";

export const REVISION = "quorate-revision";
/** The store's clock when the reply was made, in milliseconds since 1970: `Date` says whole seconds. */
export const TIME = "quorate-time";

type Headers = Readonly<Record<string, string>>;

/** @param revision left out: that of the store when the reply is sent */
export function json(status: number, value: unknown, revision?: number, headers: Headers = {}): ApiReply {
  return {
    status,
    headers: { "content-type": "application/json", ...asOf(revision), ...headers },
    body: utf8Encode(`${JSON.stringify(value)}\n`),
  };
}

export function bytes(status: number, body: Bytes, contentType: string, revision?: number, headers: Headers = {}): ApiReply {
  return { status, headers: { "content-type": contentType, ...asOf(revision), ...headers }, body };
}

export function empty(status: number, revision?: number, headers: Headers = {}): ApiReply {
  return { status, headers: { ...asOf(revision), ...headers }, body: EMPTY };
}

function asOf(revision: number | undefined): Headers {
  return revision === undefined ? {} : { [REVISION]: String(revision) };
}

/** Quoted, as HTTP has it. */
export function etagOf(revision: number): string {
  return `"${revision}"`;
}
