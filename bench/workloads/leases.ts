/**
 * Many leases: 100,000 that are renewed every five seconds, while others end by themselves, 5,000 a second. What ends a second, how long a
 * renewal takes, and how long our event loop is held up at most, as our own /metrics tells it.
 *
 * Both servers are asked over gRPC, by renewals that are written beforehand, on a few streams: the load costs little beside the server.
 */
import type { ClientHttp2Stream } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { GRPC_PREFIX_BYTES, grpcMessage } from "../../core/api/v3/grpc-message.ts";
import * as m from "../../core/api/v3/messages.ts";
import { protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import { GrpcClient } from "../../test/helpers/grpc-client.ts";
import type { ServerProcess } from "../../test/helpers/start-server.ts";
import { contenders, withServers } from "../contender.ts";
import { latencies } from "../load/load-result.ts";
import { metric, readMetrics } from "../metrics-page.ts";
import type { Progress, Row } from "../row.ts";

const RENEWED = 100_000;
const RENEW_EVERY_MS = 5_000;
const ENDING_A_SECOND = 5_000;
const ENDING_SECONDS = 10;
/** Of those that are renewed: none ends meanwhile. */
const LONG_TTL = 300;
/** Granting takes so long at most; the first ones end after it. */
const SHORT_TTL = 30;
const CONNECTIONS = 4;
const GRANTS_AT_ONCE = 64;
/** Renewals are sent in portions, so often. */
const PORTION_MS = 50;
const PORTION = (RENEWED * PORTION_MS) / RENEW_EVERY_MS;
const LOOK_MS = 500;
/** etcd ends a thousand a second: waiting for all would take long, and tell nothing. */
const WATCHED_MS = 40_000;
const STALL_MS_MAX = 50;

interface Figures {
  readonly ended: number;
  readonly renewals: number;
  readonly p99: number;
  readonly stall: number | undefined;
}

export async function leases({ progress }: { readonly progress: Progress }): Promise<Row[]> {
  const list = contenders();
  const figures: Figures[] = [];
  for (const contender of list) {
    const found = await withServers([contender], [], ([server]) => measure(server!, contender.name === "quorate"));
    progress(`${contender.name}: ${JSON.stringify(found)}`);
    figures.push(found);
  }
  const [ours, etcd] = figures as [Figures, Figures?];
  const workload = `${RENEWED.toLocaleString("en-US")} leases renewed every ${RENEW_EVERY_MS / 1_000} s, others ending`;
  return [
    { workload, measure: "ended/s", ours: ours.ended, etcd: etcd?.ended, target: { of: "ours", atLeast: 0.95 * ENDING_A_SECOND } },
    { workload, measure: "renewals/s", ours: ours.renewals, etcd: etcd?.renewals },
    { workload, measure: "renewal p99 ms", ours: ours.p99, etcd: etcd?.p99 },
    { workload, measure: "longest event-loop delay ms", ours: ours.stall!, etcd: undefined, target: { of: "ours", atMost: STALL_MS_MAX } },
  ];
}

async function measure(server: ServerProcess, hasLoopDelay: boolean): Promise<Figures> {
  const clients = Array.from({ length: CONNECTIONS }, () => new GrpcClient(server.url));
  try {
    await grant(clients, RENEWED, (n) => ({ id: n + 1, ttl: LONG_TTL }));
    const ending = ENDING_A_SECOND * ENDING_SECONDS;
    const granting = performance.now();
    // Whenever it was granted, a lease ends in the second that is its own.
    const ttlFor = (second: number): number => Math.round(SHORT_TTL + second - (performance.now() - granting) / 1_000);
    await grant(clients, ending, (n) => ({ id: RENEWED + n + 1, ttl: ttlFor(Math.floor(n / ENDING_A_SECOND)) }));
    const grantMs = performance.now() - granting;
    if (grantMs > SHORT_TTL * 1_000) throw new Error(`granting took ${Math.round(grantMs)} ms: the first ones have ended already`);
    const renewing = new Renewing(clients);
    let page = await readMetrics(server.url);
    const ended = (): number => metric(page, "etcd_debugging_server_lease_expired_total");
    const before = ended();
    let [first, last, seen, stall] = [0, 0, before, 0];
    const begun = performance.now();
    while (seen - before < ending && performance.now() - begun < WATCHED_MS + SHORT_TTL * 1_000) {
      await sleep(LOOK_MS);
      page = await readMetrics(server.url);
      if (hasLoopDelay) stall = Math.max(stall, metric(page, 'quorate_event_loop_delay_seconds{quantile="1"}') * 1_000);
      if (ended() > seen) [first, last, seen] = [first === 0 ? performance.now() - LOOK_MS : first, performance.now(), ended()];
    }
    const { rate, p99 } = await renewing.stop();
    return { ended: ((seen - before) * 1_000) / (last - first), renewals: rate, p99, stall: hasLoopDelay ? stall : undefined };
  } finally {
    for (const client of clients) client.close();
  }
}

/** Grants leases with the ids and times given, some at a time on each connection. */
async function grant(clients: readonly GrpcClient[], count: number, lease: (n: number) => { id: number; ttl: number }): Promise<void> {
  let next = 0;
  const worker = async (client: GrpcClient): Promise<void> => {
    while (next < count) {
      const { id, ttl } = lease(next++);
      const tables = { request: m.LEASE_GRANT_REQUEST, reply: m.LEASE_GRANT_RESPONSE };
      await client.ask("/etcdserverpb.Lease/LeaseGrant", tables, { id: String(id), ttl });
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: GRANTS_AT_ONCE / CONNECTIONS }, () => worker(client))));
}

