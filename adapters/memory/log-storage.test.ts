import { expect, test } from "vitest";
import { entriesOf, entryOf, logStorageContract, plain } from "../../test/contract/log-storage-port.ts";
import { MemoryLogDisk, MemoryLogStorage } from "./log-storage.ts";

logStorageContract("memory", () => {
  const disk = new MemoryLogDisk();
  return { make: () => new MemoryLogStorage(disk), crash: async () => disk.crash() };
});

test("MemoryLogStorage: nothing takes effect before the gate lets it", async () => {
  const disk = new MemoryLogDisk();
  let release = () => {};
  const storage = new MemoryLogStorage(disk, (action) =>
    action === "append" ? new Promise((resolve) => (release = resolve)) : Promise.resolve(),
  );
  await storage.open();
  let durable = false;
  const append = storage.append({ entries: entriesOf(1, 2) }, true).then(() => (durable = true));
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  expect([durable, disk.entries.length]).toEqual([false, 0]);
  release();
  await append;
  expect(plain(disk.entries)).toEqual(plain(entriesOf(1, 2)));
});

test("MemoryLogStorage: a failed gate is final", async () => {
  const disk = new MemoryLogDisk();
  let broken = false;
  const storage = new MemoryLogStorage(disk, async () => {
    if (broken) throw new Error("EIO");
  });
  await storage.open();
  await storage.append({ entries: [entryOf(1)] }, true);
  broken = true;
  const first = storage.append({ entries: [entryOf(2)] }, true);
  const second = storage.append({ entries: [entryOf(3)] }, true);
  await expect(first).rejects.toMatchObject({ reason: "storageFailed" });
  await expect(second).rejects.toMatchObject({ reason: "storageFailed" });
  broken = false;
  await expect(storage.append({ entries: [entryOf(2)] }, true)).rejects.toMatchObject({ reason: "storageFailed" });
  expect(disk.entries.length).toBe(1);
});

test("MemoryLogStorage: after a crash the old storage has no say any more", async () => {
  const disk = new MemoryLogDisk();
  const storage = new MemoryLogStorage(disk);
  await storage.open();
  const late = storage.append({ entries: [entryOf(1)] }, true);
  disk.crash();
  await expect(late).rejects.toMatchObject({ reason: "stopped" });
  expect(disk.entries).toEqual([]);
});
