/** What a member that ended does with the questions that still reach it. */
import { expect, test } from "vitest";
import { MemoryLogDisk, MemoryLogStorage } from "../../adapters/memory/log-storage.ts";
import { MemoryNetwork, MemoryTransport } from "../../adapters/memory/transport.ts";
import { must } from "../invariant.ts";
import { RaftConsensus } from "./raft-consensus.ts";
import type { TransportHost } from "./transport-port.ts";

/** Keeps what the consensus gave it, as a connection does that is about to be closed. */
class KeptTransport extends MemoryTransport {
  kept: TransportHost | null = null;

  override async start(host: TransportHost): Promise<void> {
    this.kept = host;
    await super.start(host);
  }
}

const founding = [{ id: "1", meta: { name: "m1", peerUrls: ["http://m1:2380"], clientUrls: [] } }];
const identity = { clusterId: "7", memberId: "1", diskId: "9" };

test("a question to a member that has stopped is answered with an error, and throws nothing", async () => {
  const transport = new KeptTransport("1", new MemoryNetwork());
  const consensus = new RaftConsensus({
    storage: new MemoryLogStorage(new MemoryLogDisk()),
    transport,
    begin: async () => ({ identity, founding, joinIndex: 0, bootstrapPeers: [] }),
    seed: 1,
    onNotice: () => {},
  });
  await consensus.start({
    apply: () => {},
    restore: () => Promise.resolve(),
    officeChanged: () => {},
    answer: async () => "answered",
    failed: () => {},
    removed: () => {},
  });
  const host = must(transport.kept, () => "no host");
  expect(await host.call("2", {})).toBe("answered");
  await consensus.stop();
  await expect(host.call("2", {})).rejects.toMatchObject({ reason: "stopped" });
});

test("a device that fails under a snapshot ends the member, though no append may ever meet it", async () => {
  let broken = false;
  const gate = async (): Promise<void> => {
    if (broken) throw new Error("EIO");
  };
  const failures: Error[] = [];
  const consensus = new RaftConsensus({
    storage: new MemoryLogStorage(new MemoryLogDisk(), gate),
    transport: new MemoryTransport("1", new MemoryNetwork()),
    begin: async () => ({ identity, founding, joinIndex: 0, bootstrapPeers: [] }),
    seed: 1,
    onNotice: () => {},
  });
  const applied: number[] = [];
  await consensus.start({
    apply: (entries) => void applied.push(...entries.map(({ index }) => index)),
    restore: () => Promise.resolve(),
    officeChanged: () => {},
    answer: async () => "answered",
    failed: (error) => void failures.push(error),
    removed: () => {},
  });
  broken = true;
  const { commit: index, term } = consensus.status();
  const chunks = async function* (): AsyncIterable<Uint8Array> {
    yield new Uint8Array(1);
  };
  await expect(consensus.snapshot({ index, term, id: "s" }, chunks())).rejects.toMatchObject({ reason: "storageFailed" });
  expect(failures).toMatchObject([{ reason: "storageFailed" }]);
  await consensus.stop();
});
