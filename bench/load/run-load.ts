/**
 * Runs a load in a process of its own: with `wrk` where it is installed and the row asks for throughput, else with our own generator.
 *
 * wrk is written in C and costs a few microseconds a request; ours costs about three times as much. On two cores that difference is taken from
 * a server that uses both of them, as etcd does, so wrk is the fairer one; the table names the generator it used.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import type { LoadOrder } from "./generate.ts";
import type { LoadResult } from "./load-result.ts";
import type { PlainRequest } from "./requests.ts";

/** A load ends by itself; this much longer than asked, and it hangs. */
const GRACE_MS = 60_000;

let wrkFound: boolean | undefined;

export function hasWrk(): boolean {
  wrkFound ??= canRun("wrk", ["--version"]);
  return wrkFound;
}

function canRun(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch (error) {
    // `wrk --version` prints its version and exits with 1: what counts is that it could be started.
    return !(error instanceof Error && "code" in error && error.code === "ENOENT");
  }
}

/** @throws Error when the generator failed, or a reply was an error */
export async function runLoad(order: LoadOrder, generator: "wrk" | "node"): Promise<LoadResult> {
  const result = generator === "wrk" ? await runWrk(order) : await runNode(order);
  if (result.errors > 0)
    throw new Error(`${result.errors} of ${result.replies} replies were errors (${JSON.stringify(order.requests[0])})`);
  return result;
}

function runNode(order: LoadOrder): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "generate.ts")], { stdio: ["pipe", "pipe", "inherit"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), (order.seconds ?? 60) * 1_000 + GRACE_MS);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(JSON.parse(text) as LoadResult);
      else reject(new Error(`the load generator ended with ${code}`));
    });
    child.stdin.end(JSON.stringify(order));
  });
}

/** What the Lua script prints at the end, after wrk's own text. */
const RESULT_MARK = "RESULT ";

function runWrk(order: LoadOrder): Promise<LoadResult> {
  const script = join(tempDir("wrk"), "requests.lua");
  writeFileSync(script, luaScript(order.requests));
  const seconds = order.seconds ?? 1;
  const args = ["-t1", `-c${order.connections}`, `-d${seconds}s`, "--timeout", "30s", "-s", script, `http://127.0.0.1:${order.port}`];
  return new Promise((resolve, reject) => {
    execFile("wrk", args, { timeout: seconds * 1_000 + GRACE_MS }, (error, stdout, stderr) => {
      const line = stdout.split("\n").find((text) => text.startsWith(RESULT_MARK));
      if (error !== null || line === undefined) reject(new Error(`wrk failed: ${stderr || stdout}`, { cause: error }));
      else resolve({ generator: "wrk", ...(JSON.parse(line.slice(RESULT_MARK.length)) as Omit<LoadResult, "generator">) });
    });
  });
}

function luaScript(requests: readonly PlainRequest[]): string {
  const made = requests.map((request) => {
    const headers = request.contentType === undefined ? "nil" : `{["Content-Type"]=${luaText(request.contentType)}}`;
    return `  wrk.format(${luaText(request.method)}, ${luaText(request.path)}, ${headers}, ${luaText(request.body)}),`;
  });
  return `local made = {}
local at = 0
init = function(args)
  made = {
${made.join("\n")}
  }
end
request = function()
  at = at + 1
  if at > #made then at = 1 end
  return made[at]
end
done = function(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('${RESULT_MARK}{"replies":%d,"errors":%d,"seconds":%f,"p50":%f,"p99":%f}\\n',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
`;
}

function luaText(text: string | undefined): string {
  if (text === undefined) return "nil";
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
