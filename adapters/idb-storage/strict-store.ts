/**
 * One object store of an IndexedDB database, in the shape that idb-keyval takes (`UseStore`): transactions are strict, that is, complete only
 * when they are on the disk, and one whose callback throws is taken back whole, which idb-keyval's own is not.
 */
import { type UseStore, promisifyRequest } from "idb-keyval";

const STORE = "log";

export interface StrictStore {
  readonly use: UseStore;
  close(): void;
}

/**
 * @param onGone told once when the browser has closed the database: it was deleted, or its data cleared
 * @throws DOMException, among others when the browser allows no storage here
 */
export async function openStrictStore(database: string, onGone: (why: string) => void): Promise<StrictStore> {
  const request = indexedDB.open(database, 1);
  request.addEventListener("upgradeneeded", () => void request.result.createObjectStore(STORE));
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error!));
    request.addEventListener("blocked", () => reject(new Error("another tab holds an older version of the database open")));
  });
  db.addEventListener("close", () => onGone("the browser has closed the database: its data were cleared"));
  // Somebody wants to delete it, or a later release to change it: holding on would make both wait for ever.
  db.addEventListener("versionchange", () => {
    db.close();
    onGone("the database is being deleted, or changed by a later version");
  });
  return {
    use: async (mode, callback) => {
      const transaction = db.transaction(STORE, mode, { durability: "strict" });
      const done = promisifyRequest(transaction);
      done.catch(() => {}); // told by the result, or by what was thrown
      try {
        const result = await callback(transaction.objectStore(STORE));
        await done;
        return result;
      } catch (error) {
        abort(transaction);
        throw error;
      }
    },
    close: () => db.close(),
  };
}

/** One that has ended already needs none. */
function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch (error) {
    if ((error as DOMException).name !== "InvalidStateError") throw error;
  }
}
