/**
 * The snapshot as messages. How much is still to come is not known before it is made, so `remaining_bytes` says only that there is more:
 * it is the size of the next blob, and zero in the last message.
 */
import { type Bytes, EMPTY, fromUint8Array } from "../../bytes/bytes.ts";
import type { SnapshotResponseMessage } from "./cluster-messages.ts";

/** Chunks are gathered into blobs of this size or a little more, the last one excepted. */
const BLOB_BYTES = 64 * 1024;

/** @param chunks of the snapshot's file */
export async function* snapshotMessages(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SnapshotResponseMessage, void, void> {
  let held = EMPTY;
  for await (const next of blobs(chunks)) {
    if (held !== EMPTY) yield { header: null, remainingBytes: next.length, blob: held };
    held = next;
  }
  yield { header: null, remainingBytes: 0, blob: held };
}

async function* blobs(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Bytes, void, void> {
  let gathered = "";
  for await (const chunk of chunks) {
    gathered += fromUint8Array(chunk);
    if (gathered.length < BLOB_BYTES) continue;
    yield gathered as Bytes;
    gathered = "";
  }
  if (gathered !== "") yield gathered as Bytes;
}
