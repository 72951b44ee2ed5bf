/** Traps of elections and of leadership, each with the schedule that springs it. The name says where the trap was met. */
import { expect, test } from "vitest";
import type { Message } from "../../core/raft/messages.ts";
import { Lab } from "./lab.ts";

const T = 10;

function kinds(messages: readonly Message[]): string[] {
  return messages.map((message) => message.kind);
}

test("T2: a vote leaves only when it is durable, at every step of an election (§3.8)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { preVote: false } });
  lab.slowDisks.add("a").add("b");
  lab.tick("b", 2, T / 2);
  lab.tick("a", 4, T / 2);
  expect(kinds(lab.wire)).toEqual([]); // a's own request waits for a's disk
  lab.crash("a");
  lab.restart("a");
  expect(lab.state("a").term).toBe(1);
  lab.tick("a", 4, T / 2);
  lab.persist("a");
  const requests = lab.wire.filter((message) => message.kind === "vote");
  lab.deliverOnce((message) => message.to === "b");
  expect(lab.state("b").vote).toBe("a");
  expect(lab.wire.some((message) => message.kind === "voteReply")).toBe(false);
  lab.crash("b");
  lab.restart("b");
  expect(lab.state("b").vote).toBeNull(); // and nobody heard of the lost vote
  lab.slowDisks.clear();
  lab.tick("b", 4, T);
  for (const old of requests) lab.hand(old); // replay
  lab.run(4 * T);
  expect([...lab.hosts.keys()].filter((id) => lab.state(id).role === "leader")).toHaveLength(1);
});

test("T9: a removed leader still campaigns while the configuration without it is uncommitted: {a} -> {b} (§4.2.2, cowsql/raft 150)", () => {
  const lab = new Lab({ voters: ["a"] });
  lab.tick("a");
  const added = lab.act("a", (node) => node.proposeConfig({ add: [{ id: "b", meta: "", as: "learner" }] }));
  if (!added.ok) throw new Error(added.why);
  lab.join("b", added.first);
  lab.run(3);
  lab.act("a", (node) => node.proposeConfig({ add: [{ id: "b", meta: "", as: "voter" }], remove: ["a"] }));
  lab.drop();
  lab.crash("a");
  lab.restart("a");
  lab.run(6 * T);
  expect(lab.state("b").role).toBe("leader");
  expect(lab.config("b")).toMatchObject({ voters: ["b"], outgoing: [], removed: ["a"] });
});

test("T10: a learner that is a voter unawares votes when asked (etcd raft, campaign_learner_must_vote.txt)", () => {
  const lab = new Lab({ voters: ["a", "b"] });
  lab.elect("a");
  const added = lab.act("a", (node) => node.proposeConfig({ add: [{ id: "c", meta: "", as: "learner" }] }));
  if (!added.ok) throw new Error(added.why);
  lab.join("c", added.first);
  lab.run(4);
  lab.cut("a", "c");
  lab.act("a", (node) => node.proposeConfig({ add: [{ id: "c", meta: "", as: "voter" }] }));
  lab.deliver();
  expect(lab.config("b").voters).toEqual(["a", "b", "c"]);
  expect(lab.config("c").voters).toEqual(["a", "b"]);
  lab.crash("a");
  lab.run(6 * T);
  expect(lab.state("b").role).toBe("leader");
});

test("T11: a removed member that comes back changes no term (§4.2.3, etcd issue 14893)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.crash("c");
  lab.act("a", (node) => node.proposeConfig({ remove: ["c"] }));
  lab.run(3);
  const { term } = lab.state("a");
  lab.restart("c");
  lab.run(8 * T);
  expect([lab.state("a").term, lab.state("a").role]).toEqual([term, "leader"]);
  expect(lab.state("c").removed).toBe(true);
});

test("T12: a member without pre-vote that was cut off cannot wedge a cluster with pre-vote and quorum check (etcd issues 8243, 8501, 10355)", () => {
  const lab = new Lab({ voters: ["a", "b"] });
  const founder = lab.host("a").disk;
  lab.crash("b");
  const { disk } = lab.host("b");
  lab.hosts.get("b")?.start({ ...lab.host("b").options, preVote: false });
  lab.elect("a");
  lab.propose("a", 3);
  lab.deliver();
  lab.cut("a", "b");
  lab.run(6 * T); // b's term runs away
  expect(lab.state("b").term).toBeGreaterThan(lab.state("a").term);
  lab.heal();
  lab.runUntil(() => ["a", "b"].some((id) => lab.state(id).role === "leader"), 6 * T);
  lab.run(3);
  expect(disk.last).toBe(founder.last);
});

