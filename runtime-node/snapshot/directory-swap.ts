/**
 * A data directory that appears whole or not at all: it is built under another name beside its place and renamed. For that both must lie
 * on one file system, which a mount point does not.
 */
import { existsSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { FileSystem } from "../../adapters/file-storage/file-system.ts";
import { errStorageLocked, QuorateError } from "../../core/errors.ts";

/** What a data directory may hold: see file-log-storage.ts. */
const OUR_NAMES = /^(identity|identity\.tmp|lock|lock-journal|log|snapshots)$/;

/** @throws QuorateError `mountPoint` */
export async function refuseMountPoint(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const [own, parent] = [await stat(directory), await stat(dirname(resolve(directory)))];
  if (own.dev === parent.dev) return;
  const message = `${directory} is a mount point and cannot be replaced as a whole: give a directory inside it as --data-dir`;
  throw new QuorateError("failedPrecondition", "mountPoint", message, { directory });
}

/**
 * Removes what an earlier run left, if there is something.
 * @throws QuorateError `locked` when a run is at it; `exists` when it holds what no data directory has
 */
export async function removeLeftover(fileSystem: FileSystem, directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const strange = (await readdir(directory)).find((name) => !OUR_NAMES.test(name));
  if (strange !== undefined) {
    const message = `${directory} is in the way, and is not removed: it holds "${strange}", which no data directory has`;
    throw new QuorateError("alreadyExists", "exists", message, { directory });
  }
  const release = await fileSystem.lock(`${directory}/lock`);
  if (release === undefined) throw errStorageLocked(directory);
  release();
  await rm(directory, { recursive: true, force: true });
}

/** Durable when it resolves. `to` is not there, or is an empty directory. */
export async function renameDurably(fileSystem: FileSystem, from: string, to: string): Promise<void> {
  await fileSystem.rename(from, to);
  await fileSystem.syncDirectory(dirname(resolve(to)));
}
