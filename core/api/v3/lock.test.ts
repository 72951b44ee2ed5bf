import { beforeEach, describe, expect, it } from "vitest";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { type LocalV3, localV3 } from "../../../test/helpers/local-v3.ts";
import { StreamCall, settle } from "../../../test/helpers/stream-call.ts";
import { encodeBase64 } from "../../bytes/base64.ts";
import { type Bytes, ZERO } from "../../bytes/bytes.ts";

let member: LocalMember;
let v3: LocalV3;
let timers: Set<() => void>;

beforeEach(() => {
  member = new LocalMember();
  timers = new Set();
  v3 = localV3(member, {
    every: (_ms, call) => {
      timers.add(call);
      return () => void timers.delete(call);
    },
  });
  timers.clear(); // that of watches
});

const b64 = (text: string): string => encodeBase64(text as Bytes);
const open = (path: string, message: object): StreamCall => new StreamCall(v3.handler(`/v3${path}`), JSON.stringify(message));

async function call(path: string, message: object): Promise<Record<string, unknown>> {
  const { status, body } = await open(path, message).reply;
  const json = JSON.parse(body as string) as Record<string, unknown>;
  if (status !== 200) return { status, ...json };
  const { header, ...rest } = json as { header: { revision: string } };
  return { at: header.revision, ...rest };
}

const refusal = (message: string, status = 500, code = 2) => ({ status, error: message, message, code });
const grant = (id: string) => member.propose({ kind: "leaseGrant", id, ttlSeconds: 30 });
const revoke = (id: string) => member.propose({ kind: "leaseRevoke", id, term: 0 });

/** Whether a call has been answered, once everything that can run has run. */
async function isAnswered(waiting: StreamCall): Promise<boolean> {
  let answered = false;
  void waiting.reply.then(() => (answered = true));
  for (let turn = 0; turn < 5; turn++) await settle();
  return answered;
}

function keys(): string[] {
  const range = { revision: 0, limit: 0, sortTarget: "key", sortOrder: "none", keysOnly: false, countOnly: false } as const;
  const bounds = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
  return member.store.range({ key: ZERO, end: ZERO, ...range, ...bounds }).kvs.map((kv) => kv.key);
}

const lock = (name: string, lease: string): StreamCall => open("/lock/lock", { name: b64(name), lease });
const unlock = (key: string) => call("/lock/unlock", { key: b64(key) });
const locked = async (waiting: StreamCall): Promise<string> =>
  atob((JSON.parse((await waiting.reply).body as string) as { key: string }).key);

describe("lock", () => {
  it("goes from one to the next in the order of asking, and wakes nobody else", async () => {
    for (const id of ["1", "2", "3", "-10"]) await grant(id);
    const calls = ["2", "3", "1", "-10"].map((id) => lock("m", id));
    expect(await locked(calls[0]!)).toBe("m/2");
    expect(await isAnswered(calls[1]!)).toBe(false);
    // each of the three waits for the one before it, and for its own key
    expect(member.store.watchStats().watchers).toBe(6);
    let looks = 0;
    member.barrier = () => void looks++;
    await unlock("m/2");
    expect(await locked(calls[1]!)).toBe("m/3");
    expect(await isAnswered(calls[2]!)).toBe(false);
    expect(looks).toBe(1);
    await revoke("3");
    expect(await locked(calls[2]!)).toBe("m/1");
    await unlock("m/1");
    expect(await locked(calls[3]!)).toBe("m/-a");
    expect(member.store.watchStats().watchers).toBe(0);
  });

  it("is held already when the lease holds it", async () => {
    await grant("255");
    expect(await call("/lock/lock", { name: b64("m"), lease: "255" })).toEqual({ at: "2", key: b64("m/ff") });
    expect(await call("/lock/lock", { name: b64("m"), lease: "255" })).toEqual({ at: "2", key: b64("m/ff") });
  });

  it("skips a waiter that gave up in the middle", async () => {
    for (const id of ["1", "2", "3"]) await grant(id);
    const [first, second, third] = ["1", "2", "3"].map((id) => lock("m", id));
    await locked(first!);
    await isAnswered(third!);
    second!.hangUp();
    expect(await isAnswered(third!)).toBe(false);
    expect(keys()).toEqual(["m/1", "m/3"]);
    await unlock("m/1");
    expect(await locked(third!)).toBe("m/3");
  });

  it("T32: fails at once when the waiter's lease ends or its key is deleted", async () => {
    for (const id of ["1", "2", "3"]) await grant(id);
    const [first, second, third] = ["1", "2", "3"].map((id) => lock("m", id));
    await locked(first!);
    await isAnswered(third!);
    await revoke("2");
    await unlock("m/3");
    for (const waiting of [second!, third!]) {
      const reply = await waiting.reply;
      expect(reply.status).toBe(500);
      expect(JSON.parse(reply.body as string)).toMatchObject({ code: 2, message: "mutex: session is expired" });
    }
    expect(keys()).toEqual(["m/1"]);
    expect(member.store.watchStats().watchers).toBe(0);
  });

  it("without a lease gets one of 60 s, which is kept alive while it waits", async () => {
    await grant("1");
    await locked(lock("m", "1"));
    const waiting = open("/lock/lock", { name: b64("m") });
    expect(await isAnswered(waiting)).toBe(false);
    for (let n = 0; n < 10; n++) {
      await member.keepAlive("1");
      for (const renew of timers) renew();
      member.advance(20_000);
      await settle();
    }
    await unlock("m/1");
    const key = await locked(waiting);
    expect(keys()).toEqual([key]);
    expect(timers.size).toBe(0);
    member.advance(61_000);
    expect(keys()).toEqual([]);
  });

  it("leaves nothing behind when a client without a lease hangs up", async () => {
    await grant("1");
    await locked(lock("m", "1"));
    const waiting = open("/lock/lock", { name: b64("m") });
    expect(await isAnswered(waiting)).toBe(false);
    waiting.hangUp();
    await waiting.reply;
    expect(keys()).toEqual(["m/1"]);
    expect(member.store.leaseIds()).toEqual(["1"]);
    expect(timers.size).toBe(0);
    expect(v3.bugs).toEqual([]);
  });

  it("refuses what cannot be", async () => {
    expect(await call("/lock/lock", { name: b64("m"), lease: "9" })).toEqual(refusal("etcdserver: requested lease not found"));
    expect(await call("/lock/lock", { lease: "x" })).toMatchObject({ status: 400, code: 3 });
    expect(await call("/lock/unlock", {})).toEqual(refusal("etcdserver: key is not provided"));
    expect(await unlock("none")).toEqual({ at: "1" });
    expect((await call("/lock/lock", {}))["at"]).toBe("2");
  });
});

