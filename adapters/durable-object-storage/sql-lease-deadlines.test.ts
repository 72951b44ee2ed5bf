import { expect, test } from "vitest";
import { leaseDeadlinesContract } from "../../test/contract/lease-deadlines-port.ts";
import { sqliteStorage } from "../../test/helpers/sqlite-storage.ts";
import { SqlLeaseDeadlines } from "./sql-lease-deadlines.ts";
import { SqlStateStorage } from "./sql-state-storage.ts";

const setup = () => {
  const db = sqliteStorage();
  new SqlStateStorage(db);
  return { db, deadlines: new SqlLeaseDeadlines(db) };
};

leaseDeadlinesContract("SqlLeaseDeadlines", () => setup().deadlines);

test("a lease that was taken and never revoked comes up again after a restart", () => {
  const { db, deadlines } = setup();
  deadlines.set("1", 100);
  expect(deadlines.takeExpired(100)).toBe("1");
  expect([deadlines.takeExpired(100), deadlines.earliest(), deadlines.deadline("1")]).toEqual([undefined, undefined, undefined]);
  expect(new SqlLeaseDeadlines(db).takeExpired(100)).toBe("1");
});