test("T12: of three in a row, a-b-c without a-c, a leader emerges and stays (etcd issue 10355, the partial partition of Jensen et al., 2021)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.cut("a", "c");
  lab.run(6 * T);
  const { term } = lab.state("b");
  lab.run(20 * T);
  expect(lab.state("b").term).toBe(term);
});

test.each(["deaf", "mute"])("T13: a leader that is %s to everybody is replaced within 4 T (§6.2, hashicorp/raft divergence)", (how) => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  for (const other of ["b", "c"]) {
    if (how === "deaf") lab.cutOneWay(other, "a");
    else lab.cutOneWay("a", other);
  }
  lab.runUntil(() => ["b", "c"].some((id) => lab.state(id).role === "leader"), 4 * T);
});

test("T14: a leader whose disk hangs for ever hands over within the limit and 3 T (hashicorp/raft 503, 683)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.slowDisks.add("a");
  lab.propose("a");
  const took = lab.runUntil(() => ["b", "c"].some((id) => lab.state(id).role === "leader"), 20 + 3 * T);
  expect(took).toBeGreaterThan(15);
  const leader = ["b", "c"].find((id) => lab.state(id).role === "leader") as string;
  lab.propose(leader);
  lab.run(5 * T);
  expect(lab.state(leader).role).toBe("leader"); // and the member with the dead disk does not disturb
  expect(lab.state(leader).commit).toBe(lab.state(leader).log.last);
});

test("T15: a slow disk below the limit changes no leader in 100 T (hashicorp/raft 503)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  const { term } = lab.state("a");
  lab.slowDisks.add("a");
  for (let round = 0; round < 100 * T; round++) {
    if (round % 16 === 0) {
      lab.persist("a");
      lab.propose("a");
    }
    lab.run(1);
  }
  expect([lab.state("a").role, lab.state("a").term]).toEqual(["leader", term]);
});

test("T37: after a pause of 5 T queued heartbeats are read before the timer runs out (etcd issue 7617)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  const queued: Message[] = [];
  for (let at = 0; at < 5 * T; at++) {
    lab.tick("a");
    queued.push(...lab.drop((message) => message.to === "b"));
    lab.deliver();
  }
  const { term } = lab.state("b");
  lab.tick("b", 1, 5 * T);
  for (const message of queued) lab.hand(message);
  lab.deliver();
  expect([lab.state("b").role, lab.state("b").term]).toEqual(["follower", term]);
});

test("T38: members restarted within a joint configuration go on with both halves (openraft, commits 6c0ccaf3 and d60f1e85)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  const joint = lab.act("a", (node) =>
    node.proposeConfig({
      add: [
        { id: "d", meta: "", as: "voter" },
        { id: "e", meta: "", as: "voter" },
      ],
      remove: ["b", "c"],
    }),
  );
  if (!joint.ok) throw new Error(joint.why);
  lab.join("d", joint.first);
  lab.join("e", joint.first);
  // The joint entry reaches everybody and is acknowledged by nobody.
  lab.deliverOnce((message) => message.kind === "append" && ["b", "c"].includes(message.to));
  lab.drop();
  for (const id of ["a", "b", "c"]) {
    lab.crash(id);
    lab.restart(id);
    expect(lab.config(id).outgoing).toEqual(["a", "b", "c"]);
  }
  lab.isolate("d");
  lab.isolate("e");
  lab.run(4 * T);
  for (const id of ["a", "b", "c"]) expect(lab.state(id).role).not.toBe("leader"); // the new half is missing
  lab.heal();
  lab.runUntil(() => ["a", "d", "e"].some((id) => lab.state(id).role === "leader" && lab.config(id).outgoing.length === 0), 12 * T);
});

