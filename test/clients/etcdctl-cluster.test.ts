/** `etcdctl` against clusters of three, and between two servers: what it does there is what it does with etcd. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cluster } from "../helpers/start-cluster.ts";
import { CAN_COMPARE, SIDES, startSide } from "./sides.ts";
import { Transcript } from "./transcript.ts";
import { untilTrue } from "../helpers/until-ready.ts";

/** Sides are tried side by side, the tests of one in turn. */
const IN_TURN = { concurrent: false };

describe.skipIf(!CAN_COMPARE).each(SIDES)("etcdctl on three members of %s", { concurrent: true }, (side) => {
  let cluster: Cluster;
  let shell: Transcript;

  beforeAll(async () => {
    cluster = await Cluster.start({ size: 3, kind: side });
    await cluster.untilLeader();
    shell = new Transcript({ url: cluster.urls.join(",") });
  }, 60_000);
  afterAll(() => cluster.stop());

  test("endpoint status, health and hashkv of all members", IN_TURN, async () => {
    await shell.quietly("etcdctl put a 1");
    // A member's own addresses are known once it has said them, which may be after it serves.
    const list = async (): Promise<string> => (await shell.quietly("etcdctl member list")).stdout;
    await untilTrue(async () => (await list()).match(/, started, /g)?.length === 3, { what: () => "three started members" });
    const { stdout } = await shell.quietly("etcdctl endpoint status --cluster -w json");
    const members = JSON.parse(stdout) as { Endpoint: string; Status: { leader: number; header: { member_id: number } } }[];
    expect(members.map(({ Endpoint }) => Endpoint).toSorted()).toEqual(cluster.urls.toSorted());
    expect(new Set(members.map(({ Status }) => Status.leader)).size).toBe(1);
    expect((await shell.quietly("etcdctl endpoint health --cluster 2>&1")).stdout.match(/is healthy/g)).toHaveLength(3);
    // Each tells the hash of what it has applied, and a follower may not have applied the put yet.
    let hashes: string[] = [];
    const agreed = async (): Promise<boolean> => {
      hashes = (await shell.quietly("etcdctl endpoint hashkv")).stdout.trim().split("\n");
      return hashes.length === 3 && new Set(hashes.map((line) => line.split(", ")[1])).size === 1;
    };
    await untilTrue(agreed, { what: () => `one hash: ${hashes.join("; ")}` });
  });

  test("move-leader hands over to the member that is named", IN_TURN, async () => {
    const leader = await cluster.untilLeader();
    const target = cluster.members.find(({ name }) => name !== leader)!;
    const id = BigInt((await cluster.statuses()).get(target.name)!.id).toString(16);
    const wrong = await shell.quietly(`ETCDCTL_ENDPOINTS=${target.url} etcdctl move-leader ${id}`);
    expect(wrong).toMatchObject({ code: 128, stderr: expect.stringContaining("no leader endpoint given at") as string });
    const moved = await shell.quietly(`etcdctl move-leader ${id}`);
    expect(moved).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(`Leadership transferred from [0-9a-f]+ to ${id}`) as string,
    });
    expect(await cluster.untilLeader()).toBe(target.name);
  });

  test("member add --learner, promote and remove", IN_TURN, async ({ expect }) => {
    const place = await cluster.place("m4");
    // etcd refuses to change members in the first seconds.
    let added = "";
    const add = async (): Promise<boolean> => {
      added = (await shell.quietly(`etcdctl member add m4 --learner --peer-urls=${place.peerUrl}`)).stdout;
      return added !== "";
    };
    await untilTrue(add, { what: () => "member add m4" });
    const id = /Member\s+([0-9a-f]+) added/.exec(added)![1]!;
    expect(added).toContain('ETCD_INITIAL_CLUSTER_STATE="existing"');
    await cluster.join(place, false);
    // A learner is promoted once it has caught up; until then it is refused.
    await untilTrue(async () => (await shell.quietly(`etcdctl member promote ${id}`)).code === 0, { what: () => "promotion of m4" });
    const list = async (): Promise<string> => (await shell.quietly("etcdctl member list")).stdout;
    await expect.poll(list, { timeout: 20_000 }).toContain(`${id}, started, m4, ${place.peerUrl}, ${place.url}, false`);
    expect((await shell.quietly(`etcdctl member remove ${id}`)).stdout).toContain("removed from cluster");
    await cluster.member("m4").process.exited;
    cluster.forget("m4");
    expect((await shell.quietly("etcdctl member list")).stdout.trim().split("\n")).toHaveLength(3);
  });

  test("a client with all endpoints goes on when a member is killed; its watch misses nothing", IN_TURN, async () => {
    const watching = shell.start("etcdctl watch --prefix w/ --rev=1");
    await shell.quietly("etcdctl put w/1 x");
    await watching.until(/w\/1\n/);
    // The first of its endpoints, for a client's watch is with one of them.
    const [first] = cluster.members;
    await first!.process.kill("SIGKILL");
    for (const n of [2, 3]) {
      await untilTrue(async () => (await shell.quietly(`etcdctl put w/${n} x`)).code === 0, { what: () => `put w/${n}` });
    }
    await watching.until(/w\/1\n[^]*w\/2\n[^]*w\/3\n/);
    await watching.kill();
    await cluster.restart(first!.name);
  });
});

describe.skipIf(!CAN_COMPARE).each(SIDES)("etcdctl make-mirror from %s", { concurrent: true }, (side) => {
  test("make-mirror copies what is there and what comes, to the other kind of server too", IN_TURN, async ({ expect }) => {
    const [source, target] = await Promise.all([startSide(side), startSide(side === "etcd" ? "quorate" : "etcd")]);
    try {
      const shell = new Transcript({ url: source.url });
      const other = new Transcript({ url: target.url });
      await shell.quietly("etcdctl put /a/1 one; etcdctl put /a/2 two; etcdctl put /b other");
      const mirror = shell.start(`etcdctl make-mirror --prefix /a/ --dest-prefix /copy/ ${target.url.slice("http://".length)}`);
      const copy = async (): Promise<string> => (await other.quietly("etcdctl get --prefix ''")).stdout;
      await expect.poll(copy, { timeout: 20_000 }).toBe("/copy/1\none\n/copy/2\ntwo\n");
      await shell.quietly("etcdctl put /a/3 three; etcdctl del /a/1; etcdctl put /b x");
      await expect.poll(copy, { timeout: 20_000 }).toBe("/copy/2\ntwo\n/copy/3\nthree\n");
      await mirror.kill();
    } finally {
      await Promise.all([source.stop(), target.stop()]);
    }
  });
});
