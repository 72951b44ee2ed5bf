import { beforeEach, describe, expect, it } from "vitest";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { type LocalV3, localV3 } from "../../../test/helpers/local-v3.ts";
import { StreamCall, settle } from "../../../test/helpers/stream-call.ts";
import { encodeBase64 } from "../../bytes/base64.ts";
import { type Bytes, EMPTY, ascii, prefixEnd } from "../../bytes/bytes.ts";

let member: LocalMember;
let v3: LocalV3;
let interval: () => void;
let pauses: number;

beforeEach(() => {
  member = new LocalMember();
  pauses = 0;
  v3 = localV3(member, {
    every: (_ms, call) => {
      interval = call;
      return () => {};
    },
    pause: () => {
      pauses++;
      return settle();
    },
  });
});

const b64 = (text: string): string => encodeBase64(text as Bytes);

async function put(key: string, value = "v"): Promise<number> {
  const request = { key: ascii(key), value: value as Bytes, lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false };
  return (await member.propose({ kind: "put", ...request })).revision;
}

async function compact(revision: number): Promise<void> {
  await member.propose({ kind: "compact", revision });
}

const create = (key: string, more: object = {}): string => JSON.stringify({ create_request: { key: b64(key), ...more } });
const createPrefix = (prefix: string, more: object = {}): string => create(prefix, { range_end: b64(prefixEnd(ascii(prefix))), ...more });
const cancel = (id: number): string => JSON.stringify({ cancel_request: { watch_id: id } });
const PROGRESS = JSON.stringify({ progress_request: {} });

function open(...messages: string[]): StreamCall {
  return new StreamCall(v3.handler("/v3/watch"), messages.join("\n"));
}

/** A line without the parts that are the same in all. */
function short(line: Record<string, unknown>): Record<string, unknown> {
  const { header, events, ...rest } = line["result"] as {
    header: { revision?: string };
    events?: { kv: { key: string; mod_revision: string } }[];
  };
  const seen = events === undefined ? {} : { events: events.map(({ kv }) => `${atob(kv.key)}@${kv.mod_revision}`) };
  return { at: header.revision, ...rest, ...seen };
}

async function shortLines(call: StreamCall, count: number): Promise<Record<string, unknown>[]> {
  return (await call.until(count)).map(short);
}

