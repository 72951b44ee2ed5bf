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
  lease: { onCluster: true, summary: "times to live that keys can be attached to", load: () => import("./lease.ts") },
  lock: { onCluster: true, summary: "hold a lock while a command runs", load: () => import("./lock.ts") },
  elect: { onCluster: true, summary: "lead while a command runs, or observe who leads", load: () => import("./elect.ts") },
  member: { onCluster: true, summary: "who is part of the cluster", load: () => import("./member.ts") },
  endpoint: { onCluster: true, summary: "how each member is", load: () => import("./endpoint.ts") },
  "move-leader": { onCluster: true, summary: "hand the leadership to another member", load: () => import("./move-leader.ts") },
  alarm: { onCluster: true, summary: "what the cluster warns of: NOSPACE, CORRUPT", load: () => import("./alarm.ts") },
  defrag: { onCluster: true, summary: "let members give back the space of what was compacted", load: () => import("./defrag.ts") },
  auth: { onCluster: true, summary: "turn authentication on and off", load: () => import("./auth.ts") },
  user: { onCluster: true, summary: "users, their passwords and roles", load: () => import("./user.ts") },
  role: { onCluster: true, summary: "what users of a role may do to ranges of keys", load: () => import("./role.ts") },
  token: { onCluster: true, summary: "tokens for a few keys or one lock, and a while", load: () => import("./token.ts") },
  queue: { onCluster: true, summary: "put, take and count messages", load: () => import("./queue.ts") },
  service: { onCluster: true, summary: "who serves what, and where", load: () => import("./service.ts") },
  config: { onCluster: true, summary: "values of a namespace, published together", load: () => import("./config.ts") },
  export: { onCluster: true, summary: "print all keys and values as of one revision, for import", load: () => import("./export.ts") },
  import: { onCluster: true, summary: "put keys and values from a file or standard input", load: () => import("./import.ts") },
  mirror: {
    onCluster: true,
    summary: "keep keys of one store as they are in another, up to a cut-over",
    load: () => import("./mirror.ts"),
  },
  top: { onCluster: true, summary: "a live table of the members: leader, writes a second, lag", load: () => import("./top.ts") },
  doctor: { onCluster: true, summary: "check disk, open files, certificates and members", load: () => import("./doctor.ts") },
  bench: { onCluster: true, summary: "a simple load of puts or gets, with its rate and latencies", load: () => import("./bench.ts") },
  context: { onCluster: true, summary: "clusters by name: addresses, users, certificates", load: () => import("./context.ts") },
  completion: { summary: "print what a shell needs to complete commands and flags", load: () => import("./completion.ts") },
  snapshot: { summary: "back up a member, look at a backup, restore one", load: () => import("./snapshot.ts") },
};
