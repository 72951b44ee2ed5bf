import { stateStorageContract } from "../../test/contract/state-storage-port.ts";
import { MemoryStateStorage } from "./memory-state-storage.ts";
import { MemorySessionTable } from "./sessions.ts";

stateStorageContract("MemoryStateStorage", () => ({
  storage: new MemoryStateStorage(),
  sessions: (charsMax) => new MemorySessionTable(charsMax),
}));
