/** A lock on three real members, held by real processes that are killed and stopped, while leaders are killed. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { acquireLock, connect, lockState } from "../../client/client.ts";
import { Program } from "../clients/program.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { untilTrue } from "../helpers/until-ready.ts";

describe("locks on a cluster", { timeout: 90_000 }, () => {
  let cluster: Cluster;
  beforeAll(async () => void (cluster = await Cluster.start({ size: 3 })), 60_000);
  afterAll(() => cluster.stop());

  const holder = (name: string, ttl: string) =>
    new Program(process.execPath, [`${PROJECT_ROOT}/test/cluster/lock-holder.ts`, cluster.urls.join(","), name, ttl]);
  const untilLine = (name: string, count: number) =>
    untilTrue(async () => (await lockState(connect({ endpoints: cluster.urls }), name)).line.length === count, {
      what: () => `${count} in line for ${name}`,
    });
  const fenceOf = async (program: Program) => BigInt((await program.until(/held (\d+)/))[1]!);

  test.concurrent("who is killed is followed by the next, and nobody writes in between with an older fence", async () => {
    const first = holder("killed", "4s");
    const fence = await fenceOf(first);
    const second = holder("killed", "4s");
    await untilLine("killed", 1);
    await first.until(/wrote/);
    await first.kill("SIGKILL");
    expect(second.stdout).toBe("");
    expect(await fenceOf(second)).toBeGreaterThan(fence);
    await second.until(/wrote/);
    await second.kill("SIGKILL");
  });

  test.concurrent("who is stopped for longer than the lock lives learns that it lost it, and cannot write under its guard", async () => {
    const first = holder("stopped", "2s");
    const fence = await fenceOf(first);
    await first.until(/wrote/);
    const second = holder("stopped", "6s");
    await untilLine("stopped", 1);
    first.signal("SIGSTOP");
    expect(await fenceOf(second)).toBeGreaterThan(fence);
    await second.until(/wrote/);
    first.signal("SIGCONT");
    await first.until(/lost/);
    await first.until(/stale/);
    expect(first.stdout.slice(first.stdout.indexOf("stale"))).not.toContain("wrote");
    expect(second.stdout).not.toContain("stale");
    await Promise.all([first.kill("SIGKILL"), second.kill("SIGKILL")]);
  });

  test.concurrent("who waits gives its place up when it is killed", async () => {
    const first = holder("waiter", "6s");
    await first.until(/held/);
    const second = holder("waiter", "2s");
    await untilLine("waiter", 1);
    await second.kill("SIGKILL");
    const third = holder("waiter", "2s");
    await untilLine("waiter", 2);
    await untilLine("waiter", 1);
    expect(third.stdout).toBe("");
    await first.kill("SIGKILL");
    await third.until(/wrote/);
    await third.kill("SIGKILL");
  });

  test.concurrent("through each member the same line", async () => {
    const fences: bigint[] = [];
    const turn = async (url: string): Promise<void> => {
      const hold = await acquireLock(connect(url), "members", { ttl: "30s" });
      fences.push(hold.fence);
      await hold.release();
    };
    await Promise.all(cluster.urls.map(turn));
    expect(fences).toHaveLength(3);
    expect(fences).toEqual(fences.toSorted((a, b) => (a < b ? -1 : 1)));
  });

  test("a leader that is killed shortens no hold and loses no waiter", async () => {
    const first = holder("leader", "8s");
    const fence = await fenceOf(first);
    const second = holder("leader", "8s");
    await untilLine("leader", 1);
    const leader = await cluster.untilLeader();
    await cluster.member(leader).process.kill("SIGKILL");
    const rest = cluster.members.map(({ name }) => name).filter((name) => name !== leader);
    await cluster.untilLeader(rest);
    const before = first.stdout.split("wrote").length;
    await untilTrue(() => first.stdout.split("wrote").length > before + 3, { what: () => "writes after the change of leader" });
    expect([first.stdout.includes("lost"), first.stdout.includes("stale"), second.stdout]).toEqual([false, false, ""]);
    await first.kill("SIGKILL");
    expect(await fenceOf(second)).toBeGreaterThan(fence);
    await second.until(/wrote/);
    await cluster.restart(leader);
    await second.kill("SIGKILL");
  });
});
