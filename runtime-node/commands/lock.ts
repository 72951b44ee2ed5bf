/** `quorate lock`: holds a lock while a command runs, or until it is told to end. */
import type { Command } from "commander";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { acquireLock, acquireLockUnder } from "../../core/recipes/lock.ts";
import { newCommand, onCluster } from "./client-command.ts";
import { runWhileHeld, untilTold, whileHeld } from "./hold-command.ts";
import { holdSeconds } from "./hold-flags.ts";

interface LockFlags {
  readonly ttl: string;
  readonly wait?: string;
  readonly owner?: string;
  readonly etcd?: boolean;
}

const NOTES = `
The command finds the key in ETCD_LOCK_KEY, and in ETCD_LOCK_REV and QUORATE_FENCE a number that rises from holder to holder. When the lock is
lost, the command is ended by SIGTERM, and 0.4 s later by SIGKILL. Its exit code is that of the command, 128 and its number for a signal, and
1 when the lock was lost. Without a command the key is printed, and the lock held until SIGINT or SIGTERM.`;

export function command(): Command {
  const command = newCommand("lock", "hold a lock while a command runs", [
    "lock deploy -- ./deploy.sh",
    "lock nightly --wait 0s -- ./job.sh        not at all when another one runs it",
    "lock deploy                               until ctrl-C",
    "lock --etcd deploy -- ./deploy.sh         the lock of `etcdctl lock deploy`",
  ]);
  command.argument("<name>").argument("[command...]", "what to run");
  command.option("--ttl <SECONDS>", "how long it is held when this process dies", "60");
  command.option("--wait <DURATION>", "how long to wait for it. Default: as long as it takes");
  command.option("--owner <TEXT>", "who holds it, for people who look");
  command.option("--etcd", "the lock of this name of etcdctl and Go's clients, which has other keys");
  command.withNotes(NOTES);
  return onCluster<LockFlags>(command, async ({ cluster, print }, [name, ...words], { ttl, wait, owner, etcd }) => {
    const told = untilTold();
    const options = { ttl: holdSeconds(ttl), wait, owner, signal: told };
    const hold =
      etcd === true
        ? await acquireLockUnder(cluster.etcdClient(), utf8Encode(`${name}/`), options)
        : await acquireLock(cluster.client(), name!, options);
    try {
      const fence = hold.fence.toString();
      const env = { ETCD_LOCK_KEY: Buffer.from(hold.key, "latin1").toString(), ETCD_LOCK_REV: fence, QUORATE_FENCE: fence };
      if (words.length > 0) process.exitCode = await runWhileHeld(hold, words, env);
      else {
        print.write(`${hold.key}\n\n` as Bytes);
        await whileHeld(hold, told);
      }
    } finally {
      await hold.release();
    }
  });
}
