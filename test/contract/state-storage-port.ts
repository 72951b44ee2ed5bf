/** What every state storage does, whatever it stands on. An implementation's own test file calls `stateStorageContract`. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { Command, CommandBody, Result } from "../../core/store/command.ts";
import { LEASE_TTL_SECONDS_MAX, MemoryLeaseTable } from "../../core/store/lease/lease-table.ts";
import { MemorySessionTable, SESSIONS_MAX, SESSION_IDLE_MS_MAX } from "../../core/store/sessions.ts";
import type { LeaseTable, SessionTable, StateStorage } from "../../core/store/state-storage-port.ts";
import { type Outcome, StateMachine } from "../../core/store/state-machine.ts";
import { likelyCommand } from "../helpers/likely-command.ts";
import { rangeOf } from "./version-store-port.ts";

/** A fresh, empty storage, and how to use it. */
export interface StorageUnderTest {
  readonly storage: StateStorage;
  /** Runs its argument at once, as one act: what it throws leaves nothing behind. Left out: nothing is stored. */
  readonly transaction?: (work: () => void) => void;
  /** The same contents, as another process finds them. Left out: nothing is stored. */
  readonly reopen?: () => StateStorage;
  /** @param charsMax see SESSION_ALL_RESULTS_CHARS_MAX */
  readonly sessions: (charsMax?: number) => SessionTable;
}

const b = (text: string) => text as Bytes;
const QUOTA = { quotaBytes: 1e9 };
const atOnce = (work: () => void): void => work();

const user = fc.constantFrom("ann", "bob");
const auth = fc.oneof(
  user.map((name) => ({ op: "userAdd", name, hash: null }) as const),
  user.map((name) => ({ op: "userDelete", name }) as const),
  fc.constant({ op: "roleAdd", name: "r" } as const),
  user.map((name) => ({ op: "userGrant", name, role: "r" }) as const),
  fc.constant({ op: "roleGrant", name: "r", permission: { type: "readwrite", key: b("a"), end: b("\xff") } } as const),
);
const body = fc.oneof(
  { weight: 12, arbitrary: likelyCommand },
  { weight: 1, arbitrary: auth.map((change): CommandBody => ({ kind: "auth", change })) },
);
const session = fc.option(fc.record({ client: fc.constantFrom("c", "d"), sequence: fc.integer({ min: 1, max: 4 }) }), { nil: undefined });
const log = fc.array(fc.tuple(body, session), { minLength: 1, maxLength: 60 });
type Log = readonly (readonly [CommandBody, { client: string; sequence: number } | undefined])[];

/** Applies a log in transactions of `batch` commands. */
function run(state: StateMachine, commands: Log, transaction = atOnce, batch = 1): Outcome[] {
  const outcomes: Outcome[] = [];
  for (let at = 0; at < commands.length; at += batch) {
    state.within(transaction, () => {
      for (const [one, by] of commands.slice(at, at + batch)) {
        const command = { ...one, time: 1000 + state.appliedIndex * 7, ...(by === undefined ? {} : { session: by }) } as Command;
        outcomes.push(state.apply(command, { index: state.appliedIndex + 1, term: 2 }));
      }
    });
    state.flush();
  }
  return outcomes;
}

function snapshotOf(state: StateMachine): Uint8Array {
  const frozen = state.freeze({ clusterId: "7", index: state.appliedIndex, term: 2 });
  const chunks = [...frozen.chunks()];
  frozen.release();
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

async function* inPieces(data: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += 1000) yield data.subarray(at, at + 1000);
}

/** Everything that is the same wherever it is kept. */
const look = (state: StateMachine) => ({
  numbers: [state.revision, state.compactedRevision, state.appliedIndex, state.clockMs, state.hash(), state.keyCount()],
  sizes: state.sizeInUseBytes(),
  leases: state.leaseIds().map((id) => state.lease(id)),
  alarms: state.alarms(),
  users: state.auth.userNames().map((name) => state.auth.user(name)),
  children: state.v2.children(b("/")),
  all: state.range(rangeOf("\0", "\0")),
  snapshot: snapshotOf(state),
});

