/** What every log storage must do; run by each implementation's own test file. */
import { afterEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../core/errors.ts";
import { InvariantError } from "../../core/invariant.ts";
import type { Entry, HardState, Index, SnapshotMeta, Term } from "../../core/raft/types.ts";
import type { LogStorage } from "../../core/replica/log-storage-port.ts";

/** One device that outlives the storages on it. */
export interface LogStorageUnderTest {
  /** A storage on the device, not opened. The one before is closed, or gone with `crash`. */
  make(): LogStorage;
  /** The process dies now. What was not acknowledged may be lost. */
  crash(): Promise<void>;
}

const IDENTITY = { clusterId: "14841639068965178418", memberId: "10276657743932975437", diskId: "4733189205728116352" };

/** An entry whose bytes tell which one it is. */
export function entryOf(index: Index, term: Term = 1, text = ""): Entry {
  return { term, index, kind: "data", data: new TextEncoder().encode(`entry ${index} of term ${term} ${text}`) };
}

export function entriesOf(first: Index, last: Index, term: Term = 1): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, n) => entryOf(first + n, term));
}

export function metaOf(index: Index, term: Term = 1): SnapshotMeta {
  const config = { voters: ["7"], outgoing: [], learners: [], learnersNext: [], removed: ["3"], meta: { "7": "http://a" } };
  return { index, term, config, configIndex: 1, size: 0, id: `snapshot ${index}/${term}` };
}

/** A comparable form: storages may hand out any kind of byte array. */
export function plain(entries: readonly Entry[]): unknown[] {
  return entries.map(({ term, index, kind, data }) => [index, term, kind, new TextDecoder().decode(data)]);
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of chunks) text += new TextDecoder().decode(chunk);
  return text;
}

async function takeSnapshot(storage: LogStorage, meta: SnapshotMeta, texts: readonly string[]): Promise<SnapshotMeta> {
  const writer = await storage.createSnapshot(meta);
  for (const text of texts) await writer.write(new TextEncoder().encode(text));
  return writer.commit();
}

