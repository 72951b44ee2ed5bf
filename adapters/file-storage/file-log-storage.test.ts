import { logStorageContract } from "../../test/contract/log-storage-port.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { FileLogStorage } from "./file-log-storage.ts";
import { NodeFileSystem } from "./node-file-system.ts";

/** As if the process had died: locks go, calls fail. */
class MortalFileSystem extends NodeFileSystem {
  #release: (() => void) | undefined;
  override async lock(path: string): Promise<(() => void) | undefined> {
    return (this.#release = await super.lock(path));
  }
  die(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

logStorageContract("files", () => {
  const directory = tempDir("storage");
  let fileSystem = new MortalFileSystem();
  return {
    make: () => new FileLogStorage({ directory, segmentBytes: 256 << 10, fileSystem: (fileSystem = new MortalFileSystem()) }),
    crash: async () => fileSystem.die(),
  };
});
