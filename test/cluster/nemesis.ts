/**
 * What goes wrong in a cluster of real processes while clients use it, drawn from a seed: kills, pauses, restarts of all, cut links in
 * one or both directions, disks that hang or are slow, leadership handed over, members replaced. One fault at a time, each long enough
 * for an election, and calm in between. At most a minority is hurt, unless it is everybody at once for a moment.
 */
import { rmSync } from "node:fs";
import type { Agent } from "node:http";
import type { Random } from "../differential/random.ts";
import type { Cluster } from "../helpers/start-cluster.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import type { BadDisk } from "./bad-disk.ts";
import { callV3, changeMembers } from "./http.ts";
import type { PeerProxy } from "./peer-proxy.ts";

export interface NemesisOptions {
  readonly cluster: Cluster;
  readonly proxy: PeerProxy;
  /** By member; empty where a disk cannot be made to misbehave. */
  readonly disks: ReadonlyMap<string, BadDisk>;
  readonly random: Random;
  readonly agent: Agent;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export class Nemesis {
  readonly #options: NemesisOptions;
  /** How often each fault happened. */
  readonly counts: Record<string, number> = {};
  #replaced = 0;

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /** All faults, each once, in an order of chance. */
  async all(): Promise<void> {
    const faults = [...FAULTS];
    while (faults.length > 0) {
      const [fault] = faults.splice(this.#options.random.int(faults.length), 1);
      await this.once(fault!);
    }
  }

  async once(fault: Fault): Promise<void> {
    this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    const { cluster } = this.#options;
    const leader = await cluster.untilLeader();
    const names = cluster.members.map(({ name }) => name);
    const followers = names.filter((name) => name !== leader);
    const follower = followers[this.#options.random.int(followers.length)]!;
    await this.#do(fault, leader, follower, names);
    await cluster.untilLeader();
    await pause(300);
  }

  async #do(fault: Fault, leader: string, follower: string, names: readonly string[]): Promise<void> {
    const { cluster, proxy, disks } = this.#options;
    const others = names.filter((name) => name !== leader);
    switch (fault) {
      case "kill leader":
        return this.#kill([leader], 1_500);
      case "kill follower":
        return this.#kill([follower], 500);
      case "kill all":
        return this.#kill(names, 100);
      case "stop in order":
        await cluster.member(leader).process.kill("SIGTERM");
        return cluster.restart(leader);
      case "pause leader": {
        cluster.member(leader).process.signal("SIGSTOP");
        await cluster.untilLeader(others);
        await pause(500);
        cluster.member(leader).process.signal("SIGCONT");
        return;
      }
      case "cut off leader":
        return this.#cut(others.flatMap((name) => [`${leader}>${name}`, `${name}>${leader}`]));
      case "leader is deaf":
        return this.#cut(others.map((name) => `${name}>${leader}`));
      case "leader is mute":
        return this.#cut(others.map((name) => `${leader}>${name}`));
      case "cut one link":
        return this.#cut([`${leader}>${follower}`, `${follower}>${leader}`]);
      case "disk hangs": {
        disks.get(leader)?.stall();
        await pause(4_000);
        disks.get(leader)?.recover();
        return;
      }
      case "disk is slow": {
        disks.get(follower)?.slow(150);
        await pause(1_500);
        disks.get(follower)?.recover();
        return;
      }
      case "hand over": {
        const id = (await cluster.statuses()).get(follower)?.id;
        await callV3(this.#options.agent, cluster.member(leader).url, "/v3/maintenance/transfer-leadership", { targetID: id }).catch(
          () => {},
        );
        return;
      }
      case "replace member":
        return this.#replace(follower);
    }
    proxy.heal();
  }

  async #kill(names: readonly string[], forMs: number): Promise<void> {
    const { cluster } = this.#options;
    await Promise.all(names.map((name) => cluster.member(name).process.kill("SIGKILL")));
    await pause(forMs);
    await Promise.all(names.map((name) => cluster.restart(name)));
  }

  async #cut(links: readonly string[]): Promise<void> {
    const { cluster, proxy } = this.#options;
    const ids = new Map([...(await cluster.statuses())].map(([name, { id }]) => [name, id]));
    for (const link of links) {
      const [from, to] = link.split(">").map((name) => ids.get(name)!);
      proxy.cut(from!, to!);
    }
    await pause(2_500);
    proxy.heal();
  }

  /** Removed, and added under a new id with an empty disk: what an operator does about a broken machine. */
  async #replace(name: string): Promise<void> {
    const { cluster, agent } = this.#options;
    const { id } = (await cluster.statuses()).get(name)!;
    const gone = cluster.member(name);
    const asked = cluster.members.find((one) => one.name !== name)!;
    await changeMembers(agent, asked.url, "remove", { ID: id });
    await gone.process.exited;
    rmSync(gone.dataDir, { recursive: true });
    cluster.forget(name);
    const place = await cluster.place(`r${++this.#replaced}`);
    await changeMembers(agent, asked.url, "add", { peerURLs: [place.advertised] });
    await cluster.join(place);
    const votes = async () => (await cluster.statuses([place.name])).get(place.name)?.learner === false;
    await untilTrue(votes, { timeoutMs: 20_000, what: () => `${place.name} votes` });
  }
}

export const FAULTS = [
  "kill leader",
  "kill follower",
  "kill all",
  "stop in order",
  "pause leader",
  "cut off leader",
  "leader is deaf",
  "leader is mute",
  "cut one link",
  "disk hangs",
  "disk is slow",
  "hand over",
  "replace member",
] as const;
export type Fault = (typeof FAULTS)[number];
