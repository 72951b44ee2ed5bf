/**
 * A large store moves to a member that begins with nothing, while writes go on: how long it takes, what it does to the writes, and
 * whether the leader keeps its office.
 */
import { Cluster, statusOf } from "../../test/helpers/start-cluster.ts";
import { untilTrue } from "../../test/helpers/until-ready.ts";
import { putRequest } from "../load/requests.ts";

import { hasWrk, runLoad } from "../load/run-load.ts";
import type { Progress, Row } from "../row.ts";

/** More than the entries that a leader keeps for the late (`catchUpEntries`), so that the log alone cannot bring the new member up to date. */
const KEYS = 12_800;
const VALUE_BYTES = 16 * 1024;

const FLAGS = ["--snapshot-count", "5000"];
const CATCH_UP_MS = 120_000;

export async function snapshotTransfer({ progress }: { readonly progress: Progress }): Promise<Row[]> {
  const cluster = await Cluster.start({ size: 3, flags: FLAGS });
  try {
    const leader = cluster.member(await cluster.untilLeader());
    const fill = Array.from({ length: KEYS }, (_, n) => putRequest(`/large/${n}`, `${n}-`.repeat(VALUE_BYTES).slice(0, VALUE_BYTES)));
    await runLoad({ port: leader.process.port, connections: 8, requests: fill, once: true }, "node");
    const before = (await statusOf(leader.url))!;
    progress(`${KEYS} keys of ${VALUE_BYTES} bytes are there, revision ${before.revision}`);

    const requests = Array.from({ length: 500 }, (_, n) => putRequest(`/small/${n}`, "x".repeat(256)));
    const load = (seconds: number) => runLoad({ port: leader.process.port, connections: 16, requests, seconds }, hasWrk() ? "wrk" : "node");
    const calm = await load(3);
    const place = await cluster.place("late");
    await fetch(`${leader.url}/v3/cluster/member/add`, { method: "POST", body: JSON.stringify({ peerURLs: [place.peerUrl] }) });
    const during = load(8);
    const began = performance.now();
    await cluster.join(place, false);
    await untilTrue(async () => ((await statusOf(place.url))?.revision ?? 0) > before.revision, {
      timeoutMs: CATCH_UP_MS,
      what: () => `the new member has the store\n${cluster.member("late").process.output()}`,
    });
    const took = (performance.now() - began) / 1_000;
    const busy = await during;
    const after = (await statusOf(leader.url))!;
    const workload = `${Math.round((KEYS * VALUE_BYTES) / 1e6)} MB to an empty member under load`;
    const row = (measure: string, ours: number, atMost?: number): Row => ({
      workload,
      measure,
      ours,
      etcd: undefined,
      ...(atMost === undefined ? {} : { target: { of: "ours", atMost } }),
    });
    return [
      row("seconds until it has them", took),
      row("terms that began meanwhile", after.term - before.term, 0),
      row("puts/s meanwhile ÷ before", busy.replies / busy.seconds / (calm.replies / calm.seconds)),
      row("p99 ms of puts before", calm.p99),
      row("p99 ms of puts meanwhile", busy.p99),
    ];
  } finally {
    await cluster.stop();
  }
}