const put = (key: string, value = "v") =>
  ({ kind: "put", key: b(key), value: b(value), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false }) as const;

/** @param runs random logs */
export function stateStorageContract(name: string, setup: () => StorageUnderTest, runs = 150): void {
  describe(`state storage contract: ${name}`, () => {
    test("a log has the same outcomes, hash and snapshot as in memory", () => {
      fc.assert(
        fc.property(log, fc.integer({ min: 1, max: 7 }), (commands, batch) => {
          const { storage, transaction } = setup();
          const [state, model] = [new StateMachine({ ...QUOTA, storage }), new StateMachine(QUOTA)];
          expect(run(state, commands, transaction, batch)).toEqual(run(model, commands));
          expect(look(state)).toEqual(look(model));
          expect(state.check()).toEqual([]);
          while (!state.compactStep(3)) expect(state.check()).toEqual([]);
          while (!model.compactStep(3));
          expect([state.sizeBytes(), look(state)]).toEqual([model.sizeBytes(), look(model)]);
          expect(state.check()).toEqual([]);
        }),
        { numRuns: runs },
      );
    });

    test("a snapshot of memory is the state, with all that comes after it", async () => {
      await fc.assert(
        fc.asyncProperty(log, log, log, async (before, commands, after) => {
          const { storage, transaction } = setup();
          const [state, model] = [new StateMachine({ ...QUOTA, storage }), new StateMachine(QUOTA)];
          run(model, commands);
          if (transaction !== undefined && model.revision > 70) run(state, before, transaction); // what was there before is gone
          await state.restore(inPieces(snapshotOf(model)), transaction);
          expect(look(state)).toEqual(look(model));
          expect(run(state, after, transaction, 3)).toEqual(run(model, after));
          expect(look(state)).toEqual(look(model));
          expect(state.check()).toEqual([]);
        }),
        { numRuns: Math.ceil(runs / 3) },
      );
    });

    test("raising the revision is the same as in memory", () => {
      const { storage, transaction } = setup();
      const [state, model] = [new StateMachine({ ...QUOTA, storage }), new StateMachine(QUOTA)];
      for (const one of [state, model]) {
        run(one, [[put("a"), undefined], [put("a"), undefined], [put("b"), undefined]], transaction); // prettier-ignore
        one.raiseRevision(1000, one === state ? transaction : undefined);
        run(one, [[put("a"), undefined]], one === state ? transaction : undefined); // prettier-ignore
      }
      expect(state.revision).toBe(1001);
      expect(look(state)).toEqual(look(model));
      expect(state.check()).toEqual([]);
    });

    stored(setup, runs);
    leaseTable(() => setup().storage.leases);
    sessionTable((charsMax) => setup().sessions(charsMax));
  });
}

