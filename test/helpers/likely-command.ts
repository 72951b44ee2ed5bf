/** Commands on few keys and leases, so that a short log of them meets itself often: overwrites, deletions, refusals, compactions. */
import fc from "fast-check";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { CommandBody } from "../../core/store/command.ts";

const name = fc.constantFrom("a", "b", "c", "/d", "/d/x", "/d/y", "\xff\0") as fc.Arbitrary<Bytes>;
const value = fc.constantFrom("", "1", "value \x00\xff", "x".repeat(300)) as fc.Arbitrary<Bytes>;
const lease = fc.constantFrom("0", "0", "7", "-8");
const put = { key: name, value, lease, prevKv: fc.constant(false), ignoreValue: fc.constant(false), ignoreLease: fc.constant(false) };
const remove = { key: name, end: fc.constantFrom("", "\0", "c") as fc.Arbitrary<Bytes>, prevKv: fc.constant(false) };
const typed = { ...put, contentType: fc.constantFrom("text/plain", "application/json") as fc.Arbitrary<Bytes> };
const operation = fc.oneof(
  fc.record({ op: fc.constant("put"), ...put }),
  fc.record({ op: fc.constant("put"), ...typed }),
  fc.record({ op: fc.constant("delete"), ...remove }),
);
const v2 = {
  kind: fc.constant("v2"),
  path: fc.constantFrom("/d", "/d/x", "/e/f") as fc.Arbitrary<Bytes>,
  value,
  dir: fc.boolean(),
  ttlSeconds: fc.constantFrom(null, 10),
};
const none = { refresh: fc.constant(false), prevValue: fc.constant(null), prevIndex: fc.constant(null), prevExist: fc.constant(null) };
/** Of every kind, at random but valid often enough. */
export const likelyCommand = fc.oneof(
  { weight: 5, arbitrary: fc.oneof(fc.record({ kind: fc.constant("put"), ...put }), fc.record({ kind: fc.constant("put"), ...typed })) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete"), ...remove }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("txn"),
      compare: fc.constant([]),
      failure: fc.constant([]),
      success: fc.array(operation, { maxLength: 5 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ...v2, ...none, method: fc.constantFrom("put", "post", "delete"), recursive: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact"), revision: fc.integer({ min: 0, max: 12 }) }) },
  { weight: 1, arbitrary: fc.constantFrom("7", "-8").map((id) => ({ kind: "leaseGrant", id, ttlSeconds: 60 })) },
  { weight: 1, arbitrary: fc.constantFrom("7", "-8").map((id) => ({ kind: "leaseRevoke", id, term: 0 })) },
  { weight: 1, arbitrary: fc.constant({ kind: "leaseCheckpoint", remainingMs: [["7", 1234]], term: 2 }) },
  {
    weight: 1,
    arbitrary: fc.constant({ kind: "alarm", action: "activate", alarm: { memberId: "18446744073709551615", alarm: "nospace" } }),
  },
  {
    weight: 1,
    arbitrary: fc.constant({ kind: "alarm", action: "deactivate", alarm: { memberId: "18446744073709551615", alarm: "nospace" } }),
  },
) as fc.Arbitrary<CommandBody>;
