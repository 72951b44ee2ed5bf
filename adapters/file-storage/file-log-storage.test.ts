import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { entryOf, logStorageContract, plain } from "../../test/contract/log-storage-port.ts";
import { SimulatedDisk } from "../../test/helpers/simulated-disk.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { FileLogStorage } from "./file-log-storage.ts";

logStorageContract("files", () => {
  const directory = tempDir("storage");
  const made: FileLogStorage[] = [];
  return {
    make() {
      const storage = new FileLogStorage({ directory, segmentBytes: 256 << 10 });
      made.push(storage);
      return storage;
    },
    // A real kill is tested below and by the cluster tests; here the process ends well.
    crash: () => Promise.all(made.map((storage) => storage.close())).then(() => undefined),
  };
});

logStorageContract("files on a disk that loses what was not synced", () => {
  let disk = new SimulatedDisk();
  return {
    make: () => new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: disk }),
    crash: async () => {
      const died = disk;
      disk = died.afterCrash(() => false);
      died.dieAtStep = died.steps - 1;
    },
  };
});

/** Opens the storage in a process of its own, appends without end, four at a time, and prints the index of each when it is durable. */
function startWriter(directory: string) {
  const program = `
    import { FileLogStorage } from ${JSON.stringify(new URL("./file-log-storage.ts", import.meta.url).href)};
    const storage = new FileLogStorage({ directory: ${JSON.stringify(directory)}, segmentBytes: 65536 });
    const recovered = await storage.open();
    if (recovered.identity === null) await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
    let index = recovered.entries.at(-1)?.index ?? 0;
    const write = async () => {
      for (;;) {
        const mine = ++index;
        const data = new TextEncoder().encode("entry " + mine + " of term 1 ");
        await storage.append({ entries: [{ term: 1, index: mine, kind: "data", data }] }, true);
        process.stdout.write(mine + "\\n");
      }
    };
    await Promise.all([write(), write(), write(), write()]);
  `;
  return spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
}

test("kill -9 under load, with garbage behind the log: nothing acknowledged is lost, the lock is free, boots count on", async () => {
  const directory = tempDir("killed");
  for (let round = 1; round <= 5; round++) {
    const writer = startWriter(directory);
    let acknowledged = 0;
    let seen = 0;
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged = Math.max(acknowledged, Number(line));
      if (++seen === 100 * round) {
        await expect(new FileLogStorage({ directory }).open(), "while the writer lives").rejects.toMatchObject({ reason: "locked" });
        writer.kill("SIGKILL");
      }
    }
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, "exit");
    expect(writer.signalCode).toBe("SIGKILL");
    const newest = readdirSync(`${directory}/log`)
      .filter((name) => name.endsWith(".log"))
      .sort()
      .at(-1)!;
    appendFileSync(`${directory}/log/${newest}`, Buffer.alloc(1000 * round, 0x51));
    const storage = new FileLogStorage({ directory, segmentBytes: 64 << 10 });
    const recovered = await storage.open();
    expect(recovered.boot).toBe(2 * round);
    expect(recovered.entries.length).toBeGreaterThanOrEqual(acknowledged);
    expect(plain(recovered.entries)).toEqual(plain(recovered.entries.map((_, n) => entryOf(n + 1))));
    await storage.close();
  }
});

test("an entry larger than a segment is one batch in a segment that is large enough", async () => {
  const disk = new SimulatedDisk();
  const open = async (on: SimulatedDisk) => {
    const storage = new FileLogStorage({ directory: "/data", segmentBytes: 64 << 10, fileSystem: on });
    return { storage, recovered: await storage.open() };
  };
  const { storage } = await open(disk);
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
  const large = { ...entryOf(2), data: Uint8Array.from({ length: 300_000 }, (_, n) => (n * n) & 255) };
  await Promise.all([entryOf(1), large, entryOf(3)].map((entry) => storage.append({ entries: [entry] }, true)));
  await storage.append({ entries: [entryOf(4)] }, true);
  const again = await open(disk.afterCrash(() => false));
  expect(plain(again.recovered.entries)).toEqual(plain([entryOf(1), large, entryOf(3), entryOf(4)]));
  expect(again.recovered.repairs).toEqual([]);
});

test("what is appended while a write is on its way goes into one next write", async () => {
  const disk = new SimulatedDisk();
  const storage = new FileLogStorage({ directory: "/data", segmentBytes: 1 << 20, fileSystem: disk });
  await storage.open();
  await storage.initialise({ clusterId: "1", memberId: "2", diskId: "33" });
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  let syncs = 0;
  disk.fault = ({ call }) => {
    if (call === "sync") syncs++;
  };
  const first = storage.append({ entries: [entryOf(1)] }, true);
  await Promise.resolve().then(() => undefined);
  const others = Array.from({ length: 500 }, (_, n) => storage.append({ entries: [entryOf(n + 2)] }, true));
  await Promise.all([first, ...others]);
  expect(syncs).toBe(2);
  const again = new FileLogStorage({ directory: "/data", segmentBytes: 1 << 20, fileSystem: disk.afterCrash(() => false) });
  expect((await again.open()).entries.length).toBe(501);
  await storage.close();
});
