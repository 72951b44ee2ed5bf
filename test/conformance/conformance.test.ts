/**
 * The recorded cases (README.md beside this file) against this project's server as real processes: a member alone, the leader of three,
 * and a follower of three; those of v3 also over gRPC, by way of a bridge. One test a case, so that a failure has the case's name. All suites run at the same time, each on servers of its
 * own; cases mostly wait.
 *
 * `CONFORMANCE_TARGET=etcd` runs them against a real etcd instead, which shows that the cases themselves are right.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Cluster } from "../helpers/start-cluster.ts";
import { GrpcBridge } from "./grpc-bridge.ts";
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { type CaseResult, OF_JSON, SUITE_MS, casesOf, runCases } from "./run-suite.ts";

/** Cases that are not asked of the server yet, by name or by the beginning of one, with the reason. */
const NOT_YET: readonly { readonly name: string; readonly reason: string }[] = [];

/** Cases that were recorded from a member alone and say so. */
const OF_ONE: readonly string[] = ["v2-members-list", "v3-cluster-member-list"];
/** Cases that were recorded from a leader and say so. */
const OF_A_LEADER: readonly string[] = ["v2-stats-leader", "v2-stats-self", "v3-gateway-metrics-server"];

type Target = "a member alone" | "the leader of three" | "a follower of three" | "a member alone, over gRPC";
const TARGETS: readonly Target[] = ["a member alone", "the leader of three", "a follower of three", "a member alone, over gRPC"];
const OVER_GRPC: Target = "a member alone, over gRPC";

interface Started {
  readonly server: ServerProcess;
  /** Where the cases are asked. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function startTarget(target: Target): Promise<Started> {
  const etcd = process.env["CONFORMANCE_TARGET"] === "etcd";
  if (target === "a member alone" || target === OVER_GRPC) {
    const server = await (etcd ? startEtcd() : startQuorate());
    if (target === "a member alone") return { server, url: server.url, stop: () => server.stop() };
    const bridge = await GrpcBridge.start(server.url);
    const stop = async (): Promise<void> => {
      bridge.stop();
      await server.stop();
    };
    return { server, url: bridge.url, stop };
  }
  const cluster = await Cluster.start({ size: 3, kind: etcd ? "etcd" : "quorate" });
  const leader = await cluster.untilLeader();
  const asked = target === "the leader of three" ? leader : cluster.members.find(({ name }) => name !== leader)!.name;
  const server = cluster.member(asked).process;
  return { server, url: server.url, stop: () => cluster.stop() };
}

async function runSuite(suite: "v2" | "v3", target: Target): Promise<ReadonlyMap<string, CaseResult>> {
  const { server, url, stop } = await startTarget(target);
  try {
    const skip = [...NOT_YET.map(({ name }) => name), ...(target === OVER_GRPC ? OF_JSON : [])];
    return await runCases({ suite, server, url, skip });
  } finally {
    await stop();
  }
}

function reasonFor(name: string, target: Target): string | undefined {
  if (target === OVER_GRPC && OF_JSON.includes(name)) return "about JSON that is no message";
  if ((target === "the leader of three" || target === "a follower of three") && OF_ONE.includes(name))
    return "recorded from a member alone";
  if (target === "a follower of three" && OF_A_LEADER.includes(name)) return "recorded from a leader";
  return NOT_YET.find((entry) => (entry.name.endsWith("*") ? name.startsWith(entry.name.slice(0, -1)) : name === entry.name))?.reason;
}

/** Started once for all, at the same time; a failure shows in each suite's hook. */
const running = TARGETS.flatMap((target) => {
  const suites = target === OVER_GRPC ? (["v3"] as const) : (["v2", "v3"] as const);
  return suites.map((suite) => ({ target, suite, outcome: runSuite(suite, target) }));
});
for (const { outcome } of running) outcome.catch(() => {});

for (const { target, suite, outcome } of running) {
  describe(`conformance ${suite}, ${target}`, () => {
    let results: ReadonlyMap<string, CaseResult> = new Map();
    beforeAll(async () => {
      results = await outcome;
    }, SUITE_MS + 30_000);

    const names = casesOf(suite);
    test("there are cases", () => expect(names.length).toBeGreaterThan(50));

    for (const name of names) {
      const reason = reasonFor(name, target);
      if (reason !== undefined) {
        test.skip(`${name} (${reason})`);
        continue;
      }
      test(name, () => {
        const result = results.get(name);
        expect(result, `the runner did not run ${name}`).toBeDefined();
        expect(result?.problems ?? []).toEqual([]);
        expect(result?.ok).toBe(true);
      });
    }
  });
}
