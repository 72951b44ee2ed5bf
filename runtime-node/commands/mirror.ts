/** `quorate mirror`: keeps keys of one store as they are in another, until it is told to let the other take its place. */
import { type Command, Option } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { type ClientSettings, readClientSettings } from "./client-settings.ts";
import { Cluster } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { cutOver } from "../mirror/cut-over.ts";
import { Mirror } from "../mirror/mirror.ts";
import { recordsAt } from "../mirror/progress-record.ts";
import { Side } from "../mirror/side.ts";
import type { Printer } from "./printer.ts";
import { Progress } from "./progress.ts";

interface MirrorFlags {
  readonly prefix: string;
  readonly destPrefix?: string;
  readonly destUser?: string;
  readonly destPassword?: string;
  readonly destToken?: string;
  readonly destCacert?: string;
  readonly destCert?: string;
  readonly destKey?: string;
  readonly overwrite?: boolean;
  readonly cutOver?: boolean;
  readonly allowLowerRevision?: boolean;
  readonly thaw?: boolean;
  readonly status?: boolean;
}

export function command(): Command {
  const command = newCommand("mirror", "keep keys of one store as they are in another, up to a cut-over", [
    "mirror --endpoints old:2379 new:2379",
    "mirror --endpoints etcd:2379 https://store.example/ns/app --prefix app/ --dest-prefix ''",
    "mirror --endpoints old:2379 new:2379 --status",
    "mirror --endpoints old:2379 new:2379 --cut-over",
  ]);
  command.argument("<destination>", "its members, separated by commas");
  command.option("--prefix <TEXT>", "only keys that begin so", "");
  command.option("--dest-prefix <TEXT>", "in the place of the prefix; left out: the same");
  command.option("--dest-user <NAME[:PASSWORD]>", "who asks at the destination").option("--dest-password <TEXT>", "the user's password");
  command.addOption(new Option("--dest-token <TEXT>", "a token, in place of a user").env("QUORATE_DEST_TOKEN"));
  command.option("--dest-cacert <FILE>", "authorities, PEM, to trust with the destination");
  command.option("--dest-cert <FILE>", "certificate, PEM, to show there").option("--dest-key <FILE>", "its private key, PEM");
  command.option("--overwrite", "change and remove what the destination has there already");
  command.option("--status", "say how far mirrors into the destination are, and end");
  command.option("--cut-over", "freeze the source, take over what is left, compare everything, move the leases, and end");
  command.option("--allow-lower-revision", "cut over although the destination's revision is below the source's");
  command.option("--thaw", "let the source be written to again, after a cut-over that was given up, and end");
  command.withNotes(
    "It may be ended and begun again anywhere: how far it is is kept in the destination, with what it writes. See docs/moving.md.",
  );
  return onCluster<MirrorFlags>(command, async ({ cluster, print, settings }, [destination], flags) => {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    process.once("SIGINT", end).once("SIGTERM", end);
    const destCluster = await Cluster.open(destinationOf(destination!, settings, flags));
    try {
      const source = await Side.open(cluster);
      if (flags.thaw === true) {
        await source.thaw();
        return print.write("the source can be written to again\n");
      }
      const dest = await Side.open(destCluster);
      if (flags.status === true) return await status(source, dest, print);
      const progress = new Progress("changes taken over");
      const { prefix, destPrefix = prefix, overwrite = false } = flags;
      const mirror = new Mirror(source, dest, { prefix, destPrefix, overwrite, onProgress: (_, changes) => progress.add(changes) });
      await mirror.open(ended.signal);
      if (flags.cutOver === true) await cut(mirror, flags, print, ended.signal);
      else await mirror.run(ended.signal);
      if (flags.cutOver === true) return;
      const { phase, revision } = mirror.progress.last!;
      print.write(`${progress.end()} changes taken over; ${phase} at revision ${revision} of the source\n`);
    } finally {
      destCluster.close();
      process.off("SIGINT", end).off("SIGTERM", end);
    }
  });
}

async function cut(
  mirror: Mirror,
  { prefix, allowLowerRevision = false }: MirrorFlags,
  print: Printer,
  signal: AbortSignal,
): Promise<void> {
  try {
    const done = await cutOver(mirror, { allowLowerRevision, allLeases: prefix === "" }, signal);
    print.write(
      `${done.keys} keys and ${done.leases} leases are at the destination as they were at revision ${done.sourceRevision} of the source, ` +
        `which takes no writes any more (alarm CORRUPT; --thaw undoes it); its revision is ${done.destRevision}\nsha256 ${done.hash}\n`,
    );
  } catch (error) {
    console.error("The cut-over is not done. Ask for it again; or, if the source was frozen already, give it up with --thaw.");
    throw error;
  }
}

async function status(source: Side, dest: Side, print: Printer): Promise<void> {
  const records = (await recordsAt(dest)).filter((one) => one.source === source.id);
  if (records.length === 0) throw new CommandError("the destination has no mirror of this source", EXIT.failed);
  const now = await source.revision(undefined);
  for (const { prefix, destPrefix, phase, revision } of records) {
    print.write(
      `${JSON.stringify(prefix)} to ${JSON.stringify(destPrefix)}: ${phase}, revision ${revision} of the source, which is at ${now}\n`,
    );
  }
}

/** Who asks at the destination is told apart: passwords and certificates of the source are not sent there. */
function destinationOf(endpoints: string, { commandTimeoutMs }: ClientSettings, flags: MirrorFlags): ClientSettings {
  const { destUser, destPassword, destToken, destCacert, destCert, destKey } = flags;
  const given = { endpoints, user: destUser, password: destPassword, token: destToken, cacert: destCacert, cert: destCert, key: destKey };
  return { ...readClientSettings(given, {}), commandTimeoutMs };
}
