/**
 * What a member makes of the log that it finds: that of a member alone goes on as that of a cluster of one; no part of a cluster's log
 * that a joiner has does, nor makes it campaign.
 */
import { expect, test } from "vitest";
import { MemoryLogDisk, MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import { MemoryNetwork } from "../../adapters/memory/transport.ts";
import { encodeConfig } from "../raft/config-change.ts";
import type { Config, Entry, HardState } from "../raft/types.ts";
import type { ConsensusHost } from "./consensus-port.ts";
import { RaftConsensus } from "./raft-consensus.ts";

const ID = "8";
const HOST: ConsensusHost = {
  apply: () => {},
  restore: () => Promise.resolve(),
  officeChanged: () => {},
  answer: () => Promise.reject(new Error("nobody asks")),
  failed: (error) => {
    throw error;
  },
  removed: () => {},
};

function dataAt(index: number): Entry {
  return { index, term: 2, kind: "data", data: new Uint8Array([index]) };
}

/** Starts a member on a disk with this content, which hears nothing of others. */
async function started(hard: HardState, entries: readonly Entry[], snapshot: Config | null): Promise<RaftConsensus> {
  const disk = new MemoryLogDisk();
  const before = new MemoryLogStorage(disk);
  await before.open();
  await before.initialise({ clusterId: "77", memberId: ID, diskId: "9" });
  if (snapshot !== null) {
    const writer = await before.createSnapshot({ index: 50, term: 2, id: "2-50", size: 0, configIndex: 1, config: snapshot });
    await writer.commit();
  }
  await before.append({ hard, entries }, true);
  await before.close();
  const consensus = new RaftConsensus({
    storage: new MemoryLogStorage(disk),
    transport: new MemoryNetwork().transport(ID),
    begin: () => Promise.reject(new Error("the log is not empty")),
    seed: 1,
    onNotice: () => {},
  });
  await consensus.start(HOST);
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  for (let tick = 0; tick < 50; tick++) consensus.tick(1);
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  return consensus;
}

/** @returns whether it leads a cluster of itself */
async function startsAlone(...disk: Parameters<typeof started>): Promise<boolean> {
  return (await started(...disk)).status().leading;
}

const EMPTY: Config = { voters: [], outgoing: [], learners: [], learnersNext: [], removed: [], meta: {} };

test("the log of a member alone goes on", async () => {
  expect(await startsAlone({ term: 2, vote: ID, commit: 2 }, [dataAt(1), dataAt(2)], null)).toBe(true);
  expect(await startsAlone({ term: 2, vote: ID, commit: 51 }, [dataAt(51)], { ...EMPTY, voters: [ID] })).toBe(true);
});

test("a joiner that has a snapshot from before it was added, and entries up to there, does not found a cluster", async () => {
  const others = { ...EMPTY, voters: ["1"], meta: { "1": "{}" } };
  expect(await startsAlone({ term: 3, vote: null, commit: 51 }, [dataAt(51)], others)).toBe(false);
});

test("a joiner that has the beginning of a log which a member alone wrote does not found a cluster", async () => {
  expect(await startsAlone({ term: 3, vote: null, commit: 2 }, [dataAt(1), dataAt(2)], null)).toBe(false);
  expect(await startsAlone({ term: 3, vote: "1", commit: 51 }, [dataAt(51)], { ...EMPTY, voters: ["1"] })).toBe(false);
});

test("a joiner that is started again half way campaigns only once its log names it as a voter, though it has forgotten where that is", async () => {
  const naming = (index: number, config: Partial<Config>): Entry => ({
    ...dataAt(index),
    kind: "config",
    data: encodeConfig({ ...EMPTY, ...config }),
  });
  const past = [naming(1, { voters: ["1"], meta: { "1": "{}" } }), naming(2, { voters: ["1", "2"], outgoing: ["1"] }), dataAt(3)];
  const before = await started({ term: 2, vote: null, commit: 3 }, past, null);
  expect(before.raftStatus()).toMatchObject({ role: "follower", term: 2 });
  const learner = naming(4, { voters: ["1", "2"], learners: [ID] });
  expect((await started({ term: 2, vote: null, commit: 3 }, [...past, learner], null)).raftStatus()?.role).toBe("follower");
  const voter = naming(5, { voters: ["1", "2", ID], outgoing: ["1", "2"] });
  expect((await started({ term: 2, vote: null, commit: 4 }, [...past, learner, voter], null)).raftStatus()?.role).toBe("preCandidate");
});
