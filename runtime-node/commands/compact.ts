/** `quorate compact`: forgets the history before a revision. */
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { CommandError } from "./exit-codes.ts";

export function command(): Command {
  const command = newCommand("compact", "forget the history before a revision", ["compact 1000", "compact 1000 --physical"]);
  command.argument("<revision>").option("--physical", "answer when the space is free again");
  return onCluster<{ readonly physical?: boolean }>(command, async ({ cluster, print }, [revision], { physical = false }) => {
    if (!/^[0-9]+$/.test(revision!)) throw new CommandError(`the revision ${JSON.stringify(revision)} is no whole number`);
    await cluster.call("kv/compaction", { revision, physical });
    print.write(`compacted revision ${BigInt(revision!)}\n`);
  });
}
