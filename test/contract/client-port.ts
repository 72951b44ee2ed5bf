/** What every store does that recipes stand on: the one on a member, and those of the client over its wires. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bytes, EMPTY, prefixEnd, successor } from "../../core/bytes/bytes.ts";
import { QuorateError, isQuorateError } from "../../core/errors.ts";
import type { Store, WatchBatch } from "../../core/recipes/client-port.ts";
import type { Compare, KeyRange, Operation, RangeRequest, TxnRequest } from "../../core/store/command.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** Forgets the history before this revision. */
  compact(revision: number): Promise<void>;
  close(): Promise<void>;
}

const b = (text: string) => text as Bytes;
const one = (key: string): KeyRange => ({ key: b(key), end: EMPTY });
const under = (prefix: string): KeyRange => ({ key: b(prefix), end: prefixEnd(b(prefix)) });

function read(range: KeyRange, more: Partial<RangeRequest> = {}): RangeRequest {
  return {
    ...range,
    revision: 0,
    limit: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...more,
  };
}

const put = (key: string, value: string, lease = "0"): Operation => ({
  op: "put",
  key: b(key),
  value: b(value),
  lease,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
});
const remove = (range: KeyRange): Operation => ({ op: "delete", ...range, prevKv: false });
const append = (prefix: string, suffix: string, value: string, lease = "0"): Operation => ({
  op: "append",
  prefix: b(prefix),
  suffix: b(suffix),
  value: b(value),
  lease,
});
const created = (key: string, value: number): Compare => ({ ...one(key), target: "create", operator: "equal", value });
const txn = (success: readonly Operation[], compare: readonly Compare[] = [], failure: readonly Operation[] = []): TxnRequest => ({
  compare,
  success,
  failure,
});

async function reasonOf(act: Promise<unknown>): Promise<string> {
  try {
    await act;
  } catch (error) {
    return isQuorateError(error) ? error.reason : String(error);
  }
  return "none";
}

/** `put a=1`, `delete a`, each with its revision; as many as asked for. */
async function take(watch: AsyncIterable<WatchBatch>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { events, revision } of watch) {
    for (const { type, kv } of events) seen.push(`${kv.modRevision} ${type} ${kv.key}${type === "put" ? `=${kv.value}` : ""}`);
    expect(events.length).toBeGreaterThan(0);
    expect(revision).toBeGreaterThanOrEqual(events.at(-1)!.kv.modRevision);
    if (seen.length >= count) break;
  }
  return seen;
}

export interface ContractOptions {
  /** Why there is no `append`. */
  readonly noAppend?: string;
}