/** What outlives the process. */
function stored(setup: () => StorageUnderTest, runs: number): void {
  const { transaction: stores } = setup();
  test.skipIf(stores === undefined)("a transaction that fails leaves the state as it was, and what comes after it is right", () => {
    fc.assert(
      fc.property(log, log, log, (before, doomed, after) => {
        const { storage, transaction } = setup();
        const [state, model] = [new StateMachine({ ...QUOTA, storage }), new StateMachine(QUOTA)];
        run(state, before, transaction, 4);
        run(model, before);
        const failing = (work: () => void): void =>
          transaction!(() => {
            work();
            throw new Error("the disk is full");
          });
        const seen: unknown[] = [];
        const watcher = state.watch({
          ...rangeOf("\0", "\0"),
          startRevision: 0,
          noPut: false,
          noDelete: false,
          prevKv: true,
          onReady: () => {},
        });
        expect(() => run(state, doomed, failing, doomed.length)).toThrow("the disk is full");
        state.flush();
        expect(watcher.take(1e9)).toBeUndefined();
        expect(look(state)).toEqual(look(model));
        const { revision } = state;
        expect(run(state, after, transaction, 2)).toEqual(run(model, after));
        expect(look(state)).toEqual(look(model));
        expect(state.check()).toEqual([]);
        if (state.compactedRevision > revision) return;
        for (let taken = watcher.take(1e9); taken !== undefined; taken = watcher.take(1e9)) {
          if (taken.kind === "events") seen.push(...taken.events.map(({ kv }) => kv.modRevision));
        }
        expect(new Set(seen).size).toBe(state.revision - revision);
      }),
      { numRuns: runs },
    );
  });

  test.skipIf(stores === undefined)("what was stored is found again", () => {
    fc.assert(
      fc.property(log, log, (commands, after) => {
        const { storage, transaction, reopen } = setup();
        const [state, model] = [new StateMachine({ ...QUOTA, storage }), new StateMachine(QUOTA)];
        run(state, commands, transaction, 3);
        run(model, commands);
        state.compactStep(2);
        const again = new StateMachine({ ...QUOTA, storage: reopen!() });
        expect(look(again)).toEqual(look(model));
        expect(run(again, after, transaction, 3)).toEqual(run(model, after));
        while (!again.compactStep(5));
        while (!model.compactStep(5));
        expect([again.sizeBytes(), look(again)]).toEqual([model.sizeBytes(), look(model)]);
        expect(again.check()).toEqual([]);
      }),
      { numRuns: runs },
    );
  });
}

