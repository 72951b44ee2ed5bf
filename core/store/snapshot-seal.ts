/**
 * The end of a snapshot that leaves the cluster as a file: padding, then SHA-256 of everything before it. `etcdctl snapshot save` knows a
 * whole file by its size, a multiple of 512 and 32 bytes, because etcd's databases come in such pages; so ours are filled up to that.
 * Source: docs/formats/snapshot.md.
 */

import { errMalformed } from "../bytes/msgpack.ts";

/** Hashes what comes in pieces. */
export interface Hasher {
  update(piece: Uint8Array): unknown;
  /** 32 bytes. */
  digest(): Uint8Array;
}

export const HASH_BYTES = 32;
/** The length of the padding stands in its last two bytes, so that a reader finds where the snapshot ends. */
const LENGTH_BYTES = 2;
const PAGE_BYTES = 512;
/** What a reader has to see of the end. */
export const SEAL_BYTES_MIN = LENGTH_BYTES + HASH_BYTES;

/** Sees the snapshot go by, and makes its end. */
export class Seal {
  readonly #hasher: Hasher;
  #bytes = 0;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  add(chunk: Uint8Array): void {
    this.#hasher.update(chunk);
    this.#bytes += chunk.length;
  }

  /** What comes after the last chunk. Once. */
  end(): [padding: Uint8Array, hash: Uint8Array] {
    const over = (this.#bytes + LENGTH_BYTES) % PAGE_BYTES;
    const padding = new Uint8Array(LENGTH_BYTES + (over === 0 ? 0 : PAGE_BYTES - over));
    new DataView(padding.buffer).setUint16(padding.length - LENGTH_BYTES, padding.length);
    this.#hasher.update(padding);
    return [padding, this.#hasher.digest()];
  }
}

/** @returns the chunks as they are, then the seal */
export async function* sealed(chunks: AsyncIterable<Uint8Array>, hasher: Hasher): AsyncGenerator<Uint8Array, void, void> {
  const seal = new Seal(hasher);
  for await (const chunk of chunks) {
    seal.add(chunk);
    yield chunk;
  }
  yield* seal.end();
}

/**
 * @param fileBytes size of the whole file @param end its last `SEAL_BYTES_MIN` bytes
 * @returns bytes of the snapshot itself; undefined when the file does not end as a sealed one
 */
export function sealedBytes(fileBytes: number, end: Uint8Array): number | undefined {
  if (end.length < SEAL_BYTES_MIN || fileBytes % PAGE_BYTES !== HASH_BYTES) return undefined;
  const padding = new DataView(end.buffer, end.byteOffset).getUint16(end.length - SEAL_BYTES_MIN);
  const bytes = fileBytes - HASH_BYTES - padding;
  return padding >= LENGTH_BYTES && padding < PAGE_BYTES + LENGTH_BYTES && bytes >= 0 ? bytes : undefined;
}

/**
 * @param file a whole sealed snapshot, in memory
 * @returns the snapshot itself, a view of the file. Its own frames are verified by whoever reads it
 * @throws QuorateError malformed when it does not end as a sealed one, or its checksum is another
 */
export function unsealed(file: Uint8Array, hasher: Hasher): Uint8Array {
  const bytes = sealedBytes(file.length, file.subarray(Math.max(0, file.length - SEAL_BYTES_MIN)));
  if (bytes === undefined) throw errMalformed("the file ends without a checksum");
  hasher.update(file.subarray(0, file.length - HASH_BYTES));
  const [found, said] = [hasher.digest(), file.subarray(file.length - HASH_BYTES)];
  if (said.some((byte, at) => byte !== found[at])) throw errMalformed("the checksum at the end is not that of what is before it");
  return file.subarray(0, bytes);
}