test("T42: an empty member under a reused id does not elect itself in a configuration of the past (openraft FAQ, reuse of a node id)", () => {
  const lab = new Lab({ voters: ["a"] });
  lab.tick("a");
  for (const id of ["b", "c"]) {
    const added = lab.act("a", (node) => node.proposeConfig({ add: [{ id, meta: "", as: "voter" }] }));
    if (!added.ok) throw new Error(added.why);
    lab.join(id, added.first);
    lab.run(4);
  }
  lab.run(2);
  lab.elect("b");
  lab.crash("a");
  lab.act("b", (node) => node.proposeConfig({ remove: ["a"] }));
  lab.deliver();
  expect(lab.act("b", (node) => node.proposeConfig({ add: [{ id: "a", meta: "", as: "voter" }] }))).toMatchObject({
    ok: false,
    why: "config-invalid",
  });
  // Somebody starts an empty one under that name all the same; only the beginning of the log reaches it, where it was alone.
  const empty = lab.join("a", lab.state("b").log.last + 1);
  const first = lab.state("b").log.entry(1);
  if (first === undefined) throw new Error("the log was cut");
  const term = lab.state("b").term;
  lab.hand({ kind: "append", from: "b", to: "a", term, boot: 1, prevIndex: 0, prevTerm: 0, entries: [first], commit: 1, readSeq: 0 });
  expect(lab.config("a").voters).toEqual(["a"]);
  lab.isolate("a");
  for (let round = 0; round < 10 * T; round++) lab.tick("a");
  expect(empty.node?.inspect().role).toBe("follower");
});

test("a joiner with the longest log may campaign before the entry that added it is committed (found by simulation)", () => {
  const lab = new Lab({ voters: ["a"] });
  lab.tick("a");
  const learner = lab.act("a", (node) => node.proposeConfig({ add: [{ id: "b", meta: "", as: "learner" }] }));
  if (!learner.ok) throw new Error(learner.why);
  lab.slowDisks.add("a"); // a sends in parallel with a write that never ends
  const voter = lab.act("a", (node) => node.proposeConfig({ add: [{ id: "b", meta: "", as: "voter" }] }));
  expect(voter.ok).toBe(true);
  lab.persist("a");
  lab.propose("a", 2);
  lab.join("b", voter.ok ? voter.first : 0);
  for (let round = 0; round < 4; round++) {
    lab.tick("a");
    lab.deliver();
  }
  expect(lab.state("b").log.last).toBeGreaterThan(lab.host("a").disk.last);
  lab.crash("a");
  lab.slowDisks.clear();
  lab.restart("a");
  lab.runUntil(() => ["a", "b"].some((id) => lab.state(id).role === "leader"), 8 * T);
});

test("who asks in vain does not set back the timers of those who can win (found by simulation; §3.4)", () => {
  const lab = new Lab({ voters: ["a", "b", "c", "d", "e"], node: { preVote: false } });
  lab.elect("b");
  lab.cut("a", "b");
  lab.cut("a", "c");
  lab.propose("b", 3);
  lab.deliver();
  lab.crash("b");
  lab.crash("d");
  lab.crash("e");
  lab.restart("e");
  lab.heal();
  // a has the shortest timeout and the shortest log; c and e can win.
  lab.runUntil(() => ["c", "e"].some((id) => lab.state(id).role === "leader"), 12 * T);
});

test("a leader whose process was seen to end is replaced within heartbeats, by one member that asks first", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(3);
  lab.crash("a");
  for (const id of ["c", "b"]) lab.act(id, (node) => node.leaderGone("a"));
  expect(lab.state("b").leader).toBeNull();
  expect(lab.runUntil(() => lab.state("b").role === "leader", 3)).toBeLessThanOrEqual(3);
  expect(lab.state("c")).toMatchObject({ role: "follower", leader: "b" });
});

test("its place in the line is taken by the next one, when the first has not what was committed", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("b");
  lab.propose("a");
  lab.run(2);
  lab.heal();
  lab.crash("a");
  for (const id of ["b", "c"]) lab.act(id, (node) => node.leaderGone("a"));
  expect(lab.runUntil(() => lab.state("c").role === "leader", 6)).toBeLessThanOrEqual(6);
});

test("a leader that was wrongly said to be gone leads on: the others, who hear it, give no vote", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(3);
  const { term } = lab.state("a");
  lab.act("b", (node) => node.leaderGone("a"));
  lab.run(3 * T);
  expect(lab.state("a")).toMatchObject({ role: "leader", term });
  expect(lab.state("b")).toMatchObject({ role: "follower", leader: "a", term });
});

test("a promise to a lease binds, whatever was seen of the leader (§6.4.1)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { reads: "lease" } });
  lab.elect("a");
  lab.run(3);
  lab.act("b", (node) => node.leaderGone("a"));
  expect(lab.state("b").leader).toBe("a");
});
