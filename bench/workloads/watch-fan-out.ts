/** 100 watch streams on a prefix, 1,000 puts under it: how many events a second reach the clients. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { contenders, withServers } from "../contender.ts";
import { median } from "../load/load-result.ts";
import { putRequest, valueOf } from "../load/requests.ts";
import { runLoad } from "../load/run-load.ts";
import type { WatchOrder, WatchResult } from "../load/watch-streams.ts";
import type { Progress, Row } from "../row.ts";

const STREAMS = 100;
const PUTS = 1_000;
const CONNECTIONS = 64;
const TIMEOUT_MS = 60_000;

export async function watchFanOut(options: { readonly rounds: number; readonly progress: Progress }): Promise<Row[]> {
  const list = contenders();
  return withServers(list, [], async (servers) => {
    const rates = servers.map((): number[] => []);
    for (let round = 0; round <= options.rounds; round++) {
      for (const [n, server] of servers.entries()) {
        const { events, seconds } = await fanOut(server.port, round);
        if (round === 0) continue;
        rates[n]?.push(events / seconds);
        options.progress(`watch round ${round} ${list[n]?.name}: ${Math.round(events / seconds)} events/s`);
      }
    }
    const [ours, etcd] = rates.map(median);
    return [
      {
        workload: `${STREAMS} watch streams × ${PUTS} puts`,
        measure: "events/s",
        ours: ours as number,
        etcd,
        target: { of: "ratio", atLeast: 3 },
      },
    ];
  });
}

/** @param round names the prefix, so that the events of one round are not those of the next */
async function fanOut(port: number, round: number): Promise<WatchResult> {
  const prefix = `/watched/${round}/`;
  const order: WatchOrder = { port, streams: STREAMS, prefix, prefixEnd: `/watched/${round}0`, events: PUTS };
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
