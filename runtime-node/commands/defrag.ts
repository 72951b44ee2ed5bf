/** `quorate defrag`: lets members give back space of what was compacted. */
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { askEach, endpointsOf } from "./each-endpoint.ts";

export function command(): Command {
  const command = newCommand("defrag", "let members give back the space of what was compacted", ["defrag --cluster"]);
  command.option("--cluster", "all members that the cluster tells of");
  return onCluster<{ cluster?: boolean }>(command, async ({ cluster, print }, _, flags) => {
    // One after the other: a member may be slow meanwhile.
    for (const endpoint of await endpointsOf(cluster, flags.cluster === true)) {
      const [asked] = await askEach(cluster, [endpoint], "maintenance/defragment", {});
      if (asked !== undefined && "error" in asked) {
        console.error(`Failed to defragment etcd member[${endpoint}] (${asked.error})`);
        process.exitCode = 1;
      } else print.write(`Finished defragmenting etcd member[${endpoint}]\n`);
    }
  });
}
