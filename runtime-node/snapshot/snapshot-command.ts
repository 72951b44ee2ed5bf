/**
 * The commands `quorate snapshot save`, `status` and `restore`, with etcdctl's names and flags
 * (https://etcd.io/docs/v3.6/op-guide/recovery/). Exit code 0: done; 1: it could not be done, and why; 2: a wrong command line.
 */
import type { SecureContextOptions } from "node:tls";
import { Command, InvalidArgumentError, Option } from "commander";
import { type FileSystem, errorCode } from "../../adapters/file-storage/file-system.ts";
import { isQuorateError } from "../../core/errors.ts";
import { type NamedMember, parseInitialCluster } from "../cluster/initial-cluster.ts";
import { ConfigError } from "../config.ts";
import { BUMP_REVISION_DEFAULT } from "./limits.ts";
import type { Restored } from "./restore.ts";
import type { Login } from "./snapshot-download.ts";
import { STATUS_FORMATS, type StatusFormat, formatStatus } from "./status.ts";

/** Of what could not be done. */
const EXIT_FAILED = 1;

const EXAMPLES = `
Examples:
  quorate snapshot save backup.snap --endpoints http://127.0.0.1:2379
  quorate snapshot save backup.snap --endpoints https://10.0.0.1:2379 --cacert ca.pem --cert backup.pem --key backup.key
  QUORATE_USER=root QUORATE_PASSWORD=secret quorate snapshot save backup.snap
  quorate snapshot status backup.snap -w table
  quorate snapshot restore backup.snap --data-dir /var/lib/quorate/new
`;

interface RestoreFlags {
  readonly dataDir: string;
  readonly name: string;
  readonly initialCluster?: string;
  readonly initialClusterToken: string;
  readonly initialAdvertisePeerUrls: string;
  readonly bumpRevision: number;
  readonly markCompacted?: boolean;
}

/** To be added to the program; its actions set the process's exit code. */
export function snapshotCommand(): Command {
  const command = new Command("snapshot").description("back up a member, look at a backup, restore one").exitOverride();
  command.addHelpText("after", EXAMPLES);
  for (const part of [saveCommand(), statusCommand(), restoreCommand()])
    command.addCommand(part.exitOverride().allowExcessArguments(false));
  return command;
}

function saveCommand(): Command {
  const command = new Command("save").description("save the state of a running member in a file");
  command.argument("<file>", "file to write; must not be there yet");
  command.addOption(
    new Option("--endpoints <URL>", "the member to ask, one only").default("http://127.0.0.1:2379").argParser(parseEndpoint),
  );
  command.option("--cacert <FILE>", "authorities, PEM, to trust with an https endpoint");
  command.option("--cert <FILE>", "certificate, PEM, to show it");
  command.option("--key <FILE>", "its private key, PEM");
  const user = new Option("--user <NAME[:PASSWORD]>", "who asks, where authentication is on; needs the role root");
  command.addOption(user.env("QUORATE_USER"));
  command.addOption(new Option("--password <TEXT>", "the user's password, which then is not in --user").env("QUORATE_PASSWORD"));
  return command.action((file: string, { endpoints, user: name, password, ...tls }: SaveFlags) =>
    run(async () => {
      const { saveSnapshot } = await import("./save.ts");
      const interrupted = new AbortController();
      const interrupt = (): void => interrupted.abort();
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, interrupt);
      const { header, bytes } = await saveSnapshot({
        endpoint: endpoints,
        tls: await tlsOf(tls),
        login: loginOf(name, password),
        file,
        fileSystem: await fileSystem(),
        signal: interrupted.signal,
      });
      console.log(`Snapshot saved at ${file}`);
      console.error(`revision ${header.revision}, ${bytes} bytes, from ${endpoints}`);
    }),
  );
}

interface SaveFlags {
  readonly endpoints: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
  readonly password?: string;
}

/** As etcdctl has it, but it never asks at the terminal. @throws ConfigError for one without the other */
function loginOf(user: string | undefined, password: string | undefined): Login | undefined {
  if (user === undefined) {
    if (password !== undefined) throw new ConfigError("--password needs a --user");
    return undefined;
  }
  if (password !== undefined) return { name: user, password };
  const colon = user.indexOf(":");
  if (colon < 0) throw new ConfigError("--user needs a password: --user NAME:PASSWORD, or --password");
  return { name: user.slice(0, colon), password: user.slice(colon + 1) };
}

/** @throws ConfigError for files that cannot be used */
async function tlsOf({ cacert, cert, key }: Pick<SaveFlags, "cacert" | "cert" | "key">): Promise<SecureContextOptions> {
  if ((cert === undefined) !== (key === undefined)) throw new ConfigError("--cert and --key belong together");
  const { readTlsFiles } = await import("../tls/tls-files.ts");
  const file = (flag: string, path: string | undefined) => (path === undefined ? undefined : { flag, path });
  return readTlsFiles({ ca: file("cacert", cacert), cert: file("cert", cert), key: file("key", key) }, {}, Date.now()).options;
}