/** @param setup a fresh device */
export function logStorageContract(name: string, setup: () => LogStorageUnderTest): void {
  describe(`${name}: log storage contract`, () => {
    const opened: LogStorage[] = [];
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((storage) => storage.close().catch(() => undefined)));
    });

    async function open(device: LogStorageUnderTest) {
      const storage = device.make();
      const recovered = await storage.open();
      opened.push(storage);
      return { storage, recovered };
    }

    async function fresh() {
      const device = setup();
      const { storage, recovered } = await open(device);
      await storage.initialise(IDENTITY);
      return { device, storage, recovered };
    }

    async function reopen(device: LogStorageUnderTest, storage: LogStorage) {
      await storage.close();
      return open(device);
    }

    async function crashAndOpen(device: LogStorageUnderTest) {
      await device.crash();
      opened.length = 0;
      return open(device);
    }

    test("a new storage has no identity, boot 1 and nothing in it", async () => {
      const { recovered } = await fresh();
      expect(recovered).toEqual({
        identity: null,
        boot: 1,
        hard: { term: 0, vote: null, commit: 0 },
        snapshot: null,
        entries: [],
        repairs: [],
      });
    });

    test("identity is kept, and every opening has its own boot number", async () => {
      const { device, storage } = await fresh();
      const second = await reopen(device, storage);
      expect([second.recovered.identity, second.recovered.boot]).toEqual([IDENTITY, 2]);
      const third = await crashAndOpen(device);
      expect([third.recovered.identity, third.recovered.boot]).toEqual([IDENTITY, 3]);
    });

    test("an opening without initialise counts as well", async () => {
      const device = setup();
      await open(device);
      const second = await crashAndOpen(device);
      expect([second.recovered.identity, second.recovered.boot]).toEqual([null, 2]);
    });

    test("a storage that is open cannot be opened again", async () => {
      const { device } = await fresh();
      await expect(device.make().open()).rejects.toMatchObject({ reason: "locked" });
    });

    test("entries and hard state are found after a crash, byte for byte", async () => {
      const { device, storage } = await fresh();
      const odd: Entry[] = [
        { term: 3, index: 1, kind: "noop", data: new Uint8Array(0) },
        { term: 3, index: 2, kind: "config", data: Uint8Array.from({ length: 3000 }, (_, n) => n % 251) },
        { term: 4, index: 3, kind: "data", data: new Uint8Array(1024) },
      ];
      await storage.append({ hard: { term: 4, vote: "7", commit: 2 }, entries: odd }, true);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.hard).toEqual({ term: 4, vote: "7", commit: 2 });
      expect(recovered.entries.map((entry) => ({ ...entry, data: Uint8Array.from(entry.data) }))).toEqual(odd);
      expect(recovered.repairs).toEqual([]);
    });

    test("a vote for nobody is not a vote for an empty name", async () => {
      const { device, storage } = await fresh();
      await storage.append({ hard: { term: 2, vote: "9", commit: 0 }, entries: [] }, true);
      await storage.append({ hard: { term: 3, vote: null, commit: 0 }, entries: [] }, true);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.hard).toEqual({ term: 3, vote: null, commit: 0 });
    });

    test("who has forgotten what it acknowledged stays so until it is told otherwise", async () => {
      const { device, storage } = await fresh();
      const amnesiac: HardState = { term: 2, vote: "9", commit: 1, amnesiac: true };
      await storage.append({ hard: { term: 2, vote: "9", commit: 0 }, entries: entriesOf(1, 1, 2) }, true);
      await storage.append({ hard: amnesiac, entries: [] }, true);
      const forgetful = await crashAndOpen(device);
      expect(forgetful.recovered.hard).toEqual(amnesiac);
      await forgetful.storage.append({ entries: entriesOf(2, 3, 2) }, true);
      const again = await crashAndOpen(device);
      expect(again.recovered.hard).toEqual(amnesiac);
      await again.storage.append({ hard: { term: 2, vote: "9", commit: 1 }, entries: [] }, true);
      const healed = await crashAndOpen(device);
      expect(healed.recovered.hard).toEqual({ term: 2, vote: "9", commit: 1 });
    });

    test("appends under way at the same time take effect in the order of the calls", async () => {
      const { device, storage } = await fresh();
      const done: number[] = [];
      const appends = Array.from({ length: 200 }, (_, n) =>
        storage.append({ entries: [entryOf(n + 1)] }, true).then(() => done.push(n + 1)),
      );
      await Promise.all(appends);
      expect(done).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
      const { recovered } = await crashAndOpen(device);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(1, 200)));
    });

    test("an entry replaces those at and above its index", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 10, 1) }, true);
      await storage.append({ entries: entriesOf(6, 7, 2) }, true);
      await storage.append({ entries: entriesOf(8, 8, 3) }, true);
      const { recovered } = await crashAndOpen(device);
      expect(plain(recovered.entries)).toEqual(plain([...entriesOf(1, 5, 1), ...entriesOf(6, 7, 2), ...entriesOf(8, 8, 3)]));
    });

    test("a gap is refused, and the log is as before", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 3) }, true);
      await expect(storage.append({ entries: [entryOf(5)] }, true)).rejects.toThrow(InvariantError);
      await storage.append({ entries: [entryOf(4)] }, true);
      const { recovered } = await crashAndOpen(device);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(1, 4)));
    });

    test("a commit hint without a sync survives a close", async () => {
      const { device, storage } = await fresh();
      await storage.append({ hard: { term: 1, vote: "7", commit: 0 }, entries: entriesOf(1, 3) }, true);
      await storage.append({ hard: { term: 1, vote: "7", commit: 3 }, entries: [] }, false);
      const { recovered } = await reopen(device, storage);
      expect(recovered.hard).toEqual({ term: 1, vote: "7", commit: 3 });
    });

    test("what is written without a sync is durable once a later append is", async () => {
      const { device, storage } = await fresh();
      void storage.append({ hard: { term: 5, vote: "7", commit: 0 }, entries: entriesOf(1, 3, 5) }, false);
      void storage.append({ hard: { term: 5, vote: "7", commit: 2 }, entries: [] }, false);
      await storage.append({ entries: entriesOf(4, 4, 5) }, true);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.hard).toEqual({ term: 5, vote: "7", commit: 2 });
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(1, 4, 5)));
    });

    test("a snapshot is found with its chunks, and only the entries after it", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 10) }, true);
      const meta = await takeSnapshot(storage, metaOf(6), ["one ", "two ", "three"]);
      expect(meta).toEqual({ ...metaOf(6), size: 13 });
      expect(await collect(storage.readSnapshot(meta.id))).toBe("one two three");
      const { storage: again, recovered } = await crashAndOpen(device);
      expect(recovered.snapshot).toEqual(meta);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(7, 10)));
      expect(recovered.hard.commit).toBe(6);
      expect(await collect(again.readSnapshot(meta.id))).toBe("one two three");
    });

    test("an empty snapshot is a snapshot", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 2) }, true);
      await takeSnapshot(storage, metaOf(2), []);
      const { storage: again, recovered } = await crashAndOpen(device);
      expect(recovered.snapshot?.size).toBe(0);
      expect(await collect(again.readSnapshot(metaOf(2).id))).toBe("");
    });

    test("a snapshot beyond the log replaces it, and the log goes on behind it", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 5) }, true);
      await takeSnapshot(storage, metaOf(100, 9), ["x"]);
      await storage.append({ entries: entriesOf(101, 103, 9) }, true);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.snapshot?.index).toBe(100);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(101, 103, 9)));
    });

    test("a snapshot that contradicts the log replaces all of it", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 20, 1) }, true);
      await takeSnapshot(storage, metaOf(10, 2), ["x"]);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.entries).toEqual([]);
      expect(recovered.snapshot?.index).toBe(10);
    });

    test("an aborted snapshot leaves nothing behind", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 5) }, true);
      const writer = await storage.createSnapshot(metaOf(3));
      await writer.write(new Uint8Array(100));
      await writer.abort();
      await expect(collect(storage.readSnapshot(metaOf(3).id))).rejects.toMatchObject({ code: "notFound" });
      await takeSnapshot(storage, metaOf(4), ["y"]);
      const { recovered } = await crashAndOpen(device);
      expect(recovered.snapshot?.index).toBe(4);
    });

    test("a crash while a snapshot is written leaves the one before", async () => {
      const { device, storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 9) }, true);
      await takeSnapshot(storage, metaOf(3), ["kept"]);
      const writer = await storage.createSnapshot(metaOf(6));
      await writer.write(new Uint8Array(100));
      const { storage: again, recovered } = await crashAndOpen(device);
      expect(recovered.snapshot?.index).toBe(3);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(4, 9)));
      expect(await collect(again.readSnapshot(metaOf(3).id))).toBe("kept");
    });

    test("a snapshot that is not newer is refused", async () => {
      const { storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 9) }, true);
      await takeSnapshot(storage, metaOf(5), ["a"]);
      await expect(storage.createSnapshot(metaOf(5))).rejects.toMatchObject({ reason: "snapshotOutdated" });
    });

    test("readSnapshot of an unknown id is notFound", async () => {
      const { storage } = await fresh();
      await expect(collect(storage.readSnapshot("nothing"))).rejects.toMatchObject({ code: "notFound" });
    });

    test("compact above the newest snapshot is refused", async () => {
      const { storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 9) }, true);
      await expect(storage.compact(1)).rejects.toMatchObject({ reason: "notCovered" });
      await takeSnapshot(storage, metaOf(5), ["a"]);
      await expect(storage.compact(6)).rejects.toMatchObject({ reason: "notCovered" });
    });

    test("compaction bounds what is kept, and loses nothing", async () => {
      const { device, storage } = await fresh();
      const filler = "x".repeat(2000);
      let index = 0;
      let largest = 0;
      for (let round = 1; round <= 12; round++) {
        const entries = Array.from({ length: 100 }, () => entryOf(++index, 1, filler));
        await storage.append({ hard: { term: 1, vote: "7", commit: index - 100 }, entries }, true);
        await takeSnapshot(storage, metaOf(index - 10), [filler]);
        await storage.compact(index - 10);
        if (round === 5) largest = storage.sizeBytes();
      }
      expect(storage.sizeBytes()).toBeLessThanOrEqual(largest + 200_000);
      await expect(collect(storage.readSnapshot(metaOf(90).id))).rejects.toMatchObject({ code: "notFound" });
      const { recovered } = await crashAndOpen(device);
      expect(recovered.snapshot?.index).toBe(index - 10);
      expect(recovered.hard).toEqual({ term: 1, vote: "7", commit: index - 10 });
      expect(recovered.entries.map((entry) => entry.index)).toEqual(Array.from({ length: 10 }, (_, n) => index - 9 + n));
    });

    test("the newest two snapshots can be read, while the older one is replaced", async () => {
      const { storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 30) }, true);
      await takeSnapshot(storage, metaOf(10), ["ten"]);
      await takeSnapshot(storage, metaOf(20), ["twenty"]);
      await storage.compact(20);
      expect(await collect(storage.readSnapshot(metaOf(10).id))).toBe("ten");
      expect(await collect(storage.readSnapshot(metaOf(20).id))).toBe("twenty");
    });

    test("after close everything is refused, and closing again is no error", async () => {
      const { storage } = await fresh();
      await storage.append({ entries: entriesOf(1, 2) }, true);
      await storage.close();
      await storage.close();
      await expect(storage.append({ entries: [entryOf(3)] }, true)).rejects.toThrow(QuorateError);
      await expect(storage.createSnapshot(metaOf(2))).rejects.toMatchObject({ reason: "stopped" });
    });

    test("close finishes what was asked for", async () => {
      const { device, storage } = await fresh();
      const appends = Array.from({ length: 20 }, (_, n) => storage.append({ entries: [entryOf(n + 1)] }, true));
      const closed = storage.close();
      await Promise.all([...appends, closed]);
      const { recovered } = await open(device);
      expect(plain(recovered.entries)).toEqual(plain(entriesOf(1, 20)));
    });

    test("there is room to begin with", async () => {
      const { storage } = await fresh();
      expect(storage.reserve()).toBe("ok");
      expect(storage.sizeBytes()).toBeGreaterThanOrEqual(0);
    });
  });
}
