/** Waiting for a server: until it answers a linearizable read, which is when it has recovered and leads. */
import { request } from "node:http";

/** How often a server that refuses connections is asked again. Short, because time to ready is also measured with this. */
const POLL_MS = 2;

export interface ReadyOptions {
  /** Default 15,000. */
  readonly timeoutMs?: number;
  /** Checked before each try; a text ends the waiting with that text as the error: the server is dead, for instance. */
  readonly hopeless?: () => string | undefined;
}

/**
 * @param url `http://host:port`
 * @throws Error after `timeoutMs`, with the last failure in it
 */
export async function untilReady(url: string, options: ReadyOptions = {}): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 15_000;
  const end = performance.now() + timeoutMs;
  let last = "never tried";
  while (performance.now() < end) {
    const hopeless = options.hopeless?.();
    if (hopeless !== undefined) throw new Error(`${url} will not become ready: ${hopeless}`);
    try {
      last = await readOnce(url);
      if (last === "") return;
    } catch (error) {
      last = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${url} was not ready within ${timeoutMs} ms; last: ${last}`);
}

/** @returns empty when the read succeeded, else what came */
function readOnce(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const body = '{"key":"cmVhZHk="}';
    const headers = { "content-type": "application/json", "content-length": body.length };
    const sent = request(`${url}/v3/kv/range`, { method: "POST", agent: false, headers, timeout: 5_000 }, (reply) => {
      let text = "";
      reply.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      reply.on("end", () => resolve(reply.statusCode === 200 ? "" : `${reply.statusCode} ${text.slice(0, 200)}`));
      reply.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer within 5 s")));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Waits until a condition holds. @throws Error after `timeoutMs`, with what was waited for */
export async function untilTrue(
  condition: () => Promise<boolean> | boolean,
  { timeoutMs = 15_000, what }: { readonly timeoutMs?: number; readonly what: () => string },
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
