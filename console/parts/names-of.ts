/** Names that a recipe's keys have, from one to the next: how much there is under each makes no difference. */
import { type Bytes, prefixEnd } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { ask, send } from "../api.ts";
import { type RangeMessage, base64Of, bytesOf } from "../key-value.ts";

/** More are not looked for. */
export const NAMES_MAX = 50;

/** @param kind the segment after `/quorate/` */
export async function namesOf(kind: string, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  const prefix = utf8Encode(`/quorate/${kind}/`);
  const end = base64Of(prefixEnd(prefix));
  for (let key = prefix; names.length < NAMES_MAX;) {
    const { kvs } = await send<RangeMessage>(ask("kv/range", { key: base64Of(key), range_end: end, limit: 1, keys_only: true }), signal);
    if (kvs?.[0] === undefined) return names;
    const [, , , segment = ""] = bytesOf(kvs[0].key).split("/");
    names.push(decodeURIComponent(segment));
    key = prefixEnd((prefix + segment + "/") as Bytes);
  }
  return names;
}
