/** Commands of every kind, at random, for properties. */
import fc from "fast-check";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { Command, Operation, TxnRequest } from "../../core/store/command.ts";

const text = (maxLength: number) => fc.uint8Array({ maxLength }).map((raw) => String.fromCharCode(...raw) as Bytes);
const bytes = fc.oneof(text(12), text(300));
const number = fc.oneof(fc.integer({ min: -40, max: 300 }), fc.maxSafeInteger());
const lease = fc.oneof(fc.constant("0"), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String));

const put = { key: bytes, value: bytes, lease, prevKv: fc.boolean(), ignoreValue: fc.boolean(), ignoreLease: fc.boolean() };
const append = { prefix: bytes, suffix: bytes, value: bytes, lease };
/** Where there is one: what has none has no field for it. */
const typed = <T>(one: fc.Arbitrary<T>) =>
  fc.oneof(
    one,
    fc.tuple(one, bytes).map(([rest, contentType]) => ({ ...rest, contentType })),
  );
const remove = { key: bytes, end: bytes, prevKv: fc.boolean() };
const range = {
  key: bytes,
  end: bytes,
  revision: number,
  limit: number,
  sortTarget: fc.constantFrom("key", "version", "create", "mod", "value"),
  sortOrder: fc.constantFrom("none", "ascend", "descend"),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  minModRevision: number,
  maxModRevision: number,
  minCreateRevision: number,
  maxCreateRevision: number,
};
const compare = fc.record({
  key: bytes,
  end: bytes,
  target: fc.constantFrom("version", "create", "mod", "value", "lease", null),
  operator: fc.constantFrom("equal", "greater", "less", "notEqual", null),
  value: fc.oneof(bytes, number),
});

const { txn } = fc.letrec<{ txn: TxnRequest; operation: Operation }>((tie) => ({
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 3 }),
    success: fc.array(tie("operation"), { maxLength: 3 }),
    failure: fc.array(tie("operation"), { maxLength: 3 }),
  }) as fc.Arbitrary<TxnRequest>,
  operation: fc.oneof(
    { maxDepth: 3 },
    typed(fc.record({ op: fc.constant("put"), ...put })),
    fc.record({ op: fc.constant("range"), ...range }),
    typed(fc.record({ op: fc.constant("append"), ...append })),
    fc.record({ op: fc.constant("delete"), ...remove }),
    (tie("txn") as fc.Arbitrary<TxnRequest>).map((request) => ({ op: "txn", ...request })),
  ) as fc.Arbitrary<Operation>,
}));

const optional = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: null });

const bodies = fc.oneof(
  typed(fc.record({ kind: fc.constant("put"), ...put })),
  typed(fc.record({ kind: fc.constant("append"), ...append })),
  fc.record({ kind: fc.constant("delete"), ...remove }),
  txn.map((request) => ({ kind: "txn", ...request })),
  fc.record({ kind: fc.constant("compact"), revision: number }),
  fc.record({ kind: fc.constant("leaseGrant"), id: lease, ttlSeconds: number }),
  fc.record({ kind: fc.constant("leaseRevoke"), id: lease, term: number }),
  fc.record({ kind: fc.constant("leaseCheckpoint"), remainingMs: fc.array(fc.tuple(lease, number), { maxLength: 20 }), term: number }),
  fc.record({ kind: fc.constant("hashMark"), term: number }),
  fc.record({ kind: fc.constant("hashVerify"), index: number, hash: number, term: number }),
  fc.record({
    kind: fc.constant("alarm"),
    action: fc.constantFrom("activate", "deactivate"),
    alarm: fc.record({ memberId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String), alarm: fc.constantFrom("nospace", "corrupt") }),
  }),
  fc.record({
    kind: fc.constant("v2"),
    method: fc.constantFrom("put", "post", "delete"),
    path: bytes,
    dir: fc.boolean(),
    recursive: fc.boolean(),
    value: bytes,
    ttlSeconds: optional(number),
    refresh: fc.boolean(),
    prevValue: optional(bytes),
    prevIndex: optional(number),
    prevExist: optional(fc.boolean()),
  }),
);

const session = fc.record({ client: fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 64 }), sequence: fc.integer({ min: 1 }) });

export const anyCommand = fc
  .tuple(bodies, fc.nat(), fc.option(session, { nil: undefined }))
  .map(([body, time, of]) => (of === undefined ? { ...body, time } : { ...body, time, session: of }) as Command);
