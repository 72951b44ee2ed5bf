import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { type LabClient, RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import {
  type Leadership,
  campaign,
  electionState,
  observeElection,
  queueForElection,
  releaseCandidature,
  resumeCampaign,
  runAsLeader,
  transferElection,
} from "./election.ts";
import { putOp, txnOf } from "./requests.ts";

const PREFIX = "/quorate/elections/db/";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const stand = (value: string, options = {}, client = lab.client()): Promise<Leadership> =>
  campaign(client.context, "db", ascii(value), options);
const lead = (value: string, options = {}): Promise<Leadership> => lab.run(stand(value, options));

/** What is observed from now on: "a@2", or "none". */
function observed(client: LabClient = lab.client()): { seen: string[]; stop: () => void } {
  const seen: string[] = [];
  const stop = new AbortController();
  void (async () => {
    for await (const { leader } of observeElection(client.context, "db", stop.signal)) {
      seen.push(leader === null ? "none" : `${leader.value}@${leader.term}`);
    }
    seen.push("end");
  })();
  return { seen, stop: () => stop.abort() };
}

describe("campaign()", () => {
  test("leads at once when nobody does; the next one when the leader resigns", async () => {
    const a = await lead("a", { id: "255" });
    expect(lab.keys()[0]).toMatchObject({ key: `${PREFIX}ff`, value: "a", lease: "255", createRevision: Number(a.term) });
    const b = stand("b");
    await lab.advance(0);
    const { leader, line } = await lab.run(electionState(lab.client().context, "db"));
    expect([leader?.value, line.map(({ value }) => value)]).toEqual(["a", ["b"]]);
    const at = lab.time.now;
    await lab.run(a.resign());
    const next = await lab.run(b);
    expect([next.term > a.term, lab.time.now]).toEqual([true, at]); // no TTL was waited for
  });

  test("is over when the time to wait is", async () => {
    await lead("a");
    await expect(lab.run(stand("b", { wait: "2s" }))).rejects.toMatchObject({ reason: "held" });
    expect([lab.keys().length, lab.leases().length]).toEqual([1, 1]);
  });

  test("each call may be lost: one candidature", async () => {
    const { expected } = await withEachFault(
      async (fresh, client) => {
        const first = await fresh.run(campaign(fresh.client().context, "db", ascii("a"), { id: "10" }));
        fresh.time.after(2_000, () => void first.resign());
        const leadership = await fresh.run(campaign(client.context, "db", ascii("b"), { id: "11", ttl: "30s" }));
        await fresh.run(leadership.proclaim(ascii("c")));
        const values = fresh.keys().map(({ value }) => value);
        const mine = fresh.history.flatMap(({ events }) => events).filter(({ kv }) => kv.key === leadership.key);
        await fresh.run(leadership.resign());
        return { values, created: mine.filter(({ kv }) => kv.version === 1).length, left: [fresh.keys(), fresh.leases()] };
      },
      (result, first) => expect(result).toEqual(first),
    );
    expect(expected).toEqual({ values: ["c"], created: 1, left: [[], []] });
  });
});

describe("a leadership", () => {
  test("proclaims as long as it holds", async () => {
    const a = await lead("a");
    await lab.run(a.proclaim(ascii("a2")));
    expect(lab.keys()[0]).toMatchObject({ value: "a2", createRevision: Number(a.term) });
    await lab.revoke(a.lease);
    await expect(lab.run(a.proclaim(ascii("a3")))).rejects.toMatchObject({ reason: "sessionLost" });
    expect(lab.keys()).toEqual([]);
  });

  test("guards writes by its term", async () => {
    const client = lab.client();
    const a = await lab.run(stand("a", {}, client));
    await lab.revoke(a.lease);
    const write = await client.context.store.txn(a.guard(txnOf([], [putOp(ascii("/data"), ascii("x"))])));
    expect(write.succeeded).toBe(false);
  });
});

test("resumeCampaign() goes on from another process", async () => {
  const a = await lead("a");
  const b = lab.client();
  void stand("b", { id: "11", ttl: "10s" }, b);
  await lab.advance(0);
  b.kill();
  expect(await lab.run(resumeCampaign(lab.client().context, "db", "11", { wait: "3s" }))).toEqual({
    lease: "11",
    key: `${PREFIX}b`,
    position: 1,
  });
  await lab.run(a.resign());
  expect((await lab.run(resumeCampaign(lab.client().context, "db", "11"))).lease).toBe("11");
  await lab.run(releaseCandidature(lab.client().context, "db", "11"));
  await expect(lab.run(resumeCampaign(lab.client().context, "db", "11"))).rejects.toMatchObject({ reason: "sessionLost" });
});

test("queueForElection() keeps the candidature", async () => {
  const a = await lead("a");
  const waiting = await lab.run(queueForElection(lab.client().context, "db", ascii("b"), { id: "11", wait: "1s" }));
  expect(waiting).toEqual({ lease: "11", key: `${PREFIX}b`, position: 1 });
  await lab.run(a.resign());
  expect((await lab.run(electionState(lab.client().context, "db"))).leader?.value).toBe("b");
});

describe("observeElection()", () => {
  test("tells who leads, each value of his, and nobody; terms rise", async () => {
    const { seen, stop } = observed();
    await lab.advance(0);
    const a = await lead("a");
    await lab.run(a.proclaim(ascii("a2")));
    const b = stand("b");
    await lab.advance(0);
    await lab.run(a.resign());
    const leader = await lab.run(b);
    await lab.advance(0);
    await lab.run(leader.resign());
    await lab.advance(0);
    stop();
    await lab.advance(0);
    expect(seen).toEqual(["none", `a@${a.term}`, `a2@${a.term}`, `b@${leader.term}`, "none", "end"]);
  });

  test("goes on after a compaction, and sees no leader twice", async () => {
    const client = lab.client();
    const a = await lead("a");
    const { seen } = observed(client);
    await lab.advance(0);
    client.pause();
    await lab.run(a.resign());
    const b = await lead("b");
    await lab.compact();
    client.resume();
    await lab.advance(0);
    expect(seen).toEqual([`a@${a.term}`, `b@${b.term}`]);
  });
});

describe("transferElection()", () => {
  test("hands over to a candidate, past those before it", async () => {
    const a = await lead("a");
    void stand("b", { id: "11" }).catch(() => {});
    await lab.advance(0);
    const c = stand("c", { id: "12" });
    await lab.advance(0);
    await lab.run(transferElection(lab.client().context, "db", "12"));
    expect((await lab.run(c)).term).toBeGreaterThan(a.term);
    expect(lab.keys().map(({ value }) => value)).toEqual(["c"]);
    await lab.run(transferElection(lab.client().context, "db", "12")); // has it already
    await expect(lab.run(transferElection(lab.client().context, "db", "13"))).rejects.toMatchObject({ reason: "conflict" });
  });

  test("each call may be lost", async () => {
    await withEachFault(
      async (fresh, client) => {
        await fresh.run(campaign(fresh.client().context, "db", ascii("a"), { id: "10" }));
        void campaign(fresh.client().context, "db", ascii("b"), { id: "11" });
        await fresh.advance(0);
        await fresh.run(transferElection(client.context, "db", "11"));
        return fresh.keys().map(({ value }) => value);
      },
      (result) => expect(result).toEqual(["b"]),
    );
  });
});

describe("runAsLeader()", () => {
  test("leads again after a loss and after a handover, until the signal fires", async () => {
    const client = lab.client();
    const stop = new AbortController();
    const terms: bigint[] = [];
    const running = runAsLeader(
      client.context,
      "db",
      ascii("a"),
      async (leadership) => {
        terms.push(leadership.term);
        await new Promise((_, reject) => {
          leadership.signal.addEventListener("abort", () => reject(leadership.signal.reason));
          stop.signal.addEventListener("abort", () => reject(stop.signal.reason));
        });
      },
      { signal: stop.signal },
    );
    await lab.advance(0);
    expect(terms).toHaveLength(1);
    await lab.revoke(lab.keys()[0]!.lease);
    await lab.advance(30_000);
    expect(terms).toHaveLength(2);
    const b = stand("b", { id: "11" });
    await lab.advance(0);
    await lab.run(transferElection(lab.client().context, "db", "11"));
    const other = await lab.run(b);
    await lab.advance(1_000);
    expect(
      lab
        .keys()
        .map(({ value }) => value)
        .toSorted(),
    ).toEqual(["a", "b"]); // it campaigns again
    await lab.run(other.resign());
    await lab.advance(0);
    expect(terms).toHaveLength(3);
    client.cutOff();
    await lab.advance(60_000);
    client.reconnect();
    await lab.advance(10_000);
    expect(terms).toHaveLength(4);
    stop.abort(new Error("stop"));
    await expect(lab.run(running)).rejects.toThrow("stop"); // by its own work
    await lab.advance(0);
    expect([lab.keys(), lab.leases()]).toEqual([[], []]);
  });

  test("ends with its work, throws what it throws, and does not campaign when the signal has fired", async () => {
    const { context } = lab.client();
    let led = 0;
    await lab.run(runAsLeader(context, "db", ascii("a"), async () => void led++));
    await expect(lab.run(runAsLeader(context, "db", ascii("a"), () => Promise.reject(new Error("mine"))))).rejects.toThrow("mine");
    const gone = new AbortController();
    gone.abort();
    await lab.run(runAsLeader(context, "db", ascii("a"), async () => void led++, { signal: gone.signal }));
    expect([led, lab.keys()]).toEqual([1, []]);
  });
});
