/**
 * Calls that no library makes, over HTTP/2 that is in order: to each there is a status, and where only one is right it must be that one.
 */
import { gzipSync } from "node:zlib";
import { fuzzed } from "./messages.ts";
import type { Method } from "../../core/api/v3/services.ts";
import type { Random } from "../differential/random.ts";
import { type CallOutcome, GrpcClient } from "../helpers/grpc-client.ts";
import { servedServices } from "../helpers/served-services.ts";
import { type Attack, type Target, check, mutated, randomBytes } from "./attack.ts";
import { grpcFrame } from "./http2-frames.ts";

/** Of gRPC. */
const OK = 0;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;

const RANGE = "/etcdserverpb.KV/Range";
const REQUEST = Buffer.from("0a0161", "hex");

/** Of calls that might wait. Where one status is right there is none: it would be another on a slow machine. */
const DEADLINE = { "grpc-timeout": "300m" };

/** Left out: what one call may do for good to all calls after it. */
const HARMFUL = new Set(["Alarm", "AuthEnable", "MemberRemove", "Snapshot", "Defragment", "Hash", "HashKV"]);

const METHODS: readonly { readonly path: string; readonly method: Method }[] = servedServices().flatMap(({ name, methods }) =>
  methods.filter((method) => !HARMFUL.has(method.name)).map((method) => ({ path: `/${name}/${method.name}`, method })),
);

/** Several calls on one connection, each of them one input. */
function calls(
  name: string,
  weight: number,
  count: number,
  one: (client: GrpcClient, random: Random, target: Target) => Promise<void>,
): Attack {
  return {
    name,
    weight,
    run: async (target, random) => {
      const client = new GrpcClient(target.url);
      try {
        await Promise.all(Array.from({ length: count }, () => one(client, random, target)));
      } finally {
        client.close();
      }
      return count;
    },
  };
}

async function outcomeOf(client: GrpcClient, path: string, body: Buffer, headers: Record<string, string> = {}): Promise<CallOutcome> {
  const call = client.call(path, headers);
  call.send(body);
  call.end();
  return call.outcome;
}

function expectStatus(outcome: CallOutcome, wanted: number | null, what: () => string): void {
  check(outcome.status !== null, () => `${what()}: no status (HTTP ${String(outcome.headers[":status"])}, reset ${outcome.resetCode})`);
  if (wanted !== null) check(outcome.status === wanted, () => `${what()}: ${outcome.status} ${outcome.text}, not ${wanted}`);
}

const anyMessages = calls("messages of every method, mutated", 40, 32, async (client, random) => {
  const { path, method } = random.pick(METHODS);
  const message = fuzzed(random, method.request);
  expectStatus(
    await outcomeOf(client, path, grpcFrame(message), DEADLINE),
    null,
    () => `${path} of ${message.toString("hex").slice(0, 2_000)}`,
  );
});

const randomBodies = calls("bodies that are no messages", 20, 32, async (client, random) => {
  const body = random.weighted<() => Buffer>([
    [30, () => mutated(random, grpcFrame(REQUEST))],
    [30, () => randomBytes(random, random.int(60))],
    [20, () => Buffer.concat([grpcFrame(REQUEST), randomBytes(random, random.int(12))])],
    [20, () => Buffer.concat(Array.from({ length: random.int(300) }, () => grpcFrame(REQUEST)))],
  ])();
  const { path } = random.pick(METHODS);
  expectStatus(await outcomeOf(client, path, body, DEADLINE), null, () => `${path} with the body ${body.toString("hex").slice(0, 2_000)}`);
});

const tooLong = calls("messages of a length beyond the limit", 6, 4, async (client, random, { maxRequestBytes }) => {
  const length = random.pick([maxRequestBytes + 1024 * 1024, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]);
  const { path } = random.pick(METHODS);
  const outcome = await outcomeOf(client, path, grpcFrame(randomBytes(random, 20), 0, length));
  expectStatus(outcome, RESOURCE_EXHAUSTED, () => `${path} of ${length} bytes`);
});

const cutOff = calls("messages that are cut off", 6, 8, async (client, random) => {
  const whole = grpcFrame(REQUEST);
  const body = whole.subarray(0, 1 + random.int(whole.length - 1));
  expectStatus(await outcomeOf(client, RANGE, body), INTERNAL, () => `the message ${body.toString("hex")}, and then the end`);
});

const pieces = calls("messages in pieces", 6, 8, async (client, random) => {
  const call = client.call(RANGE);
  const whole = grpcFrame(REQUEST);
  for (let at = 0; at < whole.length;) {
    const end = at + 1 + random.int(4);
    call.send(whole.subarray(at, end));
    at = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
  call.end();
  expectStatus(await call.outcome, OK, () => "a message in pieces");
});

/** Zeros, which gzip makes a thousand times smaller. */
const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024));

const bombs = calls("messages that unpack to more than the limit", 2, 3, async (client, random) => {
  const path = random.pick([RANGE, "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"]);
  const body = Buffer.concat(Array.from({ length: 1 + random.int(4) }, () => grpcFrame(BOMB, 1)));
  expectStatus(await outcomeOf(client, path, body, { "grpc-encoding": "gzip" }), RESOURCE_EXHAUSTED, () => `${path}: a bomb of gzip`);
});

