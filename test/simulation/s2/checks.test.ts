/** The checks of whole members can fail: each is given what is right, and then the same with one thing wrong. */
import { expect, test } from "vitest";
import { ascii } from "../../../core/bytes/bytes.ts";
import type { AppendReply, VoteReply } from "../../../core/raft/messages.ts";
import type { Status } from "../../../core/raft/status.ts";
import type { CommandBody, KeyValue } from "../../../core/store/command.ts";
import type { CommandSession } from "../../../core/store/sessions.ts";
import { BlackBox, responseOf } from "./black-box.ts";
import { putOf, rangeOf } from "./clients.ts";
import { Promises } from "./promises.ts";
import { Witness } from "./witness.ts";

const put = (key: string, value: string, lease = "0") => ({ kind: "put", ...putOf(ascii(key), ascii(value), lease) }) as const;
const ALL = { key: ascii("k"), end: ascii("l"), noPut: false, noDelete: false, prevKv: true };

/** A log of these commands, all of term 1. */
function logOf(...commands: (CommandBody & { readonly session?: CommandSession })[]): Witness {
  const witness = new Witness();
  for (const [at, body] of commands.entries()) {
    const command = { ...body, time: 0 };
    witness.applied({ index: at + 1, term: 1, kind: "data", crc: 0, bytes: 0, command, at });
  }
  return witness;
}

const kv = (value: string, modRevision: number, version = 1): KeyValue => ({
  key: ascii("k"),
  value: ascii(value),
  createRevision: 2,
  modRevision,
  version,
  lease: "0",
});

test("the witness takes a right answer of a write, and no other", () => {
  const witness = () => logOf(put("k", "a"), { ...put("k", "b"), prevKv: true });
  const body = { ...put("k", "b"), prevKv: true };
  const told = (revision: number, prev: KeyValue | null, since = 1) => {
    witness().answered(body, undefined, since, { revision, result: { op: "put", prev } });
  };
  told(3, kv("a", 2));
  expect(() => told(4, kv("a", 2))).toThrow("the log says 3");
  expect(() => told(3, null)).toThrow("witness");
  expect(() => told(3, kv("a", 2), 2)).toThrow("nothing"); // agreed before it was called
});

test("the witness gives one entry to one answer, and to all of one session's command the first one's", () => {
  const plain = logOf(put("k", "a"));
  const answer = { revision: 2, result: { op: "put", prev: null } } as const;
  plain.answered(put("k", "a"), undefined, 0, answer);
  expect(() => plain.answered(put("k", "a"), undefined, 0, answer)).toThrow("witness");
  const session = { client: "c", sequence: 1 };
  const repeated = logOf({ ...put("k", "a"), session }, put("k", "b"), { ...put("k", "a"), session });
  repeated.answered(put("k", "a"), session, 0, answer);
  expect(repeated.model.revision).toBe(3);
  expect(() => repeated.answered(put("k", "a"), session, 0, { ...answer, revision: 3 })).toThrow("witness");
});

test("the witness knows leases: their keys go with them, by a leader's revoke of the entry's term only", () => {
  const grant = { kind: "leaseGrant", id: "7", ttlSeconds: 1 } as const;
  const after = (term: number) => logOf(grant, put("k", "a", "7"), { kind: "leaseRevoke", id: "7", term }).model.range(ALL, 3, 0).count;
  expect([after(0), after(1), after(2)]).toEqual([0, 0, 1]);
});

test("a lease's end is no part of a history, also when the client that asked for it was told", () => {
  const revoke = { kind: "leaseRevoke", id: "7", term: 0 } as const;
  const witness = logOf({ kind: "leaseGrant", id: "7", ttlSeconds: 1 }, put("k", "a", "7"), put("k2", "b"), revoke);
  witness.answered(put("k2", "b"), undefined, 0, { revision: 3, result: { op: "put", prev: null } });
  witness.answered(revoke, undefined, 0, { revision: 4, result: { op: "done" } });
  expect(witness.untold().map(({ request }) => request)).toEqual([
    { kind: "put", key: "k", value: "a" },
    { kind: "delete", key: "k" },
  ]);
});

