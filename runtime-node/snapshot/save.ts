/**
 * `quorate snapshot save`: a backup of a running member, in a file that is whole or not there.
 *
 * Order: FILE.part written and synced, read back from the disk and verified, renamed, the directory synced. What fails on the way leaves
 * nothing behind; only a process that was killed leaves its FILE.part, which is named to the next one and never taken for a backup.
 */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { FileSystem, OpenFile } from "../../adapters/file-storage/file-system.ts";
import { errorCode } from "../../adapters/file-storage/file-system.ts";
import { writeWhole } from "../../adapters/file-storage/segment.ts";
import { QuorateError, isQuorateError } from "../../core/errors.ts";
import { type Backup, readBackup } from "./backup-file.ts";
import { type Access, downloadSnapshot } from "./snapshot-download.ts";

/** `signal` interrupts it; what was written is removed. */
export interface SaveOptions extends Access {
  readonly file: string;
  readonly fileSystem: FileSystem;
}

/** @throws QuorateError `exists`, `notFound`, `snapshotFailed`, `damaged`, or the host's error; nothing is left behind then */
export async function saveSnapshot({ file, fileSystem, ...access }: SaveOptions): Promise<Backup> {
  const path = resolve(file);
  const part = `${path}.part`;
  refuseExisting(path, "is there already and is not overwritten");
  const out = await fileSystem.open(part, "create").catch((error: unknown) => {
    const code = errorCode(error);
    if (code === "EEXIST") throw errExists(part, "is there already: another save is under way, or one was killed and this can be deleted");
    if (code !== "ENOENT") throw error;
    throw new QuorateError("notFound", "notFound", `there is no directory ${dirname(path)} to save a snapshot in`, { file: path });
  });
  try {
    await fill(out, downloadSnapshot(access));
    const saved = await verify(fileSystem, part, access.endpoint);
    refuseExisting(path, "was made meanwhile and is not overwritten");
    await fileSystem.rename(part, path);
    await fileSystem.syncDirectory(dirname(path));
    return saved;
  } catch (error) {
    if (existsSync(part)) await fileSystem.remove(part);
    throw error;
  }
}

async function fill(out: OpenFile, pieces: AsyncIterable<Buffer>): Promise<void> {
  let at = 0;
  try {
    for await (const piece of pieces) {
      await writeWhole(out, piece, at);
      at += piece.length;
    }
    await out.sync();
  } finally {
    await out.close();
  }
}

async function verify(fileSystem: FileSystem, part: string, endpoint: string): Promise<Backup> {
  try {
    return await readBackup(fileSystem, part);
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    throw new QuorateError(error.code, error.reason, `what came from ${endpoint} is not kept: ${error.message}`, error.details);
  }
}

function refuseExisting(path: string, why: string): void {
  if (existsSync(path)) throw errExists(path, why);
}

const errExists = (path: string, why: string): QuorateError =>
  new QuorateError("alreadyExists", "exists", `${path} ${why}`, { file: path });
