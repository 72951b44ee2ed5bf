/**
 * Many watch streams, each on a connection of its own, in one process: counts the events of all. Prints `ready` when every watch was confirmed, then one JSON
 * `WatchResult` when each stream has had all events.
 *
 * Events are counted by looking for the text that begins each of them in the JSON gateway's reply; parsing them would make the client the
 * slowest part.
 */
import { connect } from "node:net";
import { base64, toBytes } from "./requests.ts";
import { ResponseFramer } from "./response-framer.ts";

export interface WatchOrder {
  readonly port: number;
  readonly streams: number;
  /** Keys from `prefix` to `prefixEnd` are watched. */
  readonly prefix: string;
  readonly prefixEnd: string;
  /** Events each stream waits for. */
  readonly events: number;
}

export interface WatchResult {
  readonly events: number;
  /** From the first event of any stream to the last of all. */
  readonly seconds: number;
}

/** Every event has its key-value pair, and nothing else in a reply has this text. */
const EVENT_MARK = Buffer.from('"kv":{');
const CREATED_MARK = '"created":true';

/** Counts a text in a stream of bytes, also where it lies across two parts. */
export class MarkCounter {
  readonly #mark: Buffer;
  #tail: Buffer = Buffer.alloc(0);
  count = 0;

  constructor(mark: Buffer) {
    this.#mark = mark;
  }

  push(part: Buffer): void {
    const keep = this.#mark.length - 1;
    if (this.#tail.length > 0) this.count += occurrences(Buffer.concat([this.#tail, part.subarray(0, keep)]), this.#mark);
    this.count += occurrences(part, this.#mark);
    const joined = part.length >= keep ? part : Buffer.concat([this.#tail, part]);
    this.#tail = Buffer.from(joined.subarray(Math.max(0, joined.length - keep)));
  }
}

function occurrences(bytes: Buffer, mark: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + mark.length)) count++;
  return count;
}

export async function watchStreams(order: WatchOrder, onReady: () => void): Promise<WatchResult> {
  const create = { create_request: { key: base64(order.prefix), range_end: base64(order.prefixEnd) } };
  const request = toBytes(
    { method: "POST", path: "/v3/watch", contentType: "application/json", body: JSON.stringify(create) },
    `127.0.0.1:${order.port}`,
  );
  let created = 0;
  let first = 0;

  const stream = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: order.port, host: "127.0.0.1" });
      const counter = new MarkCounter(EVENT_MARK);
      let opening = "";
      const onBody = (part: Buffer): void => {
        if (!opening.includes(CREATED_MARK)) {
          opening += part.toString("latin1");
          if (opening.includes(CREATED_MARK) && ++created === order.streams) onReady();
        }
        counter.push(part);
        if (counter.count > 0 && first === 0) first = performance.now();
        if (counter.count > order.events) reject(new Error(`${counter.count} events, more than ${order.events}`));
        if (counter.count === order.events) {
          resolve();
          socket.destroy();
        }
      };
      const framer = new ResponseFramer((status) => reject(new Error(`the stream ended, status ${status}`)), onBody);
      socket.on("data", (packet) => framer.push(packet));
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the server closed a stream")));
      socket.write(request);
    });

  await Promise.all(Array.from({ length: order.streams }, stream));
  return { events: order.streams * order.events, seconds: (performance.now() - first) / 1_000 };
}

if (import.meta.main) {
  let text = "";
  for await (const chunk of process.stdin) text += String(chunk);
  const result = await watchStreams(JSON.parse(text) as WatchOrder, () => process.stdout.write("ready\n"));
  process.stdout.write(JSON.stringify(result));
  process.exit(0);
}
