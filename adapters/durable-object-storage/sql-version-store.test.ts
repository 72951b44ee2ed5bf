import { versionStoreModel } from "../../test/contract/version-store-model.ts";
import { versionStoreContract } from "../../test/contract/version-store-port.ts";
import { sqliteStorage } from "../../test/helpers/sqlite-storage.ts";
import { SqlStateStorage } from "./sql-state-storage.ts";

versionStoreContract("SqlVersionStore", () => new SqlStateStorage(sqliteStorage()).versions);
versionStoreModel("SqlVersionStore", () => new SqlStateStorage(sqliteStorage()).versions, 150);
