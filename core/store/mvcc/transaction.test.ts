/** Forms of requests, as etcd 3.4 refuses them: each case was asked of a running etcd. Execution: ../state-machine.test.ts. */
import { describe, expect, test } from "vitest";
import { rangeOf } from "../../../test/contract/version-store-port.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import type { Operation, PutRequest, TxnRequest } from "../command.ts";
import { checkDelete, checkPut, checkRange, checkTxn, isReadOnly } from "./transaction.ts";

const b = (text: string) => text as Bytes;
const put = (key: string, more: Partial<PutRequest> = {}): Operation & PutRequest => {
  return { op: "put", key: b(key), value: b(""), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false, ...more } as const;
};
const del = (key: string, end = ""): Operation => ({ op: "delete", key: b(key), end: b(end), prevKv: false });
const range = (key: string): Operation => ({ op: "range", ...rangeOf(key) });
const txn = (success: Operation[], failure: Operation[] = []): Operation & TxnRequest => ({ op: "txn", compare: [], success, failure });

function refusal(act: () => void): string {
  try {
    act();
  } catch (error) {
    if (isQuorateError(error)) return error.reason;
    throw error;
  }
  return "none";
}

test("single requests need a key, and a put no flag that contradicts it", () => {
  expect(refusal(() => checkRange(rangeOf("")))).toBe("emptyKey");
  expect(refusal(() => checkDelete({ key: b(""), end: b("z") }))).toBe("emptyKey");
  expect(refusal(() => checkPut(put("")))).toBe("emptyKey");
  expect(refusal(() => checkPut(put("a", { ignoreValue: true, value: b("1") })))).toBe("valueProvided");
  expect(refusal(() => checkPut(put("a", { ignoreLease: true, lease: "1" })))).toBe("leaseProvided");
  expect(refusal(() => checkPut(put("a", { ignoreValue: true, ignoreLease: true })))).toBe("none");
});

describe("checkTxn()", () => {
  const refused = (success: Operation[], failure: Operation[] = [], max = 128) => refusal(() => checkTxn(txn(success, failure), max));

  test("checks the operations of both branches, at any depth", () => {
    expect(refused([put("")])).toBe("emptyKey");
    expect(refused([], [range("")])).toBe("emptyKey");
    expect(refused([txn([], [del("")])])).toBe("emptyKey");
    const compare = [{ key: b(""), end: b(""), target: "mod", operator: "equal", value: 1 }] as const;
    expect(refusal(() => checkTxn({ compare, success: [], failure: [] }, 128))).toBe("emptyKey");
  });

  test("bounds each list, and nested lists by what the longest one leaves", () => {
    const many = (count: number) => Array.from({ length: count }, () => range("a"));
    expect([refused(many(128), many(128)), refused(many(129)), refused([], many(129))]).toEqual(["none", "tooManyOps", "tooManyOps"]);
    expect([refused([txn(many(127))]), refused([txn(many(128))]), refused([txn([txn(many(127))])])]).toEqual([
      "none",
      "tooManyOps",
      "tooManyOps",
    ]);
  });

  test("refuses a key put twice, or put and deleted", () => {
    expect([refused([put("a"), put("a")]), refused([], [put("a"), put("a")]), refused([put("a"), put("b")])]).toEqual([
      "duplicateKey",
      "duplicateKey",
      "none",
    ]);
    expect([refused([put("a"), del("a")]), refused([del("a", "c"), put("b")]), refused([del("a", "c"), put("c")])]).toEqual([
      "duplicateKey",
      "duplicateKey",
      "none",
    ]);
    expect([refused([del("a"), del("a", "c")]), refused([put("a")], [put("a"), del("b")])]).toEqual(["none", "none"]);
  });

  test("lets a put meet a delete from a key on, as etcd does", () => {
    expect([refused([put("b"), del("a", "\0")]), refused([del("\0", "\0"), put("a")]), refused([del("z", "a"), put("b")])]).toEqual([
      "none",
      "none",
      "none",
    ]);
  });

  test("counts both branches of nested transactions, but not one against the other", () => {
    expect(refused([put("a"), txn([put("a")])])).toBe("duplicateKey");
    expect(refused([txn([put("a")], [put("a")])])).toBe("none");
    expect(refused([txn([put("a")]), txn([put("a")])])).toBe("duplicateKey");
    expect(refused([txn([put("a")]), txn([], [put("a")])])).toBe("duplicateKey");
    expect(refused([txn([del("a")]), put("a")])).toBe("duplicateKey");
    expect(refused([txn([del("a")]), txn([put("a")])])).toBe("duplicateKey");
    expect(refused([txn([put("a")]), txn([del("a")])])).toBe("none");
    expect(refused([txn([put("a")], [del("a")])])).toBe("none");
  });
});

test("isReadOnly() looks at both branches and all depths", () => {
  expect([isReadOnly(txn([range("a")], [txn([range("b")])])), isReadOnly(txn([])), isReadOnly(txn([], [txn([], [del("a")])]))]).toEqual([
    true,
    true,
    false,
  ]);
});
