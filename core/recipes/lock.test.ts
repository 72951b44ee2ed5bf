import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { type Hold, resumeHold } from "./hold.ts";
import { acquireLock, breakLock, lockState, queueForLock, releaseLock, resumeLock, tryLock, withLock } from "./lock.ts";
import { createdAt, deleteOp, oneKey, putOp, txnOf } from "./requests.ts";
import { Session } from "./session.ts";

const LINE = "/quorate/locks/deploy/";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const acquire = (options = {}) => lab.run(acquireLock(lab.client().context, "deploy", options));
const owners = async (): Promise<(string | null)[]> => {
  const { holder, line } = await lab.run(lockState(lab.client().context, "deploy"));
  return [holder, ...line].map((entry) => entry?.owner ?? null);
};

/** Acquires without waiting here: `settled` tells how it ended, in order of the ends. */
function waiter(owner: string, ends: string[], options = {}): Promise<Hold | undefined> {
  return acquireLock(lab.client().context, "deploy", { owner, ...options }).then(
    (hold) => (ends.push(owner), hold),
    (error) => void ends.push(`${owner}: ${error.reason ?? error.message}`),
  );
}

describe("acquireLock()", () => {
  test("takes a free lock in two calls, with the layout of etcd's concurrency package", async () => {
    const client = lab.client();
    const hold = await lab.run(acquireLock(client.context, "deploy", { owner: "me", id: "255" }));
    expect(client.calls.map(({ kind }) => kind)).toEqual(["grant", "txn"]);
    const [key] = lab.keys();
    expect(key).toMatchObject({ key: `${LINE}ff`, lease: "255" });
    expect([hold.key, hold.lease, hold.fence]).toEqual([`${LINE}ff`, "255", BigInt(key!.createRevision)]);
    expect(JSON.parse(key!.value)).toEqual({ owner: "me", since: Date.UTC(2026, 0, 1) });
    await lab.run(hold.release());
    expect([lab.keys(), lab.leases()]).toEqual([[], []]);
  });

  test("waits in order of arrival; fences rise; a release wakes one", async () => {
    const first = await acquire({ owner: "a" });
    const ends: string[] = [];
    const rest = [];
    for (const owner of ["b", "c", "d"]) {
      rest.push(waiter(owner, ends));
      await lab.advance(0);
    }
    expect(await owners()).toEqual(["a", "b", "c", "d"]);
    let holder: Hold = first;
    const fences = [holder.fence];
    for (const next of rest) {
      const before = ends.length;
      await lab.run(holder.release());
      await lab.advance(0);
      expect(ends.length).toBe(before + 1);
      holder = (await next)!;
      fences.push(holder.fence);
    }
    expect(ends).toEqual(["b", "c", "d"]);
    expect(fences).toEqual(fences.toSorted((x, y) => (x < y ? -1 : 1)));
    expect(new Set(fences).size).toBe(4);
  });

  test("of a waiter whose predecessor leaves the line still waits for the holder", async () => {
    await acquire({ owner: "a" });
    const ends: string[] = [];
    void waiter("b", ends, { wait: "5s" });
    await lab.advance(0);
    void waiter("c", ends);
    await lab.advance(10_000);
    expect(ends).toEqual(["b: held"]);
    expect(await owners()).toEqual(["a", "c"]);
  });

  test("times out: leaves the line, and its lease with it", async () => {
    await acquire();
    await expect(acquire({ wait: "3s" })).rejects.toMatchObject({ reason: "held" });
    expect(lab.time.now).toBe(3_000);
    expect([lab.keys(LINE).length, lab.leases().length]).toEqual([1, 1]);
  });

  test("ends with its signal", async () => {
    await acquire();
    const gone = new AbortController();
    lab.time.after(3_000, () => gone.abort(new Error("gone")));
    await expect(acquire({ signal: gone.signal })).rejects.toThrow("gone");
    await lab.advance(100);
    expect([lab.keys(LINE).length, lab.leases().length]).toEqual([1, 1]);
  });

  test("is granted within the TTL and a second after a holder died", async () => {
    const client = lab.client();
    await lab.run(acquireLock(client.context, "deploy", { ttl: "10s" }));
    await lab.advance(4_000);
    client.kill();
    const renewed = client.calls.findLast(({ kind }) => kind === "keepAlive")!.at;
    await acquire();
    expect(lab.time.now).toBeGreaterThanOrEqual(renewed + 10_000);
    expect(lab.time.now).toBeLessThan(renewed + 11_000);
  });

  test("never grants to a waiter whose lease ended while it waited", async () => {
    const holder = await acquire();
    const ends: string[] = [];
    void waiter("b", ends, { id: "11" });
    await lab.advance(0);
    void waiter("c", ends, { id: "12" });
    await lab.advance(0);
    await lab.revoke("12");
    await lab.advance(0);
    expect(ends).toEqual(["c: sessionLost"]); // at once, not when its turn would have come
    await lab.revoke("11");
    await lab.run(holder.release());
    await lab.advance(0);
    expect(ends).toEqual(["c: sessionLost", "b: sessionLost"]);
    expect(lab.keys(LINE)).toEqual([]);
  });

  test("a waiter that slept through the end of its lease is not granted, though nobody is before it", async () => {
    const holder = await acquire();
    const client = lab.client();
    const ends: string[] = [];
    void acquireLock(client.context, "deploy", { id: "11" }).then(
      () => ends.push("granted"),
      (error) => ends.push(error.reason),
    );
    await lab.advance(0);
    client.pause();
    await lab.advance(20_000);
    await lab.run(holder.release());
    client.resume();
    await lab.advance(0);
    expect(ends).toEqual(["sessionLost"]);
  });

  test("a waiter whose history was compacted looks again", async () => {
    const holder = await acquire();
    const client = lab.client();
    client.latencyMs = () => 10;
    const waiting = acquireLock(client.context, "deploy");
    await lab.advance(45); // it has read, and has not begun to watch
    await lab.run(holder.release());
    await lab.txn(txnOf([], [putOp(ascii("/other"), ascii("1"))]));
    await lab.compact();
    const granted = await lab.run(waiting);
    expect(granted.fence).toBeGreaterThan(holder.fence);
  });

  test("with the same id, or the same session, is the same hold", async () => {
    const one = await acquire({ id: "11" });
    const two = await acquire({ id: "11" });
    expect([two.key, two.fence]).toEqual([one.key, one.fence]);
    const session = await lab.run(Session.open(lab.client().context));
    const three = lab.run(acquireLock(lab.client().context, "other", { session }));
    expect((await three).fence).toBe((await acquireLock(lab.client().context, "other", { session })).fence);
  });

  test.each(["", "a".repeat(300)])("refuses the name %j before it does anything", async (name) => {
    const client = lab.client();
    await expect(lab.run(acquireLock(client.context, name))).rejects.toMatchObject({ reason: "badField" });
    expect(client.calls).toEqual([]);
  });

  test("names do not contain one another", async () => {
    await acquire();
    const inside = await lab.run(tryLock(lab.client().context, "deploy/ff"));
    expect(inside?.key.startsWith("/quorate/locks/deploy%2Fff/")).toBe(true);
  });

  test("each call may be lost, in whatever way: one hold, and nothing left of it", async () => {
    const { runs } = await withEachFault(
      async (fresh, client) => {
        const holder = await fresh.run(acquireLock(fresh.client().context, "deploy", { id: "10" }));
        fresh.time.after(2_000, () => void holder.release());
        const hold = await fresh.run(acquireLock(client.context, "deploy", { id: "11", ttl: "30s" }));
        const held = fresh.keys(LINE).map(({ lease }) => lease);
        hold.guard(txnOf([], []));
        await fresh.run(hold.release());
        const puts = fresh.history.flatMap(({ events }) => events).filter(({ type, kv }) => type === "put" && kv.key === hold.key);
        return { held, puts: puts.length, left: fresh.keys(LINE).length, leases: fresh.leases() };
      },
      (result, expected) => expect(result).toEqual(expected),
    );
    expect(runs).toBeGreaterThanOrEqual(3 * 6);
  });
});