const SMALL_BOMB = gzipSync(Buffer.alloc(1024 * 1024));

const manyPacked = calls("many packed messages in one", 2, 3, async (client, random) => {
  const { path } = random.pick(METHODS);
  const body = Buffer.concat(Array.from({ length: 60 }, () => grpcFrame(SMALL_BOMB, 1)));
  expectStatus(
    await outcomeOf(client, path, body, { ...DEADLINE, "grpc-encoding": "gzip" }),
    null,
    () => `${path}: 60 messages of 1 MiB, packed`,
  );
});

const badCompression = calls("compression that is none", 6, 8, async (client, random) => {
  const packed = random.chance(50) ? mutated(random, gzipSync(REQUEST)) : randomBytes(random, random.int(40));
  const flag = random.chance(70) ? 1 : 2 + random.int(254);
  const encoding = random.pick(["gzip", "gzip", "identity", "deflate", "", "x".repeat(1_000)]);
  const headers: Record<string, string> = encoding === "" ? {} : { "grpc-encoding": encoding };
  const wanted = encoding === "deflate" || encoding.startsWith("x") ? UNIMPLEMENTED : null;
  const outcome = await outcomeOf(client, RANGE, grpcFrame(packed, flag), headers);
  expectStatus(outcome, wanted, () => `${packed.toString("hex")}, flag ${flag}, encoding ${encoding}`);
});

const PATHS = ["/", "//", "/etcdserverpb.KV/", "/etcdserverpb.KV/range", "/etcdserverpb.KV/Range/", "/x/y", "/Range", "/__proto__/constructor", "/etcdserverpb.KV/constructor", "*", "/%65"]; // prettier-ignore

const unknownMethods = calls("unknown methods", 6, 12, async (client, random) => {
  const path = random.chance(60) ? random.pick(PATHS) : `/${randomBytes(random, random.int(20)).toString("base64")}`;
  const { status, text, resetCode } = await outcomeOf(client, path, grpcFrame(REQUEST));
  // A path without a slash is no HTTP: the stream is reset.
  const refused = status === UNIMPLEMENTED || status === RESOURCE_EXHAUSTED || (!path.startsWith("/") && resetCode !== 0);
  check(refused, () => `${path}: ${status} ${text}`);
});

const TYPES = ["application/json", "text/plain", "application/grpc-web", "application/grpcx", "APPLICATION/GRPC", "", "application/grpc, application/grpc"]; // prettier-ignore

/** These are no calls: what is asked is an answer of HTTP. */
const wrongTypes = calls("wrong content types", 6, 8, async (client, random) => {
  const type = random.pick(TYPES);
  const { headers, resetCode } = await outcomeOf(client, RANGE, grpcFrame(REQUEST), { "content-type": type });
  check(headers[":status"] !== undefined || resetCode !== 0, () => `content type ${type}: no answer`);
});

const oddHeaders = calls("odd headers", 10, 12, async (client, random) => {
  const value = (): string => randomBytes(random, random.int(60)).toString("base64");
  const name = random.pick(["grpc-timeout", "token", "authorization", "hasleader", "te", "user-agent", "x-bin", "grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding"]); // prettier-ignore
  const outcome = await outcomeOf(client, RANGE, grpcFrame(REQUEST), { [name]: name === "te" ? "trailers" : value() });
  expectStatus(outcome, null, () => `a call with an odd ${name}`);
});

const GET = ["GET", "PUT", "DELETE", "CONNECT", "OPTIONS", "HEAD"];

const otherMethods = calls("methods of HTTP that are not POST", 3, 6, async (client, random) => {
  const method = random.pick(GET);
  const headers: Record<string, string> = method === "CONNECT" ? { ":method": method, ":authority": "x" } : { ":method": method };
  const { path, type } = { path: random.pick([RANGE, "/v3/kv/range", "/health"]), type: random.pick(["application/grpc", "text/plain"]) };
  const stream = client.session.request(method === "CONNECT" ? headers : { ...headers, ":path": path, "content-type": type }, {
    endStream: true,
  });
  const ended = new Promise<string>((resolve) => {
    stream.on("error", () => resolve("reset"));
    stream.on("response", (head) => resolve(String(head[":status"])));
    stream.once("close", () => resolve("closed"));
  });
  stream.resume();
  await ended;
  stream.close();
});

/** Begun, and taken back or left at some point. */
const leaving = calls("clients that leave in the middle", 6, 16, async (client, random) => {
  const { path, method } = random.pick(METHODS);
  const call = client.call(path);
  const message = grpcFrame(fuzzed(random, method.request));
  call.send(message.subarray(0, random.int(message.length + 1)));
  if (random.chance(50)) await new Promise((resolve) => setImmediate(resolve));
  call.cancel();
  await call.outcome;
});

export const GRPC_ATTACKS: readonly Attack[] = [
  anyMessages,
  randomBodies,
  tooLong,
  cutOff,
  pieces,
  bombs,
  manyPacked,
  badCompression,
  unknownMethods,
  wrongTypes,
  oddHeaders,
  otherMethods,
  leaving,
];
