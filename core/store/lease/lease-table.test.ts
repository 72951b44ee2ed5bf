import { expect, test } from "vitest";
import type { Bytes } from "../../bytes/bytes.ts";
import { LEASE_TTL_SECONDS_MAX, LeaseTable } from "./lease-table.ts";

const b = (text: string) => text as Bytes;

test("keys are listed in byte order, each once, for none, one and many", () => {
  const table = new LeaseTable();
  table.grant("1", 10, null);
  const look = () => [table.keys("1"), table.keyCount("1")];
  expect(look()).toEqual([[], 0]);
  table.attach("1", b("m"));
  table.attach("1", b("m"));
  expect(look()).toEqual([["m"], 1]);
  for (const key of ["z", "\xff", "a", "z"]) table.attach("1", b(key));
  expect(look()).toEqual([["a", "m", "z", "\xff"], 4]);
  expect([table.isAttached("1", b("a")), table.isAttached("1", b("b")), table.isAttached("2", b("a"))]).toEqual([true, false, false]);
  for (const key of ["z", "a", "nothing", "\xff"]) table.detach("1", b(key));
  expect(look()).toEqual([["m"], 1]);
  table.detach("1", b("other"));
  table.detach("1", b("m"));
  expect(look()).toEqual([[], 0]);
  expect([table.keys("2"), table.keyCount("2")]).toEqual([[], 0]);
});

test("ids come in the order of granting, also after one was removed and granted again", () => {
  const table = new LeaseTable();
  for (const id of ["5", "-1", "3"]) table.grant(id, 10, null);
  table.remove("5");
  table.grant("5", 10, null);
  expect(table.ids()).toEqual(["-1", "3", "5"]);
  expect(() => table.remove("9")).toThrow("requested lease not found");
});

test("the longest TTL is taken, one second more is not", () => {
  const table = new LeaseTable();
  expect(table.grant("1", LEASE_TTL_SECONDS_MAX, null)).toMatchObject({ ttlSeconds: 9_000_000_000, remainingMs: null, v2: null });
  expect(() => table.grant("2", LEASE_TTL_SECONDS_MAX + 1, null)).toThrow("too large lease TTL");
});

test("unusedId() is a function of the table and the seed alone", () => {
  const table = new LeaseTable();
  const first = table.unusedId(17);
  expect(first).toBe("4611686018427387921");
  expect(table.unusedId(17)).toBe(first);
  table.grant(first, 1, null);
  expect(table.unusedId(17)).toBe("4611686018427387922");
});

test("adopt() takes another table's rows and tells the listener", () => {
  const [table, other] = [new LeaseTable(), new LeaseTable()];
  const heard: string[] = [];
  table.grant("1", 10, null);
  table.listen({
    granted: (id, ttl) => heard.push(`${id}:${ttl}`),
    revoked: (id) => heard.push(`-${id}`),
    checkpointed: () => {},
    reset: () => heard.push("reset"),
  });
  other.grant("2", 20, null);
  other.attach("2", b("a"));
  table.adopt(other);
  expect([table.ids(), table.keys("2"), heard]).toEqual([["2"], ["a"], ["reset", "2:20"]]);
});
