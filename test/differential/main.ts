/**
 * `npm run differential -- --requests 10000 --seed 7 [--view v2|v3|grpc]`: random requests to a real etcd and to ours, until that many were sent or
 * the answers differ; a third each without `--view`. `--all` goes on after a difference with the next seed. Exit code 1 on any.
 */
import { parseArgs } from "node:util";
import { Pair } from "./compare-servers.ts";
import type { View } from "./step.ts";

/** Requests a seed: a difference found is then within reach of being made small. */
const REQUESTS_A_SEED = 1_000;

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "10000" },
    seed: { type: "string" },
    view: { type: "string" },
    all: { type: "boolean", default: false },
    against: { type: "string", default: "quorate" },
  },
});
const wanted = Number(values.requests);
const firstSeed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const views: View[] = values.view === "v2" || values.view === "v3" || values.view === "grpc" ? [values.view] : ["v3", "v2", "grpc"];

const pairs = await Promise.all(views.map((view) => Pair.start(view, values.against === "etcd" ? "etcd" : "quorate")));
let sent = 0;
let found = 0;
try {
  for (let n = 0; sent < wanted; n++) {
    const pair = pairs[n % pairs.length] as Pair;
    // With one view, seeds go up by one; with several, each seed is used for all.
    const seed = firstSeed + Math.floor(n / pairs.length);
    const comparison = await pair.compare(seed, Math.min(REQUESTS_A_SEED, wanted - sent));
    sent += comparison.requests;
    if (comparison.report === undefined) {
      console.log(`seed ${seed} ${pair.view}: ${comparison.requests} requests alike`);
      continue;
    }
    found++;
    console.log(`\n${comparison.report}\n`);
    if (!values.all) break;
  }
} finally {
  await Promise.all(pairs.map((pair) => pair.stop()));
}
console.log(`${sent} requests, ${found} differences`);
process.exit(found === 0 ? 0 : 1);