/** @param setup a store that is empty, or that nobody else writes to while the test runs */
export function clientContract(name: string, setup: () => Promise<StoreUnderTest>, { noAppend }: ContractOptions = {}): void {
  const withAppend = test.skipIf(noAppend !== undefined);
  const note = noAppend === undefined ? "" : ` (${noAppend})`;
  describe(`${name}: contract of the store for recipes`, () => {
    let subject: StoreUnderTest;
    let store: Store;
    beforeEach(async () => {
      subject = await setup();
      store = subject.store;
    });
    afterEach(() => subject.close());
    let lastLease = BigInt(Date.now()) << 20n;
    const newLease = (): string => (lastLease++).toString();

    test("a transaction writes under one revision and tells it", async () => {
      const { revision, succeeded, responses } = await store.txn(
        txn([put("/c/a", "1"), put("/c/b", "\0\x80\xff"), { op: "range", ...read(under("/c/")) }]),
      );
      expect([succeeded, responses.map(({ op }) => op)]).toEqual([true, ["put", "put", "range"]]);
      const seen = responses[2]!;
      expect(
        seen.op === "range" &&
          seen.kvs.map(({ key, value, createRevision, modRevision, version }) => [key, value, createRevision, modRevision, version]),
      ).toEqual([
        ["/c/a", "1", revision, revision, 1],
        ["/c/b", "\0\x80\xff", revision, revision, 1],
      ]);
      expect((await store.range(read(under("/c/")))).kvs.map(({ key }) => key)).toEqual(["/c/a", "/c/b"]);
    });

    test("compares choose the branch", async () => {
      const first = await store.txn(txn([put("/c/a", "1")], [created("/c/a", 0)], [{ op: "range", ...read(one("/c/a")) }]));
      const second = await store.txn(txn([put("/c/a", "2")], [created("/c/a", 0)], [{ op: "range", ...read(one("/c/a")) }]));
      expect([first.succeeded, second.succeeded]).toEqual([true, false]);
      const [found] = second.responses;
      expect(found?.op === "range" && found.kvs[0]).toMatchObject({ value: "1", createRevision: first.revision });
    });

    test("a transaction of reads alone writes nothing and is as of a revision", async () => {
      const { revision } = await store.txn(txn([put("/c/a", "1")]));
      const seen = await store.txn(txn([{ op: "range", ...read(one("/c/a")) }], [created("/c/a", revision)]));
      expect([seen.succeeded, seen.revision]).toEqual([true, revision]);
    });

    withAppend(`append puts under the revision, several in order${note}`, async () => {
      const { revision, responses } = await store.txn(txn([append("/c/", "r", "1"), append("/c/", "w", "2")]));
      const digits = revision.toString().padStart(20, "0");
      expect(responses.map((response) => response.op === "append" && response.key)).toEqual([`/c/${digits}r`, `/c/${digits}.0001w`]);
      expect((await store.range(read(under("/c/")))).kvs.map(({ value }) => value).toSorted()).toEqual(["1", "2"]);
    });

    test("range sorts, limits, counts and looks into the past", async () => {
      const { revision } = await store.txn(txn([put("/c/a", "1")]));
      await store.txn(txn([put("/c/b", "2")]));
      await store.txn(txn([put("/c/a", "3")]));
      const newest = await store.range(read(under("/c/"), { sortTarget: "create", sortOrder: "descend", limit: 1 }));
      expect([newest.kvs.map(({ key }) => key), newest.count, newest.more]).toEqual([["/c/b"], 2, true]);
      expect(newest.revision).toBeGreaterThanOrEqual(revision + 2);
      const older = await store.range(read(under("/c/"), { maxCreateRevision: revision }));
      expect(older.kvs.map(({ key }) => key)).toEqual(["/c/a"]);
      expect((await store.range(read(under("/c/"), { revision }))).kvs.map(({ value }) => value)).toEqual(["1"]);
      expect((await store.range(read(under("/c/"), { keysOnly: true }))).kvs.map(({ value }) => value)).toEqual(["", ""]);
    });

    test("serializable reads answer too, and wait for a revision that was told", async () => {
      const { revision } = await store.txn(txn([put("/c/a", "1")]));
      const seen = await store.range(read(one("/c/a")), { serializable: true, minRevision: revision });
      expect([seen.kvs[0]?.value, seen.revision >= revision]).toEqual(["1", true]);
    });

    test("errors are told by their reason", async () => {
      const { revision } = await store.txn(txn([put("/c/a", "1")]));
      expect(await reasonOf(store.range(read(one(""))))).toBe("emptyKey");
      expect(await reasonOf(store.txn(txn([put("/c/a", "1"), put("/c/a", "2")])))).toBe("duplicateKey");
      expect(await reasonOf(store.txn(txn([put("/c/a", "1", newLease())])))).toBe("leaseNotFound");
      expect(await reasonOf(store.range(read(one("/c/a"), { revision: revision + 1000 })))).toBe("futureRevision");
      await store.txn(txn([put("/c/a", "2")]));
      await subject.compact(revision + 1);
      expect(await reasonOf(store.range(read(one("/c/a"), { revision })))).toBe("compacted");
    });

    test("a call of somebody who does not wait rejects with the reason he gave", async () => {
      const gone = new AbortController();
      gone.abort(new QuorateError("canceled", "myReason", "gone"));
      const { signal } = gone;
      const calls = [
        store.range(read(one("/c/a")), { signal }),
        store.txn(txn([put("/c/a", "1")]), { signal }),
        store.grant(newLease(), 60, { signal }),
        store.keepAlive("5", { signal }),
        store.revoke("5", { signal }),
        store.remaining("5", { signal }),
      ];
      expect(await Promise.all(calls.map(reasonOf))).toEqual(calls.map(() => "myReason"));
      expect((await store.range(read(one("/c/a")))).kvs).toEqual([]);
    });

    describe("leases", () => {
      test("granting the same id anew is the same act, another TTL is another", async () => {
        const id = newLease();
        await store.grant(id, 60);
        await store.grant(id, 60);
        await store.txn(txn([put("/c/a", "1", id)]));
        await store.grant(id, 60);
        expect((await store.range(read(one("/c/a")))).kvs[0]?.lease).toBe(id);
        expect(await reasonOf(store.grant(id, 90))).toBe("leaseExists");
        await store.revoke(id);
      });

      test("keepAlive tells the TTL, remaining what is left of it", async () => {
        const id = newLease();
        await store.grant(id, 60);
        expect(await store.keepAlive(id)).toBe(60);
        const left = await store.remaining(id);
        expect([left > 40, left <= 60]).toEqual([true, true]);
        await store.revoke(id);
      });

      test("revoke takes the keys along, and may be repeated", async () => {
        const id = newLease();
        await store.grant(id, 60);
        await store.txn(txn([put("/c/a", "1", id), noAppend === undefined ? append("/c/i/", "", "2", id) : put("/c/i", "2", id)]));
        await store.revoke(id);
        await store.revoke(id);
        expect((await store.range(read(under("/c/")))).count).toBe(0);
        expect(await reasonOf(store.keepAlive(id))).toBe("leaseNotFound");
        expect(await reasonOf(store.remaining(id))).toBe("leaseNotFound");
      });

      test("an id of 63 bits is kept exactly", async () => {
        const id = (0x7fff_ffff_ffff_0000n + (lastLease & 0xffffn)).toString();
        await store.grant(id, 60);
        await store.txn(txn([put("/c/a", "1", id)]));
        expect((await store.range(read(one("/c/a")))).kvs[0]?.lease).toBe(id);
        await store.revoke(id);
      });
    });

    describe("watches", () => {
      test("begin in the past and go on, without gap or repeat", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1")]));
        await store.txn(txn([put("/d", "not in the range"), put("/c/b", "2")]));
        const seen = take(store.watch({ ...under("/c/"), startRevision: revision }), 4);
        await store.txn(txn([remove(one("/c/a"))]));
        await store.txn(txn([put("/c/c", "3")]));
        const [r, s, t, u] = [revision, revision + 1, revision + 2, revision + 3];
        expect(await seen).toEqual([`${r} put /c/a=1`, `${s} put /c/b=2`, `${t} delete /c/a`, `${u} put /c/c=3`]);
      });

      test("give the events of one revision together", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1"), put("/c/b", "2")]));
        for await (const { events } of store.watch({ ...under("/c/"), startRevision: revision })) {
          expect(events.map(({ kv }) => kv.key)).toEqual(["/c/a", "/c/b"]);
          break;
        }
      });

      test("leave out what is not wanted, and bring the version before", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1")]));
        await store.txn(txn([remove(one("/c/a"))]));
        await store.txn(txn([put("/c/a", "2")]));
        const range = { ...one("/c/a"), startRevision: revision };
        expect(await take(store.watch({ ...range, noPut: true }), 1)).toEqual([`${revision + 1} delete /c/a`]);
        expect(await take(store.watch({ ...range, noDelete: true }), 2)).toEqual([`${revision} put /c/a=1`, `${revision + 2} put /c/a=2`]);
        for await (const { events } of store.watch({ ...range, startRevision: revision + 1, prevKv: true })) {
          expect(events[0]!.prev?.value).toBe("1");
          break;
        }
      });

      test("do not begin before a revision that is yet to come", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1")]));
        const seen = take(store.watch({ ...one("/c/a"), startRevision: revision + 2 }), 1);
        await store.txn(txn([put("/c/a", "2")]));
        await store.txn(txn([put("/c/a", "3")]));
        expect(await seen).toEqual([`${revision + 2} put /c/a=3`]);
      });

      test("end by their signal, and by return(), while they wait", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1")]));
        const range = { ...one("/c/a"), startRevision: revision + 1 };
        const gone = new AbortController();
        const waiting = take(store.watch({ ...range, signal: gone.signal }), 1);
        gone.abort(new Error("not told"));
        expect(await waiting).toEqual([]);
        expect(await take(store.watch({ ...range, signal: gone.signal }), 1)).toEqual([]);
        const iterator = store.watch(range)[Symbol.asyncIterator]();
        const next = iterator.next();
        await iterator.return!();
        expect((await next).done).toBe(true);
        expect((await iterator.next()).done).toBe(true);
      });

      test("fail when their history is compacted, and tell up to where", async () => {
        const { revision } = await store.txn(txn([put("/c/a", "1")]));
        await store.txn(txn([put("/c/a", "2")]));
        await subject.compact(revision + 1);
        const watch = take(store.watch({ ...one("/c/a"), startRevision: revision }), 1);
        await expect(watch).rejects.toMatchObject({ reason: "compacted", details: { compactRevision: revision + 1 } });
      });

      test("see the keys of a lease go", async () => {
        const id = newLease();
        await store.grant(id, 60);
        const { revision } = await store.txn(txn([put("/c/a", "1", id), put("/c/b", "2", id)]));
        const range: KeyRange = { key: b("/c/a"), end: successor(b("/c/b")) };
        const seen = take(store.watch({ ...range, startRevision: revision + 1 }), 2);
        await store.revoke(id);
        expect(await seen).toEqual([`${revision + 1} delete /c/a`, `${revision + 1} delete /c/b`]);
      });
    });
  });
}
