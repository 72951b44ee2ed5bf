/** `quorate bench`: a simple load of puts or gets, to see what a cluster does from here. It leaves nothing behind. */
import type { Command } from "commander";
import { parseDuration } from "../duration.ts";
import { newCommand, onCluster, wholeOf } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { rangeOf } from "./key-range.ts";
import { base64Of } from "./printer.ts";

interface BenchFlags {
  readonly clients: string;
  readonly for: string;
  readonly size: string;
  readonly get?: boolean;
}

export function command(): Command {
  const command = newCommand("bench", "a simple load of puts or gets, with its rate and latencies", [
    "bench",
    "bench --clients 64 --for 10s --size 1024",
    "bench --get",
  ]);
  command.option("--clients <N>", "so many calls at a time", "16").option("--for <DURATION>", "how long", "5s");
  command.option("--size <BYTES>", "of each value", "256").option("--get", "linearizable gets, in place of puts");
  command.withNotes(
    "Keys are quorate-bench/… and are deleted at the end. One process sends all calls: above some ten thousand a second it is what is measured.",
  );
  return onCluster<BenchFlags>(command, async ({ cluster, print }, _, flags) => {
    const [clients, size] = [wholeOf(flags.clients, "--clients"), wholeOf(flags.size, "--size")];
    const forMs = parseDuration(flags.for);
    if (forMs === undefined || clients < 1 || size < 0)
      throw new CommandError("--clients, --for or --size is out of its bounds", EXIT.usage);
    const value = Buffer.alloc(size, "x").toString("base64");
    const name = (n: number): string => base64Of(`quorate-bench/${n}`);
    const took: number[] = [];
    const begunMs = performance.now();
    try {
      await cluster.call("kv/put", { key: name(0), value });
      await Promise.all(
        Array.from({ length: clients }, async (_unused, n) => {
          while (performance.now() - begunMs < forMs) {
            const sentMs = performance.now();
            if (flags.get === true) await cluster.call("kv/range", { key: name(0) });
            else await cluster.call("kv/put", { key: name(n), value });
            took.push(performance.now() - sentMs);
          }
        }),
      );
    } finally {
      await cluster.call("kv/deleterange", rangeOf("quorate-bench/", undefined, { prefix: true }));
    }
    const seconds = (performance.now() - begunMs) / 1_000;
    took.sort((a, b) => a - b);
    const at = (part: number): string => (took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? 0).toFixed(2);
    const found = { calls: took.length, perSecond: Math.round(took.length / seconds), p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
    print.show({
      simple: () =>
        `${found.calls} calls, ${found.perSecond} a second; half within ${found.p50Ms} ms, 99 % within ${found.p99Ms} ms, all within ${found.maxMs} ms\n`,
      json: () => ({ ...found, p50Ms: Number(found.p50Ms), p99Ms: Number(found.p99Ms), maxMs: Number(found.maxMs) }),
    });
  });
}
