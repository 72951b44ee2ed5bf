import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ascii } from "../bytes/bytes.ts";
import type { Command, CommandBody } from "./command.ts";
import { SESSIONS_MAX, SESSION_IDLE_MS_MAX, SESSION_RESULT_CHARS_MAX, SessionTable } from "./sessions.ts";
import { StateMachine } from "./state-machine.ts";

const put = (key: string, value = "v") =>
  ({ kind: "put", key: ascii(key), value: ascii(value), lease: "0", prevKv: true, ignoreValue: false, ignoreLease: false }) as const;

const key = fc.constantFrom("a", "b", "/d", "/d/e").map(ascii);
const anyBody: fc.Arbitrary<CommandBody> = fc.oneof(
  key.map((one) => put(one)),
  key.map((one) => ({ kind: "delete", key: one, end: ascii(""), prevKv: true }) as const),
  fc.integer({ min: 1, max: 12 }).map((revision) => ({ kind: "compact", revision }) as const),
  fc.constantFrom("5", "6").map((id) => ({ kind: "leaseGrant", id, ttlSeconds: 60 }) as const),
  fc.constantFrom("5", "6").map((id) => ({ kind: "leaseRevoke", id, term: 0 }) as const),
  key.map((one) => ({ kind: "append", prefix: one, suffix: ascii(""), value: ascii("v"), lease: "0" }) as const),
);

class Machine {
  readonly state = new StateMachine({ quotaBytes: 1e9 });
  index = 0;
  time = 1_000;

  apply(body: CommandBody, client?: string, sequence = 1) {
    const session = client === undefined ? {} : { session: { client, sequence } };
    return this.state.apply({ ...body, time: this.time, ...session } as Command, { index: ++this.index, term: 1 });
  }
}

async function copyOf({ state, index }: Machine): Promise<Machine> {
  const frozen = state.freeze({ clusterId: "7", index, term: 1 });
  const copy = new Machine();
  async function* chunks() {
    yield* frozen.chunks();
  }
  await copy.state.restore(chunks());
  frozen.release();
  copy.index = index;
  return copy;
}

describe("commands of a session", () => {
  test("T33: a repeat is told the first outcome and does nothing; without a session it is done twice", () => {
    const m = new Machine();
    m.apply(put("a", "0"));
    const first = m.apply(put("a", "1"), "c", 1);
    expect(first).toMatchObject({ ok: true, revision: 3, result: { op: "put", prev: { value: "0" } } });
    m.apply(put("b"), "other", 1);
    expect(m.apply(put("a", "1"), "c", 1)).toEqual(first);
    expect(m.state.revision).toBe(4);
    expect(m.apply(put("a", "2"), "c", 2)).toMatchObject({ revision: 5 });
    m.apply(put("a", "1"));
    m.apply(put("a", "1"));
    expect(m.state.revision).toBe(7);
  });

  test("a refusal is an outcome too", () => {
    const m = new Machine();
    const refused = m.apply({ ...put("a"), lease: "5" }, "c", 1);
    expect(refused).toMatchObject({ ok: false, error: { reason: "leaseNotFound" } });
    m.apply({ kind: "leaseGrant", id: "5", ttlSeconds: 60 });
    const again = m.apply({ ...put("a"), lease: "5" }, "c", 1);
    expect(again).toMatchObject({
      ok: false,
      error: { code: "notFound", reason: "leaseNotFound", message: (refused as { error: Error }).error.message },
    });
  });

  test("a number that has passed is refused, and so is a repeat of what was too large to be kept", () => {
    const m = new Machine();
    m.apply(put("a"), "c", 5);
    expect(m.apply(put("a"), "c", 4)).toMatchObject({ ok: false, error: { reason: "sequencePassed" } });
    m.apply(put("a", "x".repeat(SESSION_RESULT_CHARS_MAX)));
    m.apply(put("a"), "c", 6);
    expect(m.apply(put("a"), "c", 6)).toMatchObject({ ok: false, error: { reason: "resultNotKept", details: { revision: 4 } } });
    expect(m.state.revision).toBe(4);
  });

  test("snapshots carry sessions (M25), and a snapshot without any is of the first format", async () => {
    const m = new Machine();
    const plain = await copyOf(m);
    expect(plain.state.hash()).toBe(m.state.hash());
    const first = m.apply(put("a", "\u00ff\u0000"), "c", 1);
    const copy = await copyOf(m);
    expect(copy.state.hash()).toBe(m.state.hash());
    expect(copy.apply(put("a", "\u00ff\u0000"), "c", 1)).toEqual(first);
    expect(copy.state.revision).toBe(m.state.revision);
  });

  test("random logs: repeats change nothing but the clock, and both ways have equal hashes", () => {
    const steps = fc.array(fc.tuple(anyBody, fc.constantFrom("a", "b", "c"), fc.nat(3)), { maxLength: 25 });
    fc.assert(
      fc.property(steps, (list) => {
        const [once, often] = [new Machine(), new Machine()];
        list.forEach(([body, client, repeats], at) => {
          const outcome = once.apply(body, client, at + 1);
          expect(often.apply(body, client, at + 1)).toEqual(outcome);
          for (let n = 0; n < repeats; n++) expect(often.apply(body, client, at + 1).ok).toBe(outcome.ok);
        });
        expect(often.state.hash()).toBe(once.state.hash());
        expect(often.state.check()).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("SessionTable", () => {
  const done = { ok: true, revision: 1, result: { op: "done" } } as const;

  test("forgets who was idle for an hour of the store's clock, and nobody else", () => {
    const table = new SessionTable();
    table.keep({ client: "old", sequence: 1 }, done, 0);
    table.keep({ client: "used", sequence: 1 }, done, 10);
    table.keep({ client: "used", sequence: 2 }, done, SESSION_IDLE_MS_MAX);
    expect([...table.rows()].map(({ client }) => client)).toEqual(["old", "used"]);
    table.keep({ client: "new", sequence: 1 }, done, SESSION_IDLE_MS_MAX + 1);
    expect([...table.rows()].map(({ client }) => client)).toEqual(["used", "new"]);
  });

  test("forgets the least recently used of too many", () => {
    const table = new SessionTable();
    for (let n = 0; n < SESSIONS_MAX; n++) table.keep({ client: `c${n}`, sequence: 1 }, done, 0);
    table.keep({ client: "c0", sequence: 2 }, done, 0);
    table.keep({ client: "one more", sequence: 1 }, done, 0);
    expect(table.size).toBe(SESSIONS_MAX);
    expect(table.repeated({ client: "c0", sequence: 2 })).toEqual(done);
    expect(table.repeated({ client: "c1", sequence: 1 })).toBeUndefined();
  });

  test("its hash is of what it holds, however it came there", () => {
    const [one, two] = [new SessionTable(), new SessionTable()];
    const row = (client: string) => ({ client, sequence: 1, usedAt: 0, revision: 1, outcome: null });
    for (const client of ["a", "b"]) one.add(row(client));
    for (const client of ["b", "c", "a"]) two.add(row(client));
    expect(one.hash).not.toBe(two.hash);
    one.add(row("c"));
    expect(one.hash).toBe(two.hash);
  });
});