function leaseTable(setup: () => LeaseTable): void {
  const idsOf = (table: LeaseTable) => [...table.all()].map(({ id }) => id);

  test("keys of a lease are listed in byte order, each once, for none, one and many", () => {
    const table = setup();
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

  test("leases come in the order of granting, also after one was removed and granted again", () => {
    const table = setup();
    for (const id of ["5", "-1", "3"]) table.grant(id, 10, null);
    table.remove("5");
    table.grant("5", 10, null);
    expect(idsOf(table)).toEqual(["-1", "3", "5"]);
    expect(table.size).toBe(3);
    expect(() => table.grant("5", 10, null)).toThrow("lease already exists");
    expect(() => table.remove("9")).toThrow("requested lease not found");
    expect(table.check()).toEqual([]);
  });

  test("a lease keeps all 64 bits of its id, its checkpoint and its v2 node", () => {
    const table = setup();
    const before = table.hash;
    for (const id of ["9223372036854775807", "-9223372036854775808"]) table.grant(id, 10, { path: b("/\xff"), expiresAt: 2 ** 52 });
    expect(table.get("9223372036854775807")).toMatchObject({ id: "9223372036854775807", v2: { path: "/\xff", expiresAt: 2 ** 52 } });
    expect(table.get("9223372036854775806")).toBeUndefined();
    expect([table.checkpoint("9223372036854775807", 1234), table.checkpoint("1", 1)]).toEqual([true, false]);
    expect(table.get("9223372036854775807")?.remainingMs).toBe(1234);
    table.checkpoint("9223372036854775807", 10_000);
    expect(table.get("9223372036854775807")?.remainingMs).toBeNull();
    for (const id of idsOf(table)) table.remove(id);
    expect(table.hash).toBe(before);
  });

  test("the longest TTL is taken, one second more is not", () => {
    const table = setup();
    expect(table.grant("1", LEASE_TTL_SECONDS_MAX, null)).toMatchObject({ ttlSeconds: 9_000_000_000, remainingMs: null, v2: null });
    expect(() => table.grant("2", LEASE_TTL_SECONDS_MAX + 1, null)).toThrow("too large lease TTL");
  });

  test("unusedId() is a function of the table and the seed alone", () => {
    const table = setup();
    const first = table.unusedId(17);
    expect(first).toBe("4611686018427387921");
    expect(table.unusedId(17)).toBe(first);
    table.grant(first, 1, null);
    expect(table.unusedId(17)).toBe("4611686018427387922");
  });

  test("adopt() takes another table's rows and tells the listener", () => {
    const [table, other] = [setup(), new MemoryLeaseTable()];
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
    const { hash } = other;
    table.adopt(other);
    expect([idsOf(table), table.keys("2"), heard, table.hash]).toEqual([["2"], ["a"], ["reset", "2:20"], hash]);
  });
}

function sessionTable(setup: (charsMax?: number) => SessionTable): void {
  const done = { ok: true, revision: 1, result: { op: "done" } } as const;

  test("a session is forgotten when it was idle for an hour of the store's clock, and no other", () => {
    const table = setup();
    table.keep({ client: "old", sequence: 1 }, done, 0);
    table.keep({ client: "used", sequence: 1 }, done, 10);
    table.keep({ client: "used", sequence: 2 }, done, SESSION_IDLE_MS_MAX);
    expect([...table.rows()].map(({ client }) => client)).toEqual(["old", "used"]);
    table.keep({ client: "new", sequence: 1 }, done, SESSION_IDLE_MS_MAX + 1);
    expect([...table.rows()].map(({ client }) => client)).toEqual(["used", "new"]);
  });

  test("the least recently used of too many sessions is forgotten", () => {
    const table = setup();
    for (let n = 0; n < SESSIONS_MAX; n++) table.keep({ client: `c${n}`, sequence: 1 }, done, 0);
    table.keep({ client: "c0", sequence: 2 }, done, 0);
    table.keep({ client: "one more", sequence: 1 }, done, 0);
    expect(table.size).toBe(SESSIONS_MAX);
    expect(table.repeated({ client: "c0", sequence: 2 })).toEqual(done);
    expect(table.repeated({ client: "c1", sequence: 1 })).toBeUndefined();
  });

  test("results of the least recently used go when all together are too large, and that they were done is kept", () => {
    const use = fc.tuple(fc.nat(7), fc.nat(40), fc.nat(SESSION_IDLE_MS_MAX / 4));
    fc.assert(
      fc.property(fc.array(use, { maxLength: 80 }), (uses) => {
        const charsMax = 150;
        const table = setup(charsMax);
        let model: { client: string; outcome: string | null; usedAt: number }[] = [];
        let now = 0;
        uses.forEach(([n, length, later], at) => {
          now += later;
          const client = `c${n}`;
          const result = { op: "done", text: "x".repeat(length) } as unknown as Result;
          table.keep({ client, sequence: at + 1 }, { ok: true, revision: at, result }, now);
          model = [...model.filter((row) => row.client !== client), { client, outcome: JSON.stringify({ result }), usedAt: now }];
          model = model.filter(({ usedAt }) => usedAt >= now - SESSION_IDLE_MS_MAX);
          const chars = () => model.reduce((sum, { outcome }) => sum + (outcome?.length ?? 0), 0);
          for (const row of model) if (chars() > charsMax) row.outcome = null;
          expect([...table.rows()].map(({ client: name, outcome, usedAt }) => ({ client: name, outcome, usedAt }))).toEqual(model);
          expect(table.check()).toEqual([]);
        });
        const gone = [...table.rows()].find(({ outcome }) => outcome === null);
        if (gone !== undefined) expect(() => table.repeated(gone)).toThrow("too large to be kept");
      }),
      { numRuns: 100 },
    );
  });

  test("sessions hash to what they hold, however it came there", () => {
    const [one, other, read] = [setup(), setup(), new MemorySessionTable()];
    const row = (client: string) => ({ client, sequence: 1, usedAt: 0, revision: 1, outcome: null });
    for (const client of ["b", "c", "a"]) read.add(row(client));
    const { hash } = read;
    for (const client of ["a", "b"]) one.keep({ client, sequence: 1 }, done, 0);
    expect(one.hash).not.toBe(hash);
    one.keep({ client: "c", sequence: 1 }, done, 0);
    other.adopt(read);
    expect([one.hash, other.hash, [...other.rows()].map(({ client }) => client)]).toEqual([hash, hash, ["b", "c", "a"]]);
  });
}
