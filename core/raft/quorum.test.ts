import fc from "fast-check";
import { expect, test } from "vitest";
import { EMPTY_CONFIG } from "./config-change.ts";
import { committedIndex, voteResult } from "./quorum.ts";
import type { Config, Index, NodeId } from "./types.ts";

const IDS = ["a", "b", "c", "d", "e", "f"];

function config(voters: readonly NodeId[], outgoing: readonly NodeId[]): Config {
  return { ...EMPTY_CONFIG, voters, outgoing };
}

/** All pairs of halves of up to three voters each, over six names. */
function allJoint(): Config[] {
  const halves: NodeId[][] = [];
  for (let mask = 0; mask < 64; mask++) {
    const half = IDS.filter((_, at) => (mask >> at) & 1);
    if (half.length <= 3) halves.push(half);
  }
  return halves.flatMap((voters) => (voters.length === 0 ? [] : halves.map((outgoing) => config(voters, outgoing))));
}

/** The definition itself: the largest index for which more than half of each half has it. */
function bruteCommitted({ voters, outgoing }: Config, durable: ReadonlyMap<NodeId, Index>, top: Index): Index {
  const holds = (ids: readonly NodeId[], index: Index): boolean =>
    ids.length === 0 || ids.filter((id) => (durable.get(id) ?? 0) >= index).length > ids.length / 2;
  for (let index = top; index > 0; index--) if (holds(voters, index) && holds(outgoing, index)) return index;
  return 0;
}

test("T41: committedIndex() equals brute force for every joint configuration up to 3+3 voters (trap: an order kept up to date drifts, openraft 1802)", () => {
  const configs = allJoint();
  expect(configs.length).toBeGreaterThan(1500);
  fc.assert(
    fc.property(fc.array(fc.nat(4), { minLength: 6, maxLength: 6 }), (matches) => {
      const durable = new Map(IDS.map((id, at) => [id, matches[at] as number]));
      for (const one of configs) expect(committedIndex(one, (id) => durable.get(id))).toBe(bruteCommitted(one, durable, 4));
    }),
    { numRuns: 40 },
  );
});

test("committedIndex() takes an unknown member for one that has nothing", () => {
  expect(committedIndex(config(["a", "b", "c"], []), (id) => (id === "a" ? 7 : undefined))).toBe(0);
  expect(committedIndex(config(["a"], []), () => 7)).toBe(7);
  expect(committedIndex(EMPTY_CONFIG, () => 7)).toBe(0);
});

test("voteResult() equals counting, for every joint configuration and every combination of ballots", () => {
  for (const one of allJoint().filter((each, at) => at % 7 === 0 || each.outgoing.length === 0)) {
    for (let code = 0; code < 3 ** 6; code += 5) {
      const vote = (id: NodeId): boolean | undefined => [true, false, undefined][Math.floor(code / 3 ** IDS.indexOf(id)) % 3];
      const winnable = (open: boolean): boolean =>
        [one.voters, one.outgoing].every((ids) => ids.length === 0 || ids.filter((id) => vote(id) ?? open).length > ids.length / 2);
      const expected = winnable(false) ? "won" : winnable(true) ? "pending" : "lost";
      expect(voteResult(one, vote)).toBe(expected);
    }
  }
});

test("voteResult() lets nobody win a configuration without voters", () => {
  expect(voteResult(EMPTY_CONFIG, () => true)).toBe("lost");
});

test("any two quorums of consecutive configurations share a member (§4.3)", () => {
  const subsets = Array.from({ length: 64 }, (_, mask) => new Set(IDS.filter((_id, at) => (mask >> at) & 1)));
  const wins = (one: Config): Set<NodeId>[] => subsets.filter((set) => voteResult(one, (id) => set.has(id)) === "won");
  for (const { voters, outgoing } of allJoint().filter((each, at) => each.outgoing.length > 0 && at % 11 === 0)) {
    for (const joint of wins(config(voters, outgoing))) {
      for (const side of [config(voters, []), config(outgoing, [])]) {
        for (const quorum of wins(side)) expect([...joint].some((id) => quorum.has(id))).toBe(true);
      }
    }
  }
});
