/**
 * `quorate serve --force-new-cluster`: when most members are lost for good, one that is left goes on as a new cluster of itself alone.
 *
 * It takes all that its disk holds: the newest snapshot and every entry of the log, also those that it does not know to be committed,
 * since the lost majority may have acknowledged them. What only the others had is gone. The new cluster has an id of its own, so that
 * nobody of the old one, should somebody come back, is ever listened to, and a higher revision, so that what the old one may have gone on
 * to write is never confused with what is written from now on.
 * Source: etcd, https://etcd.io/docs/v3.4/op-guide/recovery/ (restarting a cluster from one member's data)
 *
 * The swap, each step durable before the next:
 *
 *     1  DIR.new-cluster.part is built          a crash: the next run builds it anew
 *     2  … is renamed to DIR.new-cluster        a crash: the next run builds it anew, unless DIR has gone
 *     3  DIR is renamed to DIR.before-ID        a crash: `finishNewCluster` does step 4
 *     4  DIR.new-cluster is renamed to DIR
 */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { FileLogStorage } from "../../adapters/file-storage/file-log-storage.ts";
import type { FileSystem } from "../../adapters/file-storage/file-system.ts";
import { IDENTITY_NAME } from "../../adapters/file-storage/identity-file.ts";
import { QuorateError } from "../../core/errors.ts";
import { decodeConfig } from "../../core/raft/config-change.ts";
import type { Config } from "../../core/raft/types.ts";
import type { Identity, Recovered } from "../../core/replica/log-storage-port.ts";
import { decodeCommand } from "../../core/store/command-codec.ts";
import { StateMachine } from "../../core/store/state-machine.ts";
import { clusterIdOf } from "../cluster/ids.ts";
import { randomId } from "../timing.ts";
import { refuseMountPoint, removeLeftover, renameDurably } from "./directory-swap.ts";
import { BUMP_REVISION_DEFAULT } from "./limits.ts";
import { type RevisionChange, beginNewLife, writeNewMember } from "./new-life.ts";

export interface ForceNewClusterOptions {
  /** Of the member that is left; no process has it open. */
  readonly directory: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly fileSystem: FileSystem;
  /** Default `BUMP_REVISION_DEFAULT`. */
  readonly bumpRevision?: number;
}

export type ForcedNewCluster =
  | {
      readonly kind: "made";
      /** Decimal, like all ids. The member keeps its own. */
      readonly memberId: string;
      readonly clusterIdBefore: string;
      readonly clusterId: string;
      /** Members of the old cluster that the new one has no more. */
      readonly membersLeftBehind: number;
      /** Entries of the log after its newest snapshot, all of which were applied … */
      readonly entriesKept: number;
      /** … and how many of them this member did not know to be committed. */
      readonly entriesUncertain: number;
      /** This member had lost entries that it had acknowledged, before: more may be missing than was uncertain. */
      readonly amnesiac: boolean;
      readonly revision: RevisionChange;
      /** Where the old directory is kept. */
      readonly keptDirectory: string;
      /** What recovery of the old directory had to repair. */
      readonly repairs: readonly string[];
    }
  /** The cluster consists of this member alone already: nothing was done. */
  | { readonly kind: "alone"; readonly clusterId: string };

/**
 * Finishes a swap that a crash cut between its two renames. To be called at every start before the directory is looked at, with or without
 * the flag: without it, a member whose directory is away for that moment would begin as a new one.
 * @returns whether there was something to finish
 */
export async function finishNewCluster(directory: string, fileSystem: FileSystem): Promise<boolean> {
  const { place, ready } = namesOf(directory);
  if (existsSync(place) || !existsSync(ready)) return false;
  await renameDurably(fileSystem, ready, place);
  return true;
}

/**
 * @throws QuorateError `nothingToRecover` when the directory holds no member or no data; `exists` when a directory that an
 *   earlier run kept is still beside it; `mountPoint`; what the storage throws when it is damaged or in use. The directory is as it was then
 */
