/** Traps of the log: replication, durability, flow control, snapshots. Each name says where the trap was met. */
import { expect, test } from "vitest";
import { Disk } from "./disk.ts";
import type { Append, Message } from "../../core/raft/messages.ts";
import type { Entry } from "../../core/raft/types.ts";
import { Lab } from "./lab.ts";

const T = 10;

function isAppend(message: Message): message is Append {
  return message.kind === "append";
}

test("T1: §3.6.2, figure 3.7: an entry of an older term is not committed by counting", () => {
  const lab = new Lab({ voters: ["a", "b", "c", "d", "e"], node: { preVote: false, checkQuorum: false } });
  lab.elect("a");
  const place = lab.state("a").log.last + 1;
  // a: the entry of its term reaches b only.
  for (const id of ["c", "d", "e"]) lab.cut("a", id);
  lab.propose("a");
  lab.deliver();
  lab.crash("a");
  // e leads with the votes of c and d, and has another entry at that place.
  lab.cut("e", "b");
  lab.elect("e");
  lab.crash("e");
  // a leads again and brings its old entry to c: a, b, c are a majority, and the term of the entry is an old one.
  lab.restart("a");
  lab.heal();
  lab.cut("a", "d");
  lab.tick("a", 6, T / 2);
  for (let round = 0; round < 3 * T && lab.state("a").role !== "leader"; round++) lab.run(1);
  expect(lab.state("a").commit === lab.state("a").log.last || lab.state("a").commit < place).toBe(true);
  lab.run(2 * T); // the ledger would tell if something committed were replaced
  lab.restart("e");
  lab.heal();
  lab.runUntil(() => lab.allEqual(), 20 * T);
});

test("T8: a configuration goes with its entry when that is overwritten, also over a restart (§4.1, jraft 1)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("a");
  lab.act("a", (node) => node.proposeConfig({ remove: ["c"] }));
  expect(lab.config("a").outgoing).toEqual(["a", "b", "c"]);
  lab.crash("a");
  lab.restart("a");
  expect(lab.config("a").outgoing).toEqual(["a", "b", "c"]);
  lab.elect("b");
  lab.propose("b");
  lab.deliver();
  lab.heal();
  lab.run(3);
  expect(lab.config("a")).toMatchObject({ voters: ["a", "b", "c"], outgoing: [], removed: [] });
  expect(lab.allEqual()).toBe(true);
});

test("T7: single-server changes of two leaders: the second is refused until an entry of the own term is committed (braft 182; Ongaro, raft-dev, 2015)", () => {
  const lab = new Lab({ voters: ["a", "b", "c", "d"] });
  lab.elect("a");
  lab.isolate("a");
  expect(lab.act("a", (node) => node.proposeConfig({ add: [{ id: "e", meta: "", as: "voter" }] })).ok).toBe(true);
  lab.crash("a");
  lab.tick("c", 4, T);
  lab.tick("d", 4, T);
  lab.drop();
  lab.act("b", (node) => node.campaign());
  lab.deliver((message) => !isAppend(message));
  expect(lab.state("b").role).toBe("leader");
  expect(lab.act("b", (node) => node.proposeConfig({ remove: ["a"] }))).toMatchObject({ ok: false, why: "term-not-committed" });
});

test("T16: a delayed shorter append removes nothing that a newer one brought (openraft, commit 9540c904)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("c");
  lab.propose("a");
  const [short] = lab.wire.filter((message) => isAppend(message) && message.to === "b");
  lab.propose("a", 3);
  lab.deliver();
  const { last } = lab.state("b").log;
  lab.hand(short as Message);
  expect(lab.state("b").log.last).toBe(last);
  lab.crash("a");
  lab.heal();
  lab.runUntil(() => lab.state("b").role === "leader" && lab.state("b").commit >= last, 6 * T);
});

