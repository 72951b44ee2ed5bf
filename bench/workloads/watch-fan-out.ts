/** Watch streams on a prefix, 1,000 puts under it: how many events a second reach the clients. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { contenders, withServers } from "../contender.ts";
import { median } from "../load/load-result.ts";
import { putRequest, valueOf } from "../load/requests.ts";
import { runLoad } from "../load/run-load.ts";
import type { WatchOrder, WatchResult } from "../load/watch-streams.ts";
import type { Progress, Row, Target } from "../row.ts";

const PUTS = 1_000;
const CONNECTIONS = 64;
const TIMEOUT_MS = 60_000;

interface FanOut {
  readonly title: string;
  readonly protocol: WatchOrder["protocol"];
  readonly streams: number;
  readonly target?: Target;
}

export const JSON_FAN_OUTS: readonly FanOut[] = [
  { title: "100 watch streams", protocol: "json", streams: 100, target: { of: "ratio", atLeast: 3 } },
];
export const GRPC_FAN_OUTS: readonly FanOut[] = [1, 64, 512].map((streams) => ({
  title: `gRPC watch, ${streams} streams`,
  protocol: "grpc",
  streams,
}));

export async function watchFanOut(
  fanOuts: readonly FanOut[],
  options: { readonly rounds: number; readonly progress: Progress },
): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async (servers) => {
    const rows: Row[] = [];
    for (const [at, one] of fanOuts.entries()) {
      const rates = servers.map((): number[] => []);
      for (let round = 0; round <= options.rounds; round++) {
        for (const [n, server] of servers.entries()) {
          const { events, seconds } = await fanOut(server.port, one, `/watched/${at}-${round}/`);
          if (round === 0) continue;
          rates[n]?.push(events / seconds);
          options.progress(`${one.title} round ${round} ${list[n]?.name}: ${Math.round(events / seconds)} events/s`);
        }
      }
      const [ours, etcd] = rates.map(median);
      const row = { workload: `${one.title} × ${PUTS} puts`, measure: "events/s", ours: ours!, etcd };
      rows.push(one.target === undefined ? row : { ...row, target: one.target });
    }
    return rows;
  });
}

/** @param prefix of its own, so that the events of one round are not those of the next */
async function fanOut(port: number, { protocol, streams }: FanOut, prefix: string): Promise<WatchResult> {
  const order: WatchOrder = { protocol, port, streams, prefix, prefixEnd: `${prefix.slice(0, -1)}0`, events: PUTS };
  const child = spawn(process.execPath, [join(import.meta.dirname, "..", "load", "watch-streams.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  let text = "";
  let onReady: () => void = () => {};
  const ready = new Promise<void>((resolve) => (onReady = resolve));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if (text.startsWith("ready\n")) onReady();
  });
  child.stdin.end(JSON.stringify(order));
  try {
    await Promise.race([ready, ended]);
    const requests = Array.from({ length: PUTS }, (_, n) => putRequest(`${prefix}${n}`, valueOf(n)));
    await runLoad({ port, connections: CONNECTIONS, requests, once: true }, "node");
    const code = await ended;
    if (code !== 0) throw new Error(`the watching process ended with ${code ?? "a signal: not all events came"}: ${text}`);
    return JSON.parse(text.slice("ready\n".length)) as WatchResult;
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
  }
}
