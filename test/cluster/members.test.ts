/** Clusters of real processes: how they begin, grow, shrink, and whom they turn away. */
import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Cluster, statusOf } from "../helpers/start-cluster.ts";
import { etcdVersion } from "../helpers/start-etcd.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { ask, base64, callV3, callV3Until, changeMembers, fromBase64 } from "./http.ts";

const agent = new Agent({ keepAlive: true });
const clusters: Cluster[] = [];

afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster.stop()));
});

async function start(options: Parameters<typeof Cluster.start>[0]): Promise<Cluster> {
  const cluster = await Cluster.start(options);
  clusters.push(cluster);
  return cluster;
}

interface Listed {
  readonly ID: string;
  readonly name?: string;
  readonly peerURLs: string[];
  readonly clientURLs?: string[];
  readonly isLearner?: boolean;
}

const list = async (url: string): Promise<Listed[]> =>
  (await callV3<{ members: Listed[] }>(agent, url, "/v3/cluster/member/list", {})).members;

const put = (url: string, key: string, value: string) => callV3(agent, url, "/v3/kv/put", { key: base64(key), value: base64(value) });
/** For when a leader may just have gone: what was on its way to it has an unknown outcome, and is asked for again. */
const putUntil = (url: string, key: string, value: string) =>
  callV3Until(agent, url, "/v3/kv/put", { key: base64(key), value: base64(value) });

async function get(url: string, key: string): Promise<string | undefined> {
  const reply = await callV3<{ kvs?: { value: string }[] }>(agent, url, "/v3/kv/range", { key: base64(key) });
  return reply.kvs?.[0] === undefined ? undefined : fromBase64(reply.kvs[0].value);
}

/** Waits until every member has told all others about itself: of itself each knows sooner. */
async function untilAllKnown(cluster: Cluster): Promise<void> {
  const known = async (url: string) => (await list(url)).every((one) => one.clientURLs?.length === 1);
  await untilTrue(async () => (await Promise.all(cluster.urls.map(known))).every(Boolean), { what: () => "all know all client URLs" });
}

/** Adds, starts, and waits until it votes. */
async function grow(cluster: Cluster, name: string): Promise<void> {
  const place = await cluster.place(name);
  await changeMembers(agent, cluster.urls[0]!, "add", { peerURLs: [place.peerUrl] });
  await cluster.join(place);
  await untilTrue(async () => (await statusOf(place.url))?.learner === false, { what: () => `${name} votes` });
}