test("T17: the end of a write that was overwritten says nothing about what replaced it, three Readys in flight (etcd raft, async_storage_writes_append_aba_race.txt)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.slowDisks.add("b");
  const append = (term: number, from: string, entries: Entry[], prev: number, prevTerm: number): void =>
    lab.hand({ kind: "append", from, to: "b", term, boot: 1, prevIndex: prev, prevTerm, entries, commit: 0, readSeq: 0 });
  const entry = (index: number, term: number): Entry => ({ index, term, kind: "data", data: new Uint8Array([index, term]) });
  append(2, "a", [entry(2, 2), entry(3, 2)], 1, 1); // first write
  append(3, "c", [entry(2, 3)], 1, 1); // second: replaces both
  append(4, "a", [entry(2, 2), entry(3, 2)], 1, 1); // third: the very entries of the first, again
  expect(lab.host("b").pending.length).toBe(3);
  lab.persist("b", 1);
  // Places 2 and 3 of term 2 are on the disk now, as far as (index, term) can tell; the second write is about to remove them.
  expect(lab.state("b").stable).toBe(1);
  lab.persist("b", 1);
  expect(lab.state("b").stable).toBe(1);
  lab.persist("b", 1);
  expect(lab.state("b").stable).toBe(3);
});

test("T18: ten thousand divergent entries of alternating terms are skipped a term a round (etcd raft, probing; openraft, commit 6d53aa12)", () => {
  const terms = 40;
  const divergent = (offset: number): Entry[] => {
    const entries: Entry[] = [];
    for (let at = 0; at < 10_000; at++) {
      const term = 2 + offset + 2 * Math.floor((at * terms) / 10_000);
      entries.push({ index: 2 + at, term, kind: "data", data: new Uint8Array(0) });
    }
    return entries;
  };
  const lab = new Lab({ voters: ["a", "b", "c"] });
  for (const [id, offset] of [
    ["a", 1],
    ["b", 0],
    ["c", 1],
  ] as const) {
    const founding = lab.host(id).disk.entries[0] as Entry;
    lab.crash(id);
    lab.hosts.delete(id);
    lab.add(id, new Disk({ term: 100, vote: null, commit: 1 }, [founding, ...divergent(offset)], 0));
  }
  lab.elect("a");
  lab.delivered.length = 0;
  lab.run(3 * terms);
  const rounds = lab.delivered.filter((message) => message.kind === "appendReply" && message.from === "b" && !message.accepted).length;
  expect(rounds).toBeLessThanOrEqual(terms + 2);
  expect(lab.allEqual()).toBe(true);
});

test("T19: a window that is lost as a whole is found out without new proposals (etcd raft, replicate_pause.txt)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { maxInflightMsgs: 3, maxMsgBytes: 0 } });
  lab.elect("a");
  lab.run(2);
  lab.propose("a", 3);
  expect(lab.drop((message) => isAppend(message) && message.to === "b")).toHaveLength(3);
  lab.runUntil(() => lab.state("b").log.last === lab.state("a").log.last, 6);
});

test("T20: a peer that was reported unreachable while idle leaves probing by itself (etcd raft, heartbeat_resp_recovers_from_probing.txt)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  lab.act("a", (node) => node.unreachable("b"));
  expect(lab.node("a").status().progress["b"]?.state).toBe("probe");
  lab.run(3);
  expect(lab.node("a").status().progress["b"]?.state).toBe("replicate");
});

test("T21: a follower behind a slow link catches up although the log is compacted faster than it fetches (etcd raft, slow_follower_after_compaction.txt)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { catchUpEntries: 2 } });
  lab.elect("a");
  lab.crash("c");
  lab.propose("a", 20);
  lab.deliver();
  lab.run(2 * T);
  lab.compact("a");
  lab.restart("c");
  for (let round = 0; round < 30; round++) {
    lab.propose("a", 5);
    lab.run(2);
    lab.compact("a"); // each two ticks, while a fetch takes twenty
    if (round % 10 === 9) lab.finishFetches();
  }
  lab.run(2);
  expect(lab.state("c").log.last).toBe(lab.state("a").log.last);
});

