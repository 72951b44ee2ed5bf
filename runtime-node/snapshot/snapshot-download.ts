/**
 * The snapshot of a running member, as it comes over its JSON gateway: POST /v3/maintenance/snapshot answers with one JSON object a line,
 * `{"result":{"remaining_bytes":"…","blob":"base64"}}`, and the last one has no `remaining_bytes`. (Of etcd a checksum comes after it:
 * what is too much is found when the file is verified.) Whatever ends otherwise is an error that names the endpoint: a stream that was
 * cut must not pass for a short one.
 * Source: the gateway of etcd, https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { SecureContextOptions } from "node:tls";
import { QuorateError, isQuorateError } from "../../core/errors.ts";

const SNAPSHOT = "/v3/maintenance/snapshot";
const AUTHENTICATE = "/v3/auth/authenticate";
/** What a member says that does not ask who it is; then nobody has to tell. */
const NOT_ASKED = "etcdserver: authentication is not enabled";
/** Without a byte for so long the member is taken for gone. */
const QUIET_MS = 30_000;
/** A message of the stream; a member sends blobs of about 64 to 320 KiB, a third more in base64. */
const LINE_CHARACTERS_MAX = 16 * 1024 * 1024;
/** Of an answer that is no stream. */
const ERROR_CHARACTERS_MAX = 64 * 1024;

/** Who asks, where authentication is on. */
export interface Login {
  readonly name: string;
  readonly password: string;
}

/** How a member is reached. */
export interface Access {
  /** `http://host:port` or `https://host:port` */
  readonly endpoint: string;
  /** For https: authorities to trust, and a certificate to show. Default: those that Node trusts, and none. */
  readonly tls?: SecureContextOptions | undefined;
  /** Left out: nobody. */
  readonly login?: Login | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @returns the snapshot's bytes in pieces, in order; the member sends no faster than they are taken
 * @throws QuorateError `snapshotFailed`, naming the endpoint and the reason
 */
export async function* downloadSnapshot(access: Access): AsyncGenerator<Buffer, void, undefined> {
  const { endpoint, signal } = access;
  let received = 0;
  try {
    const token = await tokenFor(access);
    const reply = await ask(access, SNAPSHOT, "{}", token);
    if (reply.statusCode !== 200) throw new Error(await refusal(reply));
    let complete = false;
    for await (const line of linesOf(reply)) {
      const { blob, last } = parseMessage(line);
      complete = last;
      received += blob.length;
      yield blob;
    }
    if (!complete) throw new Error("the stream ended before its last message");
  } catch (error) {
    if (isQuorateError(error)) throw error;
    const after = received === 0 ? "" : ` after ${received} bytes`;
    const message = `no snapshot from ${endpoint}${after}: ${signal?.aborted === true ? "it was interrupted" : textOf(error)}`;
    throw new QuorateError("unavailable", "snapshotFailed", message, { endpoint, received }, { cause: error });
  }
}

/** @returns undefined when none is needed. @throws Error with the member's words when it does not know who asks */
async function tokenFor(access: Access): Promise<string | undefined> {
  if (access.login === undefined) return undefined;
  const reply = await ask(access, AUTHENTICATE, JSON.stringify(access.login));
  const text = await textUpTo(reply, ERROR_CHARACTERS_MAX);
  if (reply.statusCode === 200) return (JSON.parse(text) as { token: string }).token;
  if (text.includes(NOT_ASKED)) return undefined;
  throw new Error(`the answer to --user was ${told(reply, text)}`);
}

function ask({ endpoint, tls, signal }: Access, path: string, body: string, token?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const url = new URL(path, endpoint);
    const options = {
      method: "POST",
      agent: false as const,
      timeout: QUIET_MS,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        ...(token === undefined ? {} : { authorization: token }),
      },
      ...(signal === undefined ? {} : { signal }),
    };
    const sent = url.protocol === "https:" ? requestHttps(url, { ...options, ...tls }, resolve) : requestHttp(url, options, resolve);
    sent.on("timeout", () => sent.destroy(new Error(`nothing came for ${QUIET_MS / 1000} s`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

async function* linesOf(reply: IncomingMessage): AsyncGenerator<string, void, undefined> {
  reply.setEncoding("latin1");
  let rest: string[] = [];
  let held = 0;
  for await (const piece of reply as AsyncIterable<string>) {
    const lines = piece.split("\n");
    const unfinished = lines.pop()!;
    for (const line of lines) {
      const whole = rest.join("") + line;
      [rest, held] = [[], 0];
      if (whole !== "") yield whole;
    }
    rest.push(unfinished);
    held += unfinished.length;
    if (held > LINE_CHARACTERS_MAX) throw new Error(`a message of more than ${LINE_CHARACTERS_MAX} characters`);
  }
  if (held > 0) yield rest.join("");
}

/** @throws Error for what is no message of the stream, or one that says why the member could not go on */
function parseMessage(line: string): { blob: Buffer; last: boolean } {
  let message: { result?: { blob?: unknown; remaining_bytes?: unknown }; error?: { message?: unknown } } | null;
  try {
    message = JSON.parse(line) as typeof message;
  } catch {
    throw new Error(`what came is no stream of a snapshot: ${line.slice(0, 100)}`); // not JSON
  }
  if (message?.error !== undefined) throw new Error(`the member gave up: ${String(message.error.message)}`);
  const { blob = "", remaining_bytes: remaining = "0" } = message?.result ?? { blob: null };
  if (typeof blob !== "string") throw new Error(`what came is no stream of a snapshot: ${line.slice(0, 100)}`);
  return { blob: Buffer.from(blob, "base64"), last: Number(remaining) === 0 };
}

async function refusal(reply: IncomingMessage): Promise<string> {
  return `the answer was ${told(reply, await textUpTo(reply, ERROR_CHARACTERS_MAX))}`;
}

const told = ({ statusCode }: IncomingMessage, text: string): string => `${statusCode} ${text.trim().slice(0, 500)}`;

async function textUpTo(reply: IncomingMessage, charactersMax: number): Promise<string> {
  let text = "";
  reply.setEncoding("utf8");
  for await (const piece of reply as AsyncIterable<string>) {
    text += piece;
    if (text.length > charactersMax) break;
  }
  return text;
}

/** Of several addresses tried, Node's error has no text of its own. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(textOf).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.message === "aborted" ? "the connection broke" : error.message;
}
