/**
 * A backup on disk: the stream of docs/formats/snapshot.md, as it is, in a file. It is read to its end and verified whole before anything
 * is believed: every frame's CRC, the counts and the hash of the trailer, the hash of the state, the checksum at the end. Damage is named with file and byte.
 */
import { createHash } from "node:crypto";
import type { FileSystem, OpenFile } from "../../adapters/file-storage/file-system.ts";
import { errorCode } from "../../adapters/file-storage/file-system.ts";
import { errMalformed } from "../../core/bytes/msgpack.ts";
import { QuorateError, isQuorateError } from "../../core/errors.ts";
import type { SnapshotHeader } from "../../core/store/snapshot.ts";
import { HASH_BYTES, SEAL_BYTES_MIN, sealedBytes } from "../../core/store/snapshot-seal.ts";
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
  /** SHA-256 that the file ends with, hexadecimal. */
  readonly contentHash: string;
}

/**
 * @throws QuorateError `notFound`; `damaged` with file and offset; `notSnapshot` for a file of another kind; `unknownSnapshot` for a
 *   newer format; or the host's error
 */
export async function readBackup(fileSystem: FileSystem, path: string): Promise<Backup> {
  const file = await fileSystem.open(path, "read").catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT") throw error;
    throw new QuorateError("notFound", "notFound", `there is no file ${path}`, { file: path });
  });
  try {
    return await verify(file, path);
  } catch (error) {
    if (errorCode(error) !== "EISDIR") throw error;
    throw new QuorateError("invalidArgument", "notSnapshot", `${path} is a directory, and no snapshot`, { file: path });
  } finally {
    await file.close();
  }
}

async function verify(file: OpenFile, path: string): Promise<Backup> {
  const fileBytes = await file.size();
  const end = Buffer.alloc(Math.min(SEAL_BYTES_MIN, fileBytes));
  await file.read(end, fileBytes - end.length);
  const snapshotBytes = sealedBytes(fileBytes, end);
  // The quota bounds what is written later, not what is read.
  const state = new StateMachine({ quotaBytes: Number.MAX_SAFE_INTEGER });
  const hash = createHash("sha256");
  let read = 0;
  try {
    const header = await state.restore(
      (async function* () {
        for await (const chunk of chunksOf(file, 0, snapshotBytes ?? fileBytes)) {
          if (read === 0) refuseOtherKinds(path, chunk);
          hash.update(chunk);
          read += chunk.length;
          yield chunk;
        }
      })(),
    );
    if (snapshotBytes === undefined) throw errMalformed("the file ends without a checksum");
    for await (const padding of chunksOf(file, snapshotBytes, fileBytes - HASH_BYTES)) hash.update(padding);
    const contentHash = hash.digest();
    if (!contentHash.equals(end.subarray(-HASH_BYTES))) throw errMalformed("the checksum at the end is not that of what is before it");
    return { header, state, bytes: fileBytes, contentHash: contentHash.toString("hex") };
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "malformed") throw error;
    throw errDamagedBackup(path, error, read);
  }
}

async function* chunksOf(file: OpenFile, from: number, to: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = from; at < to;) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - at));
    const read = await file.read(buffer, at);
    if (read === 0) return; // cut meanwhile, which the end of the snapshot shows
    at += read;
    yield buffer.subarray(0, read);
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
