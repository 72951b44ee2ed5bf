/** Bytes in a URL or a header. */
import type { Bytes } from "../../bytes/bytes.ts";
import { errBadField } from "../../errors.ts";

/** Percent-encoding of bytes (RFC 3986 section 2.1). @throws QuorateError badField */
export function decodeBytes(text: string, field: string): Bytes {
  if (/%(?![0-9a-f]{2})/i.test(text)) throw errBadField(field, `${field}: a percent sign is followed by two hexadecimal digits`);
  // eslint-disable-next-line no-control-regex -- a request line of other bytes is no URL
  if (/[^\x21-\x7e]/.test(text)) throw errBadField(field, `${field}: other bytes than those of ASCII are percent-encoded`);
  return text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) as Bytes;
}