describe("a new cluster", () => {
  test.skipIf(etcdVersion() === undefined)("has the ids that etcd gives to the same addresses, and lists its members alike", async () => {
    const ours = await start({ size: 3 });
    await ours.untilLeader();
    await untilAllKnown(ours);
    const listed = await list(ours.urls[0]!);
    const { cluster_id: clusterId } = (
      await callV3<{ header: Record<string, string> }>(agent, ours.urls[0]!, "/v3/kv/range", { key: "YQ==" })
    ).header;
    await ours.stop();
    // The same addresses again, so that the derived ids can be compared.
    const initial = ours.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    const etcd = await start({ size: 0, kind: "etcd" });
    const flags = ["--initial-cluster", initial, "--initial-cluster-state", "new"];
    for (const one of ours.members) await etcd.join({ ...one, dataDir: tempDir("etcd") }, false, flags);
    await etcd.untilLeader();
    expect(await list(etcd.urls[0]!)).toEqual(listed);
    const header = (await callV3<{ header: Record<string, string> }>(agent, etcd.urls[0]!, "/v3/kv/range", { key: "YQ==" })).header;
    expect(header["cluster_id"]).toBe(clusterId);
  });

  test("is one store: what one member acknowledged, every other reads", async () => {
    const cluster = await start({ size: 3 });
    const leader = await cluster.untilLeader();
    await untilAllKnown(cluster); // a member tells its client URL a moment after its start
    for (const { url, name } of cluster.members) {
      await put(url, name, `by ${name}`);
      for (const other of cluster.urls) expect(await get(other, name)).toBe(`by ${name}`);
    }
    // A follower does the leader's work by asking it: leases, members, the v2 view.
    const follower = cluster.members.find(({ name }) => name !== leader)!;
    const lease = await callV3<{ ID: string }>(agent, follower.url, "/v3/lease/grant", { TTL: "600" });
    expect(Number((await callV3<{ TTL: string }>(agent, follower.url, "/v3/lease/timetolive", { ID: lease.ID })).TTL)).toBeGreaterThan(300);
    expect((await ask(agent, follower.url, "PUT", "/v2/keys/v2", "value=1", "application/x-www-form-urlencoded"))?.status).toBe(201);
    const machines = (await ask(agent, follower.url, "GET", "/v2/machines"))!.text.split(", ");
    expect(machines.toSorted()).toEqual(cluster.urls.toSorted());
    // The loss of one is survived, the loss of two is not, and is said so.
    await cluster.member(leader).process.kill("SIGKILL");
    const left = cluster.members.filter(({ name }) => name !== leader);
    await putUntil(left[0]!.url, "after", "the first loss");
    expect(await get(left[1]!.url, "after")).toBe("the first loss");
    await left[1]!.process.kill("SIGKILL");
    await untilTrue(async () => (await statusOf(left[0]!.url))?.leader === "0", { what: () => "the last one knows that it has no leader" });
    const health = await ask(agent, left[0]!.url, "GET", "/health");
    expect([health?.status, health?.text]).toEqual([503, '{"health":"false","reason":"RAFT NO LEADER"}']);
    const local = await callV3<{ kvs: unknown[] }>(agent, left[0]!.url, "/v3/kv/range", { key: base64("after"), serializable: true });
    expect(local.kvs).toHaveLength(1);
    const refused = await ask(agent, left[0]!.url, "POST", "/v3/kv/put", JSON.stringify({ key: base64("k"), value: "" }));
    expect(refused?.status).toBe(503);
    // All of them again: nothing is lost.
    await Promise.all([cluster.restart(leader), cluster.restart(left[1]!.name)]);
    expect(await get(cluster.member(leader).url, "after")).toBe("the first loss");
  });

  test("meets over TLS with certificates on both sides, and turns others away", async () => {
    const keys = tempDir("tls");
    const run = (...args: string[]) => execFileSync("openssl", args, { cwd: keys, stdio: "pipe" });
    const days = ["-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    for (const ca of ["ca", "other-ca"]) run("req", "-x509", ...days, "-keyout", `${ca}.key`, "-out", `${ca}.pem`, "-subj", `/CN=${ca}`);
    const issue = (name: string, ca: string) => {
      run(
        "req",
        "-x509",
        ...days,
        "-keyout",
        `${name}.key`,
        "-out",
        `${name}.pem`,
        "-subj",
        `/CN=${name}`,
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-CA",
        `${ca}.pem`,
        "-CAkey",
        `${ca}.key`,
      );
    };
    issue("member", "ca");
    issue("stranger", "other-ca");
    const flags = (name: string) => [
      ...["--peer-cert-file", join(keys, `${name}.pem`), "--peer-key-file", join(keys, `${name}.key`)],
      ...["--peer-client-cert-auth", "--peer-trusted-ca-file", join(keys, "ca.pem")],
    ];
    const cluster = await start({ size: 3, scheme: "https", flags: flags("member") });
    const leader = await cluster.untilLeader();
    await put(cluster.urls[0]!, "secret", "1");
    const follower = cluster.members.find(({ name }) => name !== leader)!;
    await cluster.restart(follower.name, flags("stranger"), false);
    await untilTrue(() => /turned away|TLS/.test(cluster.member(leader).process.output()), {
      what: () => cluster.member(leader).process.output(),
    });
    await put(cluster.member(leader).url, "secret", "2");
    await cluster.restart(follower.name);
    expect(await get(follower.url, "secret")).toBe("2");
  });
});

describe("members", () => {
  test("a member alone grows to three and five under its own weight, moves its leader, and shrinks to what is left", async () => {
    const cluster = await start({ size: 1 });
    await put(cluster.urls[0]!, "before", "growing");
    for (const name of ["m2", "m3", "m4", "m5"]) await grow(cluster, name);
    expect(await get(cluster.member("m5").url, "before")).toBe("growing");
    const ids = new Map((await list(cluster.urls[0]!)).map((one) => [one.name!, one.ID]));
    const leader = await cluster.untilLeader();
    const next = cluster.members.find(({ name }) => name !== leader)!.name;
    await callV3(agent, cluster.member(leader).url, "/v3/maintenance/transfer-leadership", { targetID: ids.get(next) });
    expect(await cluster.untilLeader()).toBe(next);
    // The leader is removed too; each one that is removed ends by itself, in order.
    for (const name of [next, ...cluster.members.map((one) => one.name).filter((one) => one !== next)].slice(0, 4)) {
      const gone = cluster.member(name);
      const asked = cluster.members.find((one) => one.name !== name)!;
      await changeMembers(agent, asked.url, "remove", { ID: ids.get(name) });
      expect((await gone.process.exited).code).toBe(0);
      expect(gone.process.output()).toContain("removed this one from the cluster");
      expect(gone.process.output()).toContain("ready to serve");
      // Started again it finds out, and has not called itself ready before.
      await cluster.restart(name, [], false);
      expect((await cluster.member(name).process.exited).code).toBe(0);
      expect(cluster.member(name).process.output()).toContain("removed this one from the cluster");
      expect(cluster.member(name).process.output()).not.toContain("ready to serve");
      cluster.forget(name);
      await putUntil(asked.url, "after", name);
    }
    expect(await list(cluster.urls[0]!)).toHaveLength(1);
    const again = await ask(agent, cluster.urls[0]!, "DELETE", `/v2/members/${BigInt(ids.get(next)!).toString(16)}`);
    expect(again?.status).toBe(410);
  });

  test("a learner is added, does not count, and is promoted when it has caught up", async () => {
    const cluster = await start({ size: 1 });
    const place = await cluster.place("m2");
    const { member } = await callV3<{ member: Listed }>(agent, cluster.urls[0]!, "/v3/cluster/member/add", {
      peerURLs: [place.peerUrl],
      isLearner: true,
    });
    expect(member.isLearner).toBe(true);
    const early = await ask(agent, cluster.urls[0]!, "POST", "/v3/cluster/member/promote", JSON.stringify({ ID: member.ID }));
    expect(early?.text).toContain("can only promote a learner member which is in sync with leader");
    await put(cluster.urls[0]!, "k", "without it");
    await cluster.join(place, false);
    await untilTrue(async () => ((await statusOf(place.url))?.applied ?? 0) > 1, { what: () => "the learner follows" });
    expect((await statusOf(place.url))?.learner).toBe(true);
    const read = { key: base64("k") };
    await untilTrue(
      async () => (await callV3<{ kvs?: unknown[] }>(agent, place.url, "/v3/kv/range", { ...read, serializable: true })).kvs?.length === 1,
      { what: () => "the learner has what was written" },
    );
    const streams = ["/v3/lease/keepalive", "/v3/watch", "/v3/maintenance/snapshot"];
    for (const path of ["/v3/kv/range", "/v3/kv/put", "/v3/cluster/member/list", "/v3/lock/lock", ...streams]) {
      const refused = await ask(agent, place.url, "POST", path, JSON.stringify(read));
      expect([path, refused?.status, refused?.text]).toEqual([path, 503, expect.stringContaining("rpc not supported for learner")]);
    }
    expect((await ask(agent, place.url, "PUT", "/v2/keys/k", "value=1", "application/x-www-form-urlencoded"))?.status).toBe(201);
    const promote = () => ask(agent, cluster.urls[0]!, "POST", "/v3/cluster/member/promote", JSON.stringify({ ID: member.ID }));
    await untilTrue(async () => (await promote())?.status === 200, { what: () => "promotion" });
    await untilTrue(async () => (await statusOf(place.url))?.learner === false, { what: () => "it knows that it votes" });
    expect((await list(place.url)).every((one) => one.isLearner !== true)).toBe(true);
    const twice = await promote();
    expect(twice?.text).toContain("can only promote a learner member");
  });

  test("changes that could not be carried are refused, and nothing changes", async () => {
    const cluster = await start({ size: 3 });
    const leader = await cluster.untilLeader();
    const members = await list(cluster.urls[0]!);
    const taken = await ask(agent, cluster.urls[0]!, "POST", "/v3/cluster/member/add", JSON.stringify({ peerURLs: members[0]!.peerURLs }));
    expect(taken?.text).toContain("Peer URLs already exists");
    const [dead, alive] = cluster.members.filter(({ name }) => name !== leader);
    await untilAllKnown(cluster);
    await dead!.process.kill("SIGKILL");
    const connected = async () =>
      (await ask(agent, cluster.member(leader).url, "GET", "/metrics"))?.text.match(/quorate_peer_connected\{.*\} 1/g)?.length;
    await untilTrue(async () => (await connected()) === 1, { what: () => "the leader knows that one is gone" });
    const idOf = (name: string) => members.find((one) => one.name === name)!.ID;
    const unwise = await ask(agent, alive!.url, "POST", "/v3/cluster/member/remove", JSON.stringify({ ID: idOf(alive!.name) }));
    expect(unwise?.text).toContain("unhealthy cluster");
    expect(await list(cluster.member(leader).url)).toHaveLength(3);
    await changeMembers(agent, alive!.url, "remove", { ID: idOf(dead!.name) });
    expect(await list(cluster.member(leader).url)).toHaveLength(2);
  });

  test("a voter under a wrong peer URL takes part over the connections that it dials, leads too, and hears of its removal", async () => {
    const cluster = await start({ size: 3 });
    await cluster.untilLeader();
    const { ID } = (await list(cluster.urls[0]!)).find(({ name }) => name === "m3")!;
    await callV3(agent, cluster.urls[0]!, "/v3/cluster/member/update", { ID, peerURLs: ["http://127.0.0.1:1"] });
    await cluster.member("m3").process.kill("SIGKILL");
    await cluster.restart("m3"); // the others have no connection to it any more
    await putUntil(cluster.member("m3").url, "by", "m3");
    expect(await get(cluster.urls[0]!, "by")).toBe("m3");
    const leader = await cluster.untilLeader();
    await callV3(agent, cluster.member(leader).url, "/v3/maintenance/transfer-leadership", { targetID: ID });
    expect(await cluster.untilLeader()).toBe("m3");
    await putUntil(cluster.urls[0]!, "led by", "m3");
    expect(await get(cluster.urls[1]!, "led by")).toBe("m3");
    await changeMembers(agent, cluster.urls[0]!, "remove", { ID });
    expect((await cluster.member("m3").process.exited).code).toBe(0);
    expect(cluster.member("m3").process.output()).toContain("removed this one from the cluster");
  });

  test("T39: an empty disk under an old id is refused, by those who are up at its start and by those who come later", async () => {
    const cluster = await start({ size: 3 });
    await cluster.untilLeader();
    await untilAllKnown(cluster);
    const initial = ["--initial-cluster", cluster.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",")];
    await cluster.member("m3").process.kill("SIGKILL");
    rmSync(cluster.member("m3").dataDir, { recursive: true });
    await expect(cluster.restart("m3", initial)).rejects.toThrow("has already been bootstrapped");
    await putUntil(cluster.urls[0]!, "k", "without m3");
    // Nobody is there to tell it: it starts, and is found out when the others come back. They go on without it.
    await Promise.all(["m1", "m2"].map((name) => cluster.member(name).process.kill("SIGKILL")));
    await cluster.restart("m3", initial, false);
    await untilTrue(() => cluster.member("m3").process.output().includes("Listening"), { what: () => "m3 is up" });
    await Promise.all([cluster.restart("m1", [], false), cluster.restart("m2", [], false)]);
    const m3 = cluster.member("m3").process;
    expect((await m3.exited).code).toBe(1);
    expect(m3.output()).toContain("another disk than it had");
    await Promise.all(["m1", "m2"].map((name) => cluster.member(name).process.untilReady()));
    expect(await get(cluster.urls[0]!, "k")).toBe("without m3");
  });

  test("T29: a copy of an old disk is refused", async () => {
    const cluster = await start({ size: 3 });
    await cluster.untilLeader();
    const m3 = cluster.member("m3");
    await m3.process.kill("SIGTERM");
    const copy = tempDir("copy");
    cpSync(m3.dataDir, copy, { recursive: true });
    for (const port of [11, 12]) {
      // Known to the others together with the boot: only what they have agreed on is final for the copy.
      const clientUrl = `http://127.0.0.1:${port}`;
      await cluster.restart("m3", ["--advertise-client-urls", clientUrl]);
      const told = async () => (await list(cluster.urls[0]!)).find(({ name }) => name === "m3")?.clientURLs?.[0] === clientUrl;
      await untilTrue(told, { what: () => "the others know of the new boot" });
      await cluster.member("m3").process.kill("SIGTERM");
    }
    rmSync(m3.dataDir, { recursive: true });
    cpSync(copy, m3.dataDir, { recursive: true });
    await cluster.restart("m3", [], false);
    expect((await cluster.member("m3").process.exited).code).toBe(1);
    expect(cluster.member("m3").process.output()).toContain("a copy of an old disk");
  });

  test("who was never added is told so", async () => {
    const cluster = await start({ size: 1 });
    const place = await cluster.place("m2");
    await expect(cluster.join(place)).rejects.toThrow("add it first");
  });
});
