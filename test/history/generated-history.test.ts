/** Both checks on random histories of a correct model, as they are and with one answer changed. */
import { describe, expect, test } from "vitest";
import { Random } from "../differential/random.ts";
import { alterOne, generateHistory } from "./generated-history.ts";
import { checkLinearizable, searchRegister } from "./linearizability.ts";
import { WatchTruth, checkWatch, truthOf } from "./watch-check.ts";
import { checkWitness } from "./witness-check.ts";

const SEEDS = Array.from({ length: 100 }, (_, at) => at + 1);
let looks = 0;
/** By steps of the search, so that a busy machine changes no verdict. */
const LIMIT = { now: () => ++looks, limit: 5_000 };

const several = (seed: number) => generateHistory({ seed, operations: 120, clients: 6, keys: ["a", "b", "c"] });
const single = (seed: number) => generateHistory({ seed, operations: 40, clients: 5, keys: ["a"], singleKey: true, lost: 10 });

describe("histories of a correct model", () => {
  test.each([0, 5, 30])("the witness check finds nothing, when of a hundred answers %i are lost", (lost) => {
    for (const seed of SEEDS) {
      const { operations, truth } = generateHistory({ seed, operations: 120, clients: 6, keys: ["a", "b", "c"], lost });
      expect(checkWitness(operations).violations, `seed ${seed}`).toEqual([]);
      expect(checkWitness(operations, { truth }).violations, `seed ${seed} with the truth`).toEqual([]);
    }
  });

  test("with the truth nothing is left undecided, when most answers are lost", () => {
    for (const seed of SEEDS) {
      const { operations, truth } = generateHistory({ seed, operations: 300, clients: 10, keys: ["a", "b", "c"], lost: 60 });
      expect(checkWitness(operations, { truth }).violations, `seed ${seed}`).toEqual([]);
    }
  });

  test("the search finds an order for each key", () => {
    for (const seed of SEEDS) {
      const { operations } = generateHistory({ seed, operations: 200, clients: 8, keys: ["a", "b", "c"], singleKey: true, lost: 10 });
      expect(checkLinearizable(operations, LIMIT), `seed ${seed}`).toBeNull();
    }
  });

  test("a long one is judged", () => {
    const { operations } = generateHistory({ seed: 1, operations: 10_000, clients: 10, keys: ["a", "b", "c", "d", "e"], lost: 2 });
    expect(checkWitness(operations).violations).toEqual([]);
  });
});

describe("histories with one answer changed", () => {
  test("the witness check finds it in more than nine of ten", () => {
    const missed = SEEDS.filter((seed) => {
      const altered = alterOne(several(seed).operations, new Random(seed));
      return checkWitness(altered!).violations.length === 0;
    });
    console.log(`not found by the witness check: ${missed.length} of ${SEEDS.length}, seeds ${missed.join()}`);
    expect(missed.length).toBeLessThan(SEEDS.length / 10);
  });

  test("the search finds it in more than nine of ten, when it knows revisions of headers", () => {
    const missed = SEEDS.filter((seed) => {
      const altered = alterOne(single(seed).operations, new Random(seed));
      return searchRegister(altered!, { ...LIMIT, revisions: "exact" }).verdict === "linearizable";
    });
    console.log(`not found by the search: ${missed.length} of ${SEEDS.length}`);
    expect(missed.length).toBeLessThan(SEEDS.length / 10);
  });

  test("both checks say the same of a store with one key", () => {
    let illegal = 0;
    for (const seed of Array.from({ length: 400 }, (_, at) => at + 1)) {
      const { operations } = generateHistory({ seed, operations: 16, clients: 4, keys: ["a"], singleKey: true, lost: 15 });
      const random = new Random(seed);
      const history = random.chance(20) ? operations : (alterOne(operations, random) ?? operations);
      const byRevision = checkWitness(history).violations;
      const search = searchRegister(history, { ...LIMIT, revisions: "exact" });
      expect(search.verdict, `seed ${seed}: ${JSON.stringify(byRevision, null, 1)}`).toBe(
        byRevision.length === 0 ? "linearizable" : "illegal",
      );
      // Without headers the search knows less: what it refuses is refused by the witness check too.
      const blind = searchRegister(history, LIMIT);
      if (blind.verdict === "illegal") expect(byRevision, `seed ${seed}`).not.toEqual([]);
      if (byRevision.length > 0) illegal += 1;
    }
    console.log(`both checks: ${illegal} of 400 histories are illegal`);
    expect(illegal).toBeGreaterThan(200);
  });

  test("the prefix of the search is illegal, and legal without its last return", () => {
    let seen = 0;
    for (const seed of SEEDS) {
      const altered = alterOne(single(seed).operations, new Random(seed))!;
      const { verdict, prefix, blocked } = searchRegister(altered, LIMIT);
      if (verdict !== "illegal") continue;
      seen += 1;
      expect(searchRegister(prefix, LIMIT).verdict, `seed ${seed}`).toBe("illegal");
      const open = prefix.map((one) => (one === blocked ? { ...one, return: null, response: null } : one));
      expect(searchRegister(open, LIMIT).verdict, `seed ${seed}`).toBe("linearizable");
    }
    expect(seen).toBeGreaterThan(50);
  });
});

describe("watch streams of a correct model", () => {
  test("nothing is found in the complete one and in those of a part", () => {
    for (const seed of SEEDS.slice(0, 30)) {
      const { truth } = several(seed);
      const items = truth.map(({ revision, events }) => ({ kind: "events" as const, revision, events }));
      const known = new WatchTruth(truthOf({ startRevision: 1, key: "", end: "\0", items }));
      const last = truth.at(-1)!.revision;
      expect(checkWatch({ startRevision: 1, key: "", end: "\0", prev: true, completeTo: last, items }, known)).toEqual([]);
      const part = items.flatMap((item) => {
        const events = item.events.filter(({ key, modRevision }) => key === "b" && modRevision >= 10);
        return events.length === 0 ? [] : [{ ...item, events }];
      });
      expect(checkWatch({ startRevision: 10, key: "b", completeTo: last, items: part }, known)).toEqual([]);
    }
  });
});