export async function forceNewCluster(options: ForceNewClusterOptions): Promise<ForcedNewCluster> {
  const { fileSystem, name, peerUrls } = options;
  const { place, part, ready } = namesOf(options.directory);
  await finishNewCluster(place, fileSystem);
  await refuseMountPoint(place);
  const { recovered, identity, state } = await readMember(place, fileSystem);
  const { clusterId: clusterIdBefore, memberId } = identity;
  const config = newestConfig(recovered);
  if (config === null || isAlone(config, memberId)) return { kind: "alone", clusterId: clusterIdBefore };

  await refuseSecondTime(place);
  const keptDirectory = `${place}.before-${BigInt(clusterIdBefore).toString(16)}`;
  const revision = beginNewLife(state, options.bumpRevision ?? BUMP_REVISION_DEFAULT);
  const clusterId = clusterIdOf([memberId, clusterIdBefore, randomId()]);
  await removeLeftover(fileSystem, part);
  await removeLeftover(fileSystem, ready);
  try {
    await writeNewMember({
      directory: part,
      identity: { clusterId, memberId, diskId: randomId() },
      members: [{ id: memberId, meta: { name, peerUrls, clientUrls: [] } }],
      state,
      fileSystem,
    });
    await renameDurably(fileSystem, part, ready);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    throw error;
  }
  await renameDurably(fileSystem, place, keptDirectory);
  await renameDurably(fileSystem, ready, place);

  const { entries, hard, repairs } = recovered;
  return {
    kind: "made",
    memberId,
    clusterIdBefore,
    clusterId,
    membersLeftBehind: everybodyIn(config).filter((id) => id !== memberId).length,
    entriesKept: entries.length,
    entriesUncertain: entries.filter(({ index }) => index > hard.commit).length,
    amnesiac: hard.amnesiac === true,
    revision,
    keptDirectory,
    repairs,
  };
}

function namesOf(directory: string): { place: string; part: string; ready: string } {
  const place = resolve(directory);
  return { place, part: `${place}.new-cluster.part`, ready: `${place}.new-cluster` };
}

/**
 * A flag that was left in the command line must not throw out the members that were added since: what an earlier run kept tells that there
 * was one, until it is moved away.
 */
async function refuseSecondTime(place: string): Promise<void> {
  const kept = (await readdir(dirname(place))).find((name) => name.startsWith(`${basename(place)}.before-`));
  if (kept === undefined) return;
  const message =
    `--force-new-cluster was used for ${place} before, and there are other members again: start without the flag; ` +
    `if most of them are lost once more, move ${kept} away first`;
  throw new QuorateError("alreadyExists", "exists", message, { directory: `${dirname(place)}/${kept}` });
}

/** All that the disk holds, as one state. Lets go of the directory again. */
async function readMember(
  directory: string,
  fileSystem: FileSystem,
): Promise<{ recovered: Recovered; identity: Identity; state: StateMachine }> {
  const nothing = (why: string): QuorateError =>
    new QuorateError("failedPrecondition", "nothingToRecover", `no cluster can be made of ${directory}: ${why}`, { directory });
  if (!existsSync(`${directory}/${IDENTITY_NAME}`)) throw nothing("it is not the data directory of a member");
  const storage = new FileLogStorage({ directory, fileSystem });
  const recovered = await storage.open();
  try {
    const { identity, snapshot, entries } = recovered;
    if (identity === null || (snapshot === null && entries.length === 0)) throw nothing("its member has not received anything yet");
    // The quota bounds what is written later, not what is there.
    const state = new StateMachine({ quotaBytes: Number.MAX_SAFE_INTEGER });
    if (snapshot !== null) await state.restore(storage.readSnapshot(snapshot.id));
    for (const entry of entries) if (entry.kind === "data") state.apply(decodeCommand(entry.data), entry);
    return { recovered, identity, state };
  } finally {
    await storage.close();
  }
}

/** The last one in the log counts, committed or not (dissertation §4.1). null: a log of a member alone, which names none. */
function newestConfig({ entries, snapshot }: Recovered): Config | null {
  const entry = entries.findLast(({ kind }) => kind === "config");
  return entry === undefined ? (snapshot?.config ?? null) : decodeConfig(entry.data);
}

function everybodyIn({ voters, outgoing, learners, learnersNext }: Config): string[] {
  return [...new Set([...voters, ...outgoing, ...learners, ...learnersNext])];
}

/** Nobody else is asked for anything. Without a voter there is no configuration, and the member writes alone. */
function isAlone(config: Config, memberId: string): boolean {
  const everybody = everybodyIn(config);
  return everybody.length === 0 || (everybody.length === 1 && config.voters[0] === memberId);
}
