/** Every command, with what it is for; the module that does it is loaded when it is called, so that help comes at once. */
import type { Command } from "commander";

export interface CatalogueEntry {
  /** Left out: a command that needs no cluster, with settings of its own. */
  readonly onCluster?: boolean;
  readonly summary: string;
  load(): Promise<{ command(): Command }>;
}

export const CATALOGUE: Readonly<Record<string, CatalogueEntry>> = {
  serve: { summary: "run a member", load: () => import("./serve.ts") },
  put: { onCluster: true, summary: "put a key", load: () => import("./put.ts") },
  get: { onCluster: true, summary: "get a key, or a range of keys", load: () => import("./get.ts") },
  del: { onCluster: true, summary: "delete a key, or a range of keys", load: () => import("./del.ts") },
  txn: { onCluster: true, summary: "several acts at once, if what is said of the keys holds", load: () => import("./txn.ts") },
  watch: { onCluster: true, summary: "print changes as they come, or run a command for each", load: () => import("./watch.ts") },
  compact: { onCluster: true, summary: "forget the history before a revision", load: () => import("./compact.ts") },
  snapshot: { summary: "back up a member, look at a backup, restore one", load: () => import("./snapshot.ts") },
};
