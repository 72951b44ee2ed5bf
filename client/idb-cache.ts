/** The entry `quorate/client/idb`: a near cache is kept in IndexedDB, so that a page shows what it knew before the store has answered. */
import { createStore, get, set } from "idb-keyval";
import type { CacheStorage, SavedCache } from "./near-cache.ts";

/** @param database its name in the browser */
export function idbCache(database = "quorate"): CacheStorage {
  // Opens the database with the first use.
  let opened: ReturnType<typeof createStore> | undefined;
  const store = () => (opened ??= createStore(database, "near-cache"));
  return {
    load: (name) => get<SavedCache>(name, store()),
    save: (name, saved) => set(name, saved, store()),
  };
}
