/** `quorate auth`: whether members ask who it is. */
import type { Command } from "commander";
import { isQuorateError } from "../../core/errors.ts";
import { newCommand, onCluster } from "./client-command.ts";
import type { Cluster } from "./cluster.ts";

/** What a cluster says in which user root has not the role root. */
const NO_ROOT = "etcdserver: root user does not have root role";
const ROLE_EXISTS = "etcdserver: role name already exists";

export function command(): Command {
  const group = newCommand("auth", "turn authentication on and off", [
    "user add root:secret",
    "auth enable",
    "auth disable --user root:secret",
  ]);
  group.addCommand(
    onCluster(newCommand("enable", "ask everybody who it is; needs the user root"), async ({ cluster, print }) => {
      await enable(cluster);
      print.write("Authentication Enabled\n");
    }),
  );
  group.addCommand(
    onCluster(newCommand("disable", "let everybody do everything"), async ({ cluster, print }) => {
      await cluster.call("auth/disable", {});
      print.write("Authentication Disabled\n");
    }),
  );
  return group;
}

/** As etcdctl, it gives the user root the role root where it lacks it. */
async function enable(cluster: Cluster): Promise<void> {
  try {
    await cluster.call("auth/enable", {});
  } catch (error) {
    if (!isQuorateError(error) || error.message !== NO_ROOT) throw error;
    await cluster.call("auth/role/add", { name: "root" }).catch((why: unknown) => {
      if (!isQuorateError(why) || why.message !== ROLE_EXISTS) throw why;
    });
    await cluster.call("auth/user/grant", { user: "root", role: "root" });
    await cluster.call("auth/enable", {});
  }
}
