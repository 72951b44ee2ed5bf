/**
 * The identity file: who the directory belongs to and how often it was opened. Seven lines of text that a person may read, replaced
 * as a whole (temporary file, sync, rename, sync of the directory) at every opening.
 *
 *     quorate identity 2               (1 has no line `disk`)
 *     cluster 9372538179322589801      (`-` until the member has one)
 *     member 10501334649042878790
 *     disk 4733189205728116352
 *     boot 3
 *     batches 812                      (of the log at that opening; they were durable, so they must be there at the next)
 *     crc32 1c291ca3                   (of all bytes before this line)
 */
import { crc32 } from "node:zlib";
import { errDataLoss } from "../../core/errors.ts";
import type { Identity } from "../../core/replica/log-storage-port.ts";
import type { FileSystem } from "./file-system.ts";
import { writeWhole } from "./segment.ts";

export const IDENTITY_NAME = "identity";
export const IDENTITY_TEMPORARY_NAME = "identity.tmp";
const BYTES_MAX = 4096;

export interface IdentityFile {
  readonly identity: Identity | null;
  /** How often the storage was opened, this time included. */
  readonly boot: number;
  /** Batches the log had when it was opened: it never has fewer again. 0 before there is an identity, at least 1 after. */
  readonly batches: number;
}

export function formatIdentity({ identity, boot, batches }: IdentityFile): string {
  const { clusterId, memberId, diskId } = identity ?? { clusterId: "-", memberId: "-", diskId: "-" };
  // A directory of the first version stays one, so that the release that made it can still open it.
  const [version, disk] = diskId === "0" ? ["1", ""] : ["2", `disk ${diskId}\n`];
  const body = `quorate identity ${version}\ncluster ${clusterId}\nmember ${memberId}\n${disk}boot ${boot}\nbatches ${batches}\n`;
  return `${body}crc32 ${crc32(body).toString(16).padStart(8, "0")}\n`;
}

/** @returns undefined when the text is not whole */
export function parseIdentity(text: string): IdentityFile | undefined {
  const match =
    /^quorate identity [12]\ncluster (\d+|-)\nmember (\d+|-)\n(?:disk (\d+|-)\n)?boot (\d{1,15})\nbatches (\d{1,15})\ncrc32 [0-9a-f]{8}\n$/.exec(
      text,
    );
  if (!match) return undefined;
  const [, clusterId, memberId, diskId = "0", boot, batches] = match as unknown as [
    string,
    string,
    string,
    string | undefined,
    string,
    string,
  ];
  const parsed: IdentityFile = {
    identity: clusterId === "-" ? null : { clusterId, memberId, diskId },
    boot: Number(boot),
    batches: Number(batches),
  };
  return formatIdentity(parsed) === text ? parsed : undefined;
}

/** @throws QuorateError `damaged` */
export async function readIdentityFile(fileSystem: FileSystem, directory: string): Promise<IdentityFile> {
  const path = `${directory}/${IDENTITY_NAME}`;
  const file = await fileSystem.open(path, "read");
  try {
    const buffer = Buffer.alloc(BYTES_MAX);
    const parsed = parseIdentity(buffer.toString("latin1", 0, await file.read(buffer, 0)));
    if (!parsed) throw errDataLoss(path, 0, "the identity is damaged");
    return parsed;
  } finally {
    await file.close();
  }
}

/** Durable when it resolves. */
export async function writeIdentityFile(fileSystem: FileSystem, directory: string, content: IdentityFile): Promise<void> {
  const temporary = `${directory}/${IDENTITY_TEMPORARY_NAME}`;
  const file = await fileSystem.open(temporary, "create");
  try {
    await writeWhole(file, Buffer.from(formatIdentity(content), "latin1"), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.rename(temporary, `${directory}/${IDENTITY_NAME}`);
  await fileSystem.syncDirectory(directory);
}