test("T23: an offer that comes late neither throws the log away nor moves anything back (openraft, commits 447dc11c and dba24036)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { catchUpEntries: 0 } });
  lab.elect("a");
  lab.propose("a", 5);
  lab.deliver();
  lab.run(1);
  lab.compact("a");
  const meta = lab.host("a").disk.snapshot;
  if (meta === null) throw new Error("no snapshot");
  lab.propose("a", 5);
  lab.run(1);
  const { last } = lab.state("b").log;
  lab.hand({ kind: "snapshotOffer", from: "a", to: "b", term: lab.state("a").term, boot: 1, meta });
  expect(lab.fetches).toEqual([]);
  expect(lab.state("b").log.last).toBe(last);
});

test("T23: a member restored from a snapshot alone knows the members (openraft, commit dba24036)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { catchUpEntries: 0 } });
  lab.elect("a");
  lab.act("a", (node) => node.proposeConfig({ remove: ["c"] }));
  lab.run(3);
  lab.compact("a");
  expect(lab.host("a").disk.entries).toEqual([]);
  lab.crash("a");
  lab.restart("a");
  expect(lab.config("a")).toMatchObject({ voters: ["a", "b"], removed: ["c"] });
});

test("an offer that was replaced before anybody began to fetch it does not count as an installation (found by simulation)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { catchUpEntries: 0 } });
  lab.elect("a");
  const { term } = lab.state("a");
  const config = lab.config("a");
  const meta = (index: number) => ({ index, term, config, configIndex: 1, size: 1, id: `${index}:0` });
  const node = lab.node("b");
  for (const index of [10, 11]) node.step({ kind: "snapshotOffer", from: "a", to: "b", term, boot: 1, meta: meta(index) });
  const ready = node.ready();
  expect(ready.install?.meta.index).toBe(11);
  node.snapshotInstalled("11:0", false);
  expect(node.status().installing).toBeNull();
});

test("a snapshot is not installed before all entries of the old log were handed over (found by simulation of whole members)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { maxUnpersistedReadys: 1 } });
  lab.elect("a");
  lab.run(2);
  const { term, log } = lab.state("a");
  const [last, config, node] = [log.last, lab.config("a"), lab.node("b")];
  const append = (index: number) => ({
    ...({ kind: "append", from: "a", to: "b", term, boot: 1, prevTerm: term, commit: 1, readSeq: 0 } as const),
    prevIndex: index - 1,
    entries: [{ index, term, kind: "data", data: new Uint8Array(1) } as const],
  });
  node.step(append(last + 1));
  const first = node.ready();
  node.step(append(last + 2)); // waits: the disk is slow
  const meta = { index: last + 10, term, config, configIndex: 1, size: 1, id: "far" };
  node.step({ kind: "snapshotOffer", from: "a", to: "b", term, boot: 1, meta });
  while (node.hasReady()) expect(node.ready().install).toBeUndefined();
  node.persisted(first.seq);
  const second = node.ready();
  expect(second.entries.map(({ index }) => index)).toEqual([last + 2]);
  expect(second.install?.meta.id).toBe("far");
});

test("T29: a follower that lost its tail is told apart from a late answer, stops voting and does not crash (etcd issue 10166, etcd raft 197)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  lab.propose("a", 5);
  lab.deliver();
  lab.crash("b");
  const { disk } = lab.host("b");
  disk.entries.length -= 3; // the disk lied
  disk.hard = { ...disk.hard, commit: 1 };
  const node = lab.host("b");
  node.events.stepped = () => undefined; // the checks would complain of exactly this
  lab.restart("b");
  lab.wire = [];
  node.disk.boot += 0;
  lab.host("a").events.stepped = () => undefined;
  for (let round = 0; round < 4; round++) lab.run(1);
  expect(lab.state("b").amnesiac).toBe(true);
  expect(lab.host("b").disk.hard.amnesiac).toBe(true);
  expect(lab.node("a").status()).toMatchObject({ role: "leader", progress: { b: { amnesiac: true } } });
  expect(lab.state("b").log.last).toBe(lab.state("a").log.last); // it catches up
  const { term } = lab.state("b");
  lab.hand({ kind: "vote", from: "c", to: "b", term: term + 1, boot: 1, lastTerm: 99, lastIndex: 99, transfer: true });
  expect(lab.state("b").vote).toBeNull();
});

