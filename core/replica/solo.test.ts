import { describe, expect, test } from "vitest";
import { MemoryLogDisk, MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import type { Entry, SnapshotMeta } from "../raft/types.ts";
import type { ConsensusHost } from "./consensus-port.ts";
import { PENDING_PROPOSALS_MAX } from "./limits.ts";
import { Solo } from "./solo.ts";

/** A host that only remembers. */
class Recorder implements ConsensusHost {
  readonly applied: Entry[] = [];
  readonly batches: number[] = [];
  readonly restored: { meta: SnapshotMeta; bytes: number[] }[] = [];
  readonly failures: Error[] = [];
  leading: boolean | null = null;
  apply(entries: readonly Entry[]): void {
    this.applied.push(...entries);
    this.batches.push(entries.length);
  }
  async restore(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const bytes: number[] = [];
    for await (const chunk of chunks) bytes.push(...chunk);
    this.restored.push({ meta, bytes });
  }
  officeChanged(leading: boolean): void {
    this.leading = leading;
  }
  answer(): Promise<unknown> {
    return Promise.reject(new Error("nobody asks"));
  }
  failed(error: Error): void {
    this.failures.push(error);
  }
  removed(): void {
    throw new Error("nobody removes it");
  }
}

const data = (n: number) => new Uint8Array([n & 255]);
const settle = async () => {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
};

/** A member whose appends wait for the test once `hold` is set. */
function member(disk = new MemoryLogDisk()) {
  const held: { release: () => void; fail: (error: Error) => void }[] = [];
  const control = { hold: false, held };
  const storage = new MemoryLogStorage(disk, async (action) => {
    if (control.hold && action === "append") await new Promise<void>((release, fail) => held.push({ release, fail }));
  });
  const solo = new Solo({
    storage,
    newIdentity: () => ({ clusterId: "7", memberId: "1", diskId: "5" }),
    meta: { name: "one", peerUrls: [], clientUrls: [] },
  });
  return { solo, host: new Recorder(), control, disk };
}

describe("Solo", () => {
  test("propose() is applied only after its entry is durable, in order, and gathers what comes meanwhile", async () => {
    const { solo, host, control } = member();
    await solo.start(host);
    expect(host.leading).toBe(true);
    control.hold = true;
    expect(solo.propose(data(1))).toMatchObject({ ok: true, index: 1 });
    await settle();
    for (let n = 2; n <= 10; n++) solo.propose(data(n));
    await settle();
    expect(host.applied).toEqual([]);
    expect(control.held.length).toBe(1);
    control.held[0]!.release();
    await settle();
    expect(host.applied.map((entry) => entry.index)).toEqual([1]);
    expect(control.held.length).toBe(2);
    control.held[1]!.release();
    await settle();
    expect(host.applied.map((entry) => entry.index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(host.batches).toEqual([1, 9]);
  });

  test("a restart applies every durable entry again, under a higher term", async () => {
    const { solo, disk, host } = member();
    await solo.start(host);
    for (let n = 1; n <= 5; n++) solo.propose(data(n));
    const { term } = solo.status();
    await solo.stop();
    const again = member(disk);
    await again.solo.start(again.host);
    expect(again.host.applied.map((entry) => entry.data[0])).toEqual([1, 2, 3, 4, 5]);
    expect(again.solo.status().term).toBeGreaterThan(term);
    expect(again.solo.propose(data(6))).toMatchObject({ ok: true, index: 6 });
    expect(again.solo.identity).toEqual({ clusterId: "7", memberId: "1", diskId: "5" });
    await again.solo.stop();
  });

  test("snapshot() drops the log before it, and a restart begins from it", async () => {
    const { solo, disk, host } = member();
    await solo.start(host);
    for (let n = 1; n <= 5; n++) solo.propose(data(n));
    await settle();
    const { applied, term } = solo.status();
    await solo.snapshot(
      { index: applied, term, id: "s" },
      (async function* () {
        yield data(42);
        yield data(43);
      })(),
    );
    solo.propose(data(6));
    await solo.stop();
    const again = member(disk);
    await again.solo.start(again.host);
    expect(again.host.restored.map((one) => [one.meta.index, one.bytes])).toEqual([[5, [42, 43]]]);
    expect(again.host.applied.map((entry) => entry.index)).toEqual([6]);
    await again.solo.stop();
  });

  test("an error of the storage ends it: told once, nothing applied, later proposals refused", async () => {
    const { solo, host, control } = member();
    await solo.start(host);
    control.hold = true;
    solo.propose(data(1));
    await settle();
    solo.propose(data(2));
    control.held[0]!.fail(new Error("EIO"));
    await settle();
    expect(host.failures).toHaveLength(1);
    expect(host.failures[0]!.message).toMatch(/EIO/);
    expect(host.applied).toEqual([]);
    expect(solo.propose(data(3))).toMatchObject({ ok: false, why: "stopped" });
    expect(() => solo.readBarrier()).toThrow(/stopped/);
  });

  test("propose() refuses when too much waits", async () => {
    const { solo, host, control } = member();
    await solo.start(host);
    control.hold = true;
    for (let n = 0; n < PENDING_PROPOSALS_MAX; n++) expect(solo.propose(data(n)).ok).toBe(true);
    expect(solo.propose(data(0))).toMatchObject({ ok: false, why: "overloaded" });
  });

  test("stop() waits for what is being written and applies it", async () => {
    const { solo, host, control } = member();
    await solo.start(host);
    control.hold = true;
    solo.propose(data(1));
    await settle();
    solo.propose(data(2));
    const stopped = solo.stop();
    control.hold = false;
    control.held[0]!.release();
    await stopped;
    expect(host.applied.map((entry) => entry.index)).toEqual([1, 2]);
    expect(host.failures).toEqual([]);
  });
});