describe("tryLock()", () => {
  test("takes a free lock, and the same again", async () => {
    const one = await lab.run(tryLock(lab.client().context, "deploy", { id: "11" }));
    const two = await lab.run(tryLock(lab.client().context, "deploy", { id: "11" }));
    expect([one?.fence, lab.keys(LINE).length]).toEqual([two?.fence, 1]);
  });

  test("never joins the line", async () => {
    await acquire();
    expect(await lab.run(tryLock(lab.client().context, "deploy"))).toBeNull();
    expect([lab.keys(LINE).length, lab.leases().length]).toEqual([1, 1]);
  });

  test("each call may be lost", async () => {
    const { expected } = await withEachFault(
      async (fresh, client) => {
        const hold = await fresh.run(tryLock(client.context, "deploy", { ttl: "30s" }));
        const held = fresh.keys(LINE).length;
        await fresh.run(hold!.release());
        const other = await fresh.run(acquireLock(fresh.client().context, "deploy"));
        const second = await fresh.run(tryLock(client.context, "deploy", { ttl: "30s" }));
        return { held, second, left: fresh.leases().filter((lease) => lease !== other.lease) };
      },
      (result, first) => expect(result).toEqual(first),
    );
    expect(expected).toEqual({ held: 1, second: null, left: [] });
  });
});

