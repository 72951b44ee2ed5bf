/** What the device refuses: errors of writes and syncs are final (T26), a full disk is met before it matters, damage is named. */
import { describe, expect, test } from "vitest";
import type { LogStorage } from "../../core/replica/log-storage-port.ts";
import { entriesOf, entryOf, metaOf, plain } from "../../test/contract/log-storage-port.ts";
import { SimulatedDisk, hostError } from "../../test/helpers/simulated-disk.ts";
import { FileLogStorage } from "./file-log-storage.ts";

const SEGMENT_BYTES = 64 << 10;
const IDENTITY = { clusterId: "11", memberId: "22", diskId: "33" };

function on(disk: SimulatedDisk, retryMs = 1): FileLogStorage {
  return new FileLogStorage({ directory: "/data", segmentBytes: SEGMENT_BYTES, fileSystem: disk, retryMs });
}

async function fresh(disk: SimulatedDisk, retryMs?: number): Promise<FileLogStorage> {
  const storage = on(disk, retryMs);
  await storage.open();
  await storage.initialise(IDENTITY);
  return storage;
}

/** Lets everything under way on the simulated disk come to rest. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function snapshotAt(storage: LogStorage, index: number, bytes = 1000): Promise<void> {
  const writer = await storage.createSnapshot(metaOf(index));
  await writer.write(new Uint8Array(bytes).fill(index));
  await writer.commit();
}

describe("errors of the device", () => {
  /** A few appends; resolves to the highest index that was acknowledged. */
  async function work(storage: FileLogStorage): Promise<{ acknowledged: number; error: unknown }> {
    let acknowledged = 0;
    try {
      for (let index = 1; index <= 12; index++) {
        await storage.append({ entries: [{ ...entryOf(index), data: new Uint8Array(9000).fill(index) }] }, true);
        acknowledged = index;
      }
    } catch (error) {
      return { acknowledged, error };
    }
    return { acknowledged, error: null };
  }

  const shortWrite = (): number => 100;

  async function survivesError(failing: "write" | "sync" | "syncDirectory", nth: number, fault: () => number): Promise<boolean> {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await rest();
    let seen = 0;
    let failedAt = 0;
    let failedPath = "";
    let known = false; // somebody has seen the error
    let callsAfter = 0;
    disk.fault = ({ call, path, number }) => {
      // The sync of a durable write that was under way is part of that call.
      const begun = call === "write" || call === "rename" || (call === "sync" && path.endsWith(".tmp"));
      if (known && begun) callsAfter++;
      if (call !== failing || ++seen !== nth) return;
      failedAt = number;
      failedPath = path;
      return fault();
    };
    const { acknowledged, error } = await work(storage);
    if (error === null) await rest();
    known = failedAt > 0;
    if (failedAt === 0) {
      expect(error).toBeNull();
      await storage.close();
      return false;
    }
    await rest();
    const later = await storage.append({ entries: [entryOf(acknowledged + 1)] }, true).catch((thrown: unknown) => thrown);
    if (fault === shortWrite && failedPath.endsWith(".tmp")) {
      // Room that is made ahead: the rest is written in a second call.
      expect(later).toBeUndefined();
      await storage.close();
      disk.fault = null;
      const again = await on(disk.afterCrash(() => false)).open();
      expect(again.entries.length).toBe(acknowledged + 1);
      return true;
    }
    expect(later).toMatchObject({ reason: "storageFailed", details: { file: expect.stringContaining("/data/log/") as string } });
    if (error !== null) expect(later).toBe(error);
    await expect(storage.createSnapshot(metaOf(1))).rejects.toBe(later);
    await expect(storage.compact(0)).rejects.toBe(later);
    await rest();
    expect(callsAfter, "writes, syncs and renames after the error").toBe(0);
    await storage.close();
    expect(callsAfter).toBe(0);

    // Twice: a restart of the process, which sees what the kernel shows; then a power cut, which leaves what the disk has.
    disk.fault = null;
    const restarted = on(disk.afterCrash(() => true));
    const found = await restarted.open();
    expect(found.entries.length).toBeGreaterThanOrEqual(acknowledged);
    await restarted.close();
    const bare = await on(disk.afterCrash(() => false)).open();
    expect(bare.entries.length).toBeGreaterThanOrEqual(acknowledged);
    return true;
  }

  for (const [failing, name, fault] of [
    ["sync", "EIO of the n-th sync", () => { throw hostError("EIO"); }], // prettier-ignore
    ["write", "EIO of the n-th write", () => { throw hostError("EIO"); }], // prettier-ignore
    ["write", "the n-th write is short", shortWrite],
    ["syncDirectory", "EIO of the n-th sync of a directory", () => { throw hostError("EIO"); }], // prettier-ignore
  ] as const) {
    test(`T26: ${name} is final, and a restart is consistent`, async () => {
      let nth = 1;
      while (await survivesError(failing, nth, fault)) nth++;
      expect(nth).toBeGreaterThan(1);
    });
  }

  test("what a failed sync dropped is not trusted by the restart that still sees it", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await rest();
    await storage.append({ entries: [entryOf(1)] }, true);
    disk.fault = ({ call }) => {
      if (call === "sync") throw hostError("EIO");
    };
    await expect(storage.append({ entries: [entryOf(2)] }, true)).rejects.toMatchObject({ reason: "storageFailed" });
    await storage.close();
    disk.fault = null;
    // The cache shows entry 2, clean, and the device does not have it: only writing it again makes it durable.
    const restarted = await on(disk).open();
    expect(restarted.entries.length).toBe(2);
    const bare = await on(disk.afterCrash(() => false)).open();
    expect(bare.entries.length).toBe(2);
  });

  test("an error while opening is reported with the file, and frees the lock", async () => {
    const disk = new SimulatedDisk();
    await (await fresh(disk)).close();
    disk.fault = ({ call }) => {
      if (call === "sync") throw hostError("EIO");
    };
    await expect(on(disk).open()).rejects.toMatchObject({ reason: "storageFailed" });
    disk.fault = null;
    expect((await on(disk).open()).boot).toBe(2);
  });
});