/** Renews all of them again and again, evenly over the time. */
class Renewing {
  readonly #streams: readonly RenewalStream[];
  readonly #portions: readonly Buffer[];
  readonly #begun = performance.now();
  readonly #timer: NodeJS.Timeout;
  #sent = 0;

  constructor(clients: readonly GrpcClient[]) {
    const encode = protobufEncoder(m.LEASE_KEEP_ALIVE_REQUEST);
    const all = Array.from({ length: RENEWED }, (_, n) =>
      Buffer.from(grpcMessage(encode({ ...m.LEASE_KEEP_ALIVE_REQUEST.defaults, id: String(n + 1) })), "latin1"),
    );
    this.#portions = Array.from({ length: RENEWED / PORTION }, (_, n) => Buffer.concat(all.slice(n * PORTION, (n + 1) * PORTION)));
    this.#streams = clients.map((client) => new RenewalStream(client));
    this.#timer = setInterval(() => this.#send(), PORTION_MS);
  }

  /** What the timer was late is made up for. */
  #send(): void {
    const due = Math.floor((performance.now() - this.#begun) / PORTION_MS);
    for (; this.#sent < due; this.#sent++) {
      this.#streams[this.#sent % this.#streams.length]!.send(this.#portions[this.#sent % this.#portions.length]!);
    }
  }

  async stop(): Promise<{ rate: number; p99: number }> {
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#begun) / 1_000;
    await sleep(LOOK_MS);
    const answers = this.#streams.reduce((sum, stream) => sum + stream.answers, 0);
    return { rate: answers / seconds, p99: latencies(Float32Array.from(this.#streams.flatMap(({ times }) => times))).p99 };
  }
}

/** Times how long it takes until a portion is answered whole. */
class RenewalStream {
  readonly times: number[] = [];
  answers = 0;
  readonly #stream: ClientHttp2Stream;
  /** When each portion that is not answered yet was sent. */
  readonly #sentAt: number[] = [];
  #held: Buffer = Buffer.alloc(0);

  constructor({ session }: GrpcClient) {
    const headers = {
      ":method": "POST",
      ":path": "/etcdserverpb.Lease/LeaseKeepAlive",
      "content-type": "application/grpc",
      te: "trailers",
    };
    this.#stream = session.request(headers);
    this.#stream.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#stream.on("error", () => {}); // closed at the end
  }

  send(portion: Buffer): void {
    this.#sentAt.push(performance.now());
    this.#stream.write(portion);
  }

  #read(chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (rest.length >= GRPC_PREFIX_BYTES && rest.length >= GRPC_PREFIX_BYTES + rest.readUInt32BE(1)) {
      rest = rest.subarray(GRPC_PREFIX_BYTES + rest.readUInt32BE(1));
      if (++this.answers % PORTION === 0) this.times.push(performance.now() - this.#sentAt.shift()!);
    }
    this.#held = rest;
  }
}
