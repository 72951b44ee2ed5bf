/**
 * Empties streams of HTTP/2 that are over. Node's objects of a stream that is over survive V8's collections of young memory: they are copied
 * twice, and then lie in old memory until the next collection of everything. That was two kilobytes a call; an emptied stream is a husk of
 * 300 bytes, and what hung on it dies young. docs/performance.md has the figures.
 *
 * Node alone is known not to look at such a stream any more; on other runtimes streams are left as they are.
 */
import type { ServerHttp2Stream } from "node:http2";

type Husk = Record<PropertyKey, unknown>;

const isNode = process.versions["bun"] === undefined && process.versions["deno"] === undefined;

let over: ServerHttp2Stream[] = [];
/** Properties of a stream that hold objects or strings. All streams that went well have the same. */
let held: readonly PropertyKey[] = [];

/** @param stream that has just told its `close`; nobody may look at it from the next turn of the event loop on */
export function emptyLater(stream: ServerHttp2Stream): void {
  // Anything else than a call that went well to its end may have a write whose end Node has still to tell.
  if (!isNode || !stream.writableFinished || !stream.readableEnded || stream.rstCode !== 0) return;
  if (over.length === 0) setImmediate(emptyAll);
  over.push(stream);
}

function emptyAll(): void {
  const streams = over as unknown as Husk[];
  over = [];
  if (held.length === 0) held = Reflect.ownKeys(streams[0]!).filter((key) => ["object", "string"].includes(typeof streams[0]![key]));
  for (const stream of streams) for (const key of held) stream[key] = undefined;
}