describe("a hold", () => {
  test("guards writes: those of a former holder fail", async () => {
    const client = lab.client();
    const { store } = client.context;
    const hold = await lab.run(acquireLock(client.context, "deploy"));
    const write = (by: Hold) => store.txn(by.guard(txnOf([], [putOp(ascii("/data"), ascii("x"))])));
    expect((await write(hold)).succeeded).toBe(true);
    await lab.run(breakLock(lab.client().context, "deploy"));
    expect((await write(hold)).succeeded).toBe(false);
    expect(hold.guardHeader).toBe(`${hold.key}@${hold.fence}`);
    const inside = await lab.run(acquireLock(client.context, "a/b"));
    expect(inside.guardHeader).toBe(`${inside.key.replace("%2F", "%252F")}@${inside.fence}`); // decoded once, it is the key
  });

  test("that was lost tells so by itself, without the network", async () => {
    const client = lab.client();
    const hold = await lab.run(acquireLock(client.context, "deploy", { ttl: "10s" }));
    client.pause();
    await lab.advance(20_000);
    client.resume();
    expect(() => hold.guard(txnOf([], []))).toThrow(/session is lost/);
    expect(hold.signal.aborted).toBe(true);
    await expect(hold.renew()).rejects.toMatchObject({ reason: "sessionLost" });
    await lab.run(hold.release()); // fine
  });

  test("releases nothing but itself, and that more than once", async () => {
    const session = await lab.run(Session.open(lab.client().context));
    const { context } = lab.client();
    const first = await lab.run(acquireLock(context, "deploy", { session }));
    await lab.run(breakLock(context, "deploy"));
    const second = await lab.run(acquireLock(context, "deploy", { session }));
    expect([second.key, second.fence > first.fence]).toEqual([first.key, true]);
    await lab.run(first.release());
    await lab.run(first.release());
    expect(lab.keys(LINE)).toHaveLength(1);
    expect(() => first.guard(txnOf([], []))).toThrow(/was released/);
    second.guard(txnOf([], []));
  });

  test("with the lease of its own id, taken again after a force, is not ended by the one before", async () => {
    const { context } = lab.client();
    const first = await lab.run(acquireLock(context, "deploy", { id: "11" }));
    await lab.run(breakLock(context, "deploy"));
    const second = await lab.run(acquireLock(lab.client().context, "deploy", { id: "11" }));
    await lab.run(first.release());
    expect(lab.keys(LINE).map(({ createRevision }) => BigInt(createRevision))).toEqual([second.fence]);
  });

  test("may be entered again by whoever has it", async () => {
    const hold = await acquire();
    hold.reenter();
    await lab.run(hold.release());
    expect(lab.keys(LINE)).toHaveLength(1);
    await lab.run(hold.release());
    expect(lab.keys(LINE)).toEqual([]);
  });

  test("is released by `await using`, however often it was entered", async () => {
    const hold = await acquire();
    hold.reenter();
    await lab.run(hold[Symbol.asyncDispose]());
    expect(lab.keys(LINE)).toEqual([]);
  });

  test("goes on in another process", async () => {
    const hold = await acquire({ ttl: "10s" });
    const json = JSON.parse(JSON.stringify(hold));
    hold.session.detach();
    await lab.advance(5_000);
    const again = await lab.run(resumeHold(lab.client().context, json));
    await lab.advance(30_000);
    expect([again.fence, again.key]).toEqual([hold.fence, hold.key]);
    again.guard(txnOf([createdAt(again.key, 0)], []));
    await lab.run(breakLock(lab.client().context, "deploy"));
    await expect(lab.run(resumeHold(lab.client().context, json))).rejects.toMatchObject({ reason: "sessionLost" });
  });
});

