/// <reference lib="dom" />
import "fake-indexeddb/auto";
import { afterEach, describe, expect, test } from "vitest";
import { entriesOf, entryOf, logStorageContract, metaOf } from "../../test/contract/log-storage-port.ts";
import { IdbLogStorage, type LockPort } from "./idb-log-storage.ts";

/** Locks that are gone with the page that had them. */
function pageLocks(): LockPort & { crash(): void } {
  let isTaken = false;
  let epoch = 0;
  return {
    take: async () => {
      if (isTaken) return null;
      isTaken = true;
      const own = epoch;
      return () => {
        if (own === epoch) isTaken = false;
      };
    },
    crash: () => {
      epoch++;
      isTaken = false;
    },
  };
}

let databases = 0;

function device(more: Partial<ConstructorParameters<typeof IdbLogStorage>[0]> = {}) {
  const locks = pageLocks();
  const database = `test ${++databases}`;
  return { database, locks, make: () => new IdbLogStorage({ database, locks, ...more }), crash: async () => locks.crash() };
}

logStorageContract("IndexedDB", device);

/** What is in the database, as the next opening would find it. */
function raw<T>(database: string, mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(database);
    opening.addEventListener("success", () => {
      const transaction = opening.result.transaction("log", mode);
      const request = act(transaction.objectStore("log"));
      transaction.addEventListener("complete", () => {
        opening.result.close();
        resolve(request.result);
      });
      transaction.addEventListener("abort", () => reject(transaction.error!));
    });
  });
}

async function opened(at = device()) {
  const storage = at.make();
  await storage.open();
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "3" });
  return { at, storage };
}

describe("IdbLogStorage", () => {
  const put = IDBObjectStore.prototype.put;
  afterEach(() => {
    IDBObjectStore.prototype.put = put;
  });

  test("names a damaged entry, and one that is missing", async () => {
    const { at, storage } = await opened();
    await storage.append({ entries: entriesOf(1, 3) }, true);
    await storage.close();
    const key = "l/0000000000000002";
    const kept = (await raw(at.database, "readonly", (store) => store.get(key))) as { data: Uint8Array };
    kept.data[0]! ^= 1;
    await raw(at.database, "readwrite", (store) => store.put(kept, key));
    await expect(at.make().open()).rejects.toMatchObject({ reason: "damaged", details: { offset: key } });
    await raw(at.database, "readwrite", (store) => store.delete(key) as IDBRequest<unknown>);
    await expect(at.make().open()).rejects.toMatchObject({ reason: "damaged", details: { offset: key } });
  });

  test("names a damaged chunk of a snapshot", async () => {
    const { at, storage } = await opened();
    await storage.append({ entries: entriesOf(1, 3) }, true);
    const writer = await storage.createSnapshot(metaOf(2));
    await writer.write(new Uint8Array([1, 2, 3]));
    const { id } = await writer.commit();
    await raw(at.database, "readwrite", (store) => store.put({ data: new Uint8Array([1, 2, 4]), crc: 7 }, `c/${id}/00000000`));
    const read = async (): Promise<void> => {
      for await (const _ of storage.readSnapshot(id));
    };
    await expect(read()).rejects.toMatchObject({ reason: "damaged" });
    await storage.close();
  });

  test("writes all of a batch or nothing, and nothing after a failure", async () => {
    const { at, storage } = await opened();
    await storage.append({ entries: entriesOf(1, 2) }, true);
    let puts = 0;
    IDBObjectStore.prototype.put = function (...args) {
      if (++puts === 2) throw new DOMException("no more", "QuotaExceededError");
      return put.apply(this, args);
    };
    await expect(storage.append({ entries: entriesOf(3, 5) }, true)).rejects.toMatchObject({ reason: "storageFailed" });
    IDBObjectStore.prototype.put = put;
    await expect(storage.append({ entries: [entryOf(3)] }, true)).rejects.toMatchObject({ reason: "storageFailed" });
    await storage.close();
    const again = at.make();
    expect((await again.open()).entries.map(({ index }) => index)).toEqual([1, 2]);
    await again.close();
  });

  test("a snapshot for which there is no room is dropped, and the log goes on", async () => {
    const { storage } = await opened();
    await storage.append({ entries: entriesOf(1, 3) }, true);
    const writer = await storage.createSnapshot(metaOf(2));
    IDBObjectStore.prototype.put = () => {
      throw new DOMException("no more", "QuotaExceededError");
    };
    await expect(writer.write(new Uint8Array(10))).rejects.toMatchObject({ reason: "noSpace" });
    IDBObjectStore.prototype.put = put;
    await writer.abort();
    await storage.append({ entries: [entryOf(4)] }, true);
    await storage.close();
  });

  test("a database that is deleted under it is named, and nothing is acknowledged any more", async () => {
    const told: unknown[] = [];
    const at = device({ onGone: (error) => void told.push(error.reason) });
    const { storage } = await opened(at);
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.deleteDatabase(at.database);
      request.addEventListener("success", () => resolve());
      request.addEventListener("error", () => reject(request.error!));
    });
    expect(told).toEqual(["storageFailed"]);
    await expect(storage.append({ entries: [entryOf(1)] }, true)).rejects.toMatchObject({ reason: "storageFailed" });
  });

  test("says when the browser has little room left", async () => {
    let usage = 0;
    const { storage } = await opened(device({ estimate: () => Promise.resolve({ usage, quota: 100_000_000 }) }));
    expect(storage.reserve()).toBe("ok");
    await storage.close();
    usage = 99_000_000;
    const { storage: full } = await opened(device({ estimate: () => Promise.resolve({ usage, quota: 100_000_000 }) }));
    full.reserve();
    await expect.poll(() => full.reserve()).toBe("low");
    await full.close();
  });
});
