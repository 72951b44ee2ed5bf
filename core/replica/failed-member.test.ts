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

test("a question to a member that has stopped is answered with an error, and throws nothing", async () => {
  const transport = new KeptTransport("1", new MemoryNetwork());
  const founding = [{ id: "1", meta: { name: "m1", peerUrls: ["http://m1:2380"], clientUrls: [] } }];
  const consensus = new RaftConsensus({
    storage: new MemoryLogStorage(new MemoryLogDisk()),
    transport,
    begin: async () => ({ identity: { clusterId: "7", memberId: "1", diskId: "9" }, founding, joinIndex: 0, bootstrapPeers: [] }),
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
