/** `quorate move-leader`: hands the leadership to another member. */
import type { Command } from "commander";
import { hexOf, idOf, newCommand, onCluster } from "./client-command.ts";
import { askEach } from "./each-endpoint.ts";
import type { StatusReply } from "./endpoint.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

export function command(): Command {
  const command = newCommand("move-leader", "hand the leadership to another member", [
    "move-leader 8e9e05c52164694d --endpoints a:2379,b:2379,c:2379",
  ]);
  command.argument("<id>", "of the member that is to lead");
  return onCluster(command, async ({ cluster, print }, [id]) => {
    const targetID = idOf(id!, "member ID");
    // The leader alone can do it.
    const asked = await askEach<StatusReply>(cluster, cluster.settings.endpoints, "maintenance/status", {});
    const leader = asked.flatMap((one) => ("reply" in one && one.reply.leader === one.reply.header?.member_id ? [one] : []))[0];
    if (leader === undefined) throw new CommandError(`no leader endpoint given at [${cluster.settings.endpoints.join(" ")}]`, EXIT.usage);
    await cluster.callAt(leader.endpoint, "maintenance/transfer-leadership", { targetID });
    print.write(`Leadership transferred from ${hexOf(leader.reply.leader)} to ${hexOf(targetID)}\n`);
  });
}