test("T29: a lost tail is noticed too when an append is the first word after the restart", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.run(2);
  lab.propose("a", 5);
  lab.deliver();
  lab.run(2);
  lab.crash("b");
  const { disk } = lab.host("b");
  disk.entries.length -= 3; // the disk lied
  disk.hard = { ...disk.hard, commit: 1 };
  // The checks would complain of exactly this.
  for (const id of ["a", "b", "c"]) Object.assign(lab.host(id).events, { stepped: () => undefined, applied: () => undefined });
  lab.restart("b");
  lab.wire = [];
  lab.propose("a"); // no heartbeat comes between: its refusal is how the leader learns of it
  lab.deliver();
  expect(lab.state("b").amnesiac).toBe(true);
  expect(lab.host("b").disk.hard.amnesiac).toBe(true);
  expect(lab.node("a").status()).toMatchObject({ role: "leader", amnesiaTotal: 1, progress: { b: { amnesiac: true } } });
  lab.run(2);
  expect(lab.state("b").log.last).toBe(lab.state("a").log.last); // it catches up
});

test("T35: a full quota blocks neither leaving a joint configuration nor a new leader, and does not leak (etcd raft, MaxUncommittedEntriesSize)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"], limits: { maxUncommittedBytes: 100 } });
  lab.elect("a");
  lab.run(2);
  lab.act("a", (node) => node.proposeConfig({ remove: ["c"] }));
  expect(lab.propose("a", 1, 200).ok).toBe(false);
  lab.drop();
  lab.runUntil(() => lab.config("a").outgoing.length === 0 && lab.state("a").commit === lab.state("a").log.last, 10);
  expect(lab.state("a").uncommittedBytes).toBe(0);
  lab.isolate("a");
  expect(lab.propose("a", 1, 90).ok).toBe(true);
  expect(lab.propose("a", 1, 90)).toMatchObject({ ok: false, why: "uncommitted-limit" });
  expect(lab.propose("a", 1, 0).ok).toBe(true);
  lab.run(2 * T);
  expect(lab.state("a").role).not.toBe("leader");
  lab.heal();
  lab.runUntil(() => ["a", "b"].some((id) => lab.state(id).role === "leader"), 6 * T);
  lab.run(3);
  const leader = ["a", "b"].find((id) => lab.state(id).role === "leader") as string;
  expect(lab.state(leader).uncommittedBytes).toBe(0);
  expect(lab.propose(leader, 1, 90).ok).toBe(true);
});

test("T34: a proposal that a change of leaders swallowed is decided by its (term, index) (etcd issue 5214)", () => {
  const lab = new Lab({ voters: ["a", "b", "c"] });
  lab.elect("a");
  lab.isolate("a");
  const proposed = lab.propose("a");
  if (!proposed.ok) throw new Error(proposed.why);
  lab.elect("b");
  lab.propose("b", 2);
  lab.heal();
  lab.run(3);
  // Another term at the place: lost for certain. And the old leader said so by leaving office.
  expect(lab.checker.ledger.term(proposed.first)).not.toBe(proposed.term);
  expect(lab.state("a").role).toBe("follower");
});

test("T25: a member alone applies nothing before its disk has it (etcd issue 14370)", () => {
  const lab = new Lab({ voters: ["a"] });
  lab.tick("a");
  lab.slowDisks.add("a");
  const { appliedIndex } = lab.host("a");
  lab.propose("a");
  lab.run(5);
  expect(lab.host("a").appliedIndex).toBe(appliedIndex);
  lab.persist("a");
  expect(lab.host("a").appliedIndex).toBe(appliedIndex + 1);
});
