/**
 * Base64 as Go's `encoding/base64.StdEncoding` reads it, since that is what etcd's gateway accepts (RFC 4648 §4): padded, the
 * standard alphabet, line breaks ignored, anything else refused. `atob` alone is more lenient.
 */
import type { Bytes } from "./bytes.ts";

const STRICT = /^[A-Za-z0-9+/]*={0,2}$/;

/** @returns the bytes, or undefined when the text is not padded standard base64 */
export function decodeBase64(text: string): Bytes | undefined {
  let body = text;
  if (body.length % 4 !== 0 || !STRICT.test(body)) {
    body = text.replace(/[\r\n]/g, "");
    if (body.length % 4 !== 0 || !STRICT.test(body)) return undefined;
  }
  return atob(body) as Bytes;
}

export function encodeBase64(bytes: Bytes): string {
  return btoa(bytes);
}
