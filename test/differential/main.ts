/**
 * `npm run differential -- --requests 10000 --seed 7 [--view v2|v3]`: random requests to a real etcd and to ours, until that many were sent or
 * the answers differ; half of them v2 and half v3 without `--view`. `--all` goes on after a difference with the next seed. Exit code 1 on any.
 */
import { parseArgs } from "node:util";
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { compareServers, fillHistory } from "./compare-servers.ts";
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
const views: View[] = values.view === "v2" || values.view === "v3" ? [values.view] : ["v3", "v2"];

const etcd = await startEtcd();
const quorate = await (values.against === "etcd" ? startEtcd() : startQuorate());
let sent = 0;
let found = 0;
try {
  await Promise.all([fillHistory(etcd.url), fillHistory(quorate.url)]);
  for (let n = 0; sent < wanted; n++) {
    const view = views[n % views.length] as View;
    // With one view, seeds go up by one; with two, each seed is used for both.
    const seed = firstSeed + Math.floor(n / views.length);
    const requests = Math.min(REQUESTS_A_SEED, wanted - sent);
    const comparison = await compareServers({ etcd: etcd.url, quorate: quorate.url }, view, seed, requests);
    sent += comparison.requests;
    if (comparison.report === undefined) {
      console.log(`seed ${seed} ${view}: ${comparison.requests} requests alike`);
      continue;
    }
    found++;
    console.log(`\n${comparison.report}\n`);
    if (!values.all) break;
  }
} finally {
  const ended = quorate.exit();
  if (ended !== undefined) console.log(`the server ended with ${ended.signal ?? ended.code}\n${quorate.output()}`);
  await Promise.all([etcd.stop(), quorate.stop()]);
}
console.log(`${sent} requests, ${found} differences`);
process.exit(found === 0 ? 0 : 1);
