/**
 * A backup on disk: the stream of docs/formats/snapshot.md, as it is, in a file. It is read to its end and verified whole before anything
 * is believed: every frame's CRC, the counts and the hash of the trailer, the hash of the state. Damage is named with file and byte.
 */
import { createHash } from "node:crypto";
import type { FileSystem } from "../../adapters/file-storage/file-system.ts";
import { errorCode } from "../../adapters/file-storage/file-system.ts";
import { QuorateError, isQuorateError } from "../../core/errors.ts";
import type { SnapshotHeader } from "../../core/store/snapshot.ts";
import { StateMachine } from "../../core/store/state-machine.ts";

/** Read at a time. */
const READ_BYTES = 1 << 20;
/** Tag, length and CRC of the first frame, then the header of a MessagePack byte string: what the format begins with lies behind. */
const MAGIC_AT = 11;
const MAGIC = "QSNP";
/** Of a bbolt database, which is what etcd saves. */
const BBOLT_MAGIC_AT = 16;
const BBOLT_MAGIC = 0xed0cdaed;

export interface Backup {
  readonly header: SnapshotHeader;
  readonly state: StateMachine;
  /** Of the file. */
  readonly bytes: number;
  /** SHA-256 of the file, hexadecimal. */
  readonly contentHash: string;
}

/**
 * @throws QuorateError `notFound`; `damaged` with file and offset; `notSnapshot` for a file of another kind; `unknownSnapshot` for a
 *   newer format; or the host's error
 */
export async function readBackup(fileSystem: FileSystem, path: string): Promise<Backup> {
  // The quota bounds what is written later, not what is read.
  const state = new StateMachine({ quotaBytes: Number.MAX_SAFE_INTEGER });
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const header = await state.restore(
      (async function* () {
        for await (const chunk of chunksOf(fileSystem, path)) {
          if (bytes === 0) refuseOtherKinds(path, chunk);
          hash.update(chunk);
          bytes += chunk.length;
          yield chunk;
        }
      })(),
    );
    return { header, state, bytes, contentHash: hash.digest("hex") };
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "malformed") throw error;
    throw errDamagedBackup(path, error, bytes);
  }
}

async function* chunksOf(fileSystem: FileSystem, path: string): AsyncGenerator<Buffer, void, undefined> {
  const file = await fileSystem.open(path, "read").catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT") throw error;
    throw new QuorateError("notFound", "notFound", `there is no file ${path}`, { file: path });
  });
  try {
    for (let at = 0; ;) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const read = await file.read(buffer, at);
      if (read === 0) return;
      at += read;
      yield buffer.subarray(0, read);
    }
  } finally {
    await file.close();
  }
}

/** A wrong file is no damaged one, and is better told by what it is. @param start at least 20 bytes, unless the file is shorter */
function refuseOtherKinds(path: string, start: Buffer): void {
  const is = (what: string): QuorateError =>
    new QuorateError("invalidArgument", "notSnapshot", `${path} is no snapshot: ${what}`, { file: path });
  if (start.length >= BBOLT_MAGIC_AT + 4 && start.readUInt32LE(BBOLT_MAGIC_AT) === BBOLT_MAGIC) {
    throw is("it is a database of etcd, which has a form of its own");
  }
  if (start.toString("latin1", 0, MAGIC.length) === MAGIC) {
    throw is("it is a file out of a data directory; a backup is made with quorate snapshot save");
  }
  const magic = start.toString("latin1", MAGIC_AT, MAGIC_AT + MAGIC.length);
  // A short file, or a first frame that says it is a header, is taken for a damaged snapshot.
  if (magic !== MAGIC && start.length >= MAGIC_AT + MAGIC.length && start[0] !== 1) throw is("it does not begin with a header");
}

/** @param read bytes that were handed to the reader; what is wrong without a place lies before them */
function errDamagedBackup(path: string, error: QuorateError, read: number): QuorateError {
  const place = /at byte ([0-9]+)(?: of the snapshot|$)/.exec(error.message)?.[1];
  const offset = place === undefined ? read : Number(place);
  const told = place === undefined ? `, at byte ${read}` : "";
  return new QuorateError("dataLoss", "damaged", `${path} is damaged: ${error.message.replace(/^malformed data: /, "")}${told}`, {
    file: path,
    offset,
  });
}