describe("election", () => {
  const campaign = (lease: string, value: string) => open("/election/campaign", { name: b64("e"), lease, value: b64(value) });
  const leaderKey = (lease: string, rev: number) => ({ name: b64("e"), key: b64(`e/${lease}`), rev: String(rev), lease });

  it("makes the first the leader, and the next when it resigns", async () => {
    await grant("1");
    await grant("2");
    const first = campaign("1", "one");
    expect(JSON.parse((await first.reply).body as string)).toMatchObject({ header: { revision: "2" }, leader: leaderKey("1", 2) });
    const second = campaign("2", "two");
    expect(await isAnswered(second)).toBe(false);
    expect(await call("/election/leader", { name: b64("e") })).toMatchObject({ at: "3", kv: { value: b64("one"), mod_revision: "2" } });
    expect(await call("/election/resign", { leader: leaderKey("1", 2) })).toEqual({ at: "4" });
    // the revision of the header is that of joining, as in etcd
    expect(JSON.parse((await second.reply).body as string)).toMatchObject({ header: { revision: "3" }, leader: leaderKey("2", 3) });
    expect(await call("/election/proclaim", { leader: leaderKey("1", 2) })).toEqual(refusal("election: not leader"));
    expect(await call("/election/proclaim", { leader: leaderKey("2", 3), value: b64("three") })).toEqual({ at: "5" });
    expect(await call("/election/leader", { name: b64("e") })).toMatchObject({ kv: { value: b64("three"), version: "2" } });
  });

  it("gives a new value to who campaigns again", async () => {
    await grant("1");
    await campaign("1", "one").reply;
    await campaign("1", "uno").reply;
    expect(await call("/election/leader", { name: b64("e") })).toMatchObject({ kv: { value: b64("uno"), create_revision: "2" } });
  });

  it("fails for a candidate whose lease ends", async () => {
    await grant("1");
    await grant("2");
    await campaign("1", "one").reply;
    const second = campaign("2", "two");
    await isAnswered(second);
    await revoke("2");
    expect(JSON.parse((await second.reply).body as string)).toMatchObject({ code: 2, message: "election: session is expired" });
  });

  it("refuses what cannot be", async () => {
    expect(await call("/election/leader", {})).toEqual(refusal("election: no leader"));
    for (const path of ["/election/proclaim", "/election/resign"]) {
      expect(await call(path, {})).toEqual(refusal('"leader" field must be provided'));
      expect(await call(path, { leader: {} })).toEqual(refusal("etcdserver: key is not provided"));
    }
    expect(member.store.leaseIds()).toEqual([]);
  });

  it("is observed: each leader and each of its values, in order, no faster than the client reads", async () => {
    const observer = open("/election/observe", { name: b64("e") });
    for (const id of ["1", "2"]) await grant(id);
    await settle();
    await campaign("1", "one").reply;
    await observer.until(1);
    const second = campaign("2", "two");
    await call("/election/proclaim", { leader: leaderKey("1", 2), value: b64("uno") });
    await observer.until(2);
    observer.slow = true;
    await call("/election/proclaim", { leader: leaderKey("1", 2), value: b64("eins") });
    await observer.until(3);
    await call("/election/proclaim", { leader: leaderKey("1", 2), value: b64("un") });
    await settle();
    expect(observer.lines).toHaveLength(3);
    observer.drain();
    await observer.until(4);
    await revoke("1");
    await second.reply;
    const lines = (await observer.until(5)) as { result: { header: { revision: string }; kv: { key: string; value: string } } }[];
    expect(lines.map(({ result }) => [result.header.revision, atob(result.kv.key), atob(result.kv.value)])).toEqual([
      ["2", "e/1", "one"],
      ["4", "e/1", "uno"],
      ["5", "e/1", "eins"],
      ["6", "e/1", "un"],
      ["7", "e/2", "two"],
    ]);
    observer.hangUp();
    await settle();
    expect(member.store.watchStats().watchers).toBe(0);
    expect(observer.ended).toBe(false); // the client went first
    expect(v3.bugs).toEqual([]);
  });

  it("is not observed by what is no message", async () => {
    const reply = await new StreamCall(v3.handler("/v3/election/observe"), "junk").reply;
    expect(reply.status).toBe(400);
  });
});
