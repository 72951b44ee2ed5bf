/**
 * Runs h2load (nghttp2's load generator, in C): closed-loop gRPC calls on several connections, the same call again and again.
 *
 * h2load counts HTTP statuses, which are 200 for every gRPC call; whoever uses this sees to it that the call succeeds. It prints no
 * percentiles, but logs each reply.
 */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { type LoadResult, latencies } from "./load-result.ts";

export interface GrpcLoad {
  readonly port: number;
  /** `/etcdserverpb.KV/Put` */
  readonly path: string;
  /** In protobuf. */
  readonly message: Bytes;
  /** Each with as many calls at a time as are its share. */
  readonly connections: number;
  readonly concurrency: number;
  readonly seconds: number;
}

const WARM_UP_SECONDS = 1;
/** A load ends by itself; this much longer than asked, and it hangs. */
const GRACE_MS = 60_000;

let found: boolean | undefined;

export function hasH2load(): boolean {
  if (found !== undefined) return found;
  try {
    execFileSync("h2load", ["--version"], { stdio: "ignore" });
    found = true;
  } catch {
    found = false;
  }
  return found;
}

/** @throws Error when h2load failed, or a reply had no status 200 */
export async function runH2load(load: GrpcLoad): Promise<LoadResult> {
  const dir = tempDir("h2load");
  const [body, log] = [join(dir, "body"), join(dir, "log")];
  writeFileSync(body, grpcMessage(load.message), "latin1");
  const streams = Math.ceil(load.concurrency / load.connections);
  const args = [`-c${load.connections}`, `-m${streams}`, "-t1", `-D${load.seconds}`, `--warm-up-time=${WARM_UP_SECONDS}`, "-d", body];
  args.push("--log-file", log, "-H", "content-type: application/grpc", "-H", "te: trailers", `http://127.0.0.1:${load.port}${load.path}`);
  try {
    const printed = await new Promise<string>((resolve, reject) => {
      execFile("h2load", args, { timeout: load.seconds * 1_000 + GRACE_MS }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`h2load failed: ${stderr || stdout}`, { cause: error })),
      );
    });
    return resultOf(readFileSync(log, "latin1"), printed, load.seconds);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Lines of the log: microseconds since 1970, status, microseconds that it took. */
function resultOf(log: string, printed: string, seconds: number): LoadResult {
  const lines = log.trimEnd().split("\n");
  const replies = lines.map((line) => line.split("\t"));
  if (replies[0]?.length !== 3) throw new Error(`h2load logged no replies:\n${printed}`);
  const errors = replies.filter(([, status]) => status !== "200").length;
  return {
    generator: "h2load",
    replies: replies.length,
    errors,
    seconds,
    ...latencies(Float32Array.from(replies, ([, , micros]) => Number(micros) / 1_000)),
  };
}
