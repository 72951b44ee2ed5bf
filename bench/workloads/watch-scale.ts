/**
 * What many idle watches cost over gRPC, and whether a client that does not read its own holds up the others.
 *
 * 100 connections of one stream each first carry 1,000 watches a stream: memory a watch. Then, on a fresh server, 100 streams each with
 * one watch: memory a stream; one connection stops reading while 100 values of 1 kB are put under what all 10,000 watch.
 */
import type { ClientHttp2Stream } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import * as m from "../../core/api/v3/messages.ts";
import { protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import { type Bytes, ascii } from "../../core/bytes/bytes.ts";
import { GrpcClient } from "../../test/helpers/grpc-client.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";
import { contenders, withServers } from "../contender.ts";
import { residentMegabytes } from "../resident-memory.ts";
import type { Progress, Row } from "../row.ts";

const CONNECTIONS = 100;
const WATCHES = 1_000;
const STREAMS = 100;
const PUTS = 100;
const VALUE_BYTES = 1_000;
/** Buffers given back, and the collector has had its turn. */
const SETTLE_MS = 3_000;
/** Four times what etcd publishes for a watch: https://etcd.io/docs/v3.4/benchmarks/etcd-3-watch-memory-benchmark/ */
const WATCH_BYTES_MAX = 1_400;

const WATCH = "/etcdserverpb.Watch/Watch";
const watchOf = (key: string): Bytes =>
  grpcMessage(
    protobufEncoder(m.WATCH_REQUEST)({
      ...m.WATCH_REQUEST.defaults,
      createRequest: { ...m.WATCH_CREATE_REQUEST.defaults, key: ascii(key) },
    }),
  );

export async function watchScale({ progress }: { readonly progress: Progress }): Promise<Row[]> {
  const list = contenders();
  const measure = async (title: string, work: (server: ServerProcess) => Promise<number>) => {
    const figures: number[] = [];
    for (const contender of list) {
      figures.push(await withServers([contender], [], ([server]) => work(server!)));
      progress(`${title} ${contender.name}: ${figures.at(-1)}`);
    }
    return { ours: figures[0]!, etcd: figures[1] };
  };
  const watches = `${(CONNECTIONS * WATCHES).toLocaleString("en-US")} idle watches on ${CONNECTIONS} streams`;
  const streams = `${(CONNECTIONS * STREAMS).toLocaleString("en-US")} watch streams on ${CONNECTIONS} connections`;
  return [
    {
      workload: watches,
      measure: "bytes a watch",
      ...(await measure(watches, (server) => idle(server, 1, WATCHES))),
      target: { of: "ours", atMost: WATCH_BYTES_MAX },
    },
    { workload: streams, measure: "bytes a stream", ...(await measure(streams, (server) => idle(server, STREAMS, 1))) },
    { workload: `${streams}, one unread`, measure: "events/s to the others", ...(await measure(`${streams}, one unread`, unread)) },
  ];
}

/** @returns bytes of resident memory for each watch */
async function idle(server: ServerProcess, streams: number, watches: number): Promise<number> {
  const clients = connect(server);
  try {
    // What the first of everything costs, buffers of connections too, is not counted.
    await open(clients, 1, 10);
    await sleep(SETTLE_MS);
    const before = residentMegabytes(server.pid);
    await open(clients, streams, watches);
    await sleep(SETTLE_MS);
    return Math.round(((residentMegabytes(server.pid) - before) * 1024 * 1024) / (CONNECTIONS * streams * watches));
  } finally {
    for (const client of clients) client.close();
  }
}

/** @returns events a second that came to streams of connections that are read */
async function unread(server: ServerProcess): Promise<number> {
  const clients = connect(server);
  try {
    const opened = clients.flatMap((client) => Array.from({ length: STREAMS }, () => new CountedWatch(client, "watched")));
    await Promise.all(opened.map((watch) => watch.confirmed));
    for (const { stream } of opened.slice(0, STREAMS)) stream.pause(); // those of the first connection
    const read = opened.slice(STREAMS);
    const put = protobufEncoder(m.PUT_REQUEST)({
      ...m.PUT_REQUEST.defaults,
      key: ascii("watched"),
      value: "v".repeat(VALUE_BYTES) as Bytes,
    });
    const begun = performance.now();
    for (let at = 0; at < PUTS; at++) await clients.at(-1)!.unary("/etcdserverpb.KV/Put", put);
    while (!read.every(({ bytes }) => bytes > PUTS * VALUE_BYTES)) await sleep(5);
    return Math.round((read.length * PUTS * 1_000) / (performance.now() - begun));
  } finally {
    for (const client of clients) client.close();
  }
}

/** Keeps nothing of what comes: ten thousand of them would fill the memory. */
class CountedWatch {
  bytes = 0;
  readonly stream: ClientHttp2Stream;
  readonly confirmed: Promise<unknown>;

  constructor(client: GrpcClient, key: string) {
    const headers = { ":method": "POST", ":path": WATCH, "content-type": "application/grpc", te: "trailers" };
    this.stream = client.session.request(headers);
    this.confirmed = new Promise((resolve) => this.stream.once("data", resolve));
    this.stream.on("data", ({ length }: Buffer) => void (this.bytes += length));
    this.stream.on("error", () => {}); // closed at the end
    this.stream.write(Buffer.from(watchOf(key), "latin1"));
  }
}

const connect = (server: ServerProcess): GrpcClient[] => Array.from({ length: CONNECTIONS }, () => new GrpcClient(server.url));

/** Resolves when every watch is confirmed. */
async function open(clients: readonly GrpcClient[], streams: number, watches: number): Promise<void> {
  let n = 0;
  const opened = clients.flatMap((client) => Array.from({ length: streams }, () => client.call(WATCH)));
  for (const call of opened) for (let at = 0; at < watches; at++) call.send(watchOf(`idle/${n++}`));
  await Promise.all(opened.map((call) => call.until(watches)));
}
