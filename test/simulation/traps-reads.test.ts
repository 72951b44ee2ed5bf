/** Traps of reads and leases. Each name says where the trap was met. */
import { expect, test } from "vitest";
import type { Message } from "../../core/raft/messages.ts";
import { Lab } from "./lab.ts";

const T = 10;

test("T3: a new leader that is behind in commit answers no read before an entry of its term is committed (etcd issue 7331)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  lab.propose("a", 3);
  lab.deliver((message) => message.to !== "a" && message.kind === "append"); // b and c have it, nobody knows that it is committed
  lab.deliver((message) => message.to === "a" && message.from === "c"); // a knows
  const committed = lab.state("a").commit;
  lab.drop();
  lab.crash("a");
  lab.tick("c", 2, T / 2);
  lab.tick("b", 2, T / 2);
  lab.act("b", (node) => node.campaign());
  lab.deliver((message) => message.kind !== "append");
  expect(lab.state("b").role).toBe("leader");
  expect(lab.state("b").commit).toBeLessThan(committed);
  const ctx = lab.read("b");
  lab.deliver((message) => message.kind === "heartbeat" || message.kind === "heartbeatReply");
  expect(lab.reading.has(ctx)).toBe(false);
  lab.deliver();
  expect(lab.reading.get(ctx)).toBeGreaterThanOrEqual(committed);
});

test("T4: a member alone answers no read after a restart before it knows its own commit index (etcd raft issue 105)", () => {
  const lab = new Lab({ voters: ["a"] });
  lab.tick("a");
  lab.propose("a", 3);
  const committed = lab.state("a").commit;
  lab.crash("a");
  const { disk } = lab.host("a");
  disk.hard = { ...disk.hard, commit: 1 }; // the hint was never synced
  lab.restart("a");
  const early = lab.read("a");
  expect(lab.reading.get(early)).toBe("failed"); // no leader yet
  lab.slowDisks.add("a");
  lab.tick("a");
  lab.persist("a", 1); // vote and term; the no-op is under way
  const ctx = lab.read("a");
  expect(lab.state("a").role).toBe("leader");
  expect(lab.reading.has(ctx)).toBe(false);
  lab.persist("a");
  expect(lab.reading.get(ctx)).toBeGreaterThan(committed);
});

test("T5: an old reply confirms no newer read, duplicated and delayed over a change of leaders (etcd issue 20418)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  const first = lab.read("a");
  lab.deliver((message) => message.kind === "heartbeat");
  const replies = lab.drop((message) => message.kind === "heartbeatReply");
  for (const reply of replies) lab.hand(reply);
  expect(lab.reading.get(first)).toBeTypeOf("number");
  lab.isolate("a");
  lab.elect("b");
  lab.propose("b");
  lab.deliver();
  expect(lab.state("a").role).toBe("leader"); // paused, say; it does not know
  const second = lab.read("a");
  lab.heal();
  for (const reply of [...replies, ...replies]) lab.hand(reply);
  expect(lab.reading.has(second)).toBe(false);
  lab.run(2);
  expect(lab.reading.get(second)).toBe("failed");
});

test("an answer to a message of an earlier term confirms no read of the later one (found by simulation)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  // In its first term the leader counts its rounds of reads up to five; the last message to b is late.
  for (let n = 0; n < 5; n++) {
    lab.read("a");
    if (n < 4) lab.deliver();
  }
  const [late] = lab.drop((message) => message.to === "b" && message.kind === "heartbeat");
  expect(late).toMatchObject({ readSeq: 5 });
  lab.deliver();
  lab.elect("b");
  lab.run(2);
  lab.elect("a");
  lab.run(2);
  lab.hand(late!);
  const replies = lab.drop((message) => message.from === "b" && message.kind === "appendReply");
  expect(replies).toHaveLength(1);
  lab.isolate("a");
  lab.elect("c");
  lab.propose("c");
  lab.deliver();
  expect(lab.state("a").role).toBe("leader"); // paused, say; it does not know
  const second = lab.read("a");
  lab.heal();
  for (const reply of replies) lab.hand(reply);
  expect(lab.reading.has(second)).toBe(false);
});

test("T6: a leader cut off from everybody answers no read while somebody else writes (d-engine 381, hashicorp/raft 603)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { checkQuorum: false } });
  lab.elect("a");
  lab.run(2);
  lab.isolate("a");
  lab.elect("b");
  lab.propose("b");
  lab.deliver();
  const ctx = lab.read("a");
  for (let round = 0; round < 5 * T; round++) lab.tick("a");
  expect(lab.reading.has(ctx)).toBe(false);
  lab.heal();
  lab.run(2);
  expect(lab.reading.get(ctx)).toBe("failed"); // definite, as soon as it knows
});