test("the witness finds a read that is wrong, too old, cut wrongly, or of what was compacted", () => {
  const witness = logOf(put("k", "a"), put("k1", "b"), put("k", "c"), { kind: "compact", revision: 3 });
  const request = { ...rangeOf(ascii("k"), ascii("l")), limit: 1 };
  const told = { kvs: [kv("c", 4, 2)], count: 2, more: true };
  witness.read(request, 4, 4, told);
  expect(() => witness.read(request, 4, 4, { ...told, count: 1 })).toThrow("witness");
  expect(() => witness.read(request, 4, 4, { ...told, more: false })).toThrow("witness");
  expect(() => witness.read(request, 3, 3, { ...told, kvs: [kv("a", 2)] })).toThrow("4 had been reached");
  expect(() => witness.read({ ...request, revision: 2 }, 4, 4, told)).toThrow("compaction");
  witness.readRefused({ ...request, revision: 2 }, "compacted");
  expect(() => witness.readRefused({ ...request, revision: 3 }, "compacted")).toThrow("witness");
});

test("the witness finds an event that is missing, not wanted, or with a wrong past", () => {
  const witness = logOf(put("k", "a"), put("x", "-"), put("k", "b"));
  const first = { type: "put", kv: kv("a", 2), prev: null } as const;
  const second = { type: "put", kv: kv("b", 4, 2), prev: kv("a", 2) } as const;
  const given = { wanted: ALL, from: 2, to: 4, events: [first, second], compacted: -1 };
  witness.watched("w", given);
  expect(() => witness.watched("w", { ...given, events: [first] })).toThrow("it should be");
  expect(() => witness.watched("w", { ...given, wanted: { ...ALL, noPut: true } })).toThrow("it should be");
  expect(() => witness.watched("w", { ...given, events: [first, { ...second, prev: null }] })).toThrow("was before");
  expect(() => witness.watched("w", { ...given, to: 5 })).toThrow("which has not been");
});

test("the black box finds a stale read, and leaves open what has no answer", () => {
  const played = (seen: string) => {
    let now = 0;
    const box = new BlackBox(() => now++);
    const asked = { kind: "put", key: "k", value: "a" } as const;
    box.invoke(0, asked)!.ok(responseOf(asked, { revision: 2 }));
    box.invoke(1, { kind: "put", key: "k", value: "b" })!.unknown();
    const get = { kind: "get", key: "k" } as const;
    const found = { a: kv("a", 2), b: kv("b", 3, 2) }[seen] ?? null;
    box.invoke(2, get)!.ok(responseOf(get, { revision: 3, found }));
    return box.judge([]);
  };
  expect(played("a")).toEqual({ operations: 3, helped: 0 });
  expect(played("b")).toEqual({ operations: 3, helped: 0 });
  expect(() => played("nothing")).toThrow("illegal");
});

test("promises: a term, a vote and what was acknowledged are there after a restart", () => {
  const envelope = { from: "1", to: "2", boot: 1 };
  const vote: VoteReply = { ...envelope, kind: "voteReply", term: 5, granted: true, removed: false };
  const accepted = { kind: "appendReply", term: 5, prevIndex: 0, readSeq: 0, accepted: true, index: 9 } as const;
  const reply: AppendReply = { ...envelope, ...accepted, hintIndex: 0, hintTerm: 0, lastIndex: 9, amnesiac: false };
  const promises = new Promises();
  promises.sent(vote);
  promises.sent(reply);
  const back = (status: Partial<Status>) => () => promises.kept("m", { term: 5, vote: "2", last: 9, ...status } as Status);
  back({})();
  back({ term: 6, vote: null, last: 3 })();
  expect(back({ term: 4 })).toThrow("spoke in 5");
  expect(back({ vote: null })).toThrow("vote");
  expect(back({ last: 8 })).toThrow("acknowledged 9");
  expect(() => promises.sent({ ...vote, to: "3" })).toThrow("one vote a term");
});