describe("queueForLock()", () => {
  test("keeps the place in the line, and resumeLock goes on from it", async () => {
    const holder = await acquire();
    const ticket = await lab.run(queueForLock(lab.client().context, "deploy", { wait: "1s", ttl: "10s" }));
    const second = await lab.run(queueForLock(lab.client().context, "deploy", { wait: "1s", ttl: "10s" }));
    if (!("position" in ticket && "position" in second)) throw new Error("granted");
    expect([ticket.position, second.position]).toEqual([1, 2]);
    await lab.advance(5_000);
    const still = await lab.run(resumeLock(lab.client().context, "deploy", ticket.lease, { wait: 0 }));
    expect(still).toEqual(ticket);
    await lab.advance(5_000); // the second one is not asked for any more
    await lab.run(holder.release());
    const hold = await lab.run(resumeLock(lab.client().context, "deploy", ticket.lease, { wait: "1s" }));
    expect("fence" in hold && hold.key).toBe(ticket.key);
    await expect(lab.run(resumeLock(lab.client().context, "deploy", second.lease))).rejects.toMatchObject({ reason: "sessionLost" });
  });

  test("a ticket of a place that was taken away is gone", async () => {
    await acquire();
    const ticket = await lab.run(queueForLock(lab.client().context, "deploy", { wait: 0, id: "11" }));
    await lab.txn(txnOf([], [deleteOp(oneKey(ascii(ticket.key)))]));
    await expect(lab.run(resumeLock(lab.client().context, "deploy", "11"))).rejects.toMatchObject({ reason: "sessionLost" });
  });
});

test("releaseLock() leaves by the lease alone, again and again", async () => {
  await acquire({ id: "11" });
  for (let time = 0; time < 2; time++) await lab.run(releaseLock(lab.client().context, "deploy", "11"));
  expect([lab.keys(LINE), lab.leases()]).toEqual([[], []]);
});

test("breakLock() takes the holder's key, and the next one has it", async () => {
  await acquire({ owner: "a" });
  const ends: string[] = [];
  void waiter("b", ends);
  await lab.advance(0);
  expect((await lab.run(breakLock(lab.client().context, "deploy")))?.owner).toBe("a");
  await lab.advance(0);
  expect(ends).toEqual(["b"]);
  expect(await lab.run(breakLock(lab.client().context, "nobody"))).toBeNull();
});

test("lockState() shows keys of other programs too", async () => {
  await lab.txn(txnOf([], [putOp(ascii(`${LINE}abc`), ascii("not JSON"))]));
  const { holder, line } = await lab.run(lockState(lab.client().context, "deploy"));
  expect([holder, line]).toEqual([{ lease: "0", key: `${LINE}abc`, fence: 2n, owner: null, since: null }, []]);
});

describe("withLock()", () => {
  test("renews while the work runs, and releases", async () => {
    const { context } = lab.client();
    const result = await lab.run(
      withLock(context, "deploy", async () => {
        await context.host.sleep(60_000);
        return lab.keys(LINE).length;
      }),
    );
    expect([result, lab.keys(LINE)]).toEqual([1, []]);
  });

  test("throws what the work throws, and releases", async () => {
    await expect(lab.run(withLock(lab.client().context, "deploy", () => Promise.reject(new Error("mine"))))).rejects.toThrow("mine");
    expect(lab.keys(LINE)).toEqual([]);
  });

  test("throws sessionLost when it was lost, whatever the work did", async () => {
    for (const work of [() => Promise.resolve(1), () => Promise.reject(new Error("mine"))]) {
      const client = lab.client();
      const lost = withLock(client.context, "deploy", async () => {
        client.cutOff();
        await client.context.host.sleep(30_000);
        client.reconnect();
        return work();
      });
      await expect(lab.run(lost)).rejects.toMatchObject({ reason: "sessionLost" });
    }
  });
});
