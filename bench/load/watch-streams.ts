/**
 * Many watch streams in one process, over the JSON gateway (each on a connection of its own) or over gRPC (eight connections for all):
 * counts the events of all. Prints `ready` when every watch was confirmed, then one JSON `WatchResult` when each stream has had all events.
 *
 * Events are counted by looking for a text that each of them has once; parsing them would make the client the slowest part.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import * as m from "../../core/api/v3/messages.ts";
import { protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import { ascii } from "../../core/bytes/bytes.ts";
import { base64, toBytes } from "./requests.ts";
import { ResponseFramer } from "./response-framer.ts";

export interface WatchOrder {
  readonly protocol: "json" | "grpc";
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

const GRPC_CONNECTIONS = 8;
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
  let created = 0;
  let first = 0;
  const watcher = new Watcher(order, {
    created: () => void (++created === order.streams && onReady()),
    event: () => void (first ||= performance.now()),
  });
  const open = order.protocol === "grpc" ? watcher.overGrpc() : watcher.overJson();
  await Promise.all(Array.from({ length: order.streams }, open));
  return { events: order.streams * order.events, seconds: (performance.now() - first) / 1_000 };
}

interface Told {
  created(): void;
  event(): void;
}

/** Opens streams; each of them resolves when it has had its events. */
class Watcher {
  readonly #order: WatchOrder;
  readonly #told: Told;

  constructor(order: WatchOrder, told: Told) {
    this.#order = order;
    this.#told = told;
  }

  overJson(): () => Promise<void> {
    const { port, prefix, prefixEnd } = this.#order;
    const create = { create_request: { key: base64(prefix), range_end: base64(prefixEnd) } };
    const request = toBytes(
      { method: "POST", path: "/v3/watch", contentType: "application/json", body: JSON.stringify(create) },
      `127.0.0.1:${port}`,
    );
    return () =>
      new Promise((resolve, reject) => {
        const socket = connect({ port, host: "127.0.0.1" });
        let opening = "";
        const count = this.#counter(EVENT_MARK, () => (resolve(), socket.destroy()), reject);
        const onBody = (part: Buffer): void => {
          if (!opening.includes(CREATED_MARK)) {
            opening += part.toString("latin1");
            if (opening.includes(CREATED_MARK)) this.#told.created();
          }
          count(part);
        };
        const framer = new ResponseFramer((status) => reject(new Error(`the stream ended, status ${status}`)), onBody);
        socket.on("data", (packet) => framer.push(packet));
        socket.on("error", reject);
        socket.on("close", () => reject(new Error("the server closed a stream")));
        socket.write(request);
      });
  }

  overGrpc(): () => Promise<void> {
    const { port, prefix, prefixEnd } = this.#order;
    const sessions = Array.from({ length: GRPC_CONNECTIONS }, () => connectHttp2(`http://127.0.0.1:${port}`));
    const createRequest = { ...m.WATCH_CREATE_REQUEST.defaults, key: ascii(prefix), rangeEnd: ascii(prefixEnd) };
    const request = Buffer.from(grpcMessage(protobufEncoder(m.WATCH_REQUEST)({ ...m.WATCH_REQUEST.defaults, createRequest })), "latin1");
    const headers = { ":method": "POST", ":path": "/etcdserverpb.Watch/Watch", "content-type": "application/grpc", te: "trailers" };
    let next = 0;
    return () =>
      new Promise((resolve, reject) => {
        const stream = sessions[next++ % sessions.length]!.request(headers);
        const count = this.#counter(Buffer.from(prefix), resolve, reject);
        stream.once("data", () => this.#told.created()); // the first message says that the watch was made
        stream.on("data", count);
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the server ended a stream")));
        stream.write(request);
      });
  }

  #counter(mark: Buffer, done: () => void, failed: (error: Error) => void): (part: Buffer) => void {
    const counter = new MarkCounter(mark);
    const { events } = this.#order;
    return (part) => {
      counter.push(part);
      if (counter.count > 0) this.#told.event();
      if (counter.count > events) failed(new Error(`${counter.count} events, more than ${events}`));
      if (counter.count === events) done();
    };
  }
}

if (import.meta.main) {
  let text = "";
  for await (const chunk of process.stdin) text += String(chunk);
  const result = await watchStreams(JSON.parse(text) as WatchOrder, () => process.stdout.write("ready\n"));
  process.stdout.write(JSON.stringify(result));
  process.exit(0);
}
