/** Members of a cluster whose disk hangs or is slow (bad-disk.c, preloaded). */
import { Agent } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { Cluster } from "../helpers/start-cluster.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { BadDisk, compileBadDisk } from "./bad-disk.ts";
import { ask, base64, callV3 } from "./http.ts";

const library = compileBadDisk();
const agent = new Agent({ keepAlive: true });
let cluster: Cluster | undefined;
afterEach(() => cluster?.stop());

/** All answer, and have applied the same. */
function allEqual(statuses: ReadonlyMap<string, { readonly applied: number }>, size: number): boolean {
  return statuses.size === size && new Set([...statuses.values()].map(({ applied }) => applied)).size === 1;
}

const put = (url: string, key: string) => ask(agent, url, "POST", "/v3/kv/put", JSON.stringify({ key: base64(key), value: base64("v") }));

describe.skipIf(library === undefined)(`a cluster with a bad disk${library === undefined ? " (skipped: needs Linux and gcc)" : ""}`, () => {
  async function start(): Promise<{ disks: Map<string, BadDisk>; leader: string; others: string[]; members: Cluster }> {
    const disks = new Map(["m1", "m2", "m3"].map((name) => [name, new BadDisk(library!)]));
    const members = await Cluster.start({ size: 3, env: (name) => disks.get(name)!.env });
    cluster = members;
    const leader = await members.untilLeader();
    return { disks, leader, others: members.members.map(({ name }) => name).filter((name) => name !== leader), members };
  }

  test("T14: a leader whose disk hangs hands over, writes go on, and it comes back", { timeout: 60_000 }, async () => {
    const { disks, leader, others, members } = await start();
    expect((await put(members.member(leader).url, "before"))?.status).toBe(200);
    disks.get(leader)!.stall();
    const stuck = put(members.member(leader).url, "stuck");
    await untilTrue(async () => (await put(members.member(others[0]!).url, "meanwhile"))?.status === 200, {
      what: () => "writes go on without the disk that hangs",
    });
    expect(await members.untilLeader(others)).not.toBe(leader);
    const status = await callV3<{ errors?: string[] }>(agent, members.member(leader).url, "/v3/maintenance/status", {});
    expect(status.errors?.join()).toContain("the disk does not finish a write");
    await untilTrue(() => members.member(leader).process.output().includes("the disk does not finish a write"), {
      what: () => "the log says so too",
    });
    disks.get(leader)!.recover();
    await stuck; // answered one way or the other
    await untilTrue(
      async () => {
        const hashes = await Promise.all(members.urls.map((url) => callV3<{ hash: number }>(agent, url, "/v3/maintenance/hash", {})));
        return new Set(hashes.map(({ hash }) => hash)).size === 1;
      },
      { what: () => "all members have the same state" },
    );
  });

  test("T15: a follower with a slow disk slows nobody down and costs no election", { timeout: 60_000 }, async () => {
    const { disks, leader, others, members } = await start();
    const before = (await members.statuses()).get(leader)!.term;
    disks.get(others[0]!)!.slow(400);
    for (let n = 0; n < 200; n++) expect((await put(members.member(leader).url, `k${n}`))?.status).toBe(200);
    expect((await put(members.member(others[0]!).url, "through the slow one"))?.status).toBe(200);
    disks.get(others[0]!)!.recover();
    await untilTrue(async () => allEqual(await members.statuses(), 3), {
      what: () => "the slow one has caught up",
    });
    expect((await members.statuses()).get(leader)!.term).toBe(before);
  });

  test("a follower whose disk fails ends, the others go on, and it is welcome again with what it has", { timeout: 60_000 }, async () => {
    const { disks, leader, others, members } = await start();
    disks.get(others[0]!)!.fail();
    for (let n = 0; n < 20; n++) expect((await put(members.member(leader).url, `k${n}`))?.status).toBe(200);
    expect((await members.member(others[0]!).process.exited).code).not.toBe(0);
    disks.set(others[0]!, new BadDisk(library!));
    await members.restart(others[0]!);
    await untilTrue(async () => allEqual(await members.statuses(), 3), {
      what: () => "it has caught up",
    });
  });
});
