/**
 * The snapshot as a stream of `{"result":{"remaining_bytes", "blob"}}`. How much is still to come is not known before it is made, so
 * `remaining_bytes` says only that there is more: it is the size of the next blob, and left out of the last message.
 */
import { type Bytes, EMPTY, fromUint8Array } from "../../bytes/bytes.ts";
import type { Member } from "../../replica/member.ts";
import type { OnInternalError } from "../error-table.ts";
import type { ReplySink } from "../exchange.ts";
import { SNAPSHOT_RESPONSE } from "./cluster-messages.ts";
import { jsonEncoder } from "./json-codec.ts";
import { streamError, streamMessage } from "./stream.ts";

/** Chunks are gathered into blobs of this size or a little more, the last one excepted. */
const BLOB_BYTES = 64 * 1024;

/** Writes the whole snapshot, no faster than the client reads, and ends the stream. */
export function snapshotWriter(member: Member, onInternalError: OnInternalError): (sink: ReplySink) => void {
  const encode = jsonEncoder(SNAPSHOT_RESPONSE);
  const message = (blob: Bytes, next: Bytes) => streamMessage(encode({ header: null, remainingBytes: next.length, blob }));

  const send = async (sink: ReplySink): Promise<void> => {
    let closed = false;
    let wake: (() => void) | null = null;
    sink.onClose(() => {
      closed = true;
      wake?.();
    });
    const write = async (text: Bytes): Promise<void> => {
      if (closed || sink.write(text)) return;
      await new Promise<void>((resume) => {
        wake = resume;
        if (closed) resume();
        else sink.onDrain(resume);
      });
    };
    let held = EMPTY;
    try {
      for await (const next of blobs(member.snapshot())) {
        if (held !== EMPTY) await write(message(held, next));
        if (closed) return;
        held = next;
      }
      await write(message(held, EMPTY));
    } catch (error) {
      if (!closed) sink.write(streamError(error, onInternalError));
    }
    if (!closed) sink.end();
  };
  return (sink) => void send(sink);
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
