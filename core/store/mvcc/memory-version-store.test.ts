import { versionStoreModel } from "../../../test/contract/version-store-model.ts";
import { versionStoreContract } from "../../../test/contract/version-store-port.ts";
import { NaiveVersionStore } from "../../../test/helpers/naive-version-store.ts";
import { MemoryVersionStore } from "./memory-version-store.ts";

versionStoreContract("MemoryVersionStore", () => new MemoryVersionStore());
versionStoreModel("MemoryVersionStore", () => new MemoryVersionStore());
// The model that random tests compare with keeps the same contract.
versionStoreContract("NaiveVersionStore", () => new NaiveVersionStore());
