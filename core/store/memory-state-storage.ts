/** The state in memory: nothing outlives the process, so that there is nothing to load and nothing to save. */
import { MemoryLeaseTable } from "./lease/lease-table.ts";
import { MemoryVersionStore } from "./mvcc/memory-version-store.ts";
import { MemorySessionTable } from "./sessions.ts";
import type { StateFacts, StateStorage } from "./state-storage-port.ts";

const NOTHING: StateFacts = { appliedIndex: 0, clockMs: 0, alarms: [], auth: null };

export class MemoryStateStorage implements StateStorage {
  readonly versions = new MemoryVersionStore();
  readonly leases = new MemoryLeaseTable();
  readonly sessions = new MemorySessionTable();

  load(): StateFacts {
    return NOTHING;
  }

  save(): void {}
}