test("T38: a read in a joint configuration needs both halves (openraft, commit d60f1e85)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
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
  lab.isolate("d");
  lab.isolate("e");
  const ctx = lab.read("a");
  lab.deliver();
  expect(lab.reading.has(ctx)).toBe(false);
  lab.heal();
  lab.run(4);
  expect(lab.reading.get(ctx)).toBeTypeOf("number");
});

test("a follower's read goes through the leader; lost, it fails within T; never twice", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  const ctx = lab.read("b");
  lab.deliver();
  expect(lab.reading.get(ctx)).toBe(lab.state("a").commit);
  const lost = lab.read("b");
  lab.drop((message) => message.kind === "readRequest");
  lab.run(T);
  expect(lab.reading.get(lost)).toBe("failed");
});

test("more reads than the limit are refused at once", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { maxPendingReads: 2 } });
  lab.elect("a");
  const asked = [1, 2, 3].map(() => lab.read("a"));
  expect(asked.map((ctx) => lab.reading.get(ctx))).toEqual([undefined, undefined, "failed"]);
});

test("T36: a lease answers at once, and not a tick beyond what drift and followers' promises allow (§6.4.1)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { reads: "lease", maxClockDriftPpm: 100_000 } });
  lab.elect("a");
  lab.run(3);
  expect(lab.reading.get(lab.read("a"))).toBe(lab.state("a").commit);
  lab.isolate("a");
  lab.drop();
  lab.tick("a", 1, 6); // 9 ticks at 10 % drift, less two of granularity, from the last round
  expect(lab.node("a").hasLease()).toBe(true);
  lab.tick("a", 1, 2);
  expect(lab.node("a").hasLease()).toBe(false);
});

test("T36: a transfer ends the lease, even one that fails (raft-rs 141)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { reads: "lease" } });
  lab.elect("a");
  lab.run(3);
  expect(lab.node("a").hasLease()).toBe(true);
  lab.act("a", (node) => node.transferLeadership("b"));
  lab.drop((message) => message.kind === "timeoutNow");
  lab.run(2 * T);
  expect(lab.state("a").transferTo).toBeNull();
  expect(lab.state("a").role).toBe("leader");
  expect(lab.node("a").hasLease()).toBe(false);
});

test("an election asked for by hand waits for the lease that the own vote is promised to (found by simulation; §6.4.1)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { reads: "lease", preVote: false } });
  lab.elect("a");
  lab.run(2 * T);
  lab.cut("a", "c");
  lab.tick("c", 2, T / 2); // c heard nobody for T, b did
  lab.isolate("a");
  lab.drop();
  lab.act("b", (node) => node.campaign());
  lab.deliver();
  expect(lab.node("a").hasLease()).toBe(true);
  expect(lab.state("b").role).toBe("follower");
});

test("a sole voter that restarts waits for the lease of the leader that is leaving (found by simulation)", () => {
  const lab = new Lab({ voters: ["a", "b"], node: { reads: "lease" } });
  lab.elect("a");
  lab.run(3);
  lab.act("a", (node) => node.proposeConfig({ remove: ["a"] }));
  lab.deliver((message) => message.kind === "append" || (message.kind === "appendReply" && lab.config("a").outgoing.length > 0));
  expect(lab.config("b")).toMatchObject({ voters: ["b"], outgoing: [] });
  expect(lab.node("a").hasLease()).toBe(true);
  lab.isolate("a");
  lab.crash("b");
  lab.restart("b");
  lab.tick("b");
  expect(lab.state("b").role).toBe("follower");
});

test("T36: restarted members refuse votes for T, so that a lease they acknowledged holds (§6.4.1)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], node: { reads: "lease", preVote: false } });
  lab.elect("a");
  lab.run(3);
  lab.isolate("a");
  lab.drop();
  for (const id of ["b", "c"]) {
    lab.crash(id);
    lab.restart(id);
  }
  const { term, log } = lab.state("c");
  lab.hand({ kind: "vote", from: "b", to: "c", term: term + 1, boot: 9, lastTerm: log.lastTerm, lastIndex: log.last, transfer: false });
  expect([lab.state("c").term, lab.state("c").vote]).toEqual([term, "a"]);
  expect(lab.node("a").hasLease()).toBe(true);
});

test("step() is total: any well-formed message in any state neither throws nor breaks an invariant", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  const seen = [...lab.delivered];
  for (const role of ["leader", "follower"]) {
    const id = role === "leader" ? "a" : "b";
    for (const message of seen)
      for (const from of ["b", "c", "stranger"]) {
        const clone = lab.node(id).clone();
        const meant: Message = { ...message, from: from === id ? "c" : from, to: id };
        clone.step(meant);
        while (clone.hasReady()) clone.ready();
      }
  }
  expect(seen.length).toBeGreaterThan(20);
});
