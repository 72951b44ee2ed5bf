/**
 * Where recipes keep their keys: under `/quorate/<kind>/<name>/`. A name is one segment, whatever is in it, so that the keys of a lock `a`
 * can never contain those of a lock `a/b`; it reads the same in v1, v2 and v3.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";

const NAME_BYTES_MAX = 256;
/** Revisions in keys are padded to this, so that the order of keys is that of numbers. */
const REVISION_DIGITS = 20;

/**
 * The name as one segment of a key: percent-encoded as by `encodeURIComponent`; `.` and `..`, which mean something in paths, too.
 * @param field names it in errors
 * @throws QuorateError badField when it is not 1 to 256 bytes of UTF-8
 */
export function segmentOf(name: string, field = "name"): Bytes {
  const bytes = utf8Encode(name);
  if (bytes.length < 1 || bytes.length > NAME_BYTES_MAX) {
    throw errBadField(field, `${field} must have 1 to ${NAME_BYTES_MAX} bytes; it has ${bytes.length}`);
  }
  if (name === "." || name === "..") return ascii(name.replaceAll(".", "%2E"));
  // Half a surrogate pair is no text; UTF-8 has U+FFFD for it.
  return ascii(encodeURIComponent(utf8Decode(bytes)));
}

/** The name that `segmentOf` made this of. */
export function nameOfSegment(segment: Bytes): string {
  return decodeURIComponent(segment);
}

/** `/quorate/<kind>/<name>/`, which all keys of the name begin with. @throws QuorateError badField */
export function prefixOf(kind: string, name: string): Bytes {
  return ascii(`/quorate/${kind}/${segmentOf(name)}/`);
}

/** The name in a key under `/quorate/<kind>/`; undefined when the key is none of those. */
export function nameOfKey(kind: string, key: Bytes): string | undefined {
  const start = `/quorate/${kind}/`;
  if (!key.startsWith(start)) return undefined;
  const end = key.indexOf("/", start.length);
  return nameOfSegment(key.slice(start.length, end < 0 ? undefined : end) as Bytes);
}

/** 20 decimal digits, as `append` puts them into a key. */
export function rev20(revision: number): Bytes {
  return ascii(revision.toString().padStart(REVISION_DIGITS, "0"));
}

/** The revision in a key that `append` made: the 20 digits from `at` on. */
export function revisionAt(key: Bytes, at: number): number {
  return Number(key.slice(at, at + REVISION_DIGITS));
}