function statusCommand(): Command {
  const command = new Command("status").description("verify a backup and tell what is in it");
  command.argument("<file>", "file of snapshot save");
  command.addOption(new Option("-w, --write-out <FORMAT>", "form of the answer").choices(STATUS_FORMATS).default("simple"));
  return command.action((file: string, { writeOut }: { writeOut: StatusFormat }) =>
    run(async () => {
      const { readBackup } = await import("./backup-file.ts");
      console.log(formatStatus(await readBackup(await fileSystem(), file), writeOut));
    }),
  );
}

function restoreCommand(): Command {
  const command = new Command("restore").description("make the data directory of a member of a new cluster out of a backup");
  command.argument("<file>", "file of snapshot save");
  command.requiredOption("--data-dir <DIR>", "directory to make; must not be there yet, or be empty");
  command.option("--name <NAME>", "the member's name", "default");
  command.option("--initial-cluster <MEMBERS>", "all members of the new cluster as NAME=URL,NAME=URL. Default: this one alone");
  command.option("--initial-cluster-token <TEXT>", "goes into the ids; the same at all members", "etcd-cluster");
  command.option("--initial-advertise-peer-urls <URLS>", "where other members reach this one", "http://localhost:2380");
  command.addOption(
    new Option("--bump-revision <N>", "by how much the revision is raised, more than was written since the backup; 0 keeps the history")
      .default(BUMP_REVISION_DEFAULT)
      .argParser(parseWhole),
  );
  command.option(
    "--mark-compacted",
    "compact up to the raised revision: always done where it is raised, and so a flag that changes nothing",
  );
  return command.action((file: string, flags: RestoreFlags) =>
    run(async () => {
      if (flags.markCompacted === true && flags.bumpRevision === 0)
        throw new ConfigError("--mark-compacted needs a --bump-revision above 0");
      const own = membersOf("--initial-advertise-peer-urls", flags.initialAdvertisePeerUrls, `${flags.name}=`);
      const { initialCluster } = flags;
      const { restoreSnapshot } = await import("./restore.ts");
      const restored = await restoreSnapshot({
        file,
        directory: flags.dataDir,
        name: flags.name,
        peerUrls: own[0]!.peerUrls,
        initialCluster: initialCluster === undefined ? own : membersOf("--initial-cluster", initialCluster, ""),
        token: flags.initialClusterToken,
        bumpRevision: flags.bumpRevision,
        fileSystem: await fileSystem(),
      });
      console.log(report(restored, flags.name));
    }),
  );
}

/** Loaded when it is needed, like all that does the work: so that help comes at once. */
async function fileSystem(): Promise<FileSystem> {
  const { NodeFileSystem } = await import("../../adapters/file-storage/node-file-system.ts");
  return new NodeFileSystem();
}

/** Tells what could not be done in one line; a wrong command line and a bug go on to whoever runs the program. */
async function run(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (isQuorateError(error) && error.reason === "notMember") throw new ConfigError(error.message);
    if (!isQuorateError(error) && errorCode(error) === undefined) throw error;
    console.error(`quorate: ${isQuorateError(error) ? error.message : hostProblem(error as NodeJS.ErrnoException)}`);
    process.exitCode = EXIT_FAILED;
  }
}

/** In words, as far as it is a common mistake. */
function hostProblem({ code = "", path = "a file", message }: NodeJS.ErrnoException): string {
  const problem: Record<string, string> = {
    EACCES: "may not be read or written by this user",
    EPERM: "may not be read or written by this user",
    EROFS: "is on a file system that is not writable",
    ENOTDIR: "cannot be there: a part of this path is a file and no directory",
    ENOSPC: "does not fit on its disk",
    ENAMETOOLONG: "has too long a name",
  };
  return problem[code] === undefined ? message : `${path} ${problem[code]} (${code})`;
}

/** etcdctl takes an endpoint without a scheme too. */
function parseEndpoint(text: string): string {
  const url = /^[a-z]+:\/\//.test(text) ? text : `http://${text}`;
  if (text.includes(",")) throw new InvalidArgumentError("A snapshot is taken from one member: give one endpoint.");
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) throw new InvalidArgumentError("Wanted: http://HOST:PORT or https://HOST:PORT.");
  return url;
}

function parseWhole(text: string): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Wanted: a whole number of at least 0.");
}

/** @param prefix what stands before each item, for a list of URLs of one member */
function membersOf(flag: string, text: string, prefix: string): NamedMember[] {
  const items = text.split(",").map((item) => prefix + item.trim());
  const members = parseInitialCluster(items.join(","));
  if (members !== undefined) return members;
  const wanted = prefix === "" ? "NAME=http://HOST:PORT,NAME=http://HOST:PORT" : "http://HOST:PORT, several with commas";
  throw new ConfigError(`${flag} ${JSON.stringify(text)} cannot be taken: wanted are ${wanted}`);
}

function report(restored: Restored, name: string): string {
  const hex = (id: string): string => BigInt(id).toString(16);
  const { revisionBefore, revisionAfter } = restored;
  const history = revisionAfter === revisionBefore ? "with its history" : `raised from ${revisionBefore}; older ones are compacted`;
  return [
    `Restored into ${restored.directory}`,
    `Member ${hex(restored.memberId)} of the new cluster ${hex(restored.clusterId)} (the backup is of ${hex(restored.clusterIdBefore)})`,
    `Revision ${revisionAfter}, ${history}`,
    `Start it with: quorate serve --name ${name} --data-dir ${restored.directory}, and its addresses`,
  ].join("\n");
}
