/**
 * The messages of a streaming request, one JSON value after another, as they arrive. White space between them is free, and none is
 * needed.
 */
import { type Bytes, EMPTY, fromUint8Array } from "../../bytes/bytes.ts";
import { errBadJson, errRequestTooLarge } from "../../errors.ts";
import type { JsonDecoder } from "./json-codec.ts";
import { JsonScanner } from "./json-scanner.ts";

/**
 * @param bytesMax limit of one message
 * @throws QuorateError badJson, also when the stream ends within a message; requestTooLarge
 */
export async function* jsonMessages<T>(
  chunks: AsyncIterable<Uint8Array>,
  decode: JsonDecoder<T>,
  bytesMax: number,
): AsyncGenerator<T, void, void> {
  let text: Bytes = EMPTY;
  let scanned = 0;
  let scanner = new JsonScanner();
  for await (const chunk of chunks) {
    text = (text + fromUint8Array(chunk)) as Bytes;
    for (;;) {
      const end = scanner.scan(text, scanned);
      if (end === "failed") throw errBadJson(scanner.error);
      if (end === "more") break;
      yield decode(text.slice(0, end) as Bytes);
      text = text.slice(end) as Bytes;
      scanned = 0;
      scanner = new JsonScanner();
    }
    scanned = text.length;
    if (text.length > bytesMax) throw errRequestTooLarge();
  }
  if (scanner.finish()) yield decode(text);
  else if (scanner.started) throw errBadJson(scanner.error === "" ? "unexpected EOF" : scanner.error);
}