describe("a full disk", () => {
  test("is met by the reserve: appends go on, and room that comes back is taken", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await rest();
    expect(storage.reserve()).toBe("ok");
    disk.capacity = 0; // nothing may grow any more
    let index = 0;
    const fill = async (until: number) => {
      while (index < until) await storage.append({ entries: [{ ...entryOf(++index), data: new Uint8Array(4000) }] }, true);
    };
    await fill(20); // the present segment, and into the one set aside
    await rest();
    expect(storage.reserve()).toBe("low");
    await fill(26);
    disk.capacity = Infinity;
    while (storage.reserve() === "low") await new Promise((resolve) => setTimeout(resolve, 1));
    await fill(60);
    await storage.close();
    const { entries, repairs } = await on(disk.afterCrash(() => false)).open();
    expect([entries.length, repairs]).toEqual([60, []]);
  });

  test("ends the storage only when the reserve is gone, and everything acknowledged is kept", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk, 1_000_000);
    await rest();
    disk.capacity = 0;
    let acknowledged = 0;
    let error: unknown = null;
    while (error === null) {
      try {
        await storage.append({ entries: [{ ...entryOf(acknowledged + 1), data: new Uint8Array(4000) }] }, true);
        acknowledged++;
      } catch (thrown) {
        error = thrown;
      }
    }
    expect(error).toMatchObject({ reason: "storageFailed", cause: { code: "ENOSPC" } });
    expect(acknowledged).toBeGreaterThan(20);
    await storage.close();
    disk.capacity = Infinity;
    const { entries } = await on(disk.afterCrash(() => false)).open();
    expect(entries.length).toBe(acknowledged);
  });

  test("costs a snapshot that is being written, and nothing else", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await rest();
    await storage.append({ entries: entriesOf(1, 5) }, true);
    await snapshotAt(storage, 2);
    disk.capacity = 0;
    await expect(storage.createSnapshot(metaOf(4))).rejects.toMatchObject({ reason: "noSpace" });
    disk.capacity = Infinity;
    const writer = await storage.createSnapshot(metaOf(4));
    disk.capacity = 0;
    await expect(writer.write(new Uint8Array(1000))).rejects.toMatchObject({ reason: "noSpace" });
    await writer.abort();
    await storage.append({ entries: entriesOf(6, 7) }, true);
    expect(disk.paths("/data/snapshots").length).toBe(1);
    disk.capacity = Infinity;
    await snapshotAt(storage, 4);
    await storage.close();
    expect((await on(disk).open()).snapshot?.index).toBe(4);
  });
});

