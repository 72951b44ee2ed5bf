import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type ConfigChange,
  EMPTY_CONFIG,
  applyChange,
  decodeConfig,
  encodeConfig,
  foundingLog,
  isConfig,
  isJoint,
  leaveJoint,
  membersOf,
} from "./config-change.ts";
import type { Config } from "./types.ts";

function base(voters: string[], learners: string[] = []): Config {
  const meta = Object.fromEntries([...voters, ...learners].map((id) => [id, `http://${id}`]));
  return { ...EMPTY_CONFIG, voters, learners, meta };
}

function done(config: Config, change: ConfigChange): Config {
  const next = applyChange(config, change);
  if ("error" in next) throw new Error(next.error);
  return next;
}

test("§4.3: a change of voters is joint, and leaving it gives the new set", () => {
  const joint = done(base(["a", "b", "c"]), { add: [{ id: "d", meta: "http://d", as: "voter" }], remove: ["a"] });
  expect(joint).toMatchObject({ voters: ["b", "c", "d"], outgoing: ["a", "b", "c"], removed: ["a"] });
  expect(leaveJoint(joint)).toMatchObject({ voters: ["b", "c", "d"], outgoing: [], removed: ["a"] });
  expect(membersOf(joint)).toEqual(["a", "b", "c", "d"]);
});

test("a change of learners alone is one entry", () => {
  const next = done(base(["a"]), { add: [{ id: "b", meta: "http://b", as: "learner" }] });
  expect(next).toMatchObject({ voters: ["a"], outgoing: [], learners: ["b"] });
});

test("a demoted voter waits in learnersNext until the joint phase ends", () => {
  const joint = done(base(["a", "b"]), { demote: ["b"] });
  expect(joint).toMatchObject({ voters: ["a"], outgoing: ["a", "b"], learners: [], learnersNext: ["b"] });
  expect(leaveJoint(joint)).toMatchObject({ learners: ["b"], learnersNext: [] });
});

test("promote: auto joins as a learner even when added as a voter", () => {
  const next = done(base(["a"]), { add: [{ id: "b", meta: "", as: "voter", promote: "auto" }] });
  expect(next).toMatchObject({ voters: ["a"], learners: ["b"], autoPromote: ["b"] });
  expect(done(next, { add: [{ id: "b", meta: "", as: "voter" }] })).not.toHaveProperty("autoPromote");
});

test.each<[string, ConfigChange]>([
  ["a removed id returns", { add: [{ id: "x", meta: "", as: "voter" }] }],
  ["an id is named twice", { add: [{ id: "d", meta: "", as: "voter" }], remove: ["d"] }],
  ["no voter is left", { remove: ["a", "b"] }],
  ["the last voters are demoted", { demote: ["a", "b"] }],
  ["nobody of that name", { remove: ["zz"] }],
  ["a learner is demoted", { demote: ["c"] }],
  ["a voter is added as learner", { add: [{ id: "a", meta: "", as: "learner" }] }],
  ["an empty id", { add: [{ id: "", meta: "", as: "voter" }] }],
])("applyChange() refuses when %s", (_why, change) => {
  expect(applyChange({ ...base(["a", "b"], ["c"]), removed: ["x"] }, change)).toHaveProperty("error");
});

test("applyChange() refuses while joint", () => {
  expect(applyChange({ ...base(["a"]), outgoing: ["b"] }, {})).toHaveProperty("error");
});

test("any sequence of changes keeps the sets apart, sorted, and its bytes readable", () => {
  const ids = fc.constantFrom("a", "b", "c", "d", "e");
  const change: fc.Arbitrary<ConfigChange> = fc.record({
    add: fc.array(
      fc.record({
        id: ids,
        meta: fc.constant("m"),
        as: fc.constantFrom("voter" as const, "learner" as const),
        promote: fc.constantFrom("auto" as const, "manual" as const),
      }),
      { maxLength: 2 },
    ),
    remove: fc.array(ids, { maxLength: 1 }),
    demote: fc.array(ids, { maxLength: 1 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      let config = base(["a", "b", "c"]);
      for (const one of changes) {
        const next = applyChange(config, one);
        if ("error" in next) continue;
        expect(decodeConfig(encodeConfig(next))).toEqual(next);
        expect(isJoint(next) ? next.outgoing : next.voters).toEqual(config.voters);
        config = leaveJoint(next);
        const all = [...config.voters, ...config.learners, ...config.removed];
        expect(new Set(all).size).toBe(all.length);
        expect(config.voters.length).toBeGreaterThan(0);
        for (const list of [config.voters, config.learners, config.removed]) expect(list).toEqual(list.toSorted());
        expect(Object.keys(config.meta)).toEqual(membersOf(config));
      }
    }),
    { numRuns: 300 },
  );
});

test("decodeConfig() gives null for bytes that are no configuration", () => {
  expect(decodeConfig(new Uint8Array([0xff]))).toBeNull();
  expect(decodeConfig(new TextEncoder().encode("{}"))).toBeNull();
  expect(isConfig(null)).toBe(false);
});

test("foundingLog() is the same on every founder, whatever the order of the list", () => {
  const members = [
    { id: "b", meta: "2" },
    { id: "a", meta: "1" },
  ];
  expect(foundingLog(members)).toEqual(foundingLog(members.toReversed()));
  expect(foundingLog(members).entries[0]).toMatchObject({ index: 1, term: 1, kind: "config" });
});
