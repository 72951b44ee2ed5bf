/** A key, its end and the flags that widen it, as a range of the gateway's messages. */
import { prefixEnd } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { base64Of } from "./printer.ts";

export interface RangeFlags {
  readonly prefix?: boolean;
  readonly fromKey?: boolean;
}

export interface RangeMessage {
  /** Base64. */
  readonly key: string;
  readonly range_end?: string;
}

/** To the end of the keyspace. */
const TO_END = base64Of("\0");

/** @throws CommandError for what does not go together */
export function rangeOf(key: string, end: string | undefined, { prefix, fromKey }: RangeFlags): RangeMessage {
  if (prefix === true && fromKey === true) {
    throw new CommandError("`--prefix` and `--from-key` cannot be set at the same time, choose one", EXIT.usage);
  }
  if (end !== undefined) {
    if (prefix === true || fromKey === true) {
      throw new CommandError("too many arguments, only accept one argument when `--prefix` or `--from-key` is set", EXIT.usage);
    }
    return { key: base64Of(key), range_end: base64Of(end) };
  }
  // The empty key is none: what begins with it, or comes behind it, begins at the first that there can be.
  if ((prefix === true || fromKey === true) && key === "") return { key: TO_END, range_end: TO_END };
  if (fromKey === true) return { key: base64Of(key), range_end: TO_END };
  if (prefix === true) return { key: base64Of(key), range_end: Buffer.from(prefixEnd(utf8Encode(key)), "latin1").toString("base64") };
  return { key: base64Of(key) };
}
