import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { Rendezvous, enterRendezvous, leaveRendezvous, queueForRendezvous, rendezvousMembers } from "./rendezvous.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;

/** Enters; what happens is told in `log`: "a in 1", "a out", "a held". */
function party(who: string, log: string[], options = {}, parties = 3): { entered: Promise<Rendezvous | undefined> } {
  const entered = enterRendezvous(context(), "x", parties, options).then(
    (met) => (log.push(`${who} in ${met.generation}`), met),
    (error) => void log.push(`${who} ${error.reason}`),
  );
  return { entered };
}

describe("a rendezvous", () => {
  test("lets nobody in before all are there, nor out before all leave; round after round", async () => {
    for (const round of [1, 2, 3]) {
      const log: string[] = [];
      const parties = [party("a", log), party("b", log)];
      await lab.advance(60_000);
      expect(log).toEqual([]);
      parties.push(party("c", log));
      await lab.advance(0);
      expect(log.toSorted()).toEqual([`a in ${round}`, `b in ${round}`, `c in ${round}`]);
      const met = await Promise.all(parties.map(({ entered }) => entered));
      expect((await lab.run(rendezvousMembers(context(), "x", round))).length).toBe(3);
      void met[0]!.leave().then(() => log.push("a out"));
      void met[1]!.leave().then(() => log.push("b out"));
      await lab.advance(60_000);
      expect(log).toHaveLength(3);
      void met[2]!.leave().then(() => log.push("c out"));
      await lab.advance(0);
      expect(log.slice(3).toSorted()).toEqual(["a out", "b out", "c out"]);
    }
    expect([lab.keys().map(({ key }) => key), lab.leases()]).toEqual([["/quorate/rendezvous/x/gen"], []]);
  });

  test("has exactly so many in a round: who comes late is in the next one", async () => {
    const log: string[] = [];
    for (const who of ["a", "b", "c", "d", "e"]) party(who, log);
    await lab.advance(0);
    expect(log.map((line) => line.slice(2))).toEqual(["in 1", "in 1", "in 1"]);
    party("f", log);
    await lab.advance(0);
    expect(log.slice(3).map((line) => line.slice(2))).toEqual(["in 2", "in 2", "in 2"]);
    for (const round of [1, 2]) expect(await lab.run(rendezvousMembers(context(), "x", round))).toHaveLength(3);
  });

  test("a party that dies while the others wait is waited for anew", async () => {
    const log: string[] = [];
    const dead = lab.client();
    void enterRendezvous(dead.context, "x", 3, { ttl: "10s" });
    await lab.advance(0);
    dead.kill();
    party("a", log);
    await lab.advance(11_000);
    party("b", log);
    await lab.advance(0);
    expect(log).toEqual([]);
    party("c", log);
    await lab.advance(0);
    expect(log).toHaveLength(3);
  });

  test("is not ready when one goes just before the last one comes", async () => {
    const log: string[] = [];
    party("a", log, { id: "11" }, 2);
    await lab.advance(0);
    const slow = lab.client();
    slow.latencyMs = () => 10;
    void enterRendezvous(slow.context, "x", 2).then(() => log.push("b in"));
    await lab.advance(35); // it has read, and has not written
    await lab.revoke("11");
    await lab.advance(1_000);
    expect(log).toEqual(["a sessionLost"]);
    party("c", log, {}, 2);
    await lab.advance(1_000);
    expect(log.slice(1).toSorted()).toEqual(["b in", "c in 1"]);
  });

  test("a party that dies inside has left", async () => {
    const log: string[] = [];
    const dead = lab.client();
    void enterRendezvous(dead.context, "x", 2, { ttl: "10s" });
    const { entered } = party("a", log, {}, 2);
    await lab.advance(0);
    dead.kill();
    void (await entered)!.leave().then(() => log.push("a out"));
    await lab.advance(1_000);
    expect(log).toEqual(["a in 1"]);
    await lab.advance(10_000);
    expect(log).toEqual(["a in 1", "a out"]);
  });

  test("of a party whose lease ends while it waits is lost", async () => {
    const log: string[] = [];
    party("a", log, { id: "11" });
    await lab.advance(0);
    await lab.revoke("11");
    await lab.advance(0);
    expect(log).toEqual(["a sessionLost"]);
  });

  test("a wait that is over leaves, so that the round needs another", async () => {
    const log: string[] = [];
    party("a", log, { wait: "2s" }, 2);
    await lab.advance(3_000);
    party("b", log, {}, 2);
    await lab.advance(1_000);
    expect(log).toEqual(["a held"]);
    expect(lab.leases()).toHaveLength(1);
  });

  test("for another number of parties is a conflict", async () => {
    const log: string[] = [];
    party("a", log);
    await lab.advance(0);
    party("b", log, {}, 2);
    await lab.advance(100);
    expect([log, lab.leases().length]).toEqual([["b conflict"], 1]);
    await expect(lab.run(enterRendezvous(context(), "x", 101))).rejects.toMatchObject({ reason: "badField" });
  });

  test("of one party is entered at once", async () => {
    const met = await lab.run(enterRendezvous(context(), "solo", 1));
    await lab.run(met.leave());
    expect(lab.keys().map(({ key }) => key)).toEqual(["/quorate/rendezvous/solo/gen"]);
  });

  test("entered again with the same id is the same entry, also when the round is over for the others", async () => {
    const ticket = await lab.run(queueForRendezvous(context(), "x", 2, { id: "11", ttl: "30s", wait: "1s" }));
    expect([ticket instanceof Rendezvous, ticket.generation]).toEqual([false, 1]);
    const other = await lab.run(enterRendezvous(context(), "x", 2));
    for (let n = 0; n < 2; n++) void enterRendezvous(context(), "x", 2); // a round later
    await lab.advance(0);
    const again = await lab.run(queueForRendezvous(context(), "x", 2, { id: "11", ttl: "30s", wait: "1s" }));
    expect([again instanceof Rendezvous, again.generation]).toEqual([true, 1]);
    let left = false;
    void other.leave().then(() => (left = true));
    await lab.advance(1_000);
    expect(left).toBe(false);
    await lab.run(leaveRendezvous(context(), "x", ticket));
    await lab.run(leaveRendezvous(context(), "x", ticket)); // again is fine
    await lab.advance(0);
    expect(left).toBe(true);
  });

  test("a ticket is given back before the round is ready", async () => {
    const ticket = await lab.run(queueForRendezvous(context(), "x", 2, { wait: 0 }));
    await lab.run(leaveRendezvous(context(), "x", ticket));
    expect(lab.keys().map(({ key }) => key)).toEqual(["/quorate/rendezvous/x/gen"]);
  });

  test("clears up rounds that all parties died in", async () => {
    const dead = lab.client();
    await lab.run(enterRendezvous(dead.context, "x", 1, { ttl: "10s" }));
    dead.kill();
    await lab.advance(11_000);
    expect(lab.keys().map(({ key }) => key)).toContain("/quorate/rendezvous/x/1/ready");
    const met = await lab.run(enterRendezvous(context(), "x", 1));
    expect(lab.keys().map(({ key }) => key)).not.toContain("/quorate/rendezvous/x/1/ready");
    await lab.run(met.leave());
  });

  test("each call may be lost: two rounds, entered and left once each", async () => {
    const { expected, runs } = await withEachFault(
      async (fresh, client) => {
        const other = fresh.client().context;
        const rounds: number[] = [];
        for (let n = 0; n < 2; n++) {
          const theirs = enterRendezvous(other, "x", 2, { ttl: "30s" });
          const mine = await fresh.run(enterRendezvous(client.context, "x", 2, { ttl: "30s" }));
          rounds.push(mine.generation);
          fresh.time.after(2_000, () => void theirs.then((met) => met.leave()));
          await fresh.run(mine.leave());
        }
        await fresh.advance(1_000);
        return { rounds, left: [fresh.keys().map(({ key }) => key), fresh.leases()] };
      },
      (result, first) => expect(result).toEqual(first),
    );
    expect(expected).toEqual({ rounds: [1, 2], left: [["/quorate/rendezvous/x/gen"], []] });
    expect(runs).toBeGreaterThanOrEqual(3 * 12);
  });
});
