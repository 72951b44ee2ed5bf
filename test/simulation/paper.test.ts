/** One test a rule of the paper: Ongaro, "Consensus: Bridging Theory and Practice" (2014), by section. */
import { expect, test } from "vitest";
import type { Append, Message } from "../../core/raft/messages.ts";
import type { Entry } from "../../core/raft/types.ts";
import { Disk } from "./disk.ts";
import { Lab } from "./lab.ts";

const T = 10;

/** A member whose log after the founding entry has these terms. */
function withLog(lab: Lab, id: string, terms: readonly number[], term: number): void {
  const founding = lab.host(id).disk.entries[0] as Entry;
  lab.crash(id);
  lab.hosts.delete(id);
  const entries = terms.map((each, at): Entry => ({ index: at + 2, term: each, kind: "data", data: new Uint8Array([each]) }));
  lab.add(id, new Disk({ term, vote: null, commit: 1 }, [founding, ...entries], 0));
}

function vote(from: string, to: string, term: number, lastTerm: number, lastIndex: number): Message {
  return { kind: "vote", from, to, term, boot: 1, lastTerm, lastIndex, transfer: true };
}

test("§3.3: a member that sees a newer term takes it; a candidate or leader becomes a follower", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.hand({ kind: "heartbeatReply", from: "b", to: "a", term: 9, boot: 1, readSeq: 0, lastIndex: 2, amnesiac: false });
  expect([lab.state("a").role, lab.state("a").term]).toEqual(["follower", 9]);
});

test("§3.3: a message of an earlier term changes nothing and is answered with the present one", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  const { last } = lab.state("b").log;
  lab.drop();
  lab.hand({ kind: "append", from: "c", to: "b", term: 1, boot: 1, prevIndex: 1, prevTerm: 1, entries: [], commit: 1, readSeq: 0 });
  expect(lab.state("b").log.last).toBe(last);
  expect(lab.wire).toMatchObject([{ kind: "appendReply", to: "c", term: 2, accepted: false }]);
});

test("§3.4: members start as followers, and a silence makes a candidate that votes for itself and asks the others", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { preVote: false } });
  expect(lab.state("a").role).toBe("follower");
  lab.tick("a", T + 1);
  expect(lab.state("a")).toMatchObject({ role: "candidate", term: 2, vote: "a" });
  expect(lab.wire.map((message) => `${message.kind} ${message.to}`)).toEqual(["vote b", "vote c"]);
});

test("§3.4: a member gives one vote a term, first come first served, and repeats it", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.hand(vote("a", "c", 5, 1, 1));
  lab.hand(vote("b", "c", 5, 1, 1));
  lab.hand(vote("a", "c", 5, 1, 1));
  expect(lab.wire.map((message) => message.kind === "voteReply" && `${message.to} ${message.granted}`)).toEqual([
    "a true",
    "b false",
    "a true",
  ]);
});

test("§3.4: a candidate that hears a leader of its term follows it", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { preVote: false } });
  lab.tick("a", T + 1);
  lab.hand({ kind: "append", from: "b", to: "a", term: 2, boot: 1, prevIndex: 1, prevTerm: 1, entries: [], commit: 1, readSeq: 0 });
  expect(lab.state("a")).toMatchObject({ role: "follower", term: 2, leader: "b", vote: "a" });
});

test("§3.4: a leader sends heartbeats to everybody, however idle it is", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.drop();
  lab.tick("a");
  expect(lab.wire.filter((message) => message.kind === "heartbeat").map((message) => message.to)).toEqual(["b", "c"]);
});

test("§3.5: entries are committed once a majority has them, and the commit index travels with the next message", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("c");
  const proposed = lab.propose("a");
  if (!proposed.ok) throw new Error(proposed.why);
  lab.deliver((message) => message.kind === "append");
  expect(lab.state("a").commit).toBeLessThan(proposed.last);
  lab.deliver((message) => message.kind === "appendReply");
  expect(lab.state("a").commit).toBe(proposed.last);
  expect(lab.state("b").commit).toBeLessThan(proposed.last);
  lab.deliver();
  expect(lab.state("b").commit).toBe(proposed.last);
});

test("§3.5: an append is refused where the entry before it does not match", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  const append = (prevIndex: number, prevTerm: number): Append => ({
    kind: "append",
    from: "a",
    to: "b",
    term: 3,
    boot: 1,
    prevIndex,
    prevTerm,
    entries: [],
    commit: 1,
    readSeq: 0,
  });
  for (const [index, term] of [
    [5, 2],
    [1, 2],
    [1, 1],
  ] as const)
    lab.hand(append(index, term));
  expect(lab.wire.map((message) => message.kind === "appendReply" && message.accepted)).toEqual([false, false, true]);
});

