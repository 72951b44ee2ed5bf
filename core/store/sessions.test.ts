import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import { ascii } from "../bytes/bytes.ts";
import type { Command, CommandBody, HashResult, Result } from "./command.ts";
import { SESSION_IDLE_MS_MAX, SESSION_RESULT_CHARS_MAX, MemorySessionTable } from "./sessions.ts";
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

async function copyOf({ state, index }: Machine, copy = new Machine()): Promise<Machine> {
  const frozen = state.freeze({ clusterId: "7", index, term: 1 });
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

  test("a client of one command has no other, whichever number that has", () => {
    const m = new Machine();
    const first = m.apply(put("a", "1"), "once a", 500);
    for (const other of [499, 501]) {
      expect(m.apply(put("b"), "once a", other)).toMatchObject({ ok: false, error: { reason: "keyReused" } });
    }
    expect(m.apply(put("a", "1"), "once a", 500)).toEqual(first);
    expect(m.state.revision).toBe(2);
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

  test("a result that would not fit into a string is not kept, and does not end the member", () => {
    const m = new Machine();
    m.apply(put("a", "x".repeat(8 << 20)));
    const range = { op: "range", ...rangeOf("a") } as const;
    const body: CommandBody = { kind: "txn", compare: [], success: Array<typeof range>(128).fill(range), failure: [] };
    expect(m.apply(body, "c", 1)).toMatchObject({ ok: true, result: { succeeded: true } });
    expect(m.apply(body, "c", 1)).toMatchObject({ ok: false, error: { reason: "resultNotKept", details: { revision: 2 } } });
  });

  test("what was refused because users have changed is judged anew under the same number", () => {
    const m = new Machine();
    for (const change of [
      { op: "userAdd", name: "root", hash: "h" },
      { op: "roleAdd", name: "root" },
      { op: "userGrant", name: "root", role: "root" },
      { op: "enable" },
    ] as const) {
      expect(m.apply({ kind: "auth", change })).toMatchObject({ ok: true });
    }
    const asOf = (revision: number) => m.apply({ ...put("a"), auth: { user: "root", revision } } as CommandBody, "c", 1);
    expect(asOf(m.state.auth.revision - 1)).toMatchObject({ ok: false, error: { reason: "authOldRevision" } });
    const done = asOf(m.state.auth.revision);
    expect(done).toMatchObject({ ok: true, revision: 2 });
    expect(asOf(m.state.auth.revision)).toEqual(done);
    expect(m.state.revision).toBe(2);
    // A repeat is told nothing unless its user may do the command: somebody else, or nobody at all, may have guessed the client.
    const { revision } = m.state.auth;
    for (const [auth, reason] of [
      [{ user: "root", revision: revision - 1 }, "authOldRevision"],
      [{ user: "nobody", revision }, "permissionDenied"],
      [undefined, "userEmpty"],
    ] as const) {
      const repeat = m.apply({ ...put("a"), ...(auth === undefined ? {} : { auth }) } as CommandBody, "c", 1);
      expect(repeat).toMatchObject({ ok: false, error: { reason } });
    }
    expect(asOf(revision)).toEqual(done);
  });

  test("a state restored from a snapshot is marked with the same hash, and not compared by a mark from before", async () => {
    const m = new Machine();
    m.apply({ kind: "leaseGrant", id: "5", ttlSeconds: 60 });
    m.apply({ kind: "leaseCheckpoint", remainingMs: [["5", 7]], term: 1 });
    for (const client of ["a", "b", "a"]) m.apply({ ...put(client), lease: "5" }, client, m.index);
    const marked = m.apply({ kind: "hashMark", term: 1 });
    const { index, hash } = (marked as { result: HashResult }).result;
    const copy = new Machine();
    copy.index = index - 1;
    copy.apply({ kind: "hashMark", term: 1 });
    const told: unknown[] = [];
    copy.state.onHashMismatch((mismatch) => told.push(mismatch));
    await copyOf(m, copy);
    copy.apply({ kind: "hashVerify", index, hash, term: 1 });
    expect(told).toEqual([]);
    m.index = copy.index;
    const [one, two] = [m, copy].map((machine) => machine.apply({ kind: "hashMark", term: 1 }));
    expect(two).toEqual(one);
    expect(copy.state.hash()).toBe(m.state.hash());
    expect(copy.state.check()).toEqual([]);
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

  test("the frame of sessions in docs/formats/snapshot.md", async () => {
    const m = new Machine();
    m.apply(put("k", "x".repeat(SESSION_RESULT_CHARS_MAX)));
    m.apply({ ...put("l"), prevKv: false }, "c1", 1);
    m.time++;
    const range = { op: "range", ...rangeOf("k") } as const;
    m.apply({ kind: "txn", compare: [], success: [range], failure: [] }, "c2", 300);
    const frozen = m.state.freeze({ clusterId: "7", index: m.index, term: 1 });
    const text = Buffer.concat([...frozen.chunks()]).toString("hex");
    frozen.release();
    const outcome = Buffer.from('{"result":{"op":"put","prev":null}}').toString("hex");
    expect(text).toContain(`070000003aa6256a52c402633101cd03e803c423${outcome}c4026332cd012ccd03e903c0`);
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

describe("MemorySessionTable", () => {
  const done = { ok: true, revision: 1, result: { op: "done" } } as const;

  test("forgets as if it looked at every row each time", () => {
    const use = fc.tuple(fc.nat(7), fc.integer({ min: 0, max: SESSION_IDLE_MS_MAX / 2 }));
    fc.assert(
      fc.property(fc.array(use, { maxLength: 60 }), (uses) => {
        const table = new MemorySessionTable();
        let model: { client: string; usedAt: number }[] = [];
        let now = 0;
        uses.forEach(([client, later], at) => {
          now += later;
          table.keep({ client: `c${client}`, sequence: at + 1 }, done, now);
          model = [...model.filter((row) => row.client !== `c${client}`), { client: `c${client}`, usedAt: now }];
          model = model.filter(({ usedAt }) => usedAt >= now - SESSION_IDLE_MS_MAX);
          expect([...table.rows()].map(({ client: name, usedAt }) => ({ client: name, usedAt }))).toEqual(model);
          expect(table.check()).toEqual([]);
        });
      }),
      { numRuns: 200 },
    );
  });

  test("keeps what is as text no larger than the limit, whatever it is made of", () => {
    const part = fc.oneof(fc.string({ unit: "binary-ascii", maxLength: 40 }), fc.double(), fc.boolean(), fc.constantFrom(null, undefined));
    const lists = fc.array(fc.array(fc.record({ a: part, b: fc.array(part, { maxLength: 5 }) }), { maxLength: 5 }), { maxLength: 5 });
    fc.assert(
      fc.property(lists, fc.integer({ min: -3, max: 3 }), fc.boolean(), (parts, around, escapes) => {
        // Filled up to just about the limit, with characters of one place or of six.
        const sample = (filler: string) => ({ op: "done", parts, filler });
        const room = SESSION_RESULT_CHARS_MAX - JSON.stringify({ result: sample("") }).length + around;
        const result = sample(escapes ? "\0".repeat(room / 6) + "x".repeat(room % 6) : "x".repeat(room));
        const table = new MemorySessionTable();
        table.keep({ client: "c", sequence: 1 }, { ok: true, revision: 1, result: result as unknown as Result }, 0);
        const text = JSON.stringify({ result });
        expect([...table.rows()][0]!.outcome).toBe(text.length <= SESSION_RESULT_CHARS_MAX ? text : null);
      }),
      { numRuns: 200 },
    );
  });
});
