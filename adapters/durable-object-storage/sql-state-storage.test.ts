import { expect, test } from "vitest";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { Command } from "../../core/store/command.ts";
import { StateMachine } from "../../core/store/state-machine.ts";
import { stateStorageContract } from "../../test/contract/state-storage-port.ts";
import { sqliteStorage } from "../../test/helpers/sqlite-storage.ts";
import { ROW_BYTES_MAX } from "./sql-database.ts";
import { SqlSessionTable } from "./sql-session-table.ts";
import { SqlStateStorage } from "./sql-state-storage.ts";

stateStorageContract("SqlStateStorage", () => {
  const db = sqliteStorage();
  const storage = new SqlStateStorage(db);
  return {
    storage,
    transaction: (work) => db.transactionSync(work),
    reopen: () => new SqlStateStorage(db),
    sessions: (charsMax) => new SqlSessionTable(db.sql, charsMax),
  };
});

test("tables of a newer release are not touched", () => {
  const db = sqliteStorage();
  new SqlStateStorage(db);
  db.sql.exec("UPDATE facts SET body = '2' WHERE name = 'format'");
  expect(() => new SqlStateStorage(db)).toThrow("format 2: a newer release has written them");
});

const b = (text: string) => text as Bytes;

test("a value larger than a row is refused by name of the limit, and nothing is left of its transaction", () => {
  const db = sqliteStorage();
  const state = new StateMachine({ quotaBytes: 1e9, storage: new SqlStateStorage(db) });
  const put = (key: string, bytes: number): Command => ({
    kind: "put",
    key: b(key),
    value: b("x".repeat(bytes)),
    lease: "0",
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    time: 1,
  });
  const apply = (command: Command) =>
    state.within((work) => db.transactionSync(work), () => expect(state.apply(command, { index: state.appliedIndex + 1, term: 1 })).toMatchObject({ ok: true })); // prettier-ignore
  apply(put("a", ROW_BYTES_MAX - 1));
  const before = [state.hash(), state.appliedIndex];
  expect(state.apply(put("a", ROW_BYTES_MAX), { index: 2, term: 1 })).toMatchObject({
    ok: false,
    error: { reason: "requestTooLarge", message: expect.stringContaining("a row of a Durable Object takes 2000000") },
  });
  const { kind: _, time: __, ...large } = put("b", ROW_BYTES_MAX) as Command & { kind: "put" };
  const both: Command = { kind: "txn", compare: [], failure: [], success: [{ op: "put", ...large, value: b("1") }, { op: "put", ...large, key: b("c") }], time: 1 }; // prettier-ignore
  expect(() => apply(both)).toThrow("was refused after it had written");
  expect([state.hash(), state.appliedIndex, state.keyCount(), state.check()]).toEqual([...before, 1, []]);
});

test("a revision that deletes more keys than a row can name is told whole", () => {
  const db = sqliteStorage();
  const { versions } = new SqlStateStorage(db);
  const key = (at: number) => b(`${"k".repeat(200)}${String(at).padStart(6, "0")}`);
  for (let at = 0; at < 12_000; at++) versions.put(key(at), b("1"), "0");
  versions.commit(null, 0);
  for (let at = 0; at < 12_000; at++) versions.delete(key(at));
  versions.commit(null, 0);
  const [made, gone] = versions.revisions(2, 1e9);
  expect([made!.kvs.length, gone!.kvs.length, gone!.kvs[11_999]!.key, versions.keyCount]).toEqual([12_000, 12_000, key(11_999), 0]);
  versions.compact(3);
  while (!versions.compactStep(5_000));
  expect([versions.sizeBytes(), versions.check()]).toEqual([0, []]);
});

test("a put writes four rows, a renewed one as many, and reads as much in a large store as in a small one", () => {
  const db = sqliteStorage();
  const state = new StateMachine({ quotaBytes: 1e9, storage: new SqlStateStorage(db) });
  const put = (key: string) =>
    state.within(
      (work) => db.transactionSync(work),
      () => {
        const command = {
          kind: "put",
          key: b(key),
          value: b("1"),
          lease: "0",
          prevKv: false,
          ignoreValue: false,
          ignoreLease: false,
        } as const;
        state.apply({ ...command, time: 1 }, { index: state.appliedIndex + 1, term: 1 });
      },
    );
  const costOf = (key: string) => {
    const [statements, rows] = [db.statements, db.rowsWritten];
    put(key);
    return [db.statements - statements, db.rowsWritten - rows];
  };
  const [first, again] = [costOf("a"), costOf("a")];
  expect([first[1], again[1]]).toEqual([4, 4]);
  for (let at = 0; at < 3_000; at++) put(`k${at}`);
  expect([costOf("b"), costOf("b")]).toEqual([first, again]);
});
