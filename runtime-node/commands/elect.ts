/** `quorate elect`: campaigns and leads until it is told to end, or observes who leads. */
import type { Command } from "commander";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { campaign, campaignUnder, observeElection, observeUnder } from "../../core/recipes/election.ts";
import { newCommand, onCluster } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { runWhileHeld, untilTold, whileHeld } from "./hold-command.ts";
import { holdSeconds } from "./hold-flags.ts";

interface ElectFlags {
  readonly listen?: boolean;
  readonly ttl: string;
  readonly etcd?: boolean;
}

export function command(): Command {
  const command = newCommand("elect", "lead while a command runs, or observe who leads", [
    "elect scheduler 10.0.0.1:8080             campaigns, and leads until ctrl-C",
    "elect scheduler worker-1 -- ./scheduler   runs the command while it leads",
    "elect -l scheduler                        prints each leader",
    "elect --etcd scheduler worker-1           the election of `etcdctl elect scheduler`",
  ]);
  command.argument("<name>").argument("[value]", "what others see of the leader").argument("[command...]", "after --: what to run");
  command.option("-l, --listen", "observe");
  command.option("--ttl <SECONDS>", "how long it is held when this process dies", "60");
  command.option("--etcd", "the election of this name of etcdctl and Go's clients, which has other keys");
  return onCluster<ElectFlags>(command, async ({ cluster, print }, [name, value, ...words], { listen = false, ttl, etcd = false }) => {
    const told = untilTold();
    const show = (key: string, said: Bytes): void => print.write(`${print.bytes(btoa(key))}\n${print.bytes(btoa(said))}\n`);
    const prefix = utf8Encode(`${name}/`);
    if (listen) {
      if (value !== undefined) throw new CommandError("proposal given but -l is set", EXIT.usage);
      const seen = etcd ? observeUnder(cluster.etcdClient(), prefix, told) : observeElection(cluster.client(), name!, told);
      for await (const { leader } of seen) if (leader !== null) show(leader.key, leader.value);
      return;
    }
    if (value === undefined) throw new CommandError("no proposal argument but -l not set", EXIT.usage);
    const options = { ttl: holdSeconds(ttl), signal: told };
    const said = utf8Encode(value);
    const hold = etcd
      ? await campaignUnder(cluster.etcdClient(), prefix, said, options)
      : await campaign(cluster.client(), name!, said, options);
    try {
      if (words.length > 0) process.exitCode = await runWhileHeld(hold, words, { QUORATE_FENCE: hold.fence.toString() });
      else {
        show(hold.key, said);
        await whileHeld(hold, told);
      }
    } finally {
      await hold.resign();
    }
  });
}