describe("requests", () => {
  it("opens watches with ids from 0 that step over chosen ones, and cancels them", async () => {
    const call = open(
      create("a"),
      create("b", { watch_id: 1 }),
      create("c"),
      cancel(1),
      cancel(1),
      cancel(7),
      create("d", { watch_id: 1 }),
    );
    expect(await shortLines(call, 5)).toEqual([
      { at: "1", created: true },
      { at: "1", watch_id: "1", created: true },
      { at: "1", watch_id: "2", created: true },
      { at: "1", watch_id: "1", canceled: true },
      { at: "1", watch_id: "1", created: true },
    ]);
    expect(member.store.watchStats().watchers).toBe(3);
  });

  it("refuses an empty range and an id in use on the stream", async () => {
    const call = open(create("b", { range_end: b64("a") }), create("a", { watch_id: 5 }), create("b", { watch_id: 5 }));
    const refused = { at: "1", watch_id: "-1", created: true, canceled: true };
    expect(await shortLines(call, 3)).toEqual([
      { ...refused, cancel_reason: "mvcc: watcher range is empty" },
      { at: "1", watch_id: "5", created: true },
      { ...refused, cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream" },
    ]);
  });

  it("may come in pieces, at any time, and on one line", async () => {
    const call = new StreamCall(v3.handler("/v3/watch"));
    const text = create("a") + create("b");
    for (const char of text.slice(0, -1)) call.send(char);
    expect(await shortLines(call, 1)).toHaveLength(1);
    call.send("}  " + cancel(0));
    expect(await shortLines(call, 3)).toMatchObject([{ created: true }, { watch_id: "1", created: true }, { canceled: true }]);
  });

  it("end with the body; the stream goes on", async () => {
    const call = open(create("a"));
    call.endBody();
    await call.until(1);
    await put("a");
    expect(await shortLines(call, 2)).toMatchObject([{}, { events: ["a@2"] }]);
    expect(call.ended).toBe(false);
  });

  it("end at a message that cannot be read; the stream goes on", async () => {
    const call = open(create("a"), "junk", create("b"));
    await call.until(1);
    await put("b");
    await put("a");
    expect(await shortLines(call, 2)).toMatchObject([{ created: true }, { events: ["a@3"] }]);
  });

  it("that begin with such a message are answered 500, code 2", async () => {
    const reply = await open("junk").reply;
    const message = "invalid character 'j' looking for beginning of value";
    expect(reply.status).toBe(500);
    expect(JSON.parse(reply.body as string)).toEqual({ error: message, message, code: 2 });
  });

  it("that say nothing end the reply", async () => {
    const call = new StreamCall(v3.handler("/v3/watch"));
    call.endBody();
    expect((await call.reply).status).toBe(200);
    expect(call.ended).toBe(true);
    expect(v3.watch.streamCount).toBe(0);
  });
});

describe("events", () => {
  it("come as etcd writes them, with the previous version when asked for", async () => {
    const call = open(create("a", { prev_kv: true }), create("b", { filters: ["NOPUT"], watch_id: "9" }));
    await call.until(2);
    await put("b");
    await put("a", "1");
    await member.propose({ kind: "delete", key: ascii("a"), end: EMPTY, prevKv: false });
    const header = (revision: string) => ({ cluster_id: member.clusterId, member_id: member.memberId, revision, raft_term: "2" });
    await member.propose({ kind: "delete", key: ascii("b"), end: EMPTY, prevKv: false });
    const first = { key: b64("a"), create_revision: "3", mod_revision: "3", version: "1", value: b64("1") };
    const gone = (key: string, revision: string) => ({ type: "DELETE", kv: { key: b64(key), mod_revision: revision } });
    expect((await call.until(5)).slice(2)).toEqual([
      { result: { header: header("3"), events: [{ kv: first }] } },
      { result: { header: header("4"), events: [{ ...gone("a", "4"), prev_kv: first }] } },
      { result: { header: header("5"), watch_id: "9", events: [gone("b", "5")] } },
    ]);
  });

  it("of the past come after `created`, and those of now after them", async () => {
    await put("a");
    await put("b");
    const call = open(createPrefix("", { key: b64("\0"), range_end: b64("\0"), start_revision: "2" }));
    await call.until(2);
    await put("c");
    expect(await shortLines(call, 3)).toEqual([
      { at: "3", created: true },
      { at: "3", events: ["a@2", "b@3"] },
      { at: "4", events: ["c@4"] },
    ]);
  });

  it("do not come after `canceled`", async () => {
    const call = open(create("a"));
    await call.until(1);
    call.slow = true;
    await put("a");
    await settle();
    await put("a");
    call.send(cancel(0));
    await settle();
    call.drain();
    expect(await shortLines(call, 3)).toEqual([
      { at: "1", created: true },
      { at: "2", events: ["a@2"] },
      { at: "3", canceled: true },
    ]);
  });

  it("of one flush leave in one write", async () => {
    const call = open(create("a"), createPrefix("a"), create("b"));
    await call.until(3);
    const before = call.chunks.length;
    const ops = ["a", "b"].map((key) => ({
      op: "put" as const,
      key: ascii(key),
      value: EMPTY,
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    }));
    await member.propose({ kind: "txn", compare: [], success: ops, failure: [] });
    await call.until(6);
    expect(call.chunks.length).toBe(before + 1);
  });

  it("that are too large for a message come in fragments, where asked for", async () => {
    const big = "x".repeat(900_000);
    for (const key of ["p1", "p2", "p3"]) await put(key, big);
    const call = open(createPrefix("p", { start_revision: 2, fragment: true }));
    expect(await shortLines(call, 3)).toEqual([
      { at: "4", created: true },
      { at: "4", fragment: true, events: ["p1@2", "p2@3"] },
      { at: "4", events: ["p3@4"] },
    ]);
  });

  it("beyond a compaction cancel the watch, whose id stays taken until it is canceled", async () => {
    for (let n = 0; n < 4; n++) await put("a");
    await compact(4);
    const call = open(create("a", { start_revision: 2, watch_id: 3 }));
    await call.until(2);
    call.send(create("a", { start_revision: 4 }));
    await call.until(4);
    call.send(create("a", { watch_id: 3 }) + cancel(3) + create("a", { watch_id: 3 }));
    expect(await shortLines(call, 7)).toEqual([
      { at: "5", watch_id: "3", created: true },
      { at: undefined, watch_id: "3", canceled: true, compact_revision: "4" },
      { at: "5", created: true },
      { at: "5", events: ["a@4", "a@5"] },
      { at: "5", watch_id: "-1", created: true, canceled: true, cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream" },
      { at: "5", watch_id: "3", canceled: true },
      { at: "5", watch_id: "3", created: true },
    ]);
  });

  it("from a negative revision on are those from now, or gone", async () => {
    await put("a");
    const call = open(create("a", { start_revision: -1 }), create("a", { start_revision: -2 }));
    await call.until(3);
    await put("a");
    expect(await shortLines(call, 4)).toEqual([
      { at: "2", created: true },
      { at: "2", watch_id: "1", created: true },
      { at: undefined, watch_id: "1", canceled: true, compact_revision: "-1" },
      { at: "3", events: ["a@3"] },
    ]);
  });
});

describe("progress", () => {
  it("is answered when everything before it was sent", async () => {
    await put("a");
    const call = open(create("a", { start_revision: 1 }), PROGRESS, PROGRESS);
    expect(await shortLines(call, 4)).toEqual([
      { at: "2", created: true },
      { at: "2", events: ["a@2"] },
      { at: "2", watch_id: "-1" },
      { at: "2", watch_id: "-1" },
    ]);
  });

  it("is told in each interval to watches that want it and were sent nothing", async () => {
    const call = open(create("a", { progress_notify: true }), create("a"), create("b", { progress_notify: true, watch_id: 7 }));
    await call.until(3);
    await put("a");
    await call.until(5);
    interval();
    expect((await shortLines(call, 6)).slice(5)).toEqual([{ at: "2", watch_id: "7" }]);
    interval();
    expect((await shortLines(call, 8)).slice(6)).toEqual([{ at: "2" }, { at: "2", watch_id: "7" }]);
  });
});

describe("a slow client", () => {
  it("is written to only when it reads, and holds up no other", async () => {
    const slow = open(create("a"));
    const fast = open(create("a"));
    await slow.until(1);
    await fast.until(1);
    slow.slow = true;
    for (let n = 0; n < 50; n++) {
      await put("a");
      await settle();
    }
    expect(fast.lines).toHaveLength(51);
    expect(slow.lines).toHaveLength(2);
    slow.drain();
    const revisions = (await shortLines(slow, 3)).flatMap((line) => (line["events"] as string[] | undefined) ?? []);
    expect(revisions).toEqual(Array.from({ length: 50 }, (_, n) => `a@${n + 2}`));
  });

  it("is not read from while too many answers wait", async () => {
    const call = open(create("a"));
    await call.until(1);
    call.slow = true;
    call.send(create("b"));
    await call.until(2);
    for (let n = 0; n < 2_500; n++) call.send(create("c"));
    for (let n = 0; n < 20; n++) await settle();
    expect(member.store.watchStats().watchers).toBe(1_002);
    call.drain();
    await call.until(2_502);
    expect(member.store.watchStats().watchers).toBe(2_502);
  });

  it("gives way to others while it catches up", async () => {
    for (let n = 0; n < 40; n++) await put("a", "x".repeat(100_000));
    const call = open(create("a", { start_revision: 1 }), PROGRESS);
    const isDone = () => call.lines.some((line) => short(line)["watch_id"] === "-1");
    for (let turn = 0; turn < 100 && !isDone(); turn++) await settle();
    const lines = call.lines.map(short);
    const events = lines.flatMap((line) => (line["events"] as string[] | undefined) ?? []);
    expect(events).toEqual(Array.from({ length: 40 }, (_, n) => `a@${n + 2}`));
    expect(lines.at(-1)).toEqual({ at: "41", watch_id: "-1" });
    expect(pauses).toBeGreaterThan(3);
  });
});

describe("the end", () => {
  it("frees everything when the client goes, whatever is under way", async () => {
    const calls = [open(create("a"), create("b")), open(create("a", { start_revision: 1 }))];
    for (const call of calls) await call.until(1);
    expect(v3.watch.streamCount).toBe(2);
    calls[1]!.slow = true;
    await put("a");
    calls[0]!.hangUp();
    await settle();
    await put("a");
    calls[1]!.hangUp();
    await put("a");
    await settle();
    expect(v3.watch.streamCount).toBe(0);
    expect(member.store.watchStats()).toMatchObject({ watchers: 0, queuedEvents: 0 });
    expect(v3.bugs).toEqual([]);
  });
});