test.each([
  ["(a) one entry short", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
  ["(b) far behind", [1, 1, 1, 4]],
  ["(c) an entry too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
  ["(d) two of another term too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
  ["(e) an old branch", [1, 1, 1, 4, 4, 4, 4]],
  ["(f) two old branches", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
])("§3.5, figure 3.6: the leader of term 8 brings a follower into line: %s", (_what, terms) => {
  const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  const lab = new Lab({ voters: ["a", "b", "c"] });
  withLog(lab, "a", leader, 7);
  withLog(lab, "b", terms, 7);
  withLog(lab, "c", leader.slice(0, 3), 7);
  lab.isolate("b"); // (d) would not vote for it
  lab.elect("a");
  lab.heal();
  lab.run(4);
  expect(lab.terms("b")).toEqual([1, ...leader, 8]);
  expect(lab.allEqual()).toBe(true);
});

test.each([
  [1, 1, false],
  [1, 9, false],
  [2, 3, false],
  [2, 4, true],
  [2, 5, true],
  [3, 1, true],
])("§3.6.1: a voter with its log at (term 2, index 4) answers a candidate at (term %i, index %i): %s", (lastTerm, lastIndex, granted) => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  withLog(lab, "b", [1, 2, 2], 3);
  lab.hand(vote("a", "b", 4, lastTerm, lastIndex));
  expect(lab.wire).toMatchObject([{ kind: "voteReply", granted }]);
});

test("§3.8: term, vote and log survive a restart", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.propose("a", 3);
  lab.deliver();
  const { term, vote: given, log } = lab.state("b");
  lab.crash("b");
  lab.restart("b");
  expect([lab.state("b").term, lab.state("b").vote, lab.state("b").log.last]).toEqual([term, given, log.last]);
});

test("§3.10: a leader hands over, and gives up after T when the other does not take it", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(1);
  lab.isolate("b");
  lab.propose("a");
  lab.deliver();
  expect(lab.act("a", (node) => node.transferLeadership("b")).ok).toBe(true);
  expect(lab.propose("a")).toMatchObject({ ok: false, why: "transferring" });
  lab.run(T);
  expect(lab.propose("a").ok).toBe(true);
  lab.heal();
  lab.run(2);
  lab.act("a", (node) => node.transferLeadership("b"));
  lab.deliver();
  expect(lab.state("b").role).toBe("leader");
});

test("§4.2.1: a learner counts for nothing until it is promoted", () => {
  const lab = new Lab({ voters: ["a", "b"] });
  lab.elect("a");
  const added = lab.act("a", (node) => node.proposeConfig({ add: [{ id: "c", meta: "", as: "learner" }] }));
  if (!added.ok) throw new Error(added.why);
  lab.join("c", added.first);
  lab.run(3);
  lab.isolate("b");
  const { commit } = lab.state("a");
  lab.propose("a");
  lab.run(3);
  expect(lab.state("a").commit).toBe(commit);
});

test("§4.2.3: a member that heard its leader lately refuses votes and does not take the term", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(1);
  const { term } = lab.state("b");
  lab.hand({ kind: "vote", from: "c", to: "b", term: term + 5, boot: 1, lastTerm: 99, lastIndex: 99, transfer: false });
  expect(lab.state("b").term).toBe(term);
});

test("§4.3: in a joint configuration both majorities are needed to commit", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(1);
  const add = ["d", "e"].map((id) => ({ id, meta: "", as: "voter" as const }));
  const joint = lab.act("a", (node) => node.proposeConfig({ add, remove: ["b", "c"] }));
  if (!joint.ok) throw new Error(joint.why);
  for (const id of ["d", "e"]) lab.join(id, joint.first);
  for (const id of ["b", "c"]) lab.isolate(id);
  lab.run(4);
  expect(lab.state("a").commit).toBeLessThan(joint.first);
  lab.heal();
  lab.run(4);
  expect(lab.config("a").voters).toEqual(["a", "d", "e"]);
});

test("§6.2: a leader that hears no majority for T steps down", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("a");
  for (let at = 0; at < 2 * T; at++) lab.tick("a");
  expect(lab.state("a").role).toBe("follower");
});

test("§9.6: a pre-vote changes no term, neither of who asks nor of who answers", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.tick("a", T + 1);
  lab.tick("b", T);
  lab.deliverOnce((message) => message.to === "b");
  expect([lab.state("a").term, lab.state("b").term, lab.state("b").vote]).toEqual([1, 1, null]);
  expect(lab.wire.filter((message) => message.kind === "preVoteReply")).toMatchObject([{ granted: true, term: 2 }]);
});