describe("damage", () => {
  const big = (index: number) => ({ ...entryOf(index), data: new Uint8Array(8000).fill(index) });
  const bigOnes = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => big(first + n));

  async function withTwoSnapshots(): Promise<{ disk: SimulatedDisk; newest: string }> {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    for (let index = 1; index <= 30; index++) await storage.append({ entries: [big(index)] }, true);
    await snapshotAt(storage, 10);
    await snapshotAt(storage, 20);
    await storage.compact(20);
    await rest();
    expect(disk.paths("/data/log").length).toBeGreaterThan(2);
    expect(disk.paths("/data/log")[0]).not.toBe("/data/log/0000000000000001.log");
    await storage.close();
    return { disk, newest: disk.paths("/data/snapshots").at(-1)! };
  }

  test("a damaged snapshot is passed over for the one before and the log, wherever the damage is", async () => {
    const { disk, newest } = await withTwoSnapshots();
    const image = Buffer.from(disk.content(newest));
    for (let at = 0; at < image.length; at += 23) {
      const damaged = disk.afterCrash(() => false);
      damaged.content(newest)[at]! ^= 1;
      const storage = on(damaged);
      const recovered = await storage.open();
      expect(recovered.snapshot?.index, `byte ${at}`).toBe(10);
      expect(plain(recovered.entries)).toEqual(plain(bigOnes(11, 30)));
      expect(recovered.repairs.join()).toContain(newest);
      await storage.close();
    }
    for (const length of [0, 10, image.length - 1, image.length + 1]) {
      const damaged = disk.afterCrash(() => false);
      damaged.replaceContent(newest, Buffer.concat([image, Buffer.alloc(1)]).subarray(0, length));
      expect((await on(damaged).open()).snapshot?.index).toBe(10);
    }
  });

  test("after a fallback the next snapshots and openings are as ever", async () => {
    const { disk, newest } = await withTwoSnapshots();
    disk.content(newest)[100]! ^= 1;
    const storage = on(disk);
    await storage.open();
    await snapshotAt(storage, 25);
    await storage.compact(25);
    await storage.close();
    const recovered = await on(disk.afterCrash(() => false)).open();
    expect([recovered.snapshot?.index, recovered.repairs]).toEqual([25, []]);
    expect(disk.paths("/data/snapshots").length).toBe(2);
  });

  test("without a snapshot or a log that leads on from it, it refuses and names the newest", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await storage.append({ entries: entriesOf(1, 3) }, true);
    await snapshotAt(storage, 50);
    await storage.append({ entries: entriesOf(51, 52) }, true);
    await storage.close();
    const [path] = disk.paths("/data/snapshots") as [string];
    disk.content(path)[60]! ^= 1;
    await expect(on(disk).open()).rejects.toMatchObject({ reason: "damaged", details: { file: path } });
    expect(disk.paths("/data/snapshots")).toEqual([path]);
  });

  test("a snapshot that rots while it is served is refused at that chunk", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await storage.append({ entries: entriesOf(1, 3) }, true);
    const writer = await storage.createSnapshot(metaOf(2));
    await writer.write(new Uint8Array(1000));
    await writer.write(new Uint8Array(1000));
    await writer.commit();
    const [path] = disk.paths("/data/snapshots") as [string];
    const image = disk.content(path);
    image[image.length - 100]! ^= 1;
    let chunks = 0;
    const reading = (async () => {
      for await (const chunk of storage.readSnapshot(metaOf(2).id)) chunks += Math.sign(chunk.length);
    })();
    await expect(reading).rejects.toMatchObject({ reason: "damaged", details: { file: path } });
    expect(chunks).toBe(1);
    await storage.close();
  });

  test("identity: damaged, missing, or without its log", async () => {
    const disk = new SimulatedDisk();
    const storage = await fresh(disk);
    await storage.append({ entries: entriesOf(1, 3) }, true);
    await rest();
    await storage.close();
    const text = disk.content("/data/identity").toString();
    expect(text).toMatch(/^quorate identity 2\ncluster 11\nmember 22\ndisk 33\nboot 1\nbatches 1\ncrc32 [0-9a-f]{8}\n$/);
    for (let at = 0; at < text.length; at++) {
      const damaged = disk.afterCrash(() => false);
      damaged.content("/data/identity")[at]! ^= 1;
      await expect(on(damaged).open()).rejects.toMatchObject({ reason: "damaged", details: { file: "/data/identity" } });
    }
    const without = disk.afterCrash(() => false);
    await without.remove("/data/identity");
    await expect(on(without).open()).rejects.toMatchObject({ reason: "damaged", details: { file: "/data/identity" } });
    const bare = disk.afterCrash(() => false);
    for (const path of bare.paths("/data/log")) await bare.remove(path);
    await expect(on(bare).open()).rejects.toMatchObject({ reason: "damaged", details: { file: "/data/log" } });
  });
});
