/** The contract of a log storage inside a real browser, on its real IndexedDB. vitest-shim.ts stands in for vitest. */
import { IdbLogStorage, type LockPort } from "../../adapters/idb-storage/idb-log-storage.ts";
import { logStorageContract } from "../contract/log-storage-port.ts";
import { run } from "../worker/vitest-shim.ts";

let databases = 0;

logStorageContract("IndexedDB of a browser", () => {
  const database = `contract ${++databases}`;
  // A page cannot kill itself: whoever comes after a crash gets the lock, as the browser would give it to another page.
  let isTaken = false;
  const locks: LockPort = {
    take: async () => {
      if (isTaken) return null;
      isTaken = true;
      return () => void (isTaken = false);
    },
  };
  return { make: () => new IdbLogStorage({ database, locks }), crash: async () => void (isTaken = false) };
});

(globalThis as unknown as { report: unknown }).report = run();
