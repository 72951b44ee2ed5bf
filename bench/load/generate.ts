/**
 * Load generator: N connections, each with one request under way, for a number of seconds or of requests. Run as its own process, so
 * that its work is not the orchestrator's: `node bench/load/generate.ts`, with the order as JSON on standard input and a `LoadResult` as JSON on
 * standard output.
 *
 * It shares the machine with the server, so it must cost little: requests are built beforehand, replies are framed but not parsed.
 */
import { connect, type Socket } from "node:net";
import { type CycleName, cycleOf } from "./cycles.ts";
import { latencies, type LoadResult } from "./load-result.ts";
import { toBytes, type PlainRequest } from "./requests.ts";
import { ResponseFramer } from "./response-framer.ts";

export interface LoadOrder {
  readonly port: number;
  readonly connections: number;
  readonly requests: readonly PlainRequest[];
  /** Instead of `requests`: acts of several requests. What is counted and timed is an act. */
  readonly cycle?: CycleName;
  /** Ends after this many seconds … */
  readonly seconds?: number;
  /** … or when each request was sent once, `once: true`. */
  readonly once?: boolean;
}

/** Replies whose time is kept. */
const SAMPLES_MAX = 4_000_000;

export async function generate(order: LoadOrder): Promise<LoadResult> {
  const requests = order.requests.map((request) => toBytes(request, `127.0.0.1:${order.port}`));
  const times = new Float32Array(SAMPLES_MAX);
  let sent = 0;
  let replies = 0;
  let errors = 0;
  let stopping = false;
  const started = performance.now();

  const connection = async (_: unknown, number: number): Promise<void> => {
    const socket = await open(order.port);
    return new Promise((resolve, reject) => {
      let begun = 0;
      let acts = 0;
      let rest: Buffer[] = [];
      const next = (): void => {
        if (rest.length > 0) return void socket.write(rest.shift()!);
        if (stopping || (order.once === true && sent >= requests.length)) {
          resolve();
          socket.destroy();
          return;
        }
        begun = performance.now();
        if (order.cycle === undefined) return void socket.write(requests[sent++ % requests.length]!);
        rest = cycleOf(order.cycle, number, acts++).map((request) => toBytes(request, `127.0.0.1:${order.port}`));
        next();
      };
      const framer = new ResponseFramer((status) => {
        if (status >= 400) errors++;
        if (rest.length === 0) {
          if (replies < SAMPLES_MAX) times[replies] = performance.now() - begun;
          replies++;
        }
        next();
      });
      socket.on("data", (packet) => {
        try {
          framer.push(packet);
        } catch (error) {
          reject(error as Error);
          socket.destroy();
        }
      });
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the server closed a connection")));
      next();
    });
  };
  const timer = order.seconds === undefined ? undefined : setTimeout(() => (stopping = true), order.seconds * 1_000);
  await Promise.all(Array.from({ length: order.connections }, connection));
  clearTimeout(timer);
  const seconds = (performance.now() - started) / 1_000;
  return { generator: "node", replies, errors, seconds, ...latencies(times.subarray(0, Math.min(replies, SAMPLES_MAX))) };
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.once("connect", () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

if (import.meta.main) {
  let text = "";
  for await (const chunk of process.stdin) text += String(chunk);
  process.stdout.write(JSON.stringify(await generate(JSON.parse(text) as LoadOrder)));
}
