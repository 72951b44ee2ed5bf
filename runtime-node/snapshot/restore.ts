/**
 * `quorate snapshot restore`: out of a backup, the data directory of one member of a new cluster. Offline; the members of a cluster are
 * restored one by one, each on its machine, from the same file with the same flags but its own name, and then started.
 *
 * The ids: as etcd derives them from peer URLs and token (ids.ts), but with the backup's content and all that shapes the state mixed into
 * the token. So the cluster id is never that of the cluster that was saved, members of the two never talk to each other, and members that
 * were restored from another file, or with other flags, are strangers to each other instead of replicas that differ.
 * Restoring one file twice in the same way gives the same ids: another token keeps a second attempt apart from a first that has run.
 */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { FileSystem } from "../../adapters/file-storage/file-system.ts";
import { QuorateError } from "../../core/errors.ts";
import { clusterIdOf, memberIdOf } from "../cluster/ids.ts";
import { type NamedMember, sameUrls } from "../cluster/initial-cluster.ts";
import { randomId } from "../timing.ts";
import { readBackup } from "./backup-file.ts";
import { refuseMountPoint, removeLeftover, renameDurably } from "./directory-swap.ts";
import { type RevisionChange, beginNewLife, writeNewMember } from "./new-life.ts";

export interface RestoreOptions {
  readonly file: string;
  /** Not there, or empty. */
  readonly directory: string;
  /** Of the member that is restored here. */
  readonly name: string;
  /** Its own; the same as the initial cluster names. */
  readonly peerUrls: readonly string[];
  /** All members of the new cluster, this one among them. */
  readonly initialCluster: readonly NamedMember[];
  readonly token: string;
  /** By how much the revision is raised; 0 keeps revision and history. */
  readonly bumpRevision: number;
  readonly fileSystem: FileSystem;
}

export interface Restored extends RevisionChange {
  readonly directory: string;
  /** Decimal, like all ids. */
  readonly clusterId: string;
  readonly memberId: string;
  /** Of the cluster that was saved. */
  readonly clusterIdBefore: string;
}

/**
 * All or nothing: DIR.part is built and renamed.
 * @throws QuorateError `notMember`, `exists`, `mountPoint`, what `readBackup` and the storage throw; the directory is as it was then
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored> {
  const { file, name, initialCluster, fileSystem } = options;
  const self = initialCluster.find((member) => member.name === name);
  if (self === undefined || !sameUrls(self.peerUrls, options.peerUrls)) {
    const wanted = `${name} at ${options.peerUrls.join(",")} (--name, --initial-advertise-peer-urls)`;
    const message = `--initial-cluster has no member ${wanted}: it has ${textOf(initialCluster)}`;
    throw new QuorateError("invalidArgument", "notMember", message);
  }
  const directory = resolve(options.directory);
  await refuseUsed(directory);
  await refuseMountPoint(directory);
  const { state, header, contentHash } = await readBackup(fileSystem, file);
  const change = beginNewLife(state, options.bumpRevision);

  const token = [options.token, contentHash, options.bumpRevision, textOf(initialCluster)].join("\n");
  const members = initialCluster.map(({ name: called, peerUrls }) => ({
    id: memberIdOf(peerUrls, token),
    meta: { name: called, peerUrls, clientUrls: [] },
  }));
  const clusterId = clusterIdOf(members.map(({ id }) => id));
  const memberId = members[initialCluster.indexOf(self)]!.id;

  const part = `${directory}.part`;
  await fileSystem.makeDirectory(dirname(directory));
  await removeLeftover(fileSystem, part);
  try {
    await writeNewMember({ directory: part, identity: { clusterId, memberId, diskId: randomId() }, members, state, fileSystem });
    await renameDurably(fileSystem, part, directory);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    throw error;
  }
  return { directory, clusterId, memberId, clusterIdBefore: header.clusterId, ...change };
}

async function refuseUsed(directory: string): Promise<void> {
  if (!existsSync(directory) || (await readdir(directory)).length === 0) return;
  throw new QuorateError("alreadyExists", "exists", `${directory} is not empty: a backup is restored into a new directory`, { directory });
}

/** Equal for equal clusters, in whatever order they were written. */
function textOf(members: readonly NamedMember[]): string {
  return members
    .flatMap(({ name, peerUrls }) => peerUrls.map((url) => `${name}=${url}`))
    .toSorted()
    .join(",");
}
